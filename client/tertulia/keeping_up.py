"""Keeping up, as a person asks for it: once, until something is done, or until told to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from tertulia import joining, results, sync, views
from tertulia.alarms import check_no_alarm
from tertulia.errors import NotInTimeError
from tertulia.lookup import find_circle, find_written
from tertulia.runtime import Runtime
from tertulia.states import State
from tertulia.store import circles, joins
from tertulia.store.tx import Tx
from tertulia.sync import SyncResult
from tertulia_protocol.errors import TertuliaError, TransportError

T = TypeVar("T")

PAUSE = 0.25
"""Seconds between two looks for something that somebody else has to do, at first."""
LONGEST_PAUSE = 5.0
JOIN_PAUSE = 15.0
"""Seconds between two looks for new circles and answers while following."""


async def sync_once(runtime: Runtime, circle: str | None, *, seconds: float) -> results.SyncReport:
    """Do one round for a circle, or for all and for open requests to join, for at most so many seconds."""
    if circle is None:
        done = await sync.sync_all(runtime, timeout=seconds)
    else:
        row = await runtime.store.read(lambda tx: find_circle(tx, circle))
        done = (await _sync_one(runtime, row.id, seconds),)
    asked = await joining.list_joins(runtime)
    return await runtime.store.read(lambda tx: views.sync_report(tx, done, asked))


async def _sync_one(runtime: Runtime, circle_id: bytes, seconds: float) -> SyncResult:
    try:
        async with asyncio.timeout(seconds):
            return await sync.sync_circle(runtime, circle_id)
    except TimeoutError:
        return await runtime.store.read(lambda tx: _unfinished(tx, circle_id))


def _unfinished(tx: Tx, circle_id: bytes) -> SyncResult:
    return SyncResult(
        circle_id=circle_id,
        state=State(views.circle_row(tx, circle_id).state),
        at_head=False,
        received=0,
        waiting=views.waiting(tx, circle_id),
        error=NotInTimeError(),
    )


# --- Waiting --------------------------------------------------------------------------------------------------------


async def wait_sent(runtime: Runtime, circle_id: bytes, identifier: str, *, seconds: float) -> str:
    """Sync until a board or post of ours was read back; return its state.

    :raises NotInTimeError: not in so many seconds. :raises TrustError, NotAllowedError: it cannot go on.
    """

    def look(tx: Tx) -> str | None:
        if find_written(tx, circle_id, identifier) is None:
            return "sent"
        check_no_alarm(State(views.circle_row(tx, circle_id).state))
        return None

    async def one_round() -> TertuliaError | None:
        return (await sync.sync_circle(runtime, circle_id)).error

    return await _until(runtime, look, one_round, seconds=seconds)


async def wait_joined(runtime: Runtime, circle: str, *, seconds: float) -> results.NewCircle:
    """Sync until a circle that this profile asked to join is here. :raises NotInTimeError: not in time."""

    async def one_round() -> TertuliaError | None:
        try:
            for joined in await joining.work_on_joins(runtime):
                await sync.sync_circle(runtime, joined)
        except TransportError as error:
            return error
        return None

    return await _until(runtime, lambda tx: views.circle_if_joined(tx, circle), one_round, seconds=seconds)


async def _until(
    runtime: Runtime,
    look: Callable[[Tx], T | None],
    work: Callable[[], Awaitable[TertuliaError | None]],
    *,
    seconds: float,
) -> T:
    """Work until ``look`` finds what was waited for. :raises NotInTimeError: from the last error, if there was one."""
    deadline, pause, error = runtime.clock.monotonic() + seconds, PAUSE, None
    while (found := await runtime.store.read(look)) is None:
        left = deadline - runtime.clock.monotonic()
        if left <= 0:
            raise NotInTimeError from error
        try:
            async with asyncio.timeout(left):
                error = await work()
        except TimeoutError as late:
            raise NotInTimeError from late
        if (found := await runtime.store.read(look)) is not None:
            return found
        await runtime.clock.sleep(max(0.0, min(pause, deadline - runtime.clock.monotonic())))
        pause = min(pause * 1.5, LONGEST_PAUSE)
    return found


# --- Following ------------------------------------------------------------------------------------------------------


async def follow_all(runtime: Runtime) -> None:
    """Follow every circle, those that appear meanwhile too, until cancelled."""
    followed: set[bytes] = set()
    async with asyncio.TaskGroup() as tasks:
        while True:
            await _work_on_joins(runtime)
            for row in await runtime.store.read(circles.list_all):
                if row.id not in followed:
                    followed.add(row.id)
                    tasks.create_task(sync.follow(runtime, row.id))
            await runtime.clock.sleep(JOIN_PAUSE)


async def _work_on_joins(runtime: Runtime) -> None:
    if await runtime.store.read(joins.list_all):
        try:
            await joining.work_on_joins(runtime)
        except TransportError:
            return  # the next look goes on
