"""The Charter: what all members of a circle agree on, in the group context (docs/protocol, "The Charter").

Nothing in it is secret: a commit that removes somebody is readable for the one removed. Nothing in it comes from the
exporter: the exporter depends on it. It is extension 0xFA10 of the group; 0xFA11 in a leaf tells for which segment a
member's path was refreshed (E5).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Self

from tertulia_protocol.circle.identity import BAN_LENGTH, LINEAGE_ID_LENGTH
from tertulia_protocol.codec import Reader, Writer, parse, serialize
from tertulia_protocol.errors import DecodeError, RuleError, UnsupportedError
from tertulia_protocol.mls.ciphersuite import HYBRID
from tertulia_protocol.mls.credential import BASIC
from tertulia_protocol.mls.extensions import Capabilities, Extension, RequiredCapabilities, find_extension
from tertulia_protocol.mls.leaf_node import LeafNode

EXTENSION_TYPE: Final = 0xFA10
REFRESH_TYPE: Final = 0xFA11
VERSION: Final = 1
SALT_LENGTH: Final = 16
LIFE_CLASS: Final = 3
"""The life class of circle segments and lobbies, 400 days (E27)."""


class Role(IntEnum):
    """What a relay is for. Mirrors (2) are not in this version (E35)."""

    PRIMARY = 0
    BACKUP = 1


class HistoryMode(IntEnum):
    """How much of the past somebody new may be given (E36)."""

    NONE = 0
    DAYS = 1
    ALL = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Coordinator:
    """A member who may commit. ``rank`` is a stable, unique number and nothing else (E20)."""

    rank: int
    member_pk: bytes

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """Read one. :raises DecodeError: truncated."""
        return cls(rank=reader.u8(), member_pk=reader.raw(32))

    def encode(self, writer: Writer) -> None:
        """Append the wire form. :raises ValueError: the key has not 32 bytes."""
        writer.u8(self.rank)
        writer.fixed(self.member_pk, 32)


def _read_uri(reader: Reader) -> str:
    try:
        return reader.opaque().decode("ascii")
    except UnicodeDecodeError as error:
        raise DecodeError("a relay address is not ASCII") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayRef:
    """A relay of the circle. No key is shared between two relays."""

    relay_pk: bytes
    role: int
    uri: str
    admin_vk: bytes
    lobby_read_vk: bytes

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """Read one. :raises DecodeError: truncated, or the URI is not ASCII."""
        return cls(
            relay_pk=reader.raw(32),
            role=reader.u8(),
            uri=_read_uri(reader),
            admin_vk=reader.raw(32),
            lobby_read_vk=reader.raw(32),
        )

    def encode(self, writer: Writer) -> None:
        """Append the wire form. :raises ValueError: a key has not 32 bytes."""
        writer.fixed(self.relay_pk, 32)
        writer.u8(self.role)
        writer.opaque(self.uri.encode("ascii"))
        writer.fixed(self.admin_vk, 32)
        writer.fixed(self.lobby_read_vk, 32)

    @property
    def place(self) -> tuple[bytes, int, str]:
        """Return (relay_pk, role, uri): what coordinators approve of (E20); the keys change with every hop."""
        return self.relay_pk, self.role, self.uri


@dataclass(frozen=True, slots=True, kw_only=True)
class Transport:
    """Where the circle talks now: the number of the segment, its relays, and the coordinators' public keys there."""

    segment_no: int
    relays: tuple[RelayRef, ...]
    """The first one is read and written."""
    lobby_pk: bytes
    """X-Wing, 1216 bytes."""
    salt: bytes
    """16 bytes, fresh at every hop."""
    coord_gen: int
    """The generation of the coordinators' secret; 0 at founding (E7)."""
    ttl_class: int = LIFE_CLASS

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """Read one. :raises DecodeError: malformed."""
        return cls(
            segment_no=reader.u32(),
            relays=reader.vector(RelayRef.decode),
            lobby_pk=reader.opaque(),
            salt=reader.raw(SALT_LENGTH),
            coord_gen=reader.u32(),
            ttl_class=reader.u8(),
        )

    def encode(self, writer: Writer) -> None:
        """Append the wire form. :raises ValueError: the salt has not 16 bytes."""
        writer.u32(self.segment_no)
        writer.vector(self.relays)
        writer.opaque(self.lobby_pk)
        writer.fixed(self.salt, SALT_LENGTH)
        writer.u32(self.coord_gen)
        writer.u8(self.ttl_class)

    @property
    def relay_pks(self) -> tuple[bytes, ...]:
        """Return the relays' keys in their order."""
        return tuple(relay.relay_pk for relay in self.relays)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the circle allows. Days are whole days; ``min_client`` counts behaviour versions (E38)."""

    member_refresh: int = 0
    history_mode: int = HistoryMode.ALL
    history_days: int = 0
    anon_mode: int = 0
    anon_per_day: int = 0
    retention_days: int = 0
    max_leaves: int = 180
    max_devices: int = 5
    max_stale_days: int = 10
    min_client: int = 1

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """Read one. :raises DecodeError: truncated."""
        return cls(
            member_refresh=reader.u8(),
            history_mode=reader.u8(),
            history_days=reader.u16(),
            anon_mode=reader.u8(),
            anon_per_day=reader.u16(),
            retention_days=reader.u16(),
            max_leaves=reader.u16(),
            max_devices=reader.u8(),
            max_stale_days=reader.u16(),
            min_client=reader.u16(),
        )

    def encode(self, writer: Writer) -> None:
        """Append the wire form. :raises OverflowError: a number is out of range."""
        writer.u8(self.member_refresh)
        writer.u8(self.history_mode)
        writer.u16(self.history_days)
        writer.u8(self.anon_mode)
        writer.u16(self.anon_per_day)
        writer.u16(self.retention_days)
        writer.u16(self.max_leaves)
        writer.u8(self.max_devices)
        writer.u16(self.max_stale_days)
        writer.u16(self.min_client)


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """A coordinator of the old roster agrees with a change of roster, threshold or relays (E20)."""

    rank: int
    sig: bytes

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """Read one. :raises DecodeError: truncated."""
        return cls(rank=reader.u8(), sig=reader.raw(64))

    def encode(self, writer: Writer) -> None:
        """Append the wire form. :raises ValueError: the signature has not 64 bytes."""
        writer.u8(self.rank)
        writer.fixed(self.sig, 64)


def _read_bans(reader: Reader) -> tuple[bytes, ...]:
    start = reader.position
    data = reader.opaque()
    if len(data) % BAN_LENGTH:
        raise DecodeError("a part of a ban is left", position=start)
    return tuple(data[i : i + BAN_LENGTH] for i in range(0, len(data), BAN_LENGTH))


@dataclass(frozen=True, slots=True, kw_only=True)
class Charter:
    """The agreement itself."""

    lineage_id: bytes
    generation: int = 0
    rev: int = 0
    """+1 with every commit that changes anything here."""
    roster_rev: int = 0
    """+1 with every change of roster, threshold or relays (E20)."""
    policy: Policy
    coordinators: tuple[Coordinator, ...]
    roster_threshold: int
    transport: Transport
    banned: tuple[bytes, ...] = ()
    """:func:`identity.ban_hash` of members who must not come back."""
    approvals: tuple[Approval, ...] = ()
    """For the last change of roster, threshold or relays."""
    version: int = VERSION

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """Read one. :raises UnsupportedError: of another version. :raises DecodeError: malformed."""
        version = reader.u8()
        check_version(version)
        return cls(
            version=version,
            lineage_id=reader.raw(LINEAGE_ID_LENGTH),
            generation=reader.u32(),
            rev=reader.u32(),
            roster_rev=reader.u32(),
            policy=Policy.decode(reader),
            coordinators=reader.vector(Coordinator.decode),
            roster_threshold=reader.u8(),
            transport=Transport.decode(reader),
            banned=_read_bans(reader),
            approvals=reader.vector(Approval.decode),
        )

    def encode(self, writer: Writer) -> None:
        """Append the wire form. :raises ValueError: a field has another length."""
        writer.u8(self.version)
        writer.fixed(self.lineage_id, LINEAGE_ID_LENGTH)
        writer.u32(self.generation)
        writer.u32(self.rev)
        writer.u32(self.roster_rev)
        self.policy.encode(writer)
        writer.vector(self.coordinators)
        writer.u8(self.roster_threshold)
        self.transport.encode(writer)
        writer.opaque(b"".join(self.banned))
        writer.vector(self.approvals)

    @property
    def segment_no(self) -> int:
        """Return the number of the segment in use."""
        return self.transport.segment_no

    @property
    def roster(self) -> frozenset[bytes]:
        """Return the coordinators' member_pks."""
        return frozenset(coordinator.member_pk for coordinator in self.coordinators)

    def is_coordinator(self, member_pk: bytes) -> bool:
        """Answer whether a member (32 bytes) is a coordinator."""
        return member_pk in self.roster


def check_version(version: int) -> None:
    """Check that a Charter can be read. :raises UnsupportedError: it is of another version."""
    if version != VERSION:
        raise UnsupportedError(f"charter version {version}")


def charter_of(extensions: Iterable[Extension]) -> Charter:
    """Return the Charter among a group's extensions. :raises InvalidMessageError: none is there, or malformed."""
    data = find_extension(extensions, EXTENSION_TYPE)
    if data is None:
        raise RuleError("a group without a Charter", rule="charter")
    return parse(Charter, data)


def required_capabilities() -> RequiredCapabilities:
    """Return what every leaf of a circle must support: the Charter, and nothing else (E27)."""
    return RequiredCapabilities(extensions=(EXTENSION_TYPE,))


def group_extensions(charter: Charter) -> tuple[Extension, ...]:
    """Return a circle's group extensions: exactly the required capabilities and the Charter, in this order (E27)."""
    return required_capabilities().extension(), Extension(EXTENSION_TYPE, serialize(charter))


def leaf_capabilities() -> Capabilities:
    """Return what every leaf of a circle lists (E5, E27)."""
    return Capabilities(cipher_suites=(HYBRID.id,), extensions=(EXTENSION_TYPE, REFRESH_TYPE), credentials=(BASIC,))


def refresh_extension(segment_no: int) -> Extension:
    """Return the leaf extension that says: this path was refreshed in segment ``segment_no`` (E5)."""
    return Extension(REFRESH_TYPE, segment_no.to_bytes(4, "big"))


def refreshed_in(leaf: LeafNode) -> int | None:
    """Return the segment in which a leaf's path was refreshed, or None. :raises DecodeError: malformed."""
    data = find_extension(leaf.extensions, REFRESH_TYPE)
    if data is None:
        return None
    reader = Reader(data)
    segment_no = reader.u32()
    reader.expect_end()
    return segment_no
