"""Two clients on a virtual clock, and all that happens to them: one seed, one trace.

``python -m tests.support.traced_story SEED FOLDER`` plays the story in a new process and prints the trace as JSON
lines. The clients are whole ones of the public library; what is not real is given to them as arguments: the clock, the
random numbers, the way to the relay, the thread of the store. They follow their circle at the same time, requests and
answers get lost, and each waits as long as it wants to.

HPKE's own keys come from the operating system, so ciphertexts differ from one time to the next; the trace holds no
ciphertexts, but everything that anybody decides: every request with its stream and its length, every sleep, every
event with its data, and what both read in the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tertulia.client import Client
from tertulia.errors import UnreachableError
from tertulia.results import Event
from tertulia_protocol.circle import sas
from tertulia_protocol.relay_api.addresses import RelayAddr
from tertulia_protocol.relay_api.requests import Op, Request
from tests.support.memory_relay import MemoryRelay, MemoryTransport
from tests.support.stores import CHEAP, PASSPHRASE
from tests.support.virtual_clock import InlineExecutor, SeededRng, VirtualClock, run_virtual

LOSS = 0.1
"""The share of requests, and of answers, that get lost."""
POSTS = 12
LONGEST_PAUSE = 400
"""Seconds between two posts of one person, at most."""

Note = Callable[..., None]


class NotingClock(VirtualClock):
    """A clock that notes who sleeps how long."""

    def __init__(self, name: str, note: Note) -> None:
        self._name, self._note = name, note

    async def sleep(self, seconds: float) -> None:
        """Note it and sleep."""
        self._note(self._name, "sleep", seconds)
        await super().sleep(seconds)


@dataclass(slots=True)
class Person:
    """One client and what it has been through."""

    name: str
    client: Client
    transport: MemoryTransport


@dataclass(slots=True)
class Story:
    """The trace so far, and what makes it."""

    seed: str
    folder: Path
    trace: list[list[Any]] = field(default_factory=list)
    choice: random.Random = field(init=False)
    quiet: bool = True
    """While it is set, nothing gets lost."""

    def __post_init__(self) -> None:
        self.choice = random.Random(self.seed)  # noqa: S311 - repeats

    def note(self, *what: Any) -> None:
        """Add something to the trace, with the time."""
        self.trace.append([asyncio.get_running_loop().time(), *what])

    @asynccontextmanager
    async def person(self, name: str, relay: MemoryRelay) -> AsyncIterator[Person]:
        """Make a profile and open it."""
        rng, clock = SeededRng((self.seed, name)), NotingClock(name, self.note)
        executor = InlineExecutor()
        transport = MemoryTransport(relay)
        transport.before, transport.after = self.on_the_way(name, "request"), self.on_the_way(name, "answer")
        path = self.folder / name
        await Client.init(
            path, name=name, passphrase=PASSPHRASE, root=rng(32), clock=clock, rng=rng, executor=executor, cost=CHEAP
        )
        async with Client.open(
            path, passphrase=PASSPHRASE, transport=transport, clock=clock, rng=rng, executor=executor, floor=CHEAP
        ) as client:
            yield Person(name, client, transport)

    def on_the_way(self, name: str, what: str) -> Callable[[RelayAddr, Request, str], Any]:
        """Return a hook that notes requests or answers and loses some."""

        async def hook(_address: RelayAddr, request: Request, stream: str) -> None:
            lost = not self.quiet and self.choice.random() < LOSS
            self.note(name, what, Op(request.op).name, stream, len(request.to_frame()), lost)
            if lost:
                raise UnreachableError("lost on the way")

        return hook

    async def listen(self, person: Person) -> None:
        """Note every event of the client."""
        async for event in person.client.events(0):
            self.note(person.name, "event", *_event(event))

    async def write(self, person: Person, count: int) -> None:
        """Write now and then."""
        for number in range(count):
            await asyncio.sleep(self.choice.randrange(LONGEST_PAUSE))
            post = await person.client.post(None, board="General", title=f"{person.name} {number}", body="...")
            self.note(person.name, "wrote", post.id)

    async def play(self) -> None:
        """Found, join, write at once while the line is bad, remove one, read everything."""
        async with AsyncExitStack() as stack:
            relay = await stack.enter_async_context(MemoryRelay(clock=VirtualClock()))
            amina = await stack.enter_async_context(self.person("Amina", relay))
            bruno = await stack.enter_async_context(self.person("Bruno", relay))
            enrolment = relay.enrolment(await relay.add_code())
            await amina.client.circle_create("Weavers", enrolment=enrolment.to_string())
            await amina.client.board_create(None, "General")
            async with self.living(amina, bruno):
                await self.join(amina, bruno)
                self.quiet = False
                await asyncio.gather(self.write(amina, POSTS), self.write(bruno, POSTS))
                self.quiet = True
                await asyncio.sleep(3600)
                removed = await amina.client.remove(None, "Bruno")
                self.note("Amina", "removed", removed.id, removed.epoch)
                await self.write(amina, 1)
                await asyncio.sleep(3600)
            for person in (amina, bruno):
                posts = await person.client.read()
                self.note(person.name, "reads", [[post.id, post.title, post.state, post.author] for post in posts])
                shown = await person.client.circle_show()
                self.note(person.name, "circle", shown.state, shown.epoch, shown.segment, shown.members)

    async def join(self, amina: Person, bruno: Person) -> None:
        """Let Bruno in."""
        made = await amina.client.invite()
        asked = await bruno.client.join(made.link)
        await happened(amina, "request")
        await amina.client.approve(None, asked.id, words=asked.words, history="all")
        await happened(bruno, "joined")

    @asynccontextmanager
    async def living(self, *people: Person) -> AsyncIterator[None]:
        """Let everybody follow and listen meanwhile."""
        tasks = [asyncio.ensure_future(one.client.follow()) for one in people]
        tasks += [asyncio.ensure_future(self.listen(one)) for one in people]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            for task in tasks:
                with contextlib.suppress(asyncio.CancelledError):
                    await task


async def happened(person: Person, kind: str) -> None:
    """Return once the client told of an event of this kind."""
    async for event in person.client.events(0):
        if event.event == kind:
            return


def _event(event: Event) -> tuple[Any, ...]:
    return event.event, event.token, event.circle, event.at.isoformat(), dict(sorted(event.data.items()))


def main() -> None:
    """Play the story of the command line and print the trace."""
    seed, folder = sys.argv[1:]
    vars(sas).update(PASSES=1, MEMORY=8192)
    story = Story(seed, Path(folder))
    run_virtual(story.play())
    for line in story.trace:
        print(json.dumps(line))  # noqa: T201 - its output


if __name__ == "__main__":
    main()
