"""What every MLS message of a circle authenticates beside its content (docs/protocol, "Entries", E7).

The header of the entry, so that its claims are its author's; and in a hop that renews the coordinators' secret, that
secret, sealed to each device of the coordinators to come. It travels in the commit itself: there is no moment at which
the hop holds and the coordinators lack the key.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Self

from tertulia_protocol.circle.charter import Charter, charter_of
from tertulia_protocol.circle.identity import member_of
from tertulia_protocol.circle.kdf import u32, u64
from tertulia_protocol.circle.segments import COORD_SECRET_LENGTH
from tertulia_protocol.codec import Reader, Writer, parse, serialize
from tertulia_protocol.errors import AuthenticityError
from tertulia_protocol.mls.group_state import GroupState, leaf_at
from tertulia_protocol.mls.labeled import HPKECiphertext, decrypt_with_label, encrypt_with_label
from tertulia_protocol.mls.tree_math import LeafIndex, leaf_to_node

COORD_LABEL: Final = "tl1 coord"


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedTo:
    """The coordinators' secret for one leaf."""

    leaf_index: LeafIndex
    sealed: HPKECiphertext

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """Read one. :raises DecodeError: truncated."""
        return cls(leaf_index=LeafIndex(reader.u32()), sealed=HPKECiphertext.decode(reader))

    def encode(self, writer: Writer) -> None:
        """Append the wire form."""
        writer.u32(self.leaf_index)
        self.sealed.encode(writer)


@dataclass(frozen=True, slots=True, kw_only=True)
class CoordSecret:
    """The coordinators' secret of one generation, sealed to each of their leaves but the committer's."""

    coord_gen: int
    to: tuple[SealedTo, ...]

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """Read one. :raises DecodeError: malformed."""
        return cls(coord_gen=reader.u32(), to=reader.vector(SealedTo.decode))

    def encode(self, writer: Writer) -> None:
        """Append the wire form."""
        writer.u32(self.coord_gen)
        writer.vector(self.to)

    @property
    def leaves(self) -> tuple[LeafIndex, ...]:
        """Return whom it is sealed to."""
        return tuple(item.leaf_index for item in self.to)


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryAAD:
    """The ``authenticated_data`` of every MLS message of a circle."""

    header_hash: bytes
    """``InnerHeader.hash()``, 32 bytes."""
    coord: CoordSecret | None = None

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """Read one. :raises DecodeError: malformed."""
        header_hash, coord = reader.raw(32), reader.opaque()
        return cls(header_hash=header_hash, coord=parse(CoordSecret, coord) if coord else None)

    def encode(self, writer: Writer) -> None:
        """Append the wire form. :raises ValueError: the hash has not 32 bytes."""
        writer.fixed(self.header_hash, 32)
        writer.opaque(b"" if self.coord is None else serialize(self.coord))


def coordinator_leaves(
    group: GroupState, charter: Charter, *, committer: LeafIndex, removed: Collection[LeafIndex]
) -> tuple[LeafIndex, ...]:
    """Return the leaves that a renewed secret is sealed to, in their order.

    :param group: in the epoch in which the commit is made. :param charter: that of the next epoch.
    :param removed: the leaves that the commit removes; those it adds are told in their join reply.
    """
    return tuple(
        index
        for index, leaf in group.tree.leaves()
        if index != committer and index not in removed and charter.is_coordinator(member_of(leaf).member_pk)
    )


def _context(group: GroupState, lineage_id: bytes, coord_gen: int, leaf_index: LeafIndex) -> bytes:
    return lineage_id + group.group_id + u64(group.epoch) + u32(coord_gen) + u32(leaf_index)


def seal_coord_secret(
    group: GroupState, secret: bytes, *, charter: Charter, removed: Collection[LeafIndex] = ()
) -> CoordSecret:
    """Seal the coordinators' new secret (32 bytes) to every device of theirs but this one.

    :param group: in the epoch in which we commit. :param charter: the Charter that the commit sets; its ``coord_gen``
        is the secret's. :param removed: the leaves that the commit removes.
    """
    if len(secret) != COORD_SECRET_LENGTH:
        raise ValueError(f"a coordinators' secret has {COORD_SECRET_LENGTH} bytes, not {len(secret)}")
    coord_gen = charter.transport.coord_gen
    leaves = coordinator_leaves(group, charter, committer=group.own_index, removed=removed)
    return CoordSecret(
        coord_gen=coord_gen,
        to=tuple(
            SealedTo(
                leaf_index=index,
                sealed=encrypt_with_label(
                    group.suite,
                    leaf_at(group.tree, index).encryption_key,
                    COORD_LABEL,
                    _context(group, charter.lineage_id, coord_gen, index),
                    secret,
                ),
            )
            for index in leaves
        ),
    )


def open_coord_secret(group: GroupState, coord: CoordSecret) -> bytes:
    """Open the coordinators' secret (32 bytes) that a commit carries for us. Do it before the commit is merged.

    Whoever cannot, goes on and is told that this device holds no coordinator key (E7): it is never a reason to refuse
    the commit. Compare the secret by ``segments.is_coord_secret_of``.

    :param group: in the epoch in which the commit was made.
    :raises AuthenticityError: it is not sealed to our leaf, or does not open. :raises DecodeError: malformed.
    """
    own = group.own_index
    sealed = next((item.sealed for item in coord.to if item.leaf_index == own), None)
    if sealed is None:
        raise AuthenticityError("the coordinators' secret is not sealed to this device")
    context = _context(group, charter_of(group.extensions).lineage_id, coord.coord_gen, own)
    secret = decrypt_with_label(group.suite, group.private_keys[leaf_to_node(own)], COORD_LABEL, context, sealed)
    check_secret_length(secret)
    return secret


def check_secret_length(secret: bytes) -> None:
    """Check that what was sealed is a secret of 32 bytes. :raises AuthenticityError: it has another length."""
    if len(secret) != COORD_SECRET_LENGTH:
        raise AuthenticityError("a coordinators' secret has another length")
