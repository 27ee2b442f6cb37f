"""Writing: until a post is safe in the outbox, until it was read back, and how fast a full outbox empties.

One member's device and a relay on loopback, both with SQLite that waits for the disk: what is measured is mostly how
long this machine's disk takes to be sure. There is no peer.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

from bench.common import Line, Param, Samples, benchmark
from bench.members import CHARACTERS, TEXT, found, opened, running_relay, runtime_of, write_many
from tertulia.catchup import read_to_head
from tertulia.sending import flush_outbox

SINGLE = 100
QUEUED = 1000
PARAMS: dict[str, Param] = {"characters": CHARACTERS, "storage": "sqlite", "processes": 1}


@benchmark("client.send")
async def run() -> AsyncIterator[Line]:
    """Yield milliseconds for a post, and posts per second out of the outbox."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        profile = folder / "amina"
        with running_relay(folder) as relay:
            await found(profile, relay)
            written, back = await one_by_one(profile)
            for what, samples in (("into the outbox", written), ("written and read back", back)):
                yield Line(params=PARAMS | {"what": what}, value=samples.median_ms, unit="ms", samples=samples)
            async with runtime_of(profile) as (runtime, circle_id):
                await write_many(runtime, circle_id, QUEUED)
                started = time.perf_counter()
                sent = await flush_outbox(runtime, circle_id)
                seconds = time.perf_counter() - started
                read = await read_to_head(runtime, circle_id)
    if (sent, read) != (QUEUED, QUEUED):
        raise RuntimeError(f"{sent} sent and {read} read instead of {QUEUED}")
    yield Line(params=PARAMS | {"what": "outbox emptied", "posts": QUEUED}, value=QUEUED / seconds, unit="1/s")


async def one_by_one(profile: Path) -> tuple[Samples, Samples]:
    """Write posts one by one, each sent and read back before the next."""
    written, back = [], []
    async with opened(profile) as client:
        for number in range(SINGLE):
            started = time.perf_counter()
            await client.post(None, board="General", title=f"Topic {number}", body=TEXT)
            written.append(time.perf_counter() - started)
            report = await client.sync()
            if report.circles[0].error is not None or report.circles[0].waiting:
                raise RuntimeError(f"not read back: {report}")
            back.append(time.perf_counter() - started)
    return Samples(tuple(written)), Samples(tuple(back))
