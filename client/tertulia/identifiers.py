"""The identifiers that people see: a letter for the kind, ``_``, and lower-case base32 of the first 10 bytes.

The same on every member's device, since they are made from the object itself.
"""

from __future__ import annotations

import base64
from enum import StrEnum

SHOWN_BYTES = 10
LENGTH = 16
"""Characters after the underscore."""
SHORTEST = 4
"""The shortest beginning, in characters after the underscore, that stands for an identifier."""
ALPHABET = frozenset("abcdefghijklmnopqrstuvwxyz234567")


class Kind(StrEnum):
    """What an identifier names, by its letter."""

    CIRCLE = "c"
    BOARD = "b"
    POST = "p"
    MEMBER = "m"
    REQUEST = "r"
    INVITATION = "i"


def public_id(kind: Kind, raw: bytes) -> str:
    """Return the public identifier of an object (``raw``: at least 10 bytes)."""
    return f"{kind.value}_{base64.b32encode(raw[:SHOWN_BYTES]).decode('ascii').lower()}"


def circle_id(raw: bytes) -> str:
    """Return a circle's identifier (``raw``: lineage_id)."""
    return public_id(Kind.CIRCLE, raw)


def board_id(raw: bytes) -> str:
    """Return a board's identifier (``raw``: its object id)."""
    return public_id(Kind.BOARD, raw)


def post_id(raw: bytes) -> str:
    """Return the identifier of a topic or reply (``raw``: its object id)."""
    return public_id(Kind.POST, raw)


def member_id(raw: bytes) -> str:
    """Return a member's identifier (``raw``: member_pk)."""
    return public_id(Kind.MEMBER, raw)


def request_id(raw: bytes) -> str:
    """Return a request's identifier (``raw``: SHA-256 of the JoinRequest)."""
    return public_id(Kind.REQUEST, raw)


def invitation_id(raw: bytes) -> str:
    """Return an invitation's identifier (``raw``: its anchor)."""
    return public_id(Kind.INVITATION, raw)


def is_beginning(kind: Kind, text: str) -> bool:
    """Answer whether ``text`` is an identifier of a kind or a beginning of one that is long enough."""
    shown = text.removeprefix(f"{kind.value}_")
    return shown != text and SHORTEST <= len(shown) <= LENGTH and ALPHABET.issuperset(shown)
