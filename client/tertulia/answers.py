"""What comes back to a joiner: the answer in its reply box, checked and made a circle; then the history.

The checks themselves are in ``tertulia_protocol.circle.joining``; here they end in one transaction in which the first
state of the circle appears and the keys of the request are gone, or in nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Final, Self

from tertulia import boards, creating, history, outgoing
from tertulia.blobs import fetch_bytes
from tertulia.circle import Circle
from tertulia.errors import RelayGoneError
from tertulia.identifiers import circle_id as public_circle_id
from tertulia.relays import SegmentAddr
from tertulia.resolve import same_name
from tertulia.runtime import Runtime
from tertulia.states import State
from tertulia.store import circles, events, joins
from tertulia.store.joins import JoiningRow
from tertulia.store.tx import Tx
from tertulia.transport.interface import Purpose
from tertulia_protocol.circle.attachment import BlobRef
from tertulia_protocol.circle.history import MAX_BYTES
from tertulia_protocol.circle.join_reply import JoinReply
from tertulia_protocol.circle.join_request import reply_box
from tertulia_protocol.circle.joining import MAX_TREE_BYTES, PendingJoin, open_reply, process_reply
from tertulia_protocol.circle.payload import POST_ID_BYTES, PayloadType
from tertulia_protocol.codec import Reader, Writer, parse, serialize
from tertulia_protocol.errors import InvalidMessageError
from tertulia_protocol.relay_api.addresses import RelayAddr
from tertulia_protocol.relay_api.responses import Entry

HISTORY: Final = "history"
"""The state of a join whose circle is there and whose history is not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryToFetch:
    """Where the history is, and what it may hold."""

    relay: RelayAddr
    ref: BlobRef
    segment_no: int
    seq: int
    """The joiner's first place: the history ends before it."""
    forwarded_by: bytes
    """The coordinator who vouches for it: its member_pk."""

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """Read the stored form. :raises DecodeError: damaged."""
        return cls(
            relay=RelayAddr.decode(reader),
            ref=BlobRef.decode(reader),
            segment_no=reader.u32(),
            seq=reader.u64(),
            forwarded_by=reader.raw(32),
        )

    def encode(self, writer: Writer) -> None:
        """Append the stored form."""
        self.relay.encode(writer)
        self.ref.encode(writer)
        writer.u32(self.segment_no)
        writer.u64(self.seq)
        writer.fixed(self.forwarded_by, 32)


# --- The answer ----------------------------------------------------------------------------------------------------


async def take_answer(runtime: Runtime, row: JoiningRow) -> bool:
    """Look into the reply box of a request; answer whether there is a circle now.

    :raises TransportError: the relay cannot be reached, or the tree is not there (yet): look again later.
    """
    pending = parse(PendingJoin, row.secrets)
    relay, box = pending.preamble.relays[0], reply_box(pending.request.reply_seed)
    segment = SegmentAddr(relay=relay, segment_id=row.box_id)
    try:
        result = await runtime.relays.read(segment, key=box.read, after_seq=row.box_seq, purpose=Purpose.REPLY)
    except RelayGoneError:
        # The coordinator makes the box when it answers: not yet (E29).
        return False
    for entry in result.entries:
        if await _take_letter(runtime, row, pending, entry):
            return True
    return False


async def _take_letter(runtime: Runtime, row: JoiningRow, pending: PendingJoin, entry: Entry) -> bool:
    """Take one letter for the answer; one that does not hold is passed over, and its owner told."""
    relay = pending.preamble.relays[0]
    try:
        reply = open_reply(entry.data, pending)
        tree = await fetch_bytes(runtime, relay, reply.tree, most=MAX_TREE_BYTES, stream_key=row.anchor)
        accept = partial(_accept, row=row, pending=pending, reply=reply, tree=tree, runtime=runtime)
        await runtime.store.run(accept)
    except InvalidMessageError as error:
        await runtime.store.run(partial(_pass_over, row=row, seq=entry.seq, code=error.code, now=runtime.clock.now()))
        return False
    return True


def _pass_over(tx: Tx, *, row: JoiningRow, seq: int, code: str, now: int) -> None:
    joins.change(tx, row.anchor, box_seq=seq)
    report_refusal(tx, row=row, code=code, now=now)


def report_refusal(tx: Tx, *, row: JoiningRow, code: str, now: int) -> None:
    """Say that an answer does not hold, or that there can be none."""
    events.add(tx, "join.refused", circle=row.circle, at=now, code=code)


def _accept(  # noqa: PLR0913 - all that came back
    tx: Tx, *, row: JoiningRow, pending: PendingJoin, reply: JoinReply, tree: bytes, runtime: Runtime
) -> None:
    """Check all of it and become a member: circle, first messages, and no key of the request, in one transaction."""
    now = runtime.clock.now()
    known = [circle.id for circle in circles.list_all(tx)]
    joined = process_reply(reply, tree, pending, known=known)
    circle = Circle.create(
        tx,
        group=joined.group,
        access=joined.access,
        position=joined.position,
        device_id=joined.member.device_id,
        state=State.SYNCING,
        name="",
        alias=public_circle_id(joined.charter.lineage_id),
        now=now,
        coord_secret=None if joined.coord is None else joined.coord.secret,
    )
    _introduce(tx, circle, name=row.name, runtime=runtime)
    circle.save()
    _keep_history(tx, row, pending, reply)
    events.add(tx, "joined", circle=circle.id, at=now)


def _introduce(tx: Tx, circle: Circle, *, name: str, runtime: Runtime) -> None:
    """Put the first messages into the outbox: the hello that tells the coordinator (E13), and who this is."""
    now = runtime.clock.now()
    outgoing.enqueue(tx, circle, type=PayloadType.HELLO, body=b"", now=now, post_id=runtime.rng(POST_ID_BYTES))
    creating.post_profile(tx, circle, display_name=name, now=now, rng=runtime.rng)


def _keep_history(tx: Tx, row: JoiningRow, pending: PendingJoin, reply: JoinReply) -> None:
    """Forget the request with all its keys; keep only where the history is, if there is one."""
    joins.remove(tx, row.anchor)
    if reply.history is None:
        return
    to_fetch = HistoryToFetch(
        relay=pending.preamble.relays[0],
        ref=reply.history,
        segment_no=reply.segment_no,
        seq=reply.position.seq,
        forwarded_by=reply.approvals[0].member_pk,
    )
    joins.add(
        tx,
        JoiningRow(
            anchor=row.anchor,
            circle=row.circle,
            state=HISTORY,
            name=row.name,
            link=b"",
            preamble=row.preamble,
            request=b"",
            request_hash=row.request_hash,
            secrets=serialize(to_fetch),
            sas=row.sas,
            box_id=row.box_id,
            created_at=row.created_at,
            expires_at=row.expires_at,
        ),
    )


# --- The history ---------------------------------------------------------------------------------------------------


async def take_history(runtime: Runtime, row: JoiningRow) -> None:
    """Fetch the history and take it in. One that is gone or not valid is given up, and its owner told.

    :raises TransportError: the relay cannot be reached: try again later.
    """
    to_fetch = parse(HistoryToFetch, row.secrets)
    try:
        data = await fetch_bytes(runtime, to_fetch.relay, to_fetch.ref, most=MAX_BYTES, stream_key=row.anchor)
        await runtime.store.run(partial(_take_in, row=row, to_fetch=to_fetch, data=data, now=runtime.clock.now()))
    except (RelayGoneError, InvalidMessageError) as error:
        await runtime.store.run(partial(_give_up, row=row, code=error.code, now=runtime.clock.now()))


def _take_in(tx: Tx, *, row: JoiningRow, to_fetch: HistoryToFetch, data: bytes, now: int) -> None:
    before = (to_fetch.segment_no, to_fetch.seq)
    count = history.take_in(tx, row.circle, data, before=before, forwarded_by=to_fetch.forwarded_by)
    joins.remove(tx, row.anchor)
    adopt_name(tx, row.circle)
    events.add(tx, "history", circle=row.circle, at=now, posts=count, member=to_fetch.forwarded_by)


def _give_up(tx: Tx, *, row: JoiningRow, code: str, now: int) -> None:
    joins.remove(tx, row.anchor)
    events.add(tx, "history.lost", circle=row.circle, at=now, code=code)


def adopt_name(tx: Tx, circle_id: bytes) -> None:
    """Call a circle as it calls itself, where the person has not named it and no other circle has that name here."""
    row, name = circles.get(tx, circle_id), boards.circle_name(tx, circle_id)
    if row is None or name is None or row.alias != public_circle_id(circle_id):
        return
    if not any(same_name(other.alias) == same_name(name) for other in circles.list_all(tx)):
        circles.change(tx, circle_id, alias=name)
