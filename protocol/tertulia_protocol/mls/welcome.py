"""Welcomes (RFC 9420 sections 12.4.3 and 12.4.3.1): how new members learn the group and its secrets."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final, Self

from tertulia_protocol.codec import CachedEncoding, Reader, Writer, opaque_size, parse, serialize
from tertulia_protocol.errors import DecodeError, RuleError
from tertulia_protocol.mls.ciphersuite import CipherSuite
from tertulia_protocol.mls.extensions import Extension, check_no_duplicates, read_extensions
from tertulia_protocol.mls.group_context import GroupContext
from tertulia_protocol.mls.key_package import KeyPackage, KeyPackageBundle, key_package_ref
from tertulia_protocol.mls.key_schedule import welcome_secret
from tertulia_protocol.mls.labeled import (
    HPKECiphertext,
    decrypt_with_label,
    encrypt_with_label,
    expand_with_label,
    sign_with_label,
    verify_with_label,
)
from tertulia_protocol.mls.psk import PreSharedKeyID
from tertulia_protocol.mls.tree_math import LeafIndex

LABEL: Final = "GroupInfoTBS"


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSecrets:
    """What one new member needs. ``joiner_secret`` and ``path_secret`` have Nh bytes."""

    joiner_secret: bytes = field(repr=False)
    path_secret: bytes | None = field(default=None, repr=False)
    psks: tuple[PreSharedKeyID, ...] = ()

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """Read one. :raises InvalidMessageError: malformed or not supported."""
        return cls(
            joiner_secret=reader.opaque(),
            path_secret=reader.optional(Reader.opaque),
            psks=reader.vector(PreSharedKeyID.decode),
        )

    def encode(self, writer: Writer) -> None:
        """Append the wire form."""
        writer.opaque(self.joiner_secret)
        writer.u8(self.path_secret is not None)
        if self.path_secret is not None:
            writer.opaque(self.path_secret)
        writer.vector(self.psks)


@dataclass(frozen=True, slots=True, kw_only=True)
class EncryptedGroupSecrets:
    """The GroupSecrets for the owner of one key package, named by its reference."""

    new_member: bytes
    encrypted_group_secrets: HPKECiphertext

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """Read one. :raises DecodeError: malformed."""
        return cls(new_member=reader.opaque(), encrypted_group_secrets=HPKECiphertext.decode(reader))

    def encode(self, writer: Writer) -> None:
        """Append the wire form."""
        writer.opaque(self.new_member)
        self.encrypted_group_secrets.encode(writer)


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupInfo(CachedEncoding):
    """The public state of an epoch, signed by the member at leaf ``signer``."""

    group_context: GroupContext
    extensions: tuple[Extension, ...] = ()
    confirmation_tag: bytes = field(repr=False)
    signer: LeafIndex
    signature: bytes = field(default=b"", repr=False)

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """Read one. :raises InvalidMessageError: malformed or not supported."""
        start = reader.position
        return cls(
            group_context=GroupContext.decode(reader),
            extensions=read_extensions(reader),
            confirmation_tag=reader.opaque(),
            signer=LeafIndex(reader.u32()),
            signature=reader.opaque(),
        ).with_encoding(reader.since(start))

    def encode_fields(self, writer: Writer) -> None:
        """Append the wire form."""
        self.group_context.encode(writer)
        writer.vector(self.extensions)
        writer.opaque(self.confirmation_tag)
        writer.u32(self.signer)
        writer.opaque(self.signature)

    def to_be_signed(self) -> bytes:
        """Return GroupInfoTBS: everything before the signature."""
        return self.encoding[: -opaque_size(len(self.signature))]

    def sign(self, suite: CipherSuite, private: bytes) -> GroupInfo:
        """Return this with its signature. :param private: the 32-byte seed of the signer's signature key."""
        check_no_duplicates(self.extensions)
        return replace(self, signature=sign_with_label(suite, private, LABEL, self.to_be_signed()))


def verify_group_info_signature(suite: CipherSuite, info: GroupInfo, *, public_key: bytes) -> None:
    """Check the signature. :param public_key: the key of leaf ``info.signer``.

    :raises AuthenticityError: it does not hold.
    """
    verify_with_label(suite, public_key, LABEL, info.to_be_signed(), info.signature)


@dataclass(frozen=True, slots=True, kw_only=True)
class Welcome(CachedEncoding):
    """One message for all new members of a commit."""

    cipher_suite: int
    secrets: tuple[EncryptedGroupSecrets, ...]
    encrypted_group_info: bytes = field(repr=False)

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """Read one. :raises DecodeError: malformed."""
        start = reader.position
        return cls(
            cipher_suite=reader.u16(),
            secrets=reader.vector(EncryptedGroupSecrets.decode),
            encrypted_group_info=reader.opaque(),
        ).with_encoding(reader.since(start))

    def encode_fields(self, writer: Writer) -> None:
        """Append the wire form."""
        writer.u16(self.cipher_suite)
        writer.vector(self.secrets)
        writer.opaque(self.encrypted_group_info)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMember:
    """Someone whom a Welcome is for. ``path_secret`` (Nh bytes) is there when the commit has a path."""

    key_package: KeyPackage
    path_secret: bytes | None = field(default=None, repr=False)


def build_welcome(  # noqa: PLR0913 - each argument is a part of the Welcome, and all are named
    suite: CipherSuite,
    *,
    group_info: GroupInfo,
    joiner_secret: bytes,
    psk_secret: bytes,
    psks: tuple[PreSharedKeyID, ...] = (),
    new_members: Iterable[NewMember],
) -> Welcome:
    """Return a Welcome. :param group_info: signed. :param psk_secret: Nh bytes, all zero where there are no PSKs.

    :raises RuleError: a key package is of another suite.
    """
    key, nonce = _group_info_key(suite, joiner_secret, psk_secret)
    encrypted_group_info = suite.aead_seal(key, nonce, b"", group_info.encoding)
    secrets = []
    for new_member in new_members:
        key_package = new_member.key_package
        plaintext = GroupSecrets(joiner_secret=joiner_secret, path_secret=new_member.path_secret, psks=psks)
        sealed = encrypt_with_label(suite, key_package.init_key, "Welcome", encrypted_group_info, serialize(plaintext))
        reference = key_package_ref(suite, key_package)
        secrets.append(EncryptedGroupSecrets(new_member=reference, encrypted_group_secrets=sealed))
    return Welcome(cipher_suite=suite.id, secrets=tuple(secrets), encrypted_group_info=encrypted_group_info)


def open_group_secrets(suite: CipherSuite, welcome: Welcome, bundle: KeyPackageBundle) -> GroupSecrets:
    """Return the secrets for the owner of a key package (RFC 9420 section 12.4.3.1, first and second step).

    :raises RuleError: the Welcome is not for this key package, or of another suite.
    :raises AuthenticityError: not sealed to its key. :raises InvalidMessageError: malformed inside.
    """
    check_welcome_suite(suite, welcome, bundle.key_package)
    entry = find_entry(welcome, key_package_ref(suite, bundle.key_package))
    plaintext = decrypt_with_label(
        suite, bundle.init_private, "Welcome", welcome.encrypted_group_info, entry.encrypted_group_secrets
    )
    secrets = parse(GroupSecrets, plaintext)
    check_secret_lengths(suite, secrets)
    return secrets


def open_group_info(suite: CipherSuite, welcome: Welcome, *, joiner_secret: bytes, psk_secret: bytes) -> GroupInfo:
    """Return the group's public state; signature, tree and confirmation tag are still to be verified.

    :raises AuthenticityError: not sealed with these secrets, or changed.
    :raises InvalidMessageError: malformed inside, or the group is of another suite.
    """
    key, nonce = _group_info_key(suite, joiner_secret, psk_secret)
    info = parse(GroupInfo, suite.aead_open(key, nonce, b"", welcome.encrypted_group_info))
    check_group_suite(suite, info)
    return info


def find_entry(welcome: Welcome, reference: bytes) -> EncryptedGroupSecrets:
    """Return the entry for a key package. :raises RuleError: there is none."""
    for entry in welcome.secrets:
        if entry.new_member == reference:
            return entry
    raise RuleError("a Welcome is not for this key package", rule="RFC9420-12.4.3.1")


def check_welcome_suite(suite: CipherSuite, welcome: Welcome, key_package: KeyPackage) -> None:
    """Check that Welcome and key package are of the suite. :raises RuleError: they are not."""
    if not welcome.cipher_suite == key_package.cipher_suite == suite.id:
        raise RuleError("a Welcome is for another cipher suite than its key package", rule="RFC9420-12.4.3.1")


def check_group_suite(suite: CipherSuite, info: GroupInfo) -> None:
    """Check that the group is of the suite. :raises RuleError: it is not."""
    if info.group_context.cipher_suite != suite.id:
        raise RuleError("a Welcome leads to a group of another cipher suite", rule="RFC9420-12.4.3.1")


def check_secret_lengths(suite: CipherSuite, secrets: GroupSecrets) -> None:
    """Check that the secrets have Nh bytes. :raises DecodeError: one has not."""
    for secret in (secrets.joiner_secret, secrets.path_secret):
        if secret is not None and len(secret) != suite.Nh:
            raise DecodeError("a secret of a Welcome has a wrong length")


def _group_info_key(suite: CipherSuite, joiner_secret: bytes, psk_secret: bytes) -> tuple[bytes, bytes]:
    secret = welcome_secret(suite, joiner_secret, psk_secret)
    return (
        expand_with_label(suite, secret, "key", b"", suite.Nk),
        expand_with_label(suite, secret, "nonce", b"", suite.Nn),
    )
