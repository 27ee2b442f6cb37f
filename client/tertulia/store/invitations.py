"""The inviter's side: invitations of this device, requests to join, replies to send."""

from __future__ import annotations

from dataclasses import dataclass, field

from tertulia.store import rows
from tertulia.store.tx import Tx, Value


@dataclass(frozen=True, slots=True, kw_only=True)
class InvitationRow:
    """An invitation. ``secrets`` is what its link and box were made from; ``relay`` a RelayAddr; times in seconds."""

    anchor: bytes
    circle: bytes
    state: str
    language: str
    created_at: int
    expires_at: int
    secrets: bytes = field(repr=False)
    preamble: bytes = field(repr=False)
    relay: bytes
    box_id: bytes
    box_seq: int = 0
    box_chain: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinRequestRow:
    """A request that verified. ``request`` and ``name`` are deleted after the decision (E40)."""

    hash: bytes
    anchor: bytes
    circle: bytes
    state: str
    request: bytes = field(repr=False)
    name: str = field(repr=False)
    sas: bytes = field(repr=False)
    received_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyRow:
    """A JoinReply to send until the joiner's hello is seen. ``data`` is what it is made from, ``letter`` the entry."""

    request_hash: bytes
    circle: bytes
    state: str
    member_pk: bytes
    data: bytes = field(repr=False)
    letter: bytes | None = field(default=None, repr=False)
    sent_at: int = 0
    until: int


def add(tx: Tx, row: InvitationRow) -> None:
    """Add an invitation."""
    rows.insert(tx, "invitation", row)


def get(tx: Tx, anchor: bytes) -> InvitationRow | None:
    """Return an invitation by its anchor (32 bytes)."""
    return rows.first(tx, InvitationRow, "invitation", "WHERE anchor = ?", (anchor,))


def list_of(tx: Tx, circle: bytes) -> list[InvitationRow]:
    """Return a circle's invitations, the oldest first."""
    return rows.select(tx, InvitationRow, "invitation", "WHERE circle = ? ORDER BY created_at, anchor", (circle,))


def change(tx: Tx, anchor: bytes, **changes: Value) -> None:
    """Change columns of an invitation."""
    rows.update(tx, "invitation", "anchor = ?", (anchor,), **changes)


def remove(tx: Tx, anchor: bytes) -> None:
    """Delete an invitation."""
    rows.delete(tx, "invitation", "anchor = ?", (anchor,))


# --- Requests -------------------------------------------------------------------------------------------------------


def add_request(tx: Tx, row: JoinRequestRow) -> bool:
    """Keep a request unless it is known; answer whether it was new."""
    return rows.add(tx, "join_request", row)


def get_request(tx: Tx, request_hash: bytes) -> JoinRequestRow | None:
    """Return a request by its hash (32 bytes)."""
    return rows.first(tx, JoinRequestRow, "join_request", "WHERE hash = ?", (request_hash,))


def list_requests(tx: Tx, circle: bytes) -> list[JoinRequestRow]:
    """Return a circle's requests, the oldest first."""
    return rows.select(tx, JoinRequestRow, "join_request", "WHERE circle = ? ORDER BY received_at, hash", (circle,))


def change_request(tx: Tx, request_hash: bytes, **changes: Value) -> None:
    """Change columns of a request."""
    rows.update(tx, "join_request", "hash = ?", (request_hash,), **changes)


# --- Replies --------------------------------------------------------------------------------------------------------


def put_reply(tx: Tx, row: ReplyRow) -> None:
    """Keep a reply to send."""
    rows.put(tx, "reply", row)


def get_reply(tx: Tx, request_hash: bytes) -> ReplyRow | None:
    """Return a reply by the hash of its request (32 bytes)."""
    return rows.first(tx, ReplyRow, "reply", "WHERE request_hash = ?", (request_hash,))


def list_replies(tx: Tx, circle: bytes) -> list[ReplyRow]:
    """Return a circle's replies that are still to be sent (again)."""
    return rows.select(tx, ReplyRow, "reply", "WHERE circle = ? ORDER BY request_hash", (circle,))


def change_reply(tx: Tx, request_hash: bytes, **changes: Value) -> None:
    """Change columns of a reply."""
    rows.update(tx, "reply", "request_hash = ?", (request_hash,), **changes)


def remove_reply(tx: Tx, request_hash: bytes) -> None:
    """Delete a reply: the joiner was seen."""
    rows.delete(tx, "reply", "request_hash = ?", (request_hash,))
