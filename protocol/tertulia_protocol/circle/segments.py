"""The keys of a segment, for every relay of it (docs/protocol, "Segments").

Members' keys come from the exporter of the epoch that a hop leads to; coordinators' keys from their own secret and a
salt in the Charter. Every relay gets other keys, so that two seized relays share no byte.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, Self

from tertulia_protocol.circle.charter import LIFE_CLASS, Charter, RelayRef, Transport
from tertulia_protocol.circle.kdf import KEY_LENGTH, expand, extract, u32
from tertulia_protocol.codec import Reader, Writer
from tertulia_protocol.mls.hpke import MLKEM768_X25519, HpkeKeyPair
from tertulia_protocol.relay_api.addresses import RelayAddr
from tertulia_protocol.relay_api.records import SegmentClass, SegmentConfig
from tertulia_protocol.signing import SigningSeed

EXPORTER_LABEL: Final = "tl1 segment"
COORD_SECRET_LENGTH: Final = 32
BOX_LIFE_CLASS: Final = 1
"""The life class of request and reply boxes, 30 days (E27)."""


class Exporter(Protocol):
    """A group, or a staged commit: something with the exporter of one epoch."""

    def export_secret(self, label: bytes | str, context: bytes, length: int) -> bytes:
        """Return ``length`` bytes."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayAccess:
    """A member's keys of one segment on one relay (E28)."""

    relay_pk: bytes
    append_seed: bytes = field(repr=False)
    read_seed: bytes = field(repr=False)
    wrap_key: bytes = field(repr=False)
    siv_key: bytes = field(repr=False)
    lobby_append_seed: bytes = field(repr=False)

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """Read one. :raises DecodeError: truncated."""
        return cls(
            relay_pk=reader.raw(32),
            append_seed=reader.raw(32),
            read_seed=reader.raw(32),
            wrap_key=reader.raw(32),
            siv_key=reader.raw(32),
            lobby_append_seed=reader.raw(32),
        )

    def encode(self, writer: Writer) -> None:
        """Append the wire form, 192 bytes. :raises ValueError: a key has another length."""
        writer.fixed(self.relay_pk, 32)
        for key in (self.append_seed, self.read_seed, self.wrap_key, self.siv_key, self.lobby_append_seed):
            writer.fixed(key, KEY_LENGTH)

    @property
    def append_key(self) -> SigningSeed:
        """Return the key that signs what is appended."""
        return SigningSeed(self.append_seed)

    @property
    def read_key(self) -> SigningSeed:
        """Return the key that signs reads."""
        return SigningSeed(self.read_seed)

    @property
    def lobby_append_key(self) -> SigningSeed:
        """Return the key that signs letters to the lobby."""
        return SigningSeed(self.lobby_append_seed)


@dataclass(frozen=True, slots=True, kw_only=True)
class SegAccess:
    """A member's keys of one segment on all its relays, in the Charter's order: what a joiner is given (E28)."""

    segment_no: int
    tag_key: bytes = field(repr=False)
    relays: tuple[RelayAccess, ...]

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """Read one. :raises DecodeError: malformed."""
        return cls(segment_no=reader.u32(), tag_key=reader.raw(KEY_LENGTH), relays=reader.vector(RelayAccess.decode))

    def encode(self, writer: Writer) -> None:
        """Append the wire form. :raises ValueError: a key has another length."""
        writer.u32(self.segment_no)
        writer.fixed(self.tag_key, KEY_LENGTH)
        writer.vector(self.relays)


def segment_access(seg_secret: bytes, segment_no: int, relay_pks: Sequence[bytes]) -> SegAccess:
    """Return the members' keys of a segment.

    :param seg_secret: 32 bytes of the exporter; forget it afterwards. :param relay_pks: 32 bytes each, in their order.
    """
    return SegAccess(
        segment_no=segment_no,
        tag_key=expand(extract(b"", seg_secret), b"tl1 tag"),
        relays=tuple(_relay_access(seg_secret, relay_pk) for relay_pk in relay_pks),
    )


def _relay_access(seg_secret: bytes, relay_pk: bytes) -> RelayAccess:
    base = extract(hashlib.sha256(relay_pk).digest(), seg_secret)
    return RelayAccess(
        relay_pk=relay_pk,
        append_seed=expand(base, b"tl1 append"),
        read_seed=expand(base, b"tl1 read"),
        wrap_key=expand(base, b"tl1 wrap"),
        siv_key=expand(base, b"tl1 siv"),
        lobby_append_seed=expand(base, b"tl1 lobby"),
    )


def export_access(epoch: Exporter, charter: Charter) -> SegAccess:
    """Return the members' keys of the segment that ``charter`` names.

    :param epoch: the group or the staged commit in the epoch that the hop led to (or epoch 0), no later one.
    """
    context = charter.lineage_id + u32(charter.segment_no)
    secret = epoch.export_secret(EXPORTER_LABEL, context, KEY_LENGTH)
    return segment_access(secret, charter.segment_no, charter.transport.relay_pks)


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminKeys:
    """A coordinator's keys of one segment on one relay."""

    admin: SigningSeed
    lobby_read: SigningSeed


def _admin_base(coord_secret: bytes, *, salt: bytes, segment_no: int, relay_pk: bytes) -> bytes:
    return extract(salt + u32(segment_no) + hashlib.sha256(relay_pk).digest(), coord_secret)


def admin_keys(coord_secret: bytes, *, salt: bytes, segment_no: int, relay_pk: bytes) -> AdminKeys:
    """Return the keys that seal a segment and read its lobby, on the relay with key ``relay_pk`` (32 bytes).

    :param coord_secret: 32 bytes. :param salt: the segment's, 16 bytes.
    """
    base = _admin_base(coord_secret, salt=salt, segment_no=segment_no, relay_pk=relay_pk)
    return AdminKeys(
        admin=SigningSeed(expand(base, b"tl1 admin")), lobby_read=SigningSeed(expand(base, b"tl1 lobby read"))
    )


def heir_key(coord_secret_after: bytes, *, salt: bytes, segment_no: int, relay_pk: bytes) -> SigningSeed:
    """Return the key that may open a sealed segment again (E8).

    :param coord_secret_after: the secret valid after the hop, which a coordinator removed by it does not know.
    :param salt: with ``segment_no`` those of the segment that is sealed.
    """
    base = _admin_base(coord_secret_after, salt=salt, segment_no=segment_no, relay_pk=relay_pk)
    return SigningSeed(expand(base, b"tl1 heir"))


def lobby_hpke_key(coord_secret: bytes, salt: bytes) -> HpkeKeyPair:
    """Return the X-Wing key pair that letters to the lobby are sealed to."""
    return MLKEM768_X25519.key_pair(expand(coord_secret, b"tl1 lobby hpke" + salt))


def build_transport(
    coord_secret: bytes,
    *,
    segment_no: int,
    relays: Sequence[tuple[RelayAddr, int]],
    salt: bytes,
    coord_gen: int,
) -> Transport:
    """Return a segment's Transport with the public halves of the coordinators' keys.

    :param relays: addresses with their roles, the primary first. :param salt: 16 fresh random bytes.
    """
    refs = []
    for address, role in relays:
        keys = admin_keys(coord_secret, salt=salt, segment_no=segment_no, relay_pk=address.relay_pk)
        refs.append(
            RelayRef(
                relay_pk=address.relay_pk,
                role=role,
                uri=address.uri,
                admin_vk=keys.admin.public_key,
                lobby_read_vk=keys.lobby_read.public_key,
            )
        )
    return Transport(
        segment_no=segment_no,
        relays=tuple(refs),
        lobby_pk=lobby_hpke_key(coord_secret, salt).public,
        salt=salt,
        coord_gen=coord_gen,
    )


def is_coord_secret_of(coord_secret: bytes, transport: Transport) -> bool:
    """Answer whether a coordinator's secret leads to the keys in the Charter; if not, raise an alarm, go on (E7)."""
    relays = [(RelayAddr(relay_pk=ref.relay_pk, uri=ref.uri), ref.role) for ref in transport.relays]
    derived = build_transport(
        coord_secret,
        segment_no=transport.segment_no,
        relays=relays,
        salt=transport.salt,
        coord_gen=transport.coord_gen,
    )
    return derived.relays == transport.relays and derived.lobby_pk == transport.lobby_pk


def log_config(access: RelayAccess, relay: RelayRef) -> SegmentConfig:
    """Return the configuration of the circle's log on a relay; its hash with the relay's key is the segment's id."""
    return SegmentConfig(
        segment_class=SegmentClass.LOG,
        ttl_class=LIFE_CLASS,
        append_vk=access.append_key.public_key,
        read_vk=access.read_key.public_key,
        admin_vk=relay.admin_vk,
    )


def lobby_config(access: RelayAccess, relay: RelayRef) -> SegmentConfig:
    """Return the configuration of the lobby beside the log: members write, coordinators read, nobody administers."""
    return SegmentConfig(
        segment_class=SegmentClass.MAILBOX,
        ttl_class=LIFE_CLASS,
        append_vk=access.lobby_append_key.public_key,
        read_vk=relay.lobby_read_vk,
    )


def box_config(*, append_vk: bytes, read_vk: bytes) -> SegmentConfig:
    """Return the configuration of a request or reply box (E27, E29)."""
    return SegmentConfig(
        segment_class=SegmentClass.MAILBOX, ttl_class=BOX_LIFE_CLASS, append_vk=append_vk, read_vk=read_vk
    )


def segment_id(access: SegAccess, transport: Transport, relay_index: int = 0) -> bytes:
    """Return the id of the circle's segment on one of its relays (32 bytes)."""
    relay = transport.relays[relay_index]
    return log_config(access.relays[relay_index], relay).segment_id(relay.relay_pk)
