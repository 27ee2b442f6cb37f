"""Keeping up with the relay: reading, sending, finishing what was begun.

One round for a circle, in this order: what founding left undone; read to the head; send files, then what waits in the
outbox; read back; commits that an interruption left behind; invitations, requests and answers.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import partial

from tertulia import attachments, invitations, joining, outgoing
from tertulia.catchup import read_to_head
from tertulia.circle import Circle
from tertulia.commits import resume_commits
from tertulia.errors import RelayQuotaError
from tertulia.founding import resume_founding
from tertulia.refresh import refresh_leaf
from tertulia.rollover import roll_over
from tertulia.runtime import Runtime
from tertulia.sending import flush_outbox
from tertulia.states import READING, SENDING, State
from tertulia.store import circles, events
from tertulia.store.tx import Tx
from tertulia_protocol.circle import rules
from tertulia_protocol.errors import InvalidMessageError, TertuliaError, TransportError, TrustError, UsageError
from tertulia_protocol.relay_api.limits import WAIT_MAX_SECONDS

__all__ = ["SyncResult", "flush_outbox", "follow", "read_to_head", "sync_all", "sync_circle", "wait_sent"]

DARK_SECONDS = 48 * 3600
"""After how long without a relay a circle is only read (3.16)."""
RETRY_SECONDS = 5.0
PAUSE_SECONDS = 0.5
MAX_RETRY_SECONDS = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncResult:
    """How a sync of one circle ended. ``error``: why it could not be finished, None if it was."""

    circle_id: bytes
    state: State
    at_head: bool
    received: int
    waiting: int
    """Items of the outbox that were not read back yet."""
    error: TertuliaError | None = field(default=None)


@dataclass(slots=True)
class _Round:
    """How far a round has come, for a result whatever stops it."""

    received: int = 0
    at_head: bool = False


async def sync_circle(runtime: Runtime, circle_id: bytes) -> SyncResult:
    """Do one whole round for a circle. What the relay or the circle's state forbids ends it and is in the result.

    Give a deadline with ``asyncio.timeout``: whatever is interrupted goes on in the next round.

    :raises StorageError: this device cannot keep what it reads; that concerns all circles.
    """
    done = _Round()
    error: TertuliaError | None = None
    try:
        await _round(runtime, circle_id, done)
    except TransportError as caught:
        error = caught
        await runtime.store.run(partial(_note_dark, circle_id=circle_id, now=runtime.clock.now()))
    except (UsageError, InvalidMessageError, TrustError) as caught:
        error = caught
    return await _result(runtime, circle_id, done, error)


async def _round(runtime: Runtime, circle_id: bytes, done: _Round) -> None:
    await resume_founding(runtime, circle_id)
    await runtime.store.run(partial(_note_update, circle_id=circle_id))
    done.received += await read_to_head(runtime, circle_id)
    done.at_head = await _is_reading(runtime, circle_id)
    if not await _is_sending(runtime, circle_id):
        return
    no_room = await _send_files(runtime, circle_id)
    if await flush_outbox(runtime, circle_id):
        done.received += await read_to_head(runtime, circle_id)
    await resume_commits(runtime, circle_id)
    await invitations.work_on_invitations(runtime, circle_id)
    await refresh_leaf(runtime, circle_id)
    await roll_over(runtime, circle_id)
    if no_room is not None:
        raise no_room


async def _send_files(runtime: Runtime, circle_id: bytes) -> RelayQuotaError | None:
    """Send files. That there is no room for them is told at the end: a removal must not wait for a picture."""
    try:
        await attachments.send_files(runtime, circle_id)
    except RelayQuotaError as error:
        return error
    return None


async def _is_reading(runtime: Runtime, circle_id: bytes) -> bool:
    return (await _state(runtime, circle_id)) in READING


async def _is_sending(runtime: Runtime, circle_id: bytes) -> bool:
    return (await _state(runtime, circle_id)) in SENDING


async def _state(runtime: Runtime, circle_id: bytes) -> State:
    return await runtime.store.read(lambda tx: Circle.load(tx, circle_id).state)


def _note_update(tx: Tx, *, circle_id: bytes) -> None:
    """Go on where a version before this one had to stop (E38)."""
    circle = Circle.load(tx, circle_id)
    if circle.state is State.OUTDATED and is_updated(circle):
        circle.move_to(State.SYNCING)
        circle.save()


def is_updated(circle: Circle) -> bool:
    """Answer whether this program knows more than the one that had to stop."""
    return int.from_bytes(circle.detail, "big") < rules.BEHAVIOUR_VERSION


def _note_dark(tx: Tx, *, circle_id: bytes, now: int) -> None:
    """Note that the relay could not be reached for too long: then nothing is sent before it was read again."""
    circle = Circle.load(tx, circle_id)
    if circle.state is State.ACTIVE and is_dark(circle, now=now):
        circle.move_to(State.DARK)
        circle.save()
        events.add(tx, "dark", circle=circle_id, at=now)


def is_dark(circle: Circle, *, now: int) -> bool:
    """Answer whether a circle has not been read for more than ``DARK_SECONDS``."""
    return now - max(circle.row.synced_at, circle.row.joined_at) > DARK_SECONDS


async def _result(runtime: Runtime, circle_id: bytes, done: _Round, error: TertuliaError | None) -> SyncResult:
    def load(tx: Tx) -> SyncResult:
        return SyncResult(
            circle_id=circle_id,
            state=Circle.load(tx, circle_id).state,
            at_head=done.at_head,
            received=done.received,
            waiting=outgoing.count_waiting(tx, circle_id),
            error=error,
        )

    return await runtime.store.read(load)


async def sync_all(runtime: Runtime, *, timeout: float) -> tuple[SyncResult, ...]:  # noqa: ASYNC109 - of the command
    """Do one round for every circle and every open request to join, within ``timeout`` seconds.

    Circles come at the same time; a slow relay of one does not hold up the others.

    :raises StorageError: see :func:`sync_circle`; nothing is left running.
    """
    results: dict[bytes, SyncResult] = {}

    async def one(circle_id: bytes) -> None:
        results[circle_id] = await sync_circle(runtime, circle_id)

    before = await _circle_ids(runtime)
    try:
        async with asyncio.timeout(timeout):
            joined = await _work_on_joins(runtime)
            async with asyncio.TaskGroup() as tasks:
                for circle_id in dict.fromkeys((*before, *joined)):
                    tasks.create_task(one(circle_id))
    except TimeoutError:
        pass
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from group
    for circle_id in await _circle_ids(runtime):
        if circle_id not in results:
            results[circle_id] = await _result(runtime, circle_id, _Round(), TransportError("no time was left"))
    return tuple(results.values())


async def _work_on_joins(runtime: Runtime) -> tuple[bytes, ...]:
    """Go on with requests to join; a relay that cannot be reached does not hold up the circles on others."""
    try:
        return await joining.work_on_joins(runtime)
    except TransportError:
        return ()


async def _circle_ids(runtime: Runtime) -> tuple[bytes, ...]:
    return await runtime.store.read(lambda tx: tuple(row.id for row in circles.list_all(tx)))


async def follow(runtime: Runtime, circle_id: bytes) -> None:
    """Keep one circle up to date by long polls until cancelled, or until nothing more is to be read in its state."""
    pause = RETRY_SECONDS
    while True:
        result = await sync_circle(runtime, circle_id)
        # Keys that were used up must not stay in the database's log for as long as somebody follows.
        await runtime.store.checkpoint()
        if result.error is None and result.state in READING:
            try:
                await read_to_head(runtime, circle_id, wait_s=WAIT_MAX_SECONDS)
            except TransportError:
                await runtime.clock.sleep(pause)
                pause = min(pause * 2, MAX_RETRY_SECONDS)
            else:
                pause = RETRY_SECONDS
        elif result.error is not None and result.state is not State.GONE:
            await runtime.clock.sleep(pause)
            pause = min(pause * 2, MAX_RETRY_SECONDS)
        else:
            return


async def wait_sent(runtime: Runtime, circle_id: bytes, post_id: bytes) -> None:
    """Sync until a post (16 bytes, of the outbox) was read back.

    :raises TransportError: the relay cannot be reached. :raises NotAllowedError: nothing can be sent in this state.
    """
    while await runtime.store.read(lambda tx: outgoing.is_waiting(tx, circle_id, post_id)):
        result = await sync_circle(runtime, circle_id)
        if result.error is not None:
            raise result.error
        await runtime.store.read(lambda tx: Circle.load(tx, circle_id).check_sending())
        if result.waiting:
            await runtime.clock.sleep(PAUSE_SECONDS)
