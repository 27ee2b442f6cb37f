"""Extensions and capabilities (RFC 9420 sections 7.2, 11.1 and 13)."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Self

from tertulia_protocol.codec import Reader, Writer, parse, serialize
from tertulia_protocol.errors import DecodeError, RuleError, UnsupportedError

MLS10: Final = 1
"""The protocol version."""


class ExtensionType:
    """Extension types (RFC 9420 section 17.3). All are ``uint16``."""

    APPLICATION_ID: Final = 0x0001
    RATCHET_TREE: Final = 0x0002
    REQUIRED_CAPABILITIES: Final = 0x0003
    EXTERNAL_PUB: Final = 0x0004
    EXTERNAL_SENDERS: Final = 0x0005


DEFAULT_EXTENSIONS: Final = frozenset(range(0x0001, 0x0006))
"""Extension types that every client supports and nobody lists (RFC 9420 section 7.2)."""

DEFAULT_PROPOSALS: Final = frozenset(range(0x0001, 0x0008))
"""Proposal types that every client supports and nobody lists (RFC 9420 section 7.2)."""


@dataclass(frozen=True, slots=True)
class Extension:
    """One extension: its type and its encoded content."""

    type: int
    data: bytes

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """Read one. :raises DecodeError: malformed."""
        return cls(reader.u16(), reader.opaque())

    def encode(self, writer: Writer) -> None:
        """Append the wire form."""
        writer.u16(self.type)
        writer.opaque(self.data)


def read_extensions(reader: Reader) -> tuple[Extension, ...]:
    """Read ``Extension<V>``. :raises DecodeError: malformed. :raises RuleError: a type stands there twice."""
    extensions = reader.vector(Extension.decode)
    check_no_duplicates(extensions)
    return extensions


def check_no_duplicates(extensions: Sequence[Extension]) -> None:
    """Check that no type stands in a list twice (RFC 9420 section 13.4). :raises RuleError: one does."""
    if len({extension.type for extension in extensions}) != len(extensions):
        raise RuleError("an extension type stands in a list twice", rule="RFC9420-13.4")


def find_extension(extensions: Iterable[Extension], kind: int) -> bytes | None:
    """Return the content of the extension of type ``kind``, or None."""
    return next((extension.data for extension in extensions if extension.type == kind), None)


def read_u16s(reader: Reader) -> tuple[int, ...]:
    """Read ``uint16<V>``. :raises DecodeError: half an item is left."""
    start = reader.position
    data = reader.opaque()
    if len(data) % 2:
        raise DecodeError("half an item is left in a vector", position=start)
    return struct.unpack(f">{len(data) // 2}H", data)


def write_u16s(writer: Writer, values: Sequence[int]) -> None:
    """Append ``uint16<V>``."""
    writer.opaque(struct.pack(f">{len(values)}H", *values))


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a client supports (RFC 9420 section 7.2). Default types are never listed."""

    versions: tuple[int, ...] = (MLS10,)
    cipher_suites: tuple[int, ...] = ()
    extensions: tuple[int, ...] = ()
    proposals: tuple[int, ...] = ()
    credentials: tuple[int, ...] = ()

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """Read one. :raises DecodeError: malformed."""
        return cls(
            versions=read_u16s(reader),
            cipher_suites=read_u16s(reader),
            extensions=read_u16s(reader),
            proposals=read_u16s(reader),
            credentials=read_u16s(reader),
        )

    def encode(self, writer: Writer) -> None:
        """Append the wire form."""
        for values in (self.versions, self.cipher_suites, self.extensions, self.proposals, self.credentials):
            write_u16s(writer, values)

    def supports_extension(self, kind: int) -> bool:
        """Return whether the extension type is a default one or listed."""
        return kind in DEFAULT_EXTENSIONS or kind in self.extensions

    def unsupported_extensions(self, kinds: Iterable[int]) -> set[int]:
        """Return which of the extension types are neither default ones nor listed.

        Both lists are a stranger's, so what is looked up one by one would cost the product of their lengths.
        """
        return set(kinds) - DEFAULT_EXTENSIONS - set(self.extensions)

    def unsupported_proposals(self, kinds: Iterable[int]) -> set[int]:
        """Return which of the proposal types are neither default ones nor listed."""
        return set(kinds) - DEFAULT_PROPOSALS - set(self.proposals)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequiredCapabilities:
    """What every member of a group must support (RFC 9420 section 11.1)."""

    extensions: tuple[int, ...] = ()
    proposals: tuple[int, ...] = ()
    credentials: tuple[int, ...] = ()

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """Read one. :raises DecodeError: malformed."""
        return cls(extensions=read_u16s(reader), proposals=read_u16s(reader), credentials=read_u16s(reader))

    def encode(self, writer: Writer) -> None:
        """Append the wire form."""
        for values in (self.extensions, self.proposals, self.credentials):
            write_u16s(writer, values)

    def extension(self) -> Extension:
        """Return this as an extension of the group."""
        return Extension(ExtensionType.REQUIRED_CAPABILITIES, serialize(self))


def find_required_capabilities(extensions: Iterable[Extension]) -> RequiredCapabilities:
    """Return what a group's extensions require: nothing if they do not say. :raises DecodeError: malformed."""
    data = find_extension(extensions, ExtensionType.REQUIRED_CAPABILITIES)
    return RequiredCapabilities() if data is None else parse(RequiredCapabilities, data)


def check_version(version: int) -> None:
    """Check that a protocol version is mls10. :raises UnsupportedError: it is not."""
    if version != MLS10:
        raise UnsupportedError(f"protocol version {version}")
