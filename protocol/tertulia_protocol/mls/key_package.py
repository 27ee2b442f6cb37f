"""Key packages (RFC 9420 section 10): what someone needs to add a client that is not there to answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final, Self

from tertulia_protocol.codec import CachedEncoding, Reader, Writer, opaque_size
from tertulia_protocol.errors import RuleError
from tertulia_protocol.mls.ciphersuite import CipherSuite
from tertulia_protocol.mls.credential import Credential
from tertulia_protocol.mls.extensions import (
    MLS10,
    Capabilities,
    Extension,
    check_no_duplicates,
    check_version,
    read_extensions,
)
from tertulia_protocol.mls.labeled import ref_hash, sign_with_label, verify_with_label
from tertulia_protocol.mls.leaf_node import (
    LeafNode,
    LeafNodeSource,
    Lifetime,
    check_leaf_consistent,
    check_leaf_source,
    check_lifetime,
    check_lifetime_length,
    verify_leaf_signature,
)

LABEL: Final = "KeyPackageTBS"
REFERENCE_LABEL: Final = b"MLS 1.0 KeyPackage Reference"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPackage(CachedEncoding):
    """A client's offer to be added to a group of ``cipher_suite``."""

    version: int = MLS10
    cipher_suite: int
    init_key: bytes
    leaf_node: LeafNode
    extensions: tuple[Extension, ...] = ()
    signature: bytes = field(default=b"", repr=False)

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """Read one. :raises DecodeError: malformed. :raises UnsupportedError: another version."""
        start = reader.position
        version = reader.u16()
        check_version(version)
        return cls(
            version=version,
            cipher_suite=reader.u16(),
            init_key=reader.opaque(),
            leaf_node=LeafNode.decode(reader),
            extensions=read_extensions(reader),
            signature=reader.opaque(),
        ).with_encoding(reader.since(start))

    def encode_fields(self, writer: Writer) -> None:
        """Append the wire form."""
        writer.u16(self.version)
        writer.u16(self.cipher_suite)
        writer.opaque(self.init_key)
        self.leaf_node.encode(writer)
        writer.vector(self.extensions)
        writer.opaque(self.signature)

    def to_be_signed(self) -> bytes:
        """Return KeyPackageTBS: everything before the signature."""
        return self.encoding[: -opaque_size(len(self.signature))]

    def sign(self, suite: CipherSuite, private: bytes) -> KeyPackage:
        """Return this key package with its signature. :param private: the 32-byte seed of the leaf's signature key."""
        check_no_duplicates(self.extensions)
        return replace(self, signature=sign_with_label(suite, private, LABEL, self.to_be_signed()))


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPackageBundle:
    """A key package with its private keys: what its owner keeps until a Welcome comes.

    The private keys are of the lengths of the suite; ``signature_private`` is a 32-byte seed.
    """

    key_package: KeyPackage
    init_private: bytes = field(repr=False)
    encryption_private: bytes = field(repr=False)
    signature_private: bytes = field(repr=False)

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """Read one. :raises DecodeError: malformed."""
        return cls(
            key_package=KeyPackage.decode(reader),
            init_private=reader.opaque(),
            encryption_private=reader.opaque(),
            signature_private=reader.opaque(),
        )

    def encode(self, writer: Writer) -> None:
        """Append the stored form."""
        self.key_package.encode(writer)
        writer.opaque(self.init_private)
        writer.opaque(self.encryption_private)
        writer.opaque(self.signature_private)


def build_key_package(  # noqa: PLR0913 - each argument is a field, and all are named
    suite: CipherSuite,
    *,
    signature_private: bytes,
    credential: Credential,
    capabilities: Capabilities,
    lifetime: Lifetime,
    extensions: tuple[Extension, ...] = (),
    leaf_extensions: tuple[Extension, ...] = (),
    rng: Callable[[int], bytes],
) -> KeyPackageBundle:
    """Return a new key package with fresh keys.

    :param signature_private: the 32-byte seed of the signature key.
    :raises InvalidMessageError: others would refuse it.
    """
    init, encryption = suite.generate_key_pair(rng), suite.generate_key_pair(rng)
    leaf = LeafNode(
        encryption_key=encryption.public,
        signature_key=suite.signature_public_key(signature_private),
        credential=credential,
        capabilities=capabilities,
        source=LeafNodeSource.KEY_PACKAGE,
        lifetime=lifetime,
        extensions=leaf_extensions,
    ).sign(suite, signature_private)
    unsigned = KeyPackage(cipher_suite=suite.id, init_key=init.public, leaf_node=leaf, extensions=extensions)
    key_package = unsigned.sign(suite, signature_private)
    verify_key_package(suite, key_package, now=lifetime.not_before)
    return KeyPackageBundle(
        key_package=key_package,
        init_private=init.private,
        encryption_private=encryption.private,
        signature_private=signature_private,
    )


def key_package_ref(suite: CipherSuite, key_package: KeyPackage) -> bytes:
    """Return the KeyPackageRef, Nh bytes (RFC 9420 section 5.2)."""
    return ref_hash(suite, REFERENCE_LABEL, key_package.encoding)


def verify_key_package(suite: CipherSuite, key_package: KeyPackage, *, now: int | None) -> None:
    """Check a key package by itself (RFC 9420 section 10.1).

    What remains to the caller is what depends on the group: ``check_leaf_in_group``, unique keys, credentials in use.

    :param now: seconds since 1970; None where the lifetime does not matter any more.
    :raises InvalidMessageError: a rule is broken.
    """
    leaf = key_package.leaf_node
    check_key_package_suite(suite, key_package)
    check_leaf_source(leaf, LeafNodeSource.KEY_PACKAGE)
    check_leaf_consistent(suite, leaf)
    check_init_key(suite, key_package)
    check_distinct_keys(key_package)
    check_key_package_extensions(key_package)
    if now is not None:
        check_lifetime_length(leaf)
        check_lifetime(leaf, now)
    verify_leaf_signature(suite, leaf)
    verify_key_package_signature(suite, key_package)


def check_key_package_suite(suite: CipherSuite, key_package: KeyPackage) -> None:
    """Check that version and suite are the group's. :raises RuleError: they are not."""
    if key_package.version != MLS10 or key_package.cipher_suite != suite.id:
        raise RuleError("a key package is for another version or cipher suite", rule="RFC9420-10.1")


def check_init_key(suite: CipherSuite, key_package: KeyPackage) -> None:
    """Check that the init key is a key of the suite. :raises DecodeError: it is not."""
    suite.check_hpke_public_key(key_package.init_key)


def check_distinct_keys(key_package: KeyPackage) -> None:
    """Check that the init key is not the leaf's encryption key. :raises RuleError: it is."""
    if key_package.init_key == key_package.leaf_node.encryption_key:
        raise RuleError("the init key of a key package is its leaf's encryption key", rule="RFC9420-10.1")


def check_key_package_extensions(key_package: KeyPackage) -> None:
    """Check that the leaf lists the key package's extensions. :raises RuleError: it does not."""
    capabilities = key_package.leaf_node.capabilities
    missing = capabilities.unsupported_extensions(extension.type for extension in key_package.extensions)
    if missing:
        raise RuleError(f"a key package does not list its extension {min(missing):#06x}", rule="RFC9420-13.4")


def verify_key_package_signature(suite: CipherSuite, key_package: KeyPackage) -> None:
    """Check the signature over the key package. :raises AuthenticityError: it does not hold."""
    leaf = key_package.leaf_node
    verify_with_label(suite, leaf.signature_key, LABEL, key_package.to_be_signed(), key_package.signature)
