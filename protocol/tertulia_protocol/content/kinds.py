"""What a type of content declares: its fields, and who may create, change and retract.

A type is data. Everything that permissions and merging need to know stands in its :class:`Kind`, so a new type is one
entry in :mod:`tertulia_protocol.content.types` and nothing else; objects are stored as the envelopes they came in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum, Flag
from typing import Any, get_type_hints

import msgspec

from tertulia_protocol.content.envelope import OBJECT_ID_LENGTH


class Content(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The fields of an object, typed. ``repr`` shows nothing of what was written."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(...)"


class Unknown(Content, frozen=True):
    """An object that needs a newer version: its type, its version, and no more."""

    type: str
    version: int

    def __repr__(self) -> str:
        return f"Unknown(type={self.type!r}, version={self.version})"


class Who(Flag):
    """Who may do something. Several together: any of them."""

    NOBODY = 0
    AUTHOR = 1
    COORDINATORS = 2
    MEMBERS = 4


class Identity(Enum):
    """What the 16-byte id of an object is made from, and so who owns it."""

    POST = "post"  # the member and the post that created it
    MEMBER = "member"  # the member: everybody has one
    CIRCLE = "circle"  # the circle has one; nobody owns it


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldRule:
    """Who may change a field after creation, and what its value (already of the right type) must keep to."""

    change: Who
    check: Callable[[Any], None] = field(default=lambda _: None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where objects of a type belong: ``field`` names an object of type ``container``.

    Where the container's field ``closed_by`` is true, coordinators alone may put something there. It must be a field
    that nobody can change, or the answer would depend on when it is asked.
    """

    field: str
    container: str
    closed_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A type of content."""

    name: str
    version: int
    content: type[Content]
    identity: Identity
    create: Who
    retract: Who
    fields: Mapping[str, FieldRule]
    place: Place | None = None
    hints: Mapping[str, Any] = field(init=False, repr=False)
    required: frozenset[str] = field(init=False, repr=False)
    """The fields that a new object must have."""

    def __post_init__(self) -> None:
        """:raises ValueError: the rules and the struct do not have the same fields."""
        hints = get_type_hints(self.content, include_extras=True)
        if set(hints) != set(self.fields):
            raise ValueError(f"the fields of {self.name} and their rules differ")
        object.__setattr__(self, "hints", hints)
        required = frozenset(item.name for item in msgspec.structs.fields(self.content) if item.required)
        object.__setattr__(self, "required", required)

    def object_id(self, *, member_pk: bytes, post_id: bytes) -> bytes:
        """Return the 16-byte id of what ``member_pk`` (32 bytes) creates by the post ``post_id`` (16 bytes)."""
        match self.identity:
            case Identity.POST:
                return post_object_id(member_pk=member_pk, post_id=post_id)
            case Identity.MEMBER:
                return _short_hash(b"tl1 content member" + member_pk + self.name.encode())
            case Identity.CIRCLE:
                return _short_hash(b"tl1 content circle" + self.name.encode())


def post_object_id(*, member_pk: bytes, post_id: bytes) -> bytes:
    """Return the 16-byte id of an object that ``member_pk`` (32 bytes) creates by ``post_id`` (16 bytes).

    Nobody can make a post of their own whose hash is the id of somebody else's object. Who creates an object is thus
    a property of its id and of no clock and no order of arrival: a change with an older date steals nothing.
    """
    return _short_hash(b"tl1 content post" + member_pk + post_id)


def _short_hash(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()[:OBJECT_ID_LENGTH]


class Kinds:
    """The types that are known, by name."""

    __slots__ = ("_by_name",)

    def __init__(self, kinds: Iterable[Kind]) -> None:
        """:raises ValueError: two have the same name."""
        self._by_name: dict[str, Kind] = {}
        for kind in kinds:
            if kind.name in self._by_name:
                raise ValueError(f"two types named {kind.name}")
            self._by_name[kind.name] = kind

    def get(self, name: str) -> Kind | None:
        """Return the type ``name``, None if this version does not know it."""
        return self._by_name.get(name)

    def __getitem__(self, name: str) -> Kind:
        """Return the type ``name``. :raises KeyError: this version does not know it."""
        return self._by_name[name]

    def with_kind(self, kind: Kind) -> Kinds:
        """Return these and one more. :raises ValueError: the name is taken."""
        return Kinds((*self._by_name.values(), kind))

    def names(self) -> tuple[str, ...]:
        """Return the names of all known types."""
        return tuple(self._by_name)
