"""One circle inside one transaction: its group, its Charter, its keys, its place in the log.

``Circle.load`` reads it, the functions of :mod:`tertulia.receive` and :mod:`tertulia.outgoing` move it, ``save``
writes what changed. A ``Circle`` is never used after its transaction.
"""

from __future__ import annotations

from typing import Self

from tertulia.relays import SegmentAddr
from tertulia.states import State
from tertulia.store.tx import Tx
from tertulia_protocol.circle.charter import Charter, RelayRef
from tertulia_protocol.circle.identity import MemberCredential
from tertulia_protocol.circle.segments import AdminKeys, SegAccess
from tertulia_protocol.mls.group import Group
from tertulia_protocol.mls.tree_math import LeafIndex
from tertulia_protocol.relay_api.records import Position
from tertulia_protocol.signing import SigningSeed


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

    @classmethod
    def load(cls, tx: Tx, circle_id: bytes) -> Self:
        """Read a circle. :raises CircleNotFoundError: there is none of this id."""
        raise NotImplementedError

    @classmethod
    def create(  # noqa: PLR0913 - everything that a circle is made of
        cls,
        tx: Tx,
        *,
        group: Group,
        access: SegAccess,
        position: Position,
        device_id: bytes,
        state: State,
        name: str,
        now: int,
        enrolment: bytes | None = None,
        coord_secret: bytes | None = None,
    ) -> Self:
        """Store a circle that this device founded (position: start of segment 0) or joined (position: of the reply).

        ``name`` is what the person calls it until its own name is read. ``coord_secret`` (32 bytes): the coordinators'
        secret of the Charter's ``coord_gen``.

        :raises UsageError: there is already a circle of this lineage.
        """
        raise NotImplementedError

    def save(self) -> None:
        """Write what changed since it was loaded or last saved."""
        raise NotImplementedError

    @property
    def state(self) -> State:
        """Return the state (3.16)."""
        raise NotImplementedError

    def move_to(self, state: State, detail: bytes = b"") -> None:
        """Go to another state. :raises InternalError: none that may follow."""
        raise NotImplementedError

    @property
    def group(self) -> Group:
        """Return the MLS group. :raises RemovedError: this device was removed; its keys were erased."""
        raise NotImplementedError

    @property
    def charter(self) -> Charter:
        """Return the Charter of the present epoch. :raises RemovedError: as above."""
        raise NotImplementedError

    @property
    def segment_no(self) -> int:
        """Return the number of the current segment."""
        raise NotImplementedError

    def relay(self, j: int = 0) -> RelayRef:
        """Return a relay of the current segment; 0 is the one that is read and written."""
        raise NotImplementedError

    def segment_id(self, j: int = 0) -> bytes:
        """Return the id of the current segment on a relay, 32 bytes."""
        raise NotImplementedError

    def segment(self, j: int = 0) -> SegmentAddr:
        """Return the current segment's address on a relay, for :class:`tertulia.relays.RelayClient`."""
        raise NotImplementedError

    # Members

    @property
    def member(self) -> SigningSeed:
        """Return this person's key in this circle (made from the profile's seed)."""
        raise NotImplementedError

    @property
    def member_pk(self) -> bytes:
        """Return this person's public key in this circle, 32 bytes."""
        raise NotImplementedError

    def is_coordinator(self, member_pk: bytes | None = None) -> bool:
        """Answer whether a member (default: this person) is a coordinator."""
        raise NotImplementedError

    @property
    def roster(self) -> frozenset[bytes]:
        """Return the coordinators' member_pks."""
        raise NotImplementedError

    def member_of(self, leaf: LeafIndex) -> MemberCredential:
        """Return whose device stands at a leaf. :raises RuleError: nobody's."""
        raise NotImplementedError

    def leaves_of(self, member_pk: bytes) -> tuple[LeafIndex, ...]:
        """Return a member's leaves: one for each device; none if it is no member."""
        raise NotImplementedError

    def members(self) -> tuple[bytes, ...]:
        """Return all member_pks, each once, in the order of their first leaves."""
        raise NotImplementedError

    # Coordinators

    @property
    def coord_secret(self) -> bytes | None:
        """Return the coordinators' secret of the present generation, if this device has it (32 bytes)."""
        raise NotImplementedError

    def admin_keys(self, j: int = 0) -> AdminKeys | None:
        """Return the admin keys of the current segment on a relay, if this device has the secret."""
        raise NotImplementedError
