"""Killing a device between any two steps: after every commit of its store, before and after every request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from tertulia.store.database import Store
from tertulia.store.tx import Tx
from tertulia_protocol.relay_api.addresses import RelayAddr
from tertulia_protocol.relay_api.requests import Op, Request
from tests.support.devices import Device

T = TypeVar("T")


class Killed(BaseException):
    """The process ends here. Not an Exception: nothing may catch it."""


@dataclass(slots=True)
class CrashPlan:
    """Kills at step ``at`` (0: the first); None only counts. ``trace`` names the steps."""

    at: int | None = None
    steps: int = 0
    trace: list[str] | None = None

    def step(self, name: str) -> None:
        """Pass one point at which a process can end. :raises Killed: it ends here."""
        if self.trace is not None:
            self.trace.append(name)
        number, self.steps = self.steps, self.steps + 1
        if number == self.at:
            raise Killed(name)


class MortalStore:
    """A store whose process may end after each commit."""

    def __init__(self, store: Store, plan: CrashPlan) -> None:
        self._store = store
        self._plan = plan

    async def run(self, work: Callable[[Tx], T]) -> T:
        name = getattr(work, "__qualname__", None) or getattr(getattr(work, "func", None), "__qualname__", "?")
        # Before it nothing has changed since the step before.
        result = await self._store.run(work)
        self._plan.step(f"after {name}")
        return result

    async def read(self, work: Callable[[Tx], T]) -> T:
        return await self._store.read(work)

    async def close(self) -> None:
        await self._store.close()


def make_mortal(device: Device, plan: CrashPlan) -> None:
    """Let a device end where ``plan`` says, until it is opened again."""

    async def before(_address: RelayAddr, request: Request, _stream: str) -> None:
        plan.step(f"before {Op(request.op).name}")

    async def after(_address: RelayAddr, request: Request, _stream: str) -> None:
        plan.step(f"after {Op(request.op).name}")

    device.transport.before, device.transport.after = before, after
    device.runtime = replace(device.runtime, store=MortalStore(device.runtime.store, plan))  # type: ignore[arg-type] # the three methods that procedures use
