"""What the benchmarks of the client start from: a relay in a process of its own, and profiles that share a circle.

Profiles are made and opened with the least that Argon2id can cost, which is no part of what is measured here (but of
``cli.start``). Everything else is as a member has it: the encrypted store on disk, HTTP over loopback.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Self

from tertulia import boards, creating
from tertulia.circle import Circle
from tertulia.client import Client
from tertulia.events import EventBus
from tertulia.results import NewCircle
from tertulia.runtime import Runtime
from tertulia.store import circles
from tertulia.store.database import Store
from tertulia.store.keyfile import Argon2Cost
from tertulia.store.tx import Tx
from tertulia.system import SystemClock, ThreadExecutor, system_rng
from tertulia.transport.http import HttpTransport
from tests.support.relay_process import RelayProcess

PASSPHRASE = "correct horse battery staple"  # noqa: S105 - protects nothing
CHEAP = Argon2Cost(memory_kib=8, passes=1)
CHARACTERS = 200
TEXT = ("The meeting is moved to Thursday at six, at the usual place; bring the list. " * 3)[:CHARACTERS]
"""200 characters of English, as UTF-8 200 bytes: the post that all of these benchmarks send."""

SETTINGS = """
[quota]
log_mib = 4096
append_burst_units = 1048576
append_units_per_second = 1048576
"""
"""Quotas out of the way: they are there to slow down whoever appends this fast."""


@contextmanager
def running_relay(folder: Path, *, uri: str = "") -> Iterator[RelayProcess]:
    """Run a relay. :param uri: where people reach it, if not where it listens."""
    relay = RelayProcess(folder / "relay", settings=SETTINGS)
    if uri:
        file = relay.directory / "relay.toml"
        file.write_text(file.read_text().replace('uri = ""', f'uri = "{uri}"', 1))
    with relay:
        yield relay


async def make(profile: Path, name: str) -> None:
    """Make a profile."""
    await Client.init(profile, name=name, passphrase=PASSPHRASE, root=os.urandom(32), cost=CHEAP)


@asynccontextmanager
async def opened(profile: Path) -> AsyncIterator[Client]:
    """Open a profile as the command line does."""
    async with Client.open(profile, passphrase=PASSPHRASE, floor=CHEAP) as client:
        yield client


async def found(profile: Path, relay: RelayProcess) -> NewCircle:
    """Make a profile, and in it a circle with one board, "General"."""
    await make(profile, "Amina")
    async with opened(profile) as amina:
        circle = await amina.circle_create("Weavers", enrolment=relay.enrolment(budget=100_000))
        await amina.board_create(None, "General")
        await amina.sync()
    return circle


async def admit(coordinator: Path, profile: Path) -> None:
    """Make another profile and let it join the circle, as two people do it."""
    await make(profile, "Karim")
    async with opened(coordinator) as amina, opened(profile) as karim:
        asked = await karim.join((await amina.invite()).link)
        await amina.sync()
        (request,) = await amina.request_list()
        await amina.approve(None, request.id, words=asked.words)
        await amina.sync()
        await karim.wait_joined(asked.circle, timeout=30)
        await amina.sync()
        await karim.sync()


@asynccontextmanager
async def runtime_of(profile: Path) -> AsyncIterator[tuple[Runtime, bytes]]:
    """Open a profile below the commands: what it runs in, and the id of its circle."""
    async with AsyncExitStack() as stack:
        store = await Store.open(
            profile, passphrase=PASSPHRASE, executor=ThreadExecutor(), clock=SystemClock(), floor=CHEAP, lock_wait=0.0
        )
        await stack.enter_async_context(store)
        network = HttpTransport()
        stack.push_async_callback(network.close)
        runtime = Runtime(store=store, transport=network, clock=SystemClock(), rng=system_rng, events=EventBus(store))
        yield runtime, await store.read(lambda tx: circles.list_all(tx)[0].id)


async def write_many(runtime: Runtime, circle_id: bytes, count: int) -> None:
    """Put topics and replies, one topic in ten, into the outbox in one transaction: not what is measured."""

    def write(tx: Tx) -> None:
        circle, board_id, topic = Circle.load(tx, circle_id), boards.boards(tx, circle_id)[0].board_id, b""
        now, rng = runtime.clock.now(), runtime.rng
        for number in range(count):
            if number % 10:
                creating.create_reply(tx, circle, to=topic, body=TEXT, now=now, rng=rng)
            else:
                topic = creating.create_topic(
                    tx, circle, board_id=board_id, title=f"Topic {number}", body=TEXT, now=now, rng=rng
                )

    await runtime.store.run(write)


class CountingProxy:
    """A TCP proxy on loopback that counts what passes, HTTP and all. ``async with`` runs it."""

    def __init__(self) -> None:
        self.target: tuple[str, int] = ("", 0)
        """Where it leads to: set before the first connection."""
        self.up = self.down = 0
        """Bytes to the relay, and from it."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_exc: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def uri(self) -> str:
        """``http://HOST:PORT``."""
        host, port = self._server.sockets[0].getsockname()
        return f"http://{host}:{port}"

    def lead_to(self, listen: str) -> None:
        """Lead to ``HOST:PORT``."""
        host, port = listen.split(":")
        self.target = host, int(port)

    def reset(self) -> None:
        """Count from nothing again."""
        self.up = self.down = 0

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(*self.target)
        for source, sink, up in ((reader, back, True), (there, writer, False)):
            task = asyncio.create_task(self._pump(source, sink, up=up))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, up: bool) -> None:
        try:
            while data := await source.read(1 << 16):
                if up:
                    self.up += len(data)
                else:
                    self.down += len(data)
                sink.write(data)
                await sink.drain()
        except ConnectionError:
            pass
        finally:
            sink.close()
