"""A TCP proxy on loopback that keeps every byte of both directions: what somebody on the line sees.

::

    async with RecordingProxy() as proxy:
        ...                          # a relay that is told to be reached at proxy.uri
        proxy.target = relay.listen
        proxy.recorded()             # [("connection 0, client to relay", b"POST /x ..."), ...]
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import Self

CHUNK = 1 << 16


@dataclass(slots=True)
class Connection:
    """What went over one connection."""

    to_relay: bytearray = field(default_factory=bytearray)
    to_client: bytearray = field(default_factory=bytearray)


class RecordingProxy:
    """Passes everything on to ``target`` (``HOST:PORT``) and remembers it. ``async with`` opens and closes it."""

    def __init__(self) -> None:
        self.target = ""
        self.connections: list[Connection] = []
        self._server: asyncio.Server
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_exc: object) -> None:
        self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def uri(self) -> str:
        """Where clients reach the relay through this proxy."""
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"http://{host}:{port}"

    def recorded(self) -> list[tuple[str, bytes]]:
        """Return all that went over the line so far: one name and one piece for each direction of each connection."""
        return [
            (f"connection {number}, {direction}", bytes(data))
            for number, one in enumerate(self.connections)
            for direction, data in (("client to relay", one.to_relay), ("relay to client", one.to_client))
        ]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._pass_on(reader, writer)
        except asyncio.CancelledError:
            pass  # the proxy is being closed; a server's own callback would report it
        finally:
            writer.close()
            self._tasks.discard(task)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, port = self.target.rpartition(":")
        try:
            from_relay, to_relay = await asyncio.open_connection(host, int(port))
        except OSError:
            return
        seen = Connection()
        self.connections.append(seen)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(_copy(reader, to_relay, seen.to_relay))
                tasks.create_task(_copy(from_relay, writer, seen.to_client))
        finally:
            to_relay.close()


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter, seen: bytearray) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(CHUNK):
            seen += data
            target.write(data)
            await target.drain()
        if target.can_write_eof():
            target.write_eof()
