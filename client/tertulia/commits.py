"""Changing the group: the procedure of a coordinator (docs/protocol, "Commits").

A commit is built, stored, sent, and takes effect only when it is read back from the log as the first that is valid.
``commit`` may be interrupted anywhere: what was stored is sent again by the next sync, with the same bytes.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from functools import partial

from tertulia.catchup import read_to_head
from tertulia.circle import Circle
from tertulia.errors import (
    BadAnswerError,
    PaymentError,
    RelayBusyError,
    RelayQuotaError,
    SegmentSealedError,
    UnreachableError,
)
from tertulia.planning import CommitPlan, Plan, build_pending, check_coordinator
from tertulia.relays import AppendResult, SegmentAddr
from tertulia.runtime import Runtime
from tertulia.states import SENDING
from tertulia.store import outbox
from tertulia.store.outbox import DONE, PENDING, PendingCommitRow
from tertulia.store.tx import Tx
from tertulia_protocol.circle.charter import Transport
from tertulia_protocol.circle.entries import parse_inner, wrap
from tertulia_protocol.circle.segments import SegAccess, lobby_config, log_config
from tertulia_protocol.codec import parse
from tertulia_protocol.errors import InternalError
from tertulia_protocol.mls.welcome import Welcome
from tertulia_protocol.relay_api.addresses import Enrolment, RelayAddr
from tertulia_protocol.relay_api.limits import SEAL_DEFAULT_DAYS
from tertulia_protocol.relay_api.records import Position
from tertulia_protocol.relay_api.requests import Payment, PaymentType
from tertulia_protocol.relay_api.responses import Status
from tertulia_protocol.signing import SigningSeed

__all__ = [
    "CommitOutcome",
    "CommitPlan",
    "EffectiveCommit",
    "Plan",
    "commit",
    "create_segments",
    "effective_commits",
    "forget_effective",
    "resume_commits",
]

CONFLICTS_BEFORE_FREEZE = 3
FREEZE_SECONDS = 1.0
"""How long to wait after BUSY without a number, or before a try after FREEZE, in seconds."""
MAX_TRIES = 20
"""How often one commit is sent before its sender gives up for now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitOutcome:
    """How ``commit`` ended: ``done`` is False where the plan function found nothing left to do."""

    done: bool
    epoch: int
    segment_no: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectiveCommit:
    """A commit of this device that was read back as effective, with what belongs to it (``after`` was not empty)."""

    number: int
    """Its key, for :func:`forget_effective`."""
    epoch: int
    """The epoch it led to."""
    segment_no: int
    seq: int
    """Position for joiners (E13): of the commit, or (0, chain_0) of the new segment if it hopped."""
    chain: bytes
    access: bytes = field(repr=False)
    """The serialised SegAccess of that segment."""
    welcome: Welcome | None = field(repr=False)
    tree: bytes = field(repr=False)
    """The serialised RatchetTree of the new epoch."""
    after: bytes = field(repr=False)


async def commit(runtime: Runtime, circle_id: bytes, plan: Plan) -> CommitOutcome:
    """Carry out a plan and return once it was read back.

    :raises NotAllowedError: this person is no coordinator, or the circle's state allows no sending.
    :raises RuleError: nobody would accept what was planned. :raises CircleFullError: it does not fit (E25).
    :raises TransportError: the relay cannot be reached; a commit that was stored is sent by the next sync.
    :raises PaymentError: a hop needs an enrolment code, and this device has none.
    """
    async with runtime.committing(circle_id):
        return await _commit(runtime, circle_id, plan)


async def _commit(runtime: Runtime, circle_id: bytes, plan: Plan) -> CommitOutcome:
    await _resume(runtime, circle_id)
    while True:
        await read_to_head(runtime, circle_id)
        inner_hash = await runtime.store.run(lambda tx: _plan(tx, circle_id, plan, runtime))
        if inner_hash is None:
            return await runtime.store.read(lambda tx: _outcome(tx, circle_id, done=False))
        if await _drive(runtime, circle_id, inner_hash):
            return await runtime.store.read(lambda tx: _outcome(tx, circle_id, done=True))


def _plan(tx: Tx, circle_id: bytes, plan: Plan, runtime: Runtime) -> bytes | None:
    circle = Circle.load(tx, circle_id)
    circle.check_sending()
    check_coordinator(circle)
    planned = plan(tx, circle)
    if planned is None:
        return None
    return build_pending(tx, circle, planned, now=runtime.clock.now(), rng=runtime.rng).inner_hash


def _outcome(tx: Tx, circle_id: bytes, *, done: bool) -> CommitOutcome:
    circle = Circle.load(tx, circle_id)
    return CommitOutcome(done=done, epoch=circle.group.epoch, segment_no=circle.segment_no)


async def resume_commits(runtime: Runtime, circle_id: bytes) -> None:
    """Bring commits that an interruption left behind to an end. Part of every sync."""
    async with runtime.committing(circle_id):
        await _resume(runtime, circle_id)


async def _resume(runtime: Runtime, circle_id: bytes) -> None:
    for inner_hash in await runtime.store.run(lambda tx: _left_behind(tx, circle_id)):
        await _drive(runtime, circle_id, inner_hash)


def _left_behind(tx: Tx, circle_id: bytes) -> tuple[bytes, ...]:
    """Return the commits that may still win, where anything may be sent; forget those that nobody needs any more."""
    for row in outbox.list_pending(tx, circle_id, DONE):
        if not row.after:
            outbox.remove_pending(tx, circle_id, row.inner_hash)
    if Circle.load(tx, circle_id).state not in SENDING:
        return ()
    return tuple(row.inner_hash for row in outbox.list_pending(tx, circle_id))


# --- Sending one commit ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """One commit as it stands now, with all that sending it takes."""

    row: PendingCommitRow
    segment: SegmentAddr
    entry: bytes = field(repr=False)
    append_key: SigningSeed
    admin_key: SigningSeed | None
    position: Position
    enrolment: Enrolment | None = field(repr=False)


def _load_job(tx: Tx, circle_id: bytes, inner_hash: bytes) -> _Job | None:
    """Return what to send; None where the commit is no longer pending."""
    row = outbox.find_pending(tx, circle_id, inner_hash)
    if row is None or row.state != PENDING:
        return None
    circle = Circle.load(tx, circle_id)
    circle.check_sending()
    keys = circle.admin_keys()
    return _Job(
        row=row,
        segment=circle.segment(),
        entry=wrap(parse_inner(row.inner), keys=circle.access.relays[0], segment_id=circle.segment_id()),
        append_key=circle.access.relays[0].append_key,
        admin_key=None if keys is None else keys.admin,
        position=circle.position,
        enrolment=None if circle.row.enrolment is None else parse(Enrolment, circle.row.enrolment),
    )


async def _drive(runtime: Runtime, circle_id: bytes, inner_hash: bytes) -> bool:
    """Send a commit until it is read back as effective (True) or the epoch has moved on without it (False)."""
    conflicts, admin = 0, False
    for _ in range(MAX_TRIES):
        job = await runtime.store.read(lambda tx: _load_job(tx, circle_id, inner_hash))
        if job is None:
            return await runtime.store.run(lambda tx: _settle(tx, circle_id, inner_hash))
        result = await _send(runtime, job, admin=admin)
        await read_to_head(runtime, circle_id)
        await runtime.store.read(partial(check_progress, circle_id=circle_id, inner_hash=inner_hash, result=result))
        status = None if result is None else result.status
        conflicts = conflicts + 1 if status is Status.CONFLICT else 0
        if conflicts >= CONFLICTS_BEFORE_FREEZE:
            await _freeze(runtime, job)
        admin = job.admin_key is not None and is_admin_needed(status)
    raise RelayBusyError("others were always faster", retry_after=60)


def is_admin_needed(status: Status | None) -> bool:
    """Answer whether the next try is signed with the admin key: only where it must, for it shows who we are (E11)."""
    return status in (Status.BUSY, Status.QUOTA, Status.FROZEN)


def check_progress(tx: Tx, *, circle_id: bytes, inner_hash: bytes, result: AppendResult | None) -> None:
    """Check, once the log was read, that sending the same commit again makes sense.

    :raises SegmentSealedError: the segment was closed without a hop that counts: another coordinator must open it.
    :raises BadAnswerError: the relay said that it has the commit, and its log does not.
    """
    row = outbox.find_pending(tx, circle_id, inner_hash)
    if row is None or row.state != PENDING or result is None:
        return
    if result.status is Status.SEALED:
        raise SegmentSealedError
    if result.seq is not None and result.seq <= Circle.load(tx, circle_id).position.seq:
        raise BadAnswerError("the relay took a commit and its log does not have it")


def _settle(tx: Tx, circle_id: bytes, inner_hash: bytes) -> bool:
    """Return whether a commit that is no longer pending took effect, and forget it where nobody needs it."""
    row = outbox.find_pending(tx, circle_id, inner_hash)
    if row is not None and not row.after:
        outbox.remove_pending(tx, circle_id, inner_hash)
    return row is not None


async def _send(runtime: Runtime, job: _Job, *, admin: bool) -> AppendResult | None:
    """Send a commit once. None: no answer; whether it arrived shows when the log is read (step 5)."""
    if job.row.hop:
        await _create_next(runtime, job)
    try:
        result = await (_send_hop(runtime, job) if job.row.hop else _append(runtime, job, admin=admin))
    except UnreachableError:
        return None
    if result.status is Status.QUOTA and (admin or job.admin_key is None):
        raise RelayQuotaError
    if result.status is Status.BUSY and (admin or job.admin_key is None):
        await runtime.clock.sleep(result.retry_after or FREEZE_SECONDS)
    elif result.status is Status.FROZEN and job.admin_key is None:
        await runtime.clock.sleep(FREEZE_SECONDS)
    return result


async def _append(runtime: Runtime, job: _Job, *, admin: bool) -> AppendResult:
    key = job.admin_key if admin and job.admin_key is not None else job.append_key
    return await runtime.relays.append(job.segment, job.entry, key=key, admin=admin)


async def _send_hop(runtime: Runtime, job: _Job) -> AppendResult:
    """Seal the segment with the hop. Who has no admin key hops by appending: the commit counts, not the seal (E32)."""
    if job.admin_key is None or job.row.heir_vk is None:
        return await runtime.relays.append(job.segment, job.entry, key=job.append_key, if_head=job.position)
    return await runtime.relays.seal(
        job.segment,
        job.entry,
        key=job.admin_key,
        if_head=job.position,
        heir_vk=job.row.heir_vk,
        retire_days=SEAL_DEFAULT_DAYS,
    )


async def _freeze(runtime: Runtime, job: _Job) -> None:
    """Keep members from appending for a moment; where that fails we just try again."""
    if job.admin_key is None:
        return
    with contextlib.suppress(UnreachableError):
        await runtime.relays.freeze(job.segment, key=job.admin_key)


async def _create_next(runtime: Runtime, job: _Job) -> None:
    """Put the next segment onto the relay before anybody is told of it; an orphan does no harm."""
    if job.row.transport is None or job.row.access is None:
        raise InternalError("a hop without its segment")
    transport, access = parse(Transport, job.row.transport), parse(SegAccess, job.row.access)
    await create_segments(runtime, transport, access, job.enrolment)


async def create_segments(
    runtime: Runtime, transport: Transport, access: SegAccess, enrolment: Enrolment | None
) -> None:
    """Create the log and the lobby of a segment on every relay for which there is a code; the first must be one.

    Doing it again is free: a segment's id is the hash of its keys.

    :raises PaymentError: there is no code for the first relay, or it does not pay.
    """
    check_enrolment(transport, enrolment)
    for j, relay in enumerate(transport.relays):
        if enrolment is None or enrolment.relay.relay_pk != relay.relay_pk:
            continue
        address = RelayAddr(relay_pk=relay.relay_pk, uri=relay.uri)
        payment = Payment(PaymentType.ENROLMENT_CODE, enrolment.code)
        for config in (log_config(access.relays[j], relay), lobby_config(access.relays[j], relay)):
            await runtime.relays.create(address, config, payment)


def check_enrolment(transport: Transport, enrolment: Enrolment | None) -> None:
    """Check that this device can pay for a segment on the first relay. :raises PaymentError: it has no code for it."""
    if enrolment is None or enrolment.relay.relay_pk != transport.relays[0].relay_pk:
        raise PaymentError("this device has no enrolment code for the circle's relay")


# --- Afterwards ------------------------------------------------------------------------------------------------------


def effective_commits(tx: Tx, circle_id: bytes) -> tuple[EffectiveCommit, ...]:
    """Return the effective commits whose ``after`` nobody has taken care of yet, oldest first."""
    return tuple(_effective(row) for row in outbox.list_pending(tx, circle_id, DONE) if row.after)


def _effective(row: PendingCommitRow) -> EffectiveCommit:
    if row.done_epoch is None or row.done_segment is None or row.done_seq is None or row.done_chain is None:
        raise InternalError("an effective commit without its place")
    return EffectiveCommit(
        number=row.number,
        epoch=row.done_epoch,
        segment_no=row.done_segment,
        seq=row.done_seq,
        chain=row.done_chain,
        access=row.access or b"",
        welcome=None if row.welcome is None else parse(Welcome, row.welcome),
        tree=row.tree or b"",
        after=row.after,
    )


def forget_effective(tx: Tx, circle_id: bytes, number: int) -> None:
    """Delete one of them, in the transaction that did what it was for."""
    outbox.remove_done(tx, circle_id, number)
