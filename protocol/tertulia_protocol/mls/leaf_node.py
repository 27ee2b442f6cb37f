"""Leaf nodes (RFC 9420 sections 7.2 and 7.3): a member's keys, credential and capabilities, signed by the member."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Final, Self

from tertulia_protocol.codec import CachedEncoding, Reader, Writer, opaque_size
from tertulia_protocol.errors import AuthenticityError, RuleError, UnsupportedError
from tertulia_protocol.mls.ciphersuite import CipherSuite
from tertulia_protocol.mls.credential import Credential, check_basic
from tertulia_protocol.mls.extensions import (
    MLS10,
    Capabilities,
    Extension,
    RequiredCapabilities,
    check_no_duplicates,
    find_required_capabilities,
    read_extensions,
)
from tertulia_protocol.mls.labeled import sign_with_label, verify_with_label
from tertulia_protocol.mls.tree_math import LeafIndex

LABEL: Final = "LeafNodeTBS"

MAX_LIFETIME: Final = 91 * 86400
"""The longest lifetime of a key package in seconds: 90 days, and a day for clocks that differ."""


class LeafNodeSource(IntEnum):
    """Where a leaf node was made for."""

    KEY_PACKAGE = 1
    UPDATE = 2
    COMMIT = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifetime:
    """From when until when a key package may be used, both in seconds since 1970 (UTC), both inclusive."""

    not_before: int
    not_after: int

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """Read one. :raises DecodeError: malformed."""
        return cls(not_before=reader.u64(), not_after=reader.u64())

    def encode(self, writer: Writer) -> None:
        """Append the wire form."""
        writer.u64(self.not_before)
        writer.u64(self.not_after)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeafNode(CachedEncoding):
    """A leaf of the ratchet tree. ``lifetime`` belongs to source KEY_PACKAGE, ``parent_hash`` to source COMMIT."""

    encryption_key: bytes
    signature_key: bytes
    credential: Credential
    capabilities: Capabilities
    source: LeafNodeSource
    lifetime: Lifetime | None = None
    parent_hash: bytes | None = None
    extensions: tuple[Extension, ...] = ()
    signature: bytes = field(default=b"", repr=False)

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """Read one. :raises DecodeError: malformed. :raises UnsupportedError: an unknown source or credential."""
        start = reader.position
        encryption_key, signature_key = reader.opaque(), reader.opaque()
        credential, capabilities = Credential.decode(reader), Capabilities.decode(reader)
        source = _read_source(reader)
        return cls(
            encryption_key=encryption_key,
            signature_key=signature_key,
            credential=credential,
            capabilities=capabilities,
            source=source,
            lifetime=Lifetime.decode(reader) if source is LeafNodeSource.KEY_PACKAGE else None,
            parent_hash=reader.opaque() if source is LeafNodeSource.COMMIT else None,
            extensions=read_extensions(reader),
            signature=reader.opaque(),
        ).with_encoding(reader.since(start))

    def encode_fields(self, writer: Writer) -> None:
        """Append the wire form. :raises ValueError: a field does not belong to the source, or is missing."""
        if (self.lifetime is None) == (self.source is LeafNodeSource.KEY_PACKAGE):
            raise ValueError("a lifetime belongs to leaf nodes of key packages and to no others")
        if (self.parent_hash is None) == (self.source is LeafNodeSource.COMMIT):
            raise ValueError("a parent hash belongs to leaf nodes of commits and to no others")
        writer.opaque(self.encryption_key)
        writer.opaque(self.signature_key)
        self.credential.encode(writer)
        self.capabilities.encode(writer)
        writer.u8(self.source)
        if self.lifetime is not None:
            self.lifetime.encode(writer)
        if self.parent_hash is not None:
            writer.opaque(self.parent_hash)
        writer.vector(self.extensions)
        writer.opaque(self.signature)

    def to_be_signed(self, *, group_id: bytes | None, leaf_index: LeafIndex | None) -> bytes:
        """Return LeafNodeTBS. :raises ValueError: a group and an index are missing, or given for a key package."""
        in_group = self.source is not LeafNodeSource.KEY_PACKAGE
        if in_group != (group_id is not None) or in_group != (leaf_index is not None):
            raise ValueError("a group and an index belong to leaf nodes of updates and commits and to no others")
        writer = Writer()
        # The signature is the last field.
        writer.raw(self.encoding[: -opaque_size(len(self.signature))])
        if group_id is not None and leaf_index is not None:
            writer.opaque(group_id)
            writer.u32(leaf_index)
        return writer.getvalue()

    def sign(
        self,
        suite: CipherSuite,
        private: bytes,
        *,
        group_id: bytes | None = None,
        leaf_index: LeafIndex | None = None,
    ) -> LeafNode:
        """Return this leaf with its signature. :param private: the 32-byte seed of ``signature_key``.

        :raises ValueError: see :meth:`to_be_signed`. :raises RuleError: an extension stands there twice.
        """
        check_no_duplicates(self.extensions)
        content = self.to_be_signed(group_id=group_id, leaf_index=leaf_index)
        return replace(self, signature=sign_with_label(suite, private, LABEL, content))


def _read_source(reader: Reader) -> LeafNodeSource:
    value = reader.u8()
    try:
        return LeafNodeSource(value)
    except ValueError as error:
        raise UnsupportedError(f"leaf node source {value}") from error


def verify_leaf_signature(
    suite: CipherSuite, leaf: LeafNode, *, group_id: bytes | None = None, leaf_index: LeafIndex | None = None
) -> None:
    """Check a leaf's own signature. For a key package's leaf ``group_id`` and ``leaf_index`` do not matter.

    :raises AuthenticityError: it does not hold.
    """
    if leaf.source is LeafNodeSource.KEY_PACKAGE:
        content = leaf.to_be_signed(group_id=None, leaf_index=None)
    elif group_id is None or leaf_index is None:
        raise AuthenticityError("a leaf node of a group stands where there is no group")
    else:
        content = leaf.to_be_signed(group_id=group_id, leaf_index=leaf_index)
    verify_with_label(suite, leaf.signature_key, LABEL, content, leaf.signature)


def check_leaf_source(leaf: LeafNode, source: LeafNodeSource) -> None:
    """Check that a leaf was made for where it stands. :raises RuleError: it was not."""
    if leaf.source is not source:
        raise RuleError(f"a leaf node of source {leaf.source.name} where {source.name} belongs", rule="RFC9420-7.3")


def check_leaf_keys(suite: CipherSuite, leaf: LeafNode) -> None:
    """Check that both keys are keys of the suite. :raises DecodeError: one is not."""
    suite.check_hpke_public_key(leaf.encryption_key)
    suite.check_signature_public_key(leaf.signature_key)


def check_leaf_suite(suite: CipherSuite, leaf: LeafNode) -> None:
    """Check that a leaf lists the group's version and cipher suite. :raises RuleError: it does not."""
    if MLS10 not in leaf.capabilities.versions or suite.id not in leaf.capabilities.cipher_suites:
        raise RuleError("a leaf node does not support the group's version or cipher suite", rule="RFC9420-7.2")


def check_leaf_credential(leaf: LeafNode) -> None:
    """Check that a leaf lists the type of its own credential. :raises RuleError: it does not."""
    if leaf.credential.type not in leaf.capabilities.credentials:
        raise RuleError("a leaf node does not support its own credential", rule="RFC9420-7.3")


def check_leaf_extensions(leaf: LeafNode) -> None:
    """Check that a leaf lists every extension that it carries. :raises RuleError: it does not."""
    missing = leaf.capabilities.unsupported_extensions(extension.type for extension in leaf.extensions)
    if missing:
        raise RuleError(f"a leaf node does not list its extension {min(missing):#06x}", rule="RFC9420-7.3")


def check_required_capabilities(leaf: LeafNode, required: RequiredCapabilities) -> None:
    """Check that a leaf has what the group requires. :raises RuleError: something is missing."""
    has = leaf.capabilities
    if (
        has.unsupported_extensions(required.extensions)
        or has.unsupported_proposals(required.proposals)
        or not set(required.credentials) <= set(has.credentials)
    ):
        raise RuleError("a leaf node lacks a required capability", rule="RFC9420-7.3")


def check_group_extensions(leaf: LeafNode, extensions: Iterable[Extension]) -> None:
    """Check that a leaf supports every extension of the group context. :raises RuleError: it does not."""
    missing = leaf.capabilities.unsupported_extensions(extension.type for extension in extensions)
    if missing:
        raise RuleError(f"a leaf node does not support extension {min(missing):#06x}", rule="RFC9420-13.4")


def check_credentials_in_use(leaf: LeafNode, in_use: Iterable[int]) -> None:
    """Check that a leaf supports the credential types of the other members. :raises RuleError: it does not."""
    if not set(in_use) <= set(leaf.capabilities.credentials):
        raise RuleError("a leaf node does not support a credential type of the group", rule="RFC9420-7.3")


def check_credential_understood(leaf: LeafNode, supported: Iterable[int]) -> None:
    """Check that the other members support a leaf's credential type. :raises RuleError: one of them does not.

    :param supported: the credential types that every other member lists.
    """
    if leaf.credential.type not in supported:
        raise RuleError("a member does not support the credential of a leaf node", rule="RFC9420-7.3")


def check_lifetime(leaf: LeafNode, now: int) -> None:
    """Check that ``now`` (seconds since 1970) lies in a key package's lifetime. :raises RuleError: it does not."""
    lifetime = leaf.lifetime
    if lifetime is None or not lifetime.not_before <= now <= lifetime.not_after:
        raise RuleError("a key package is used outside its lifetime", rule="RFC9420-7.3")


def check_lifetime_length(leaf: LeafNode) -> None:
    """Check that a key package's lifetime is at most ``MAX_LIFETIME``. :raises RuleError: it is longer."""
    lifetime = leaf.lifetime
    if lifetime is None or lifetime.not_after - lifetime.not_before > MAX_LIFETIME:
        raise RuleError("a key package has too long a lifetime", rule="RFC9420-7.2")


def check_leaf(
    suite: CipherSuite, leaf: LeafNode, *, source: LeafNodeSource, extensions: tuple[Extension, ...] = ()
) -> None:
    """Check a leaf by itself and against a group's extensions (RFC 9420 section 7.3), all but its signature.

    What remains to the caller: the signature (:func:`verify_leaf_signature`), what depends on the other leaves
    (unique keys, :func:`check_credentials_in_use`, :func:`check_credential_understood`), the lifetime of a key package
    that was just received (:func:`check_lifetime`) and whether the credential is who it says.

    :raises InvalidMessageError: a rule is broken.
    """
    check_leaf_source(leaf, source)
    check_leaf_consistent(suite, leaf)
    check_leaf_in_group(leaf, extensions=extensions)


def check_leaf_consistent(suite: CipherSuite, leaf: LeafNode) -> None:
    """Check a leaf by itself, whatever its source. :raises InvalidMessageError: a rule is broken."""
    check_leaf_keys(suite, leaf)
    check_basic(leaf.credential)
    check_leaf_suite(suite, leaf)
    check_leaf_credential(leaf)
    check_leaf_extensions(leaf)


def check_leaf_in_group(leaf: LeafNode, *, extensions: tuple[Extension, ...]) -> None:
    """Check a leaf against the extensions of a group context. :raises InvalidMessageError: a rule is broken."""
    check_required_capabilities(leaf, find_required_capabilities(extensions))
    check_group_extensions(leaf, extensions)
