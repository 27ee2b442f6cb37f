"""One circle inside one transaction: its group, its Charter, its keys, its place in the log.

``Circle.load`` reads it, the functions of :mod:`tertulia.receive` and :mod:`tertulia.outgoing` move it, ``save``
writes what changed. A ``Circle`` is never used after its transaction.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Self

from tertulia import identity, places
from tertulia.errors import CircleNotFoundError, NotAllowedError
from tertulia.relays import SegmentAddr
from tertulia.states import SENDING, WRITABLE, State, check_transition
from tertulia.store import circles, log, mls
from tertulia.store.circles import CircleRow, CoordKeyRow, CoordSegmentRow
from tertulia.store.log import SegmentRow
from tertulia.store.tx import Tx
from tertulia_protocol.circle.charter import Charter, RelayRef, Transport, charter_of
from tertulia_protocol.circle.identity import MemberCredential, member_of
from tertulia_protocol.circle.payload import AuthorState
from tertulia_protocol.circle.segments import (
    AdminKeys,
    SegAccess,
    admin_keys,
    is_coord_secret_of,
)
from tertulia_protocol.codec import Writer
from tertulia_protocol.errors import UsageError
from tertulia_protocol.mls.errors import RemovedError
from tertulia_protocol.mls.group import Group
from tertulia_protocol.mls.snapshot import changed_rows
from tertulia_protocol.mls.tree_math import LeafIndex
from tertulia_protocol.relay_api.addresses import RelayAddr
from tertulia_protocol.relay_api.records import Position
from tertulia_protocol.signing import SigningSeed

LOBBY_SECONDS = 400 * 24 * 3600
"""How long a coordinator keeps what opens the lobby of a past segment (E7)."""


class Circle:
    """One circle in a transaction. Attributes may be set; ``save`` keeps them."""

    id: bytes
    """``lineage_id``, 32 bytes."""
    device_id: bytes
    """8 bytes."""
    access: SegAccess
    """Keys of the current segment."""
    position: Position
    """How far the current segment was read."""

    def __init__(self, tx: Tx, row: CircleRow, group: Group | None, segments: dict[int, SegmentRow]) -> None:
        """Use :meth:`load` or :meth:`create`."""
        self.tx = tx
        self.row = row
        self.id = row.id
        self.device_id = row.device_id
        self._stored_row = row
        self._group = self._stored_group = group
        self._charter: tuple[object, Charter] | None = None
        self._segments = segments
        self._member: SigningSeed | None = None
        self.position = Position(segments[0].seq, segments[0].chain)
        self._stored_position = self.position

    @classmethod
    def load(cls, tx: Tx, circle_id: bytes) -> Self:
        """Read a circle. :raises CircleNotFoundError: there is none of this id."""
        row = circles.get(tx, circle_id)
        if row is None:
            raise CircleNotFoundError(name=circle_id.hex())
        circle = cls(tx, row, _load_group(tx, circle_id), places.load_segments(tx, circle_id, row.segment_no))
        circle.access = places.load_access(tx, circle_id, row.segment_no)
        return circle

    @classmethod
    def create(  # noqa: PLR0913 - everything that a circle is made of
        cls,
        tx: Tx,
        *,
        group: Group,
        access: SegAccess,
        position: Position | None = None,
        device_id: bytes,
        state: State,
        name: str,
        alias: str | None = None,
        now: int,
        enrolment: bytes | None = None,
        coord_secret: bytes | None = None,
    ) -> Self:
        """Store a circle that this device founded (no position: the start of its segment) or joined (of the reply).

        ``name`` is what the person calls it until its own name is read. ``coord_secret`` (32 bytes): the coordinators'
        secret of the Charter's ``coord_gen``.

        :raises UsageError: there is already a circle of this lineage.
        """
        charter = charter_of(group.extensions)
        check_new(tx, charter.lineage_id)
        check_transition(State.NONE, state)
        row = CircleRow(
            id=charter.lineage_id,
            group_id=group.group_id,
            state=state.value,
            alias=name if alias is None else alias,
            name=name,
            device_id=device_id,
            segment_no=charter.segment_no,
            enrolment=enrolment,
            coord_gen=charter.transport.coord_gen,
            joined_at=now,
        )
        circles.add(tx, row)
        tx.cache.pop(row.id, None)
        mls.save(tx, row.id, group.rows())
        if coord_secret is not None:
            circles.put_coord_key(tx, CoordKeyRow(circle=row.id, coord_gen=row.coord_gen, secret=coord_secret))
        places.put_segments(tx, charter, access, position)
        circle = cls.load(tx, row.id)
        circle.remember_lobby(now=now)
        return circle

    def save(self) -> None:
        """Write what changed since it was loaded or last saved."""
        if self._group is not self._stored_group:
            self._save_group()
        if self.position != self._stored_position:
            segment_no, position = self.row.segment_no, self.position
            log.change_segment(self.tx, self.id, segment_no, seq=position.seq, chain=position.chain)
            self._stored_position = position
        if self.row != self._stored_row:
            circles.put(self.tx, self.row)
            self._stored_row = self.row

    def _save_group(self) -> None:
        if self._group is None:
            mls.clear(self.tx, self.id)
        else:
            puts, deletes = changed_rows(self._stored_group, self._group)
            mls.save(self.tx, self.id, {**dict.fromkeys(deletes), **puts})
        self._stored_group = self._group
        self.tx.cache[self.id] = self._group

    # State

    @property
    def state(self) -> State:
        """Return the state (3.16)."""
        return State(self.row.state)

    @property
    def detail(self) -> bytes:
        """Return why it is in this state, or evidence."""
        return self.row.detail

    def move_to(self, state: State, detail: bytes = b"") -> None:
        """Go to another state. :raises InternalError: none that may follow."""
        check_transition(self.state, state)
        self.row = replace(self.row, state=state.value, detail=detail)

    def check_sending(self) -> None:
        """Check that something may be sent now. :raises NotAllowedError: not in this state."""
        if self.state not in SENDING:
            raise NotAllowedError(f"the circle is {self.state.value}")

    def check_writable(self) -> None:
        """Check that a person may write. :raises NotAllowedError: not in this state."""
        if self.state not in WRITABLE:
            raise NotAllowedError(f"the circle is {self.state.value}")

    # The group

    @property
    def group(self) -> Group:
        """Return the MLS group. :raises RemovedError: this device was removed; its keys were erased."""
        if self._group is None:
            raise RemovedError("the keys of this circle were erased")
        return self._group

    @group.setter
    def group(self, group: Group) -> None:
        self._group = group

    def erase_group(self) -> None:
        """Forget all keys of the group: this device was removed."""
        self._group = None

    @property
    def is_member(self) -> bool:
        """Answer whether this device is in the group."""
        return self._group is not None

    @property
    def charter(self) -> Charter:
        """Return the Charter of the present epoch. :raises RemovedError: as above."""
        extensions = self.group.extensions
        if self._charter is None or self._charter[0] is not extensions:
            self._charter = extensions, charter_of(extensions)
        return self._charter[1]

    # The segment

    @property
    def segment_no(self) -> int:
        """Return the number of the current segment."""
        return self.row.segment_no

    def relay(self, j: int = 0) -> RelayRef:
        """Return a relay of the current segment; 0 is the one that is read and written."""
        return self.charter.transport.relays[j]

    def segment_id(self, j: int = 0) -> bytes:
        """Return the id of the current segment on a relay, 32 bytes."""
        return self._segments[j].segment_id

    def segment(self, j: int = 0) -> SegmentAddr:
        """Return the current segment's address on a relay, for :class:`tertulia.relays.RelayClient`."""
        row = self._segments[j]
        return SegmentAddr(relay=RelayAddr(relay_pk=row.relay_pk, uri=row.uri), segment_id=row.segment_id)

    @property
    def segment_row(self) -> SegmentRow:
        """Return what is stored of the current segment on relay 0 (its position: see ``position``)."""
        return self._segments[0]

    def keep_head(self, head: bytes) -> None:
        """Keep the newest head that was verified."""
        self._segments[0] = replace(self._segments[0], head=head)
        log.change_segment(self.tx, self.id, self.segment_no, head=head)

    def enter_segment(self, access: SegAccess, *, now: int) -> None:
        """Go on in the segment that the Charter names, from its start. The one before the last is forgotten (E23).

        Call it after the hop was merged.
        """
        self.save()
        for row in circles.list_coord_segments(self.tx, self.id):
            if row.segment_no == self.segment_no:
                circles.put_coord_segment(self.tx, replace(row, until=now + LOBBY_SECONDS))
        log.forget_before(self.tx, self.id, self.segment_no)
        places.put_segments(self.tx, self.charter, access, None)
        number = self.charter.segment_no
        self.row = replace(self.row, segment_no=number, coord_gen=self.charter.transport.coord_gen)
        self._segments = places.load_segments(self.tx, self.id, number)
        self.access = access
        self.position = self._stored_position = Position(self._segments[0].seq, self._segments[0].chain)
        self.save()
        self.remember_lobby(now=now)
        circles.expire_coord_segments(self.tx, self.id, now=now)

    # Members

    @property
    def member(self) -> SigningSeed:
        """Return this person's key in this circle (made from the profile's seed)."""
        if self._member is None:
            self._member = identity.member_key(self.tx, self.id)
        return self._member

    @property
    def member_pk(self) -> bytes:
        """Return this person's public key in this circle, 32 bytes."""
        return self.member.public_key

    def is_coordinator(self, member_pk: bytes | None = None) -> bool:
        """Answer whether a member (default: this person) is a coordinator."""
        return self.charter.is_coordinator(self.member_pk if member_pk is None else member_pk)

    @property
    def roster(self) -> frozenset[bytes]:
        """Return the coordinators' member_pks."""
        return self.charter.roster

    def member_of(self, leaf: LeafIndex) -> MemberCredential:
        """Return whose device stands at a leaf. :raises RuleError: nobody's."""
        return member_of(self.group.member(leaf).leaf)

    def leaves_of(self, member_pk: bytes) -> tuple[LeafIndex, ...]:
        """Return a member's leaves: one for each device; none if it is no member."""
        return tuple(member.index for member in self.group.members() if member_of(member.leaf).member_pk == member_pk)

    def members(self) -> tuple[bytes, ...]:
        """Return all member_pks, each once, in the order of their first leaves."""
        return tuple(dict.fromkeys(member_of(member.leaf).member_pk for member in self.group.members()))

    # Payloads

    @property
    def own_author(self) -> AuthorState:
        """Return the place of this device in its author's chain."""
        return AuthorState(self.row.own_seq, self.row.own_last)

    @own_author.setter
    def own_author(self, state: AuthorState) -> None:
        self.row = replace(self.row, own_seq=state.author_seq, own_last=state.last_hash)

    def saw_lamport(self, lamport: int) -> None:
        """Move the logical clock on."""
        if lamport > self.row.lamport:
            self.row = replace(self.row, lamport=lamport)

    # Coordinators

    @property
    def coord_secret(self) -> bytes | None:
        """Return the coordinators' secret of the present generation, if this device has one that fits (32 bytes)."""
        secret = circles.get_coord_key(self.tx, self.id, self.charter.transport.coord_gen)
        if secret is None or not is_coord_secret_of(secret, self.charter.transport):
            return None
        return secret

    def keep_coord_secret(self, coord_gen: int, secret: bytes) -> None:
        """Keep the coordinators' secret of a generation."""
        circles.put_coord_key(self.tx, CoordKeyRow(circle=self.id, coord_gen=coord_gen, secret=secret))

    def admin_keys(self, j: int = 0) -> AdminKeys | None:
        """Return the admin keys of the current segment on a relay, if this device has the secret."""
        secret = self.coord_secret
        if secret is None:
            return None
        return transport_keys(secret, self.charter.transport, j)

    def remember_lobby(self, *, now: int) -> None:
        """Keep what opens the lobby of the current segment, where this device has the coordinators' secret (E7).

        While it is the current one ``until`` tells when it was entered; leaving it sets the real end.
        """
        if self.coord_secret is None:
            return
        transport = self.charter.transport
        relays = Writer()
        relays.vector(transport.relays)
        row = CoordSegmentRow(
            circle=self.id,
            segment_no=transport.segment_no,
            coord_gen=transport.coord_gen,
            salt=transport.salt,
            relays=relays.getvalue(),
            until=now + LOBBY_SECONDS,
        )
        circles.put_coord_segment(self.tx, row)

    @property
    def entered_at(self) -> int | None:
        """Return when this coordinator's device entered the current segment, in seconds; None: it has no keys of it."""
        rows = circles.list_coord_segments(self.tx, self.id)
        return next((row.until - LOBBY_SECONDS for row in rows if row.segment_no == self.segment_no), None)


def transport_keys(secret: bytes, transport: Transport, j: int = 0) -> AdminKeys:
    """Return the admin keys of a segment on its relay ``j``. :param secret: the coordinators', 32 bytes."""
    return admin_keys(
        secret, salt=transport.salt, segment_no=transport.segment_no, relay_pk=transport.relays[j].relay_pk
    )


def check_new(tx: Tx, circle_id: bytes) -> None:
    """Check that a circle is not here yet: a Welcome for one that is here changes nothing (3.11).

    :raises UsageError: it is here.
    """
    if circles.get(tx, circle_id) is not None:
        raise UsageError("this profile already has this circle")


def _load_group(tx: Tx, circle_id: bytes) -> Group | None:
    """Return the stored group: immutable, so the one that was read or saved last serves as well as its rows."""
    cached = tx.cache.get(circle_id)
    if isinstance(cached, Group):
        return cached
    stored = mls.load(tx, circle_id)
    group = Group.load(stored) if stored else None
    tx.cache[circle_id] = group
    return group
