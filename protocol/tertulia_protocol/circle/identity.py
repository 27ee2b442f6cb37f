"""Who somebody is: from 24 words to the member of one circle, and what a leaf says of it (docs/protocol, "Identity").

The 32 bytes behind the words lead to one seed per persona, and each persona has another key in every circle, so that
two circles cannot tell that they share a member. A leaf's own key is random and never backed up; the credential binds
it to the member.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Self

from tertulia_protocol.circle.kdf import expand, u32
from tertulia_protocol.codec import Reader, Writer, parse, serialize
from tertulia_protocol.errors import AuthenticityError, RuleError, UnsupportedError
from tertulia_protocol.mls.credential import Credential, basic_credential
from tertulia_protocol.mls.leaf_node import LeafNode
from tertulia_protocol.signing import Label, SigningSeed, is_valid_key, verify

VERSION: Final = 1
LINEAGE_ID_LENGTH: Final = 32
DEVICE_ID_LENGTH: Final = 8
BAN_LENGTH: Final = 16
MAX_CREDENTIAL_LIFE: Final = 400 * 24 * 3600
"""How far ahead ``not_after`` may lie when a coordinator adds a device, in seconds."""


def person_seed(root: bytes, persona: int) -> bytes:
    """Return the 32-byte seed of one persona. :param root: the 32 bytes of entropy of the 24 words (E27)."""
    return expand(root, b"tl1 person" + u32(persona))


def person_key(seed: bytes) -> SigningSeed:
    """Return the key by which a person may be recognised across circles; nothing shows it yet (E35)."""
    return SigningSeed(expand(seed, b"tl1 person sig"))


def member_key(seed: bytes, lineage_id: bytes) -> SigningSeed:
    """Return a persona's key in one circle.

    :param seed: of :func:`person_seed`. :param lineage_id: 32 bytes. :raises ValueError: another length.
    """
    if len(lineage_id) != LINEAGE_ID_LENGTH:
        raise ValueError(f"a lineage id has {LINEAGE_ID_LENGTH} bytes, not {len(lineage_id)}")
    return SigningSeed(expand(seed, b"tl1 member" + lineage_id))


def ban_hash(member_pk: bytes) -> bytes:
    """Return what the Charter's list of banned members holds for a member (16 bytes, E27)."""
    return hashlib.sha256(b"tl1 ban" + member_pk).digest()[:BAN_LENGTH]


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberCredential:
    """The identity of a leaf's basic credential: this device belongs to this member of this circle."""

    lineage_id: bytes
    member_pk: bytes
    device_id: bytes
    not_after: int
    """Seconds since 1970. The committer of the Add looks at it, receivers do not."""
    member_sig: bytes
    person_link: bytes = b""
    """Reserved; must be empty (E35)."""
    version: int = VERSION

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """Read one. :raises UnsupportedError: of another version. :raises DecodeError: truncated."""
        version = reader.u8()
        check_version(version)
        return cls(
            version=version,
            lineage_id=reader.raw(LINEAGE_ID_LENGTH),
            member_pk=reader.raw(32),
            device_id=reader.raw(DEVICE_ID_LENGTH),
            not_after=reader.u64(),
            member_sig=reader.raw(64),
            person_link=reader.opaque(),
        )

    def encode(self, writer: Writer) -> None:
        """Append the wire form. :raises ValueError: a field has another length."""
        writer.u8(self.version)
        writer.fixed(self.lineage_id, LINEAGE_ID_LENGTH)
        writer.fixed(self.member_pk, 32)
        writer.fixed(self.device_id, DEVICE_ID_LENGTH)
        writer.u64(self.not_after)
        writer.fixed(self.member_sig, 64)
        writer.opaque(self.person_link)

    @property
    def device(self) -> tuple[bytes, bytes]:
        """Return (member_pk, device_id): which device this is, whatever its leaf and its keys."""
        return self.member_pk, self.device_id

    def credential(self) -> Credential:
        """Return it as the credential of a leaf."""
        return basic_credential(serialize(self))


def _signed(*, lineage_id: bytes, leaf_signature_key: bytes, device_id: bytes, not_after: int) -> bytes:
    writer = Writer()
    writer.fixed(lineage_id, LINEAGE_ID_LENGTH)
    writer.fixed(leaf_signature_key, 32)
    writer.fixed(device_id, DEVICE_ID_LENGTH)
    writer.u64(not_after)
    return writer.getvalue()


def build_credential(
    *, member: SigningSeed, lineage_id: bytes, device_id: bytes, leaf_signature_key: bytes, not_after: int
) -> MemberCredential:
    """Return the credential that binds a leaf's key (32 bytes) to a member.

    :param device_id: 8 random bytes. :param not_after: seconds since 1970. :raises ValueError: a length is wrong.
    """
    body = _signed(
        lineage_id=lineage_id, leaf_signature_key=leaf_signature_key, device_id=device_id, not_after=not_after
    )
    return MemberCredential(
        lineage_id=lineage_id,
        member_pk=member.public_key,
        device_id=device_id,
        not_after=not_after,
        member_sig=member.sign(Label.DEVICE, body),
    )


def read_credential(credential: Credential) -> MemberCredential:
    """Return what a credential says, unverified. :raises InvalidMessageError: it is not a member's."""
    return parse(MemberCredential, credential.identity)


def member_of(leaf: LeafNode) -> MemberCredential:
    """Return who a leaf of a group belongs to; it was verified when it came into the group.

    :raises InvalidMessageError: the credential is not a member's.
    """
    return read_credential(leaf.credential)


def verify_credential(credential: Credential, *, leaf_signature_key: bytes, lineage_id: bytes) -> MemberCredential:
    """Check a leaf's credential and return it. A function of its arguments alone, so that all members agree.

    :param leaf_signature_key: the leaf's key, 32 bytes. :param lineage_id: of this circle, 32 bytes.
    :raises InvalidMessageError: malformed, of another circle, with an invalid key, or the signature does not hold.
    """
    member = read_credential(credential)
    check_lineage(member, lineage_id)
    check_person_link(member)
    check_keys(member, leaf_signature_key)
    verify_member_signature(member, leaf_signature_key)
    return member


def check_version(version: int) -> None:
    """Check that a credential can be read. :raises UnsupportedError: it is of another version."""
    if version != VERSION:
        raise UnsupportedError(f"member credential version {version}")


def check_lineage(member: MemberCredential, lineage_id: bytes) -> None:
    """Check that a credential was made for this circle. :raises RuleError: for another."""
    if member.lineage_id != lineage_id:
        raise RuleError("a credential of another circle", rule="credential.lineage")


def check_person_link(member: MemberCredential) -> None:
    """Check that nothing links the member to other circles (E35). :raises RuleError: something does."""
    if member.person_link:
        raise RuleError("a credential links a person", rule="E35")


def check_keys(member: MemberCredential, leaf_signature_key: bytes) -> None:
    """Check that both keys are points of the prime-order group (E1). :raises AuthenticityError: one is not."""
    if not is_valid_key(member.member_pk) or not is_valid_key(leaf_signature_key):
        raise AuthenticityError("a key of a credential is not valid")


def verify_member_signature(member: MemberCredential, leaf_signature_key: bytes) -> None:
    """Check that the member claims this leaf's key. :raises AuthenticityError: it does not."""
    body = _signed(
        lineage_id=member.lineage_id,
        leaf_signature_key=leaf_signature_key,
        device_id=member.device_id,
        not_after=member.not_after,
    )
    _verify_once(member.member_pk, body, member.member_sig)


@lru_cache(maxsize=4096)
def _verify_once(member_pk: bytes, body: bytes, signature: bytes) -> None:
    # Every commit looks at every leaf again (V16), and most have not changed. Only what holds is remembered; all of
    # it is known to every member.
    verify(member_pk, Label.DEVICE, body, signature)


def check_not_after(member: MemberCredential, now: int) -> None:
    """Check a credential's life when its device is added; receivers do not look. :param now: seconds since 1970.

    :raises RuleError: it is over, or ends more than 400 days from now.
    """
    if not now <= member.not_after <= now + MAX_CREDENTIAL_LIFE:
        raise RuleError("a credential is used outside its life", rule="credential.not_after")
