"""Durable appends of 1 KiB entries a second: signed requests in, one transaction for many, signed heads out.

The relay runs as operators run it, SQLite with WAL and FULL, one process; each client has a segment and a connection
of its own and sends the next append when it has the answer to the last. All requests are signed beforehand and sent
by one process that does little else, so that on two cores the relay has one for itself.

The peer, measured in the same run by the same sender: a bare aiohttp handler (``web.Server`` with default settings, no
access log, asyncio) that reads the same body and answers as many bytes without storing or checking anything. It is
what HTTP alone costs on the machine.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any, cast

import aiohttp
from aiohttp import web

from bench.common import Line, Samples, benchmark
from tests.support.relay_process import RelayProcess
from tests.support.wire import Line as Connection
from tests.support.wire import Segment, parse_enrolment

CLIENTS = {1: 2000, 16: 8000, 64: 16000}
"""Appends in all, by the number of clients."""
WARM = 50
"""Appends before the clock starts."""
ENTRY_BYTES = 1024
FRAME_BYTES = 2048
PEER = f"bare aiohttp {aiohttp.__version__} handler"

SETTINGS = """
[quota]
log_mib = 4096
append_burst_units = 1048576
append_units_per_second = 1048576
"""
"""Quotas out of the way: they are there to slow down whoever appends this fast."""


def http_request(frame: bytes) -> bytes:
    """Return the bytes that go over the socket."""
    head = "POST /x HTTP/1.1\r\nHost: relay\r\nContent-Type: application/octet-stream\r\n"
    return f"{head}Content-Length: {len(frame)}\r\n\r\n".encode() + frame


class Sender(asyncio.Protocol):
    """One client: sends its requests one by one and notes how long each answer took."""

    def __init__(self, requests: list[bytes], done: asyncio.Future[None]) -> None:
        self.seconds: list[float] = []
        self.statuses: set[int] = set()
        self._requests = requests
        self._done = done
        self._buffer = b""
        self._sent = 0.0
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport; :meth:`go` begins."""
        self._transport = cast("asyncio.Transport", transport)

    def go(self) -> None:
        """Send the next request."""
        self._sent = time.perf_counter()
        self._transport.write(self._requests.pop())

    def data_received(self, data: bytes) -> None:
        """Note a complete answer and go on."""
        self._buffer += data
        head = self._buffer.find(b"\r\n\r\n")
        if head < 0 or len(self._buffer) < head + 4 + FRAME_BYTES:
            return
        self.seconds.append(time.perf_counter() - self._sent)
        # The status of HTTP and that of the protocol: anything but 200 and OK would not be an append.
        self.statuses.add(int(self._buffer[9:12]) * 256 + self._buffer[head + 5])
        self._buffer = b""
        if self._requests:
            self.go()
        elif not self._done.done():
            self._done.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail if it came too early."""
        if not self._done.done():
            self._done.set_exception(exc or ConnectionError("closed"))


def _itself(sender: Sender) -> Sender:
    return sender


async def send(host: str, port: int, stacks: list[list[bytes]]) -> dict[str, object]:
    """Send the stacks of requests, one client each, all at once; return the times."""
    loop = asyncio.get_running_loop()
    waits = [loop.create_future() for _ in stacks]
    senders = [Sender(stack, done) for stack, done in zip(stacks, waits, strict=True)]
    for sender in senders:
        await loop.create_connection(partial(_itself, sender), host, port)
    started = time.perf_counter()
    for sender in senders:
        sender.go()
    await asyncio.gather(*waits)
    elapsed = time.perf_counter() - started
    return {
        "elapsed": elapsed,
        "seconds": [second for sender in senders for second in sender.seconds],
        "statuses": sorted(set().union(*(sender.statuses for sender in senders))),
    }


def load_main(host: str, port: str, clients: str, path: str) -> None:
    """Be the sending process: read the requests, send them, print the times as JSON."""
    data = Path(path).read_bytes()
    size = len(http_request(bytes(FRAME_BYTES)))
    requests = [data[at : at + size] for at in range(0, len(data), size)]
    each = len(requests) // int(clients)
    stacks = [requests[at : at + each] for at in range(0, len(requests), each)]
    json.dump(asyncio.run(send(host, int(port), stacks)), sys.stdout)


def load(listen: str, clients: int, requests: list[bytes]) -> dict[str, Any]:
    """Send from another process; return what it measured."""
    host, port = listen.split(":")
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"".join(requests))
        file.flush()
        command = [sys.executable, "-m", "bench.relay_append", "load", host, port, str(clients), file.name]
        done = subprocess.run(command, check=True, capture_output=True, timeout=200)
    result: dict[str, Any] = json.loads(done.stdout)
    if result["statuses"] != [200 * 256]:
        raise RuntimeError(f"not every request was answered with OK: {result['statuses']}")
    return result


def peer_main() -> None:
    """Be the peer: a bare handler on a free port, printed as the first line."""

    async def serve() -> None:
        answer = b"\x01\x00".ljust(FRAME_BYTES, b"\0")

        async def handle(request: web.BaseRequest) -> web.Response:
            await request.read()
            return web.Response(body=answer)

        runner = web.ServerRunner(web.Server(handle, access_log=None))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        sys.stdout.write("{}:{}\n".format(*runner.addresses[0]))
        sys.stdout.flush()
        await asyncio.Event().wait()

    asyncio.run(serve())


@contextmanager
def peer() -> Iterator[str]:
    """Run the peer; give its address."""
    with subprocess.Popen(
        [sys.executable, "-m", "bench.relay_append", "peer"], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield cast("IO[str]", process.stdout).readline().strip()
        finally:
            process.kill()


def signed_appends(connection: Connection, code: bytes, *, clients: int, each: int) -> list[bytes]:
    """Create a segment per client; return all requests, those of a client beside each other."""
    requests = []
    for _ in range(clients):
        segment = Segment(connection.relay_pk)
        if connection.ask(segment.create(code), segment.id).status != "OK":
            raise RuntimeError("no segment for a client")
        entries = (secrets.token_bytes(ENTRY_BYTES) for _ in range(each))
        requests += [http_request(segment.append_entry(entry)[1]) for entry in entries]
    return requests


@benchmark("relay.append")
def run() -> Iterator[Line]:
    """Yield appends per second and the time of each, at 1, 16 and 64 clients."""
    with tempfile.TemporaryDirectory() as folder:
        relay = RelayProcess(Path(folder) / "relay", settings=SETTINGS)
        _, _, code = parse_enrolment(relay.enrolment(budget=100_000))
        with relay, Connection(relay.card) as connection, peer() as peer_address:
            load(relay.listen, 1, signed_appends(connection, code, clients=1, each=WARM))
            for clients, appends in CLIENTS.items():
                requests = signed_appends(connection, code, clients=clients, each=appends // clients)
                ours = load(relay.listen, clients, requests)
                bare = load(peer_address, clients, requests)
                rate = len(requests) / ours["elapsed"]
                yield Line(
                    params={
                        "clients": clients,
                        "storage": "sqlite",
                        "processes": 1,
                        "bytes": ENTRY_BYTES,
                        "against": PEER,
                    },
                    value=rate,
                    unit="1/s",
                    samples=Samples(tuple(ours["seconds"])),
                    ratio=rate / (len(requests) / bare["elapsed"]),
                )


if __name__ == "__main__":
    if sys.argv[1] == "load":
        load_main(*sys.argv[2:])
    else:
        peer_main()
