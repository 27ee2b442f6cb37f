"""People and changes for the tests of content."""

from __future__ import annotations

import hashlib

from tertulia_protocol.content.build import build_create, build_edit, build_retract
from tertulia_protocol.content.cbor import Value
from tertulia_protocol.content.change import Change, ContentObject
from tertulia_protocol.content.envelope import Envelope, Op
from tertulia_protocol.content.kinds import Content, Kind
from tertulia_protocol.content.types import BOARD, TOPIC, Board, Topic


def post(number: int) -> bytes:
    """The post id with this number."""
    return number.to_bytes(16, "big")


class Member:
    """Somebody who writes."""

    def __init__(self, name: str, *, coordinator: bool = False) -> None:
        self.member_pk = hashlib.sha256(name.encode()).digest()
        self.coordinator = coordinator

    def sends(self, envelope: Envelope, *, number: int, lamport: int, by_coordinator: bool | None = None) -> Change:
        """The change as it counted."""
        return Change(
            envelope=envelope,
            member_pk=self.member_pk,
            post_id=post(number),
            lamport=lamport,
            by_coordinator=self.coordinator if by_coordinator is None else by_coordinator,
        )

    def creates(self, kind: Kind, content: Content, *, number: int, lamport: int) -> Change:
        """Creates an object."""
        envelope = build_create(kind, content, member_pk=self.member_pk, post_id=post(number))
        return self.sends(envelope, number=number, lamport=lamport)

    def edits(self, kind: Kind, existing: ContentObject, *, number: int, lamport: int, **fields: object) -> Change:
        """Changes some fields."""
        return self.sends(build_edit(kind, existing, fields), number=number, lamport=lamport)

    def retracts(self, existing: ContentObject, *, number: int, lamport: int) -> Change:
        """Takes an object back."""
        return self.sends(build_retract(existing), number=number, lamport=lamport)


AMINA = Member("Amina", coordinator=True)
BRUNO = Member("Bruno", coordinator=True)
CHEN = Member("Chen")
DALIA = Member("Dalia")

BOARD_CHANGE = AMINA.creates(BOARD, Board(name="Field notes"), number=1, lamport=1)
CLOSED_CHANGE = AMINA.creates(BOARD, Board(name="Notices", announce_only=True), number=2, lamport=2)
TOPIC_CHANGE = CHEN.creates(
    TOPIC, Topic(board=BOARD_CHANGE.envelope.object_id, title="Water", body="Three wells."), number=3, lamport=10
)


def with_fields(change: Change, *, version: int | None = None, op: Op | None = None, **fields: Value) -> Change:
    """The same change with other fields, whatever they are."""
    old = change.envelope
    envelope = Envelope(
        type=old.type,
        version=version or old.version,
        object_id=old.object_id,
        op=op or old.op,
        fields={**old.fields, **fields},
    )
    return Change(
        envelope=envelope,
        member_pk=change.member_pk,
        post_id=change.post_id,
        lamport=change.lamport,
        by_coordinator=change.by_coordinator,
    )
