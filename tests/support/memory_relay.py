"""The relay's real rules in this process, and a transport that hands frames straight to it: no sockets, no threads.

::

    relay = MemoryRelay("one", clock=VirtualClock())
    async with relay:
        transport = MemoryTransport(relay)
        code = await relay.add_code()
        enrolment = relay.enrolment(code)
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol, Self

from tertulia.errors import UnreachableError
from tertulia.transport.interface import read_answer
from tertulia_protocol.relay_api.addresses import Enrolment, RelayAddr
from tertulia_protocol.relay_api.requests import Op, Request
from tertulia_protocol.relay_api.responses import Response
from tertulia_protocol.signing import SigningSeed
from tertulia_relay.delivery.relay import Relay
from tertulia_relay.delivery.settings import Settings
from tertulia_relay.storage.interface import Storage
from tertulia_relay.wakeup.in_process import InProcessWakeup
from tests.support.memory_storage import MemoryStorage
from tests.support.virtual_clock import SeededRng


class RelayClock(Protocol):
    """What a relay asks of a clock (``VirtualClock`` has it)."""

    def utc_day(self) -> int: ...
    def monotonic(self) -> float: ...
    async def sleep(self, seconds: float) -> None: ...


class MemoryRelay:
    """One relay; ``async with`` starts and closes it. It can be closed and started again with its data."""

    def __init__(
        self,
        name: str = "relay",
        *,
        clock: RelayClock,
        settings: Settings | None = None,
        storage: Storage | None = None,
    ) -> None:
        """:param storage: by default in memory, which repeats exactly; ``SqlStorage`` works too."""
        self.key = SigningSeed(hashlib.sha256(f"relay {name}".encode()).digest())
        self.address = RelayAddr(relay_pk=self.key.public_key, uri=f"https://{name}.example")
        self.storage = MemoryStorage() if storage is None else storage
        self.relay = Relay(
            key=self.key,
            settings=settings or Settings(),
            storage=self.storage,
            wakeup=InProcessWakeup(),
            clock=clock,
            rng=SeededRng(name),
        )

    async def __aenter__(self) -> Self:
        await self.relay.start()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.relay.close()

    async def add_code(self, *, budget: int = 100_000, days: int = 30) -> bytes:
        """Return a new enrolment code (16 bytes)."""
        return await self.relay.add_code(budget=budget, days=days)

    def enrolment(self, code: bytes) -> Enrolment:
        """Return what an operator hands out with a code."""
        return Enrolment(relay=self.address, code=code)

    async def answer(self, frame: bytes) -> bytes:
        """Answer one HTTP body."""
        return await self.relay.answer(frame)


@dataclass(frozen=True, slots=True)
class Sent:
    """One request that a client made."""

    relay_pk: bytes
    stream: str
    op: Op
    segment_id: bytes
    request: bytes
    """The whole frame."""


Hook = Callable[[RelayAddr, Request, str], Awaitable[None]]


class MemoryTransport:
    """A transport to relays in this process, as unreliable as a test wants.

    ``offline`` makes every request fail before it is sent; ``before`` and ``after`` are awaited around the relay's
    work with (address, request, stream) and may raise: an error in ``before`` is a lost request, in ``after`` a lost
    answer. ``sent`` lists what was sent, ``frames`` (if a list) every frame of both directions.
    """

    def __init__(self, *relays: MemoryRelay) -> None:
        self._relays = {relay.address.uri: relay for relay in relays}
        self.offline = False
        self.before: Hook | None = None
        self.after: Hook | None = None
        self.sent: list[Sent] = []
        self.frames: list[bytes] | None = None
        self.closed = False

    def add(self, relay: MemoryRelay) -> None:
        """Make one more relay reachable."""
        self._relays[relay.address.uri] = relay

    async def send(self, address: RelayAddr, request: Request, *, stream: str) -> Response:
        """Hand the frame of a request to its relay and read its answer, as every transport does."""
        if self.offline or address.uri not in self._relays:
            raise UnreachableError("offline")
        if self.before is not None:
            await self.before(address, request, stream)
        frame = request.to_frame()
        self.sent.append(Sent(address.relay_pk, stream, Op(request.op), request.segment_id, frame))
        answer = await self._relays[address.uri].answer(frame)
        if self.frames is not None:
            self.frames += [frame, answer]
        if self.after is not None:
            await self.after(address, request, stream)
        return read_answer(answer, request)

    async def close(self) -> None:
        """Note that it was closed."""
        self.closed = True


def lose(count: int, *ops: Op) -> Hook:
    """Return a hook that loses the first ``count`` requests (as ``before``) or answers (``after``) of these ops."""
    left = [count]

    async def hook(_address: RelayAddr, request: Request, _stream: str) -> None:
        if left[0] and (not ops or request.op in ops):
            left[0] -= 1
            raise UnreachableError("lost on the way")

    return hook
