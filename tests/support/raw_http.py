"""The relay's HTTP server on loopback around any answer, and a client that speaks bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from tertulia_relay.config import HttpConfig
from tertulia_relay.http.server import Answer, RelayServer

HttpAnswer = tuple[int, dict[str, str], bytes]
"""Status, header with lower-case names, body."""

QUICK = HttpConfig(
    header_seconds=0.3, idle_seconds=0.6, body_seconds=0.4, write_seconds=0.4, min_bytes_per_second=1 << 20
)


class Running:
    """A server that listens."""

    def __init__(self, server: RelayServer, address: str) -> None:
        self.server = server
        host, _, port = address.rpartition(":")
        self.host, self.port = host, int(port)
        self.frames: list[bytes] = []
        self.streams: list[asyncio.StreamWriter] = []

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(self.host, self.port)
        self.streams.append(writer)
        return reader, writer

    async def send(self, data: bytes) -> bytes:
        """Send bytes on a new connection; return what comes back until the server closes."""
        reader, writer = await self.connect()
        writer.write(data)
        return await until_closed(reader)

    async def ask(self, data: bytes) -> HttpAnswer:
        """Send bytes on a new connection; return status, header and body of the one answer."""
        reader, writer = await self.connect()
        writer.write(data)
        return await read_answer(reader)


async def until_closed(reader: asyncio.StreamReader) -> bytes:
    try:
        async with asyncio.timeout(5):
            return await reader.read()
    except ConnectionError:
        return b""


async def until(condition: Callable[[], object], seconds: float = 5) -> None:
    """Return as soon as ``condition()`` holds; fail after ``seconds``."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - the server has no event for what its tests look at
            await asyncio.sleep(0.005)


async def read_answer(reader: asyncio.StreamReader) -> HttpAnswer:
    async with asyncio.timeout(5):
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        header = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:] if line)}
        body = await reader.readexactly(int(header["content-length"]))
    return int(lines[0].split()[1]), header, body


def request(
    body: bytes = b"frame",
    *,
    target: str = "/x",
    method: str = "POST",
    fields: Sequence[str] = (),
    content_type: str = "application/octet-stream",
) -> bytes:
    head = [f"{method} {target} HTTP/1.1", "Host: relay", f"Content-Type: {content_type}", *fields]
    if not any(field.lower().startswith(("content-length", "transfer-encoding")) for field in fields):
        head.append(f"Content-Length: {len(body)}")
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


@asynccontextmanager
async def running(answer: Answer | None = None, config: HttpConfig = QUICK) -> AsyncIterator[Running]:
    seen: list[bytes] = []

    async def echo(frame: bytes) -> bytes:
        seen.append(frame)
        return frame[::-1]

    server = RelayServer(answer or echo, config)
    run = Running(server, await server.listen("127.0.0.1", 0))
    run.frames = seen
    sweeping = asyncio.create_task(server.register.keep_sweeping())
    try:
        yield run
    finally:
        for writer in run.streams:
            writer.close()
        sweeping.cancel()
        await server.close(grace=0.2)
