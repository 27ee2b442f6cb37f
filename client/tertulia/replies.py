"""From an approval to a member: the commit that adds, the answer after it was read back, until the joiner speaks (E13).

An answer is *adding* (its commit is not read back yet), *added* (what it says is fixed, the relay does not have it
yet), or *sent* (it lies in the reply box and is put there again now and then until the joiner's first message is read).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final, Self

from tertulia import history as histories
from tertulia.blobs import delete_blobs, put_blobs
from tertulia.circle import Circle
from tertulia.clock import Rng
from tertulia.commits import CommitPlan, EffectiveCommit, commit, effective_commits, forget_effective
from tertulia.errors import PaymentError
from tertulia.relays import SegmentAddr
from tertulia.runtime import Runtime
from tertulia.store import circles, content, events
from tertulia.store import invitations as rows
from tertulia.store.invitations import ReplyRow
from tertulia.store.tx import Tx
from tertulia.transport.interface import Purpose
from tertulia_protocol.circle.attachment import BlobRef, Chunk, encrypt_bytes
from tertulia_protocol.circle.charter import HistoryMode
from tertulia_protocol.circle.history import HistoryRange, Place
from tertulia_protocol.circle.identity import MemberCredential, member_of
from tertulia_protocol.circle.invitation import DAY
from tertulia_protocol.circle.join_reply import JoinReply, seal_reply, welcome_for
from tertulia_protocol.circle.join_request import JoinRequest, reply_box
from tertulia_protocol.circle.segments import SegAccess
from tertulia_protocol.codec import Reader, Writer, parse, serialize
from tertulia_protocol.errors import InternalError, InvalidMessageError, UsageError
from tertulia_protocol.mls.proposals import Add
from tertulia_protocol.relay_api.addresses import Enrolment, RelayAddr
from tertulia_protocol.relay_api.records import Position
from tertulia_protocol.relay_api.requests import Payment, PaymentType
from tertulia_protocol.relay_api.responses import Status

ADDING: Final = "adding"
ADDED: Final = "added"
SENT: Final = "sent"

AFTER: Final = b"tl1 add"
"""What marks a commit's ``after`` as ours; the hash of the request follows."""

BLOB_TTL: Final = 1
"""The life class of tree and history: 30 days, as of the reply box; they are deleted once the joiner has spoken."""

ANSWER_SECONDS: Final = 28 * DAY
"""How long an answer is kept at the relay."""

AGAIN_SECONDS: Final = 6 * 3600
"""How often the same answer is put into the box again, in case the relay lost it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """What is fixed once the commit was read back: from here on every attempt makes the same bytes."""

    welcome: bytes = field(repr=False)
    access: SegAccess
    position: Position
    tree_key: bytes = field(repr=False)
    tree: bytes = field(repr=False)
    history_key: bytes = field(repr=False)
    history: bytes = field(repr=False)
    """The pack; empty where nothing is given."""

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """Read the stored form. :raises DecodeError: damaged."""
        return cls(
            welcome=reader.opaque(),
            access=SegAccess.decode(reader),
            position=Position.decode(reader),
            tree_key=reader.raw(32),
            tree=reader.opaque(),
            history_key=reader.raw(32),
            history=reader.opaque(),
        )

    def encode(self, writer: Writer) -> None:
        """Append the stored form."""
        writer.opaque(self.welcome)
        self.access.encode(writer)
        self.position.encode(writer)
        writer.fixed(self.tree_key, 32)
        writer.opaque(self.tree)
        writer.fixed(self.history_key, 32)
        writer.opaque(self.history)

    def blobs(self) -> tuple[BlobRef, BlobRef | None, tuple[Chunk, ...]]:
        """Return where tree and history are, and all their blobs."""
        tree, chunks = encrypt_bytes(self.tree_key, self.tree)
        if not self.history:
            return tree, None, chunks
        history, more = encrypt_bytes(self.history_key, self.history)
        return tree, history, chunks + more


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyData:
    """What an answer is made from."""

    request: bytes = field(repr=False)
    """The JoinRequest as it was sent."""
    relay: RelayAddr
    """Where the request came in, and the answer goes."""
    history: HistoryRange
    added: Added | None = None

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """Read the stored form. :raises DecodeError: damaged."""
        return cls(
            request=reader.opaque(),
            relay=RelayAddr.decode(reader),
            history=HistoryRange.decode(reader),
            added=reader.optional(Added.decode),
        )

    def encode(self, writer: Writer) -> None:
        """Append the stored form."""
        writer.opaque(self.request)
        self.relay.encode(writer)
        self.history.encode(writer)
        writer.optional(self.added)

    @property
    def parsed(self) -> JoinRequest:
        """Return the request."""
        return parse(JoinRequest, self.request)

    @property
    def member(self) -> MemberCredential:
        """Return whose device is added."""
        return member_of(self.parsed.key_package.leaf_node)


def payment_of(tx: Tx, circle_id: bytes) -> Payment:
    """Return what pays for the boxes of a circle. :raises PaymentError: this device was given no enrolment code."""
    row = circles.get(tx, circle_id)
    if row is None or row.enrolment is None:
        raise PaymentError("this device has no enrolment code for the relay of the circle")
    return Payment(PaymentType.ENROLMENT_CODE, parse(Enrolment, row.enrolment).code)


def begin(tx: Tx, circle_id: bytes, request: bytes, *, relay: RelayAddr, history: HistoryRange, now: int) -> bytes:  # noqa: PLR0913 - the fields of a decision
    """Note that a request is approved; return the member_pk. :param request: as it was sent."""
    data = ReplyData(request=request, relay=relay, history=history)
    member_pk = data.member.member_pk
    rows.put_reply(
        tx,
        ReplyRow(
            request_hash=data.parsed.hash(),
            circle=circle_id,
            state=ADDING,
            member_pk=member_pk,
            data=serialize(data),
            until=now + ANSWER_SECONDS,
        ),
    )
    return member_pk


def anchors_of_adding(tx: Tx, circle_id: bytes) -> frozenset[bytes]:
    """Return the invitations whose approved joiner is not known to be in the circle yet."""
    adding = (row for row in rows.list_replies(tx, circle_id) if row.state == ADDING)
    return frozenset(parse(ReplyData, row.data).parsed.anchor for row in adding)


# --- The commit ----------------------------------------------------------------------------------------------------


async def add_joiner(runtime: Runtime, circle_id: bytes, request_hash: bytes) -> None:
    """Commit the Add of an approved request; do nothing where it is done. Raises what ``commits.commit`` raises."""
    await commit(runtime, circle_id, partial(_plan, request_hash=request_hash))


def _plan(tx: Tx, circle: Circle, *, request_hash: bytes) -> CommitPlan | None:
    row = rows.get_reply(tx, request_hash)
    if row is None or row.state != ADDING:
        return None
    data = parse(ReplyData, row.data)
    if is_added(circle, data.member):
        return None
    return CommitPlan(proposals=(Add(data.parsed.key_package),), after=AFTER + request_hash)


def is_added(circle: Circle, member: MemberCredential) -> bool:
    """Answer whether this very device is in the circle already."""
    return any(circle.member_of(leaf).device == member.device for leaf in circle.leaves_of(member.member_pk))


def take_effective(tx: Tx, circle_id: bytes, *, rng: Rng, now: int) -> int:
    """Fix the answers of the commits that were read back; return how many."""
    ours = [done for done in effective_commits(tx, circle_id) if done.after.startswith(AFTER)]
    for done in ours:
        row = rows.get_reply(tx, done.after.removeprefix(AFTER))
        if row is not None and row.state == ADDING:
            _fix(tx, row, done, rng=rng, now=now)
        forget_effective(tx, circle_id, done.number)
    return len(ours)


def _fix(tx: Tx, row: ReplyRow, done: EffectiveCommit, *, rng: Rng, now: int) -> None:
    data = parse(ReplyData, row.data)
    if done.welcome is None:
        raise InternalError("a commit that adds somebody has no Welcome")
    added = Added(
        welcome=serialize(welcome_for(done.welcome, data.parsed.key_package)),
        access=parse(SegAccess, done.access),
        position=Position(done.seq, done.chain),
        tree_key=rng(32),
        tree=done.tree,
        history_key=rng(32),
        history=_history(tx, row, data.history, before=(done.segment_no, done.seq), now=now),
    )
    rows.put_reply(tx, replace(row, state=ADDED, data=serialize(replace(data, added=added))))


def _history(tx: Tx, row: ReplyRow, chosen: HistoryRange, *, before: Place, now: int) -> bytes:
    """Return the pack: of what was chosen, or, where that is too much for one, of what everybody needs."""
    try:
        return histories.build(tx, row.circle, chosen=chosen, now=now, before=before)
    except UsageError:
        events.add(tx, "history.too_long", circle=row.circle, at=now, member=row.member_pk)
        return histories.build(tx, row.circle, chosen=HistoryRange(HistoryMode.NONE), now=now, before=before)


# --- The answer ----------------------------------------------------------------------------------------------------


async def work_on_replies(runtime: Runtime, circle_id: bytes) -> None:
    """Go on with approvals that were broken off, and with their answers. Part of every sync.

    :raises TransportError: the next sync goes on.
    """
    await runtime.store.run(lambda tx: take_effective(tx, circle_id, rng=runtime.rng, now=runtime.clock.now()))
    for row in await runtime.store.read(lambda tx: rows.list_replies(tx, circle_id)):
        if row.state == ADDING:
            await _add_again(runtime, row)
    await send_replies(runtime, circle_id)


async def _add_again(runtime: Runtime, row: ReplyRow) -> None:
    try:
        await add_joiner(runtime, row.circle, row.request_hash)
    except (UsageError, InvalidMessageError) as error:
        # Nobody waits for an answer here: the person is told, and the request has to be made again.
        await runtime.store.run(partial(_give_up, row=row, code=error.code, now=runtime.clock.now()))


def _give_up(tx: Tx, *, row: ReplyRow, code: str, now: int) -> None:
    rows.remove_reply(tx, row.request_hash)
    events.add(tx, "approval.failed", circle=row.circle, at=now, request=row.request_hash, code=code)


async def send_replies(runtime: Runtime, circle_id: bytes) -> None:
    """Send the answers that are due. :raises TransportError: the next sync goes on. :raises PaymentError: no code."""
    await runtime.store.run(lambda tx: take_effective(tx, circle_id, rng=runtime.rng, now=runtime.clock.now()))
    for row in await runtime.store.read(lambda tx: rows.list_replies(tx, circle_id)):
        if row.state == ADDED:
            await _send_first(runtime, row)
        elif row.state == SENT:
            await _follow_up(runtime, row)


async def _send_first(runtime: Runtime, row: ReplyRow) -> None:
    data = parse(ReplyData, row.data)
    if data.added is None:
        raise InternalError("an answer without its content")
    tree, history, chunks = data.added.blobs()
    await put_blobs(runtime, row.circle, chunks, ttl_class=BLOB_TTL)
    if row.letter is None:
        letter = await runtime.store.run(partial(_make_letter, row=row, data=data, tree=tree, history=history))
        row = replace(row, letter=letter)
    payment = await runtime.store.read(lambda tx: payment_of(tx, row.circle))
    box = reply_box(data.parsed.reply_seed)
    await runtime.relays.create(data.relay, box.config, payment, purpose=Purpose.REPLY)
    await _append(runtime, row, data)


def _make_letter(tx: Tx, *, row: ReplyRow, data: ReplyData, tree: BlobRef, history: BlobRef | None) -> bytes:
    """Complete an answer, once: sealing it again would make other bytes."""
    added = data.added
    if added is None:
        raise InternalError("an answer without its content")
    reply = JoinReply(
        request_hash=row.request_hash,
        welcome=added.welcome,
        tree=tree,
        access=added.access,
        segment_no=added.access.segment_no,
        position=added.position,
        history=history,
    ).approve(Circle.load(tx, row.circle).member)
    letter = seal_reply(data.parsed, reply)
    rows.change_reply(tx, row.request_hash, letter=letter)
    return letter


async def _append(runtime: Runtime, row: ReplyRow, data: ReplyData) -> None:
    if row.letter is None:
        raise InternalError("an answer without its letter")
    box = reply_box(data.parsed.reply_seed)
    segment = SegmentAddr(relay=data.relay, segment_id=box.config.segment_id(data.relay.relay_pk))
    result = await runtime.relays.append(segment, row.letter, key=box.append, purpose=Purpose.REPLY)
    if result.status in (Status.OK, Status.DUP):
        sent = partial(rows.change_reply, request_hash=row.request_hash, state=SENT, sent_at=runtime.clock.now())
        await runtime.store.run(sent)


async def _follow_up(runtime: Runtime, row: ReplyRow) -> None:
    """Forget an answer whose joiner has spoken, or never did; put it into the box again where it is time."""
    data, now = parse(ReplyData, row.data), runtime.clock.now()
    if await runtime.store.read(lambda tx: has_spoken(tx, row.circle, data.member)):
        await _clean_up(runtime, row, data)
    elif now >= row.until:
        await _clean_up(runtime, row, data)
        await runtime.store.run(partial(_report_silence, row=row, now=now))
    elif now >= row.sent_at + AGAIN_SECONDS:
        await _append(runtime, row, data)


def has_spoken(tx: Tx, circle_id: bytes, member: MemberCredential) -> bool:
    """Answer whether anything by this device was read in the log."""
    return content.get_author(tx, circle_id, member.member_pk, member.device_id) is not None


def _report_silence(tx: Tx, *, row: ReplyRow, now: int) -> None:
    events.add(tx, "joiner.silent", circle=row.circle, at=now, member=row.member_pk)


async def _clean_up(runtime: Runtime, row: ReplyRow, data: ReplyData) -> None:
    """Take tree and history away from the relay, then forget the answer."""
    if data.added is not None:
        chunks = data.added.blobs()[2]
        await delete_blobs(runtime, row.circle, [chunk.id for chunk in chunks])
    await runtime.store.run(partial(rows.remove_reply, request_hash=row.request_hash))
