"""Time that passes only when nobody has anything to do, so that hours of waiting take no time and repeat exactly.

:class:`VirtualLoop` is an event loop that never waits for a timer: when nothing is ready it moves its own time on to
the next one. Whatever uses ``loop.time()`` follows (``asyncio.sleep``, ``asyncio.timeout``, ``call_later``). Nothing
in it is real: use in-memory transports and inline executors. With threads it works, but does not repeat exactly::

    @virtual
    async def test_something(tmp_path): ...

    run_virtual(story())            # the same from a synchronous test
"""

from __future__ import annotations

import asyncio
import functools
import random
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

START = 1_800_000_000
"""The first second, in seconds since 1970."""
DAY = 86_400
STUCK_SECONDS = 20.0
"""How long, in real time, a thread may work while nothing else is to come."""


class StuckError(AssertionError):
    """Everybody waits and nothing can ever happen."""


class _Selector(selectors.DefaultSelector):
    """Passes virtual time where another selector would wait."""

    def __init__(self) -> None:
        super().__init__()
        self.passed = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready now; with nothing, let the time to the next timer pass."""
        ready = super().select(0)
        if ready or timeout == 0:
            return list(ready)
        if timeout is None:
            ready = super().select(STUCK_SECONDS)
            if not ready:
                raise StuckError
            return list(ready)
        self.passed += max(timeout, 0.0)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time moves on by itself when nothing is ready."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        """Return virtual seconds."""
        return self._virtual.passed

    def pass_(self, seconds: float) -> None:
        """Let time pass at once (a device that was switched off)."""
        self._virtual.passed += seconds


class VirtualClock:
    """The clock of clients and of relays in a :class:`VirtualLoop`; ``now`` starts at :data:`START`."""

    def now(self) -> int:
        """Return whole seconds since 1970."""
        return START + int(self.monotonic())

    def utc_day(self) -> int:
        """Return whole days since 1970 (what a relay asks)."""
        return self.now() // DAY

    def monotonic(self) -> float:
        """Return virtual seconds."""
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        """Return after virtual ``seconds``."""
        await asyncio.sleep(max(0.0, seconds))

    def pass_(self, seconds: float) -> None:
        """Let time pass at once."""
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        loop.pass_(seconds)


class InlineExecutor:
    """Runs the work of a store in the event loop itself."""

    async def run(self, work: Callable[[], T]) -> T:
        """Return what ``work`` returns."""
        return work()

    async def close(self) -> None:
        """Nothing to close."""


class SeededRng:
    """Random bytes that repeat with the seed."""

    def __init__(self, seed: object) -> None:
        self._random = random.Random(repr(seed))  # noqa: S311 - tests repeat

    def __call__(self, length: int) -> bytes:
        return self._random.randbytes(length)


def run_virtual(story: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(story)


def virtual(test: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    """Make a test function that is a coroutine run in virtual time."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        return run_virtual(test(*args, **kwargs))

    return run
