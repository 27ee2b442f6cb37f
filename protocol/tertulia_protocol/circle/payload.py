"""What a member says once: the payload inside an application message (docs/protocol, "Payloads").

The bytes of a payload are fixed when it leaves the composer's queue and never change again, however often it has to be
encrypted: a post is known by (member_pk, post_id), and the first counted one stands. ``author_seq`` and ``prev`` chain
the payloads of one author, that is, of one device, so that a relay which drops some of them is noticed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Self

from tertulia_protocol.codec import Reader, Writer, serialize
from tertulia_protocol.errors import DecodeError, UnsupportedError
from tertulia_protocol.relay_api.records import Position, check_seq

VERSION = 1
FIRST_PREV = bytes(32)
POST_ID_BYTES = 16
MINUTE = 60


class PayloadType(IntEnum):
    """What a payload is for. Numbers are never given again; unknown ones are kept and shown as a stub."""

    POST = 1
    EDIT = 2
    REDACT = 3
    REACTION = 4
    ATTACH = 5
    REQUEST = 6
    LIFEBOAT = 7
    COORD_SECRET = 8
    """Reserved: the coordinators' secret travels in the commit."""
    DIGEST = 9
    HISTORY_NOTE = 10
    POLL = 11
    POLL_REQUEST = 12
    POLL_SIGS = 13
    FAILOVER = 14
    HELLO = 15
    ROSTER_PROPOSAL = 16
    ROSTER_APPROVAL = 17


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """One payload. ``minute`` is minutes since 1970, by the author's clock; ``seen`` the newest place it had read."""

    type: int
    post_id: bytes
    author_seq: int
    lamport: int
    prev: bytes
    seen_segment: int
    seen: Position
    minute: int
    share: bool
    body: bytes = field(repr=False)
    version: int = VERSION

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """:raises UnsupportedError: another version. :raises DecodeError: truncated, or numbers that make no sense."""
        version = reader.u8()
        check_payload_version(version)
        payload = cls(
            version=version,
            type=reader.u8(),
            post_id=reader.raw(POST_ID_BYTES),
            author_seq=reader.u64(),
            lamport=reader.u64(),
            prev=reader.raw(32),
            seen_segment=reader.u32(),
            seen=Position.decode(reader),
            minute=reader.u32(),
            share=_boolean(reader),
            body=reader.opaque(),
        )
        check_author_seq(payload)
        check_seq(payload.author_seq)
        return payload

    def encode(self, writer: Writer) -> None:
        """:raises ValueError: a field has another length."""
        writer.u8(self.version)
        writer.u8(self.type)
        writer.fixed(self.post_id, POST_ID_BYTES)
        writer.u64(self.author_seq)
        writer.u64(self.lamport)
        writer.fixed(self.prev, 32)
        writer.u32(self.seen_segment)
        self.seen.encode(writer)
        writer.u32(self.minute)
        writer.u8(int(self.share))
        writer.opaque(self.body)


def _boolean(reader: Reader) -> bool:
    value = reader.u8()
    if value > 1:
        raise DecodeError(f"{value} where yes or no belongs")
    return bool(value)


def check_payload_version(version: int) -> None:
    """Check that a payload can be understood. :raises UnsupportedError: another version."""
    if version != VERSION:
        raise UnsupportedError(f"payload version {version}")


def check_author_seq(payload: Payload) -> None:
    """Check that the first payload of an author names no other and every later one does. :raises DecodeError: not."""
    if payload.author_seq == 0 or (payload.author_seq == 1) != (payload.prev == FIRST_PREV):
        raise DecodeError("the place in the author's chain makes no sense")


def payload_hash(data: bytes) -> bytes:
    """Return what the author's next payload names as ``prev``, 32 bytes."""
    return hashlib.sha256(data).digest()


@dataclass(frozen=True, slots=True)
class AuthorState:
    """What was read of one author so far: the newest number and the hash of that payload."""

    author_seq: int = 0
    last_hash: bytes = FIRST_PREV

    def next(self, payload: Payload) -> AuthorState:
        """Return the state after ``payload``; an older one changes nothing."""
        if payload.author_seq <= self.author_seq:
            return self
        return AuthorState(payload.author_seq, payload_hash(serialize(payload)))


class Gap(IntEnum):
    """What a payload says about the ones before it."""

    NONE = 0
    MISSING = 1
    """Payloads between the newest that was read and this one are missing."""
    FORKED = 2
    """This one does not follow the one that was read, or stands in its place: the author's state was copied, or one of
    the two was made by somebody who has its keys."""
    BASELINE = 3
    """The first that was read of this author: nothing is known of what came before."""
    OLD = 4
    """Not newer than what was read."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a payload shows about its author's chain: how many are missing, where some are. It decides nothing."""

    gap: Gap
    missing: int = 0


def compare(state: AuthorState | None, payload: Payload) -> Evidence:
    """Return what ``payload`` shows (E18). :param state: None: nothing was read of this author before."""
    if state is None:
        return Evidence(Gap.BASELINE)
    if payload.author_seq < state.author_seq:
        return Evidence(Gap.OLD)
    if payload.author_seq == state.author_seq:
        same = payload_hash(serialize(payload)) == state.last_hash
        return Evidence(Gap.OLD if same else Gap.FORKED)
    missing = payload.author_seq - state.author_seq - 1
    if missing:
        return Evidence(Gap.MISSING, missing)
    return Evidence(Gap.NONE if payload.prev == state.last_hash else Gap.FORKED)


def build_payload(  # noqa: PLR0913 - each argument is a field, and all are named
    state: AuthorState,
    *,
    type: PayloadType,  # noqa: A002 - the field's name
    post_id: bytes,
    lamport: int,
    seen_segment: int,
    seen: Position,
    now: int,
    share: bool,
    body: bytes,
) -> tuple[Payload, AuthorState]:
    """Return the author's next payload and the state after it; store both at once, before it leaves.

    :param lamport: of ``content.change.next_lamport``.
    :param post_id: 16 random bytes. :param now: seconds since 1970; the payload tells the minute only.
    """
    payload = Payload(
        type=type,
        post_id=post_id,
        author_seq=state.author_seq + 1,
        lamport=lamport,
        prev=state.last_hash,
        seen_segment=seen_segment,
        seen=seen,
        minute=now // MINUTE,
        share=share,
        body=body,
    )
    return payload, state.next(payload)
