"""Reading and writing the outermost struct of a request that appends 1 KiB: what every post pays first.

There is no peer: nothing else speaks this format. ``hashlib.sha256`` over the same bytes stands beside it as a measure
of the machine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from bench.common import Line, benchmark, measure
from tertulia_protocol.codec import parse, serialize
from tertulia_protocol.relay_api.requests import Op, Request

SIZE = 1024
RUNS = 20_000


@benchmark("codec.request")
def run() -> Iterator[Line]:
    """Yield requests per second, written and read back."""
    request = Request(op=Op.APPEND, segment_id=bytes(32), nonce=bytes(16), args=bytes(73), payload=bytes(SIZE))
    data = serialize(request)
    reading = measure(lambda: parse(Request, data), runs=RUNS)
    writing = measure(lambda: serialize(request), runs=RUNS)
    hashing = measure(lambda: hashlib.sha256(data).digest(), runs=RUNS)
    for what, samples in (("parse", reading), ("serialize", writing)):
        yield Line(
            params={"what": what, "bytes": SIZE, "against": "hashlib.sha256"},
            value=samples.per_second,
            unit="1/s",
            samples=samples,
            ratio=samples.per_second / hashing.per_second,
        )
