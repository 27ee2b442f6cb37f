"""A change as it was counted, the object it becomes part of, and the clock that orders changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from tertulia_protocol.content.cbor import Value
from tertulia_protocol.content.envelope import Envelope
from tertulia_protocol.content.kinds import Content, Unknown
from tertulia_protocol.errors import RuleError

LAMPORT_PER_SEGMENT = 1 << 20
"""How far the clock may advance in one segment: more than its quota can ever hold entries."""

OrderKey: TypeAlias = tuple[int, bytes, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One counted change.

    ``member_pk`` (32 bytes) and ``post_id`` (16 bytes) name the post; ``by_coordinator`` says whether the member was a
    coordinator in the epoch in which the post counted. All members agree on that, because a post counts at one place
    of the log only; the author's own date has no part in it.
    """

    envelope: Envelope
    member_pk: bytes
    post_id: bytes
    lamport: int
    by_coordinator: bool

    def __repr__(self) -> str:
        return f"Change({self.envelope!r}, lamport={self.lamport})"

    @property
    def order(self) -> OrderKey:
        """Return what changes are sorted by: the clock, then author and post."""
        return (self.lamport, self.member_pk, self.post_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentObject:
    """An object as all its changes together make it.

    ``creator`` (32 bytes) is None where nobody owns it. ``content`` is None once it is retracted, and
    :class:`Unknown` where this version cannot show it. ``waiting`` means that the object it belongs to is not here
    (yet). ``fields`` holds everything, what this version does not know included.
    """

    type: str
    version: int
    object_id: bytes
    creator: bytes | None
    content: Content | None
    fields: Mapping[str, Value] = field(repr=False)
    first_lamport: int
    last_lamport: int
    edited: bool = False
    retracted_by: bytes | None = None
    waiting: bool = False

    @property
    def retracted(self) -> bool:
        """Return whether somebody who may retract it did."""
        return self.retracted_by is not None

    @property
    def is_stub(self) -> bool:
        """Return whether a newer version is needed to show it."""
        return isinstance(self.content, Unknown)


def lamport_bound(segment_no: int) -> int:
    """Return the greatest clock value that a post in segment ``segment_no`` may carry."""
    return (segment_no + 1) * LAMPORT_PER_SEGMENT


def next_lamport(*, seen: int, segment_no: int) -> int:
    """Return the clock value of a new post: one more than the greatest ``seen``, within the bound."""
    return min(seen + 1, lamport_bound(segment_no))


def check_lamport(lamport: int, *, segment_no: int) -> None:
    """Check the clock value of a post that counted in segment ``segment_no``.

    Without a bound one post with the greatest number would leave no number for anybody after it. The bound depends
    on the entry alone, so a member who joined yesterday judges as everybody else does.

    :raises RuleError: C15.
    """
    if not 1 <= lamport <= lamport_bound(segment_no):
        raise RuleError("a clock value out of bounds", rule="C15")
