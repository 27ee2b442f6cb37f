"""The group context (RFC 9420 section 8.1): what all members of an epoch agree on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from tertulia_protocol.codec import CachedEncoding, Reader, Writer
from tertulia_protocol.mls.extensions import MLS10, Extension, check_version, read_extensions


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupContext(CachedEncoding):
    """The public state of an epoch. ``tree_hash`` and ``confirmed_transcript_hash`` have Nh bytes (or none at all)."""

    version: int = MLS10
    cipher_suite: int
    group_id: bytes
    epoch: int
    tree_hash: bytes
    confirmed_transcript_hash: bytes
    extensions: tuple[Extension, ...] = ()

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """Read one. :raises InvalidMessageError: malformed or of another version."""
        start = reader.position
        version = reader.u16()
        check_version(version)
        return cls(
            version=version,
            cipher_suite=reader.u16(),
            group_id=reader.opaque(),
            epoch=reader.u64(),
            tree_hash=reader.opaque(),
            confirmed_transcript_hash=reader.opaque(),
            extensions=read_extensions(reader),
        ).with_encoding(reader.since(start))

    def encode_fields(self, writer: Writer) -> None:
        """Append the wire form."""
        writer.u16(self.version)
        writer.u16(self.cipher_suite)
        writer.opaque(self.group_id)
        writer.u64(self.epoch)
        writer.opaque(self.tree_hash)
        writer.opaque(self.confirmed_transcript_hash)
        writer.vector(self.extensions)
