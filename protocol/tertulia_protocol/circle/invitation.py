"""Invitations: the link, the card that it leads to, and the box for requests.

docs/protocol, "Invitations". The link carries the hash of the card, so that the relay cannot put another card in its
place, and a secret without which the relay cannot read the card. The card is signed by the inviter and names the keys
of everybody who may approve; it says nothing of what the circle is called or where it talks.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Final, Self

from tertulia_protocol.circle.identity import LINEAGE_ID_LENGTH
from tertulia_protocol.circle.kdf import expand, extract
from tertulia_protocol.circle.letters import PUBLIC_BYTES
from tertulia_protocol.circle.primitives import NONCE_BYTES, TAG_BYTES, XWING, aead_open, aead_seal
from tertulia_protocol.circle.segments import box_config
from tertulia_protocol.codec import Reader, Writer, parse, serialize
from tertulia_protocol.errors import (
    AuthenticityError,
    DecodeError,
    RuleError,
    UnsupportedError,
    UsageError,
)
from tertulia_protocol.relay_api.addresses import RelayAddr, check_uri, from_base64url, to_base64url
from tertulia_protocol.relay_api.records import SegmentConfig
from tertulia_protocol.signing import Label, SigningSeed, is_valid_key, verify

LINK_PREFIX: Final = "tertulia:"
VERSION: Final = 1
DAY: Final = 86400
SECRET_BYTES: Final = 16
CARD_BYTES: Final = 4096
MAX_LINK: Final = 700
"""The longest link in characters that is looked at."""


class Language(IntEnum):
    """Whose word list both sides show; the card fixes it."""

    ENGLISH = 0
    FRENCH = 1
    SPANISH = 2
    PORTUGUESE = 3
    ITALIAN = 4
    CZECH = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class InviteLink:
    """What a coordinator hands to one person, outside of Tertulia. It is a secret."""

    relay_uri: str
    """Where the card is: the relay's URI."""
    invite_secret: bytes = field(repr=False)
    anchor: bytes
    """The id of the card's blob, 32 bytes."""
    expires_day: int
    """Days since 1970; the last day on which the link is good."""
    flags: int = 0
    version: int = VERSION

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """:raises UnsupportedError: another version. :raises DecodeError: malformed."""
        version, flags = reader.u8(), reader.u8()
        check_link_version(version, flags)
        return cls(
            version=version,
            flags=flags,
            relay_uri=_read_uri(reader),
            invite_secret=reader.raw(SECRET_BYTES),
            anchor=reader.raw(32),
            expires_day=reader.u32(),
        )

    def encode(self, writer: Writer) -> None:
        """:raises ValueError: a field has another length."""
        writer.u8(self.version)
        writer.u8(self.flags)
        writer.opaque(self.relay_uri.encode("ascii"))
        writer.fixed(self.invite_secret, SECRET_BYTES)
        writer.fixed(self.anchor, 32)
        writer.u32(self.expires_day)

    def to_string(self) -> str:
        """Return the one-line form, also for a QR code."""
        return LINK_PREFIX + to_base64url(serialize(self))

    @classmethod
    def from_string(cls, text: str) -> Self:
        """Read the one-line form. :raises DecodeError: malformed. :raises UnsupportedError: another version."""
        text = text.strip()
        if not text.startswith(LINK_PREFIX) or len(text) > MAX_LINK:
            raise DecodeError("an invitation begins with " + LINK_PREFIX)
        return parse(cls, from_base64url(text.removeprefix(LINK_PREFIX)))

    @property
    def keys(self) -> InviteKeys:
        """Return what the secret leads to."""
        return invite_keys(self.invite_secret)


def _read_uri(reader: Reader) -> str:
    try:
        uri = reader.opaque().decode("ascii")
    except UnicodeDecodeError as error:
        raise DecodeError("a relay address is not ASCII") from error
    check_uri(uri)
    return uri


def check_link_version(version: int, flags: int) -> None:
    """Check that a link can be understood. :raises UnsupportedError: another version, or flags that are not known."""
    if version != VERSION or flags != 0:
        raise UnsupportedError(f"invitation link version {version}, flags {flags}")


@dataclass(frozen=True, slots=True)
class InviteKeys:
    """What the secret of a link leads to: the key of the card and the key with which requests are appended."""

    card_key: bytes = field(repr=False)
    append: SigningSeed


def invite_keys(invite_secret: bytes) -> InviteKeys:
    """Return the keys of a link's secret (16 bytes)."""
    base = extract(b"tl1 invite", invite_secret)
    return InviteKeys(expand(base, b"card"), SigningSeed(expand(base, b"append")))


@dataclass(frozen=True, slots=True, kw_only=True)
class InvitePreamble:
    """The content of a card: who invites, who may approve, where to send the request and to which key."""

    lineage_id: bytes
    inviter_member_pk: bytes
    invite_pk: bytes
    approvers: tuple[bytes, ...]
    """The member_pks of the coordinators of that day."""
    request_box: SegmentConfig
    relays: tuple[RelayAddr, ...]
    """The boxes are on the first one."""
    expires_day: int
    language: int = Language.ENGLISH
    signature: bytes = bytes(64)
    version: int = VERSION

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """:raises UnsupportedError: another version. :raises DecodeError: malformed."""
        version = reader.u8()
        check_card_version(version)
        return cls(
            version=version,
            language=reader.u8(),
            lineage_id=reader.raw(LINEAGE_ID_LENGTH),
            inviter_member_pk=reader.raw(32),
            invite_pk=reader.raw(PUBLIC_BYTES),
            approvers=reader.vector(lambda inner: inner.raw(32)),
            request_box=SegmentConfig.decode(reader),
            relays=reader.vector(RelayAddr.decode),
            expires_day=reader.u32(),
            signature=reader.raw(64),
        )

    def encode(self, writer: Writer) -> None:
        """:raises ValueError: a field has another length."""
        writer.raw(self.to_be_signed())
        writer.fixed(self.signature, 64)

    def to_be_signed(self) -> bytes:
        """Return all fields before the signature."""
        writer = Writer()
        writer.u8(self.version)
        writer.u8(self.language)
        writer.fixed(self.lineage_id, LINEAGE_ID_LENGTH)
        writer.fixed(self.inviter_member_pk, 32)
        writer.fixed(self.invite_pk, PUBLIC_BYTES)
        writer.opaque(b"".join(self.approvers))
        self.request_box.encode(writer)
        writer.vector(self.relays)
        writer.u32(self.expires_day)
        return writer.getvalue()

    def sign(self, member: SigningSeed) -> InvitePreamble:
        """Return it with the inviter's signature."""
        return replace(self, signature=member.sign(Label.CARD, self.to_be_signed()))

    @property
    def request_box_id(self) -> bytes:
        """Return the segment id of the request box, on the first relay."""
        return self.request_box.segment_id(self.relays[0].relay_pk)


def check_card_version(version: int) -> None:
    """Check that a card can be understood. :raises UnsupportedError: another version."""
    if version != VERSION:
        raise UnsupportedError(f"invitation card version {version}")


def request_box(invite_secret: bytes, *, read_key: SigningSeed) -> SegmentConfig:
    """Return the configuration of an invitation's request box.

    :param read_key: random; it stays on the inviter's device.
    """
    return box_config(append_vk=invite_keys(invite_secret).append.public_key, read_vk=read_key.public_key)


@dataclass(frozen=True, slots=True)
class Card:
    """The card as the relay stores it: one blob of exactly 4096 bytes, and its id."""

    anchor: bytes
    blob: bytes = field(repr=False)


def build_card(preamble: InvitePreamble, invite_secret: bytes) -> Card:
    """Seal a signed preamble. The secret (16 bytes) must be fresh. :raises UsageError: more than a card holds."""
    writer = Writer()
    writer.opaque(serialize(preamble))
    if len(writer) > CARD_BYTES - TAG_BYTES:
        raise UsageError("too many coordinators or relays for one invitation card")
    plaintext = writer.getvalue().ljust(CARD_BYTES - TAG_BYTES, b"\0")
    blob = aead_seal(invite_keys(invite_secret).card_key, bytes(NONCE_BYTES), plaintext, aad=b"tl1 card")
    return Card(hashlib.sha256(blob).digest(), blob)


def open_card(link: InviteLink, blob: bytes, *, now: int) -> InvitePreamble:
    """Read and check the card that a link leads to. :param now: seconds since 1970.

    :raises InvalidMessageError: it is another card, has another form, is not signed by its inviter, or is too old.
    """
    check_anchor(link, blob)
    keys = link.keys
    reader = Reader(aead_open(keys.card_key, bytes(NONCE_BYTES), blob, aad=b"tl1 card"))
    preamble = parse(InvitePreamble, reader.opaque())
    check_card_padding(reader)
    verify_card(preamble)
    check_request_box(preamble, keys)
    check_approvers(preamble)
    check_card_relays(preamble)
    check_invite_key(preamble)
    check_card_day(link, preamble)
    check_not_expired(preamble.expires_day, now=now)
    return preamble


def check_anchor(link: InviteLink, blob: bytes) -> None:
    """Check that the blob is the card that the link names. :raises AuthenticityError: it is another."""
    if not hmac.compare_digest(hashlib.sha256(blob).digest(), link.anchor):
        raise AuthenticityError("the relay gave another card than the invitation names")


def check_card_padding(reader: Reader) -> None:
    """Check that only zeros follow the preamble. :raises DecodeError: another byte does."""
    reader.expect_zeros()


def verify_card(preamble: InvitePreamble) -> None:
    """Check the inviter's signature. :raises AuthenticityError: it does not hold."""
    verify(preamble.inviter_member_pk, Label.CARD, preamble.to_be_signed(), preamble.signature)


def check_request_box(preamble: InvitePreamble, keys: InviteKeys) -> None:
    """Check that the box is a mailbox without admin that this link, and nothing else, lets one write to.

    :raises RuleError: it is something else. :raises DecodeError: a key of it is not valid.
    """
    preamble.request_box.check()
    if preamble.request_box != box_config(append_vk=keys.append.public_key, read_vk=preamble.request_box.read_vk):
        raise RuleError("the request box is not this invitation's", rule="card.box")


def check_approvers(preamble: InvitePreamble) -> None:
    """Check that the approvers are valid keys, each once, the inviter among them. :raises RuleError: otherwise."""
    approvers = preamble.approvers
    if preamble.inviter_member_pk not in approvers or len(set(approvers)) != len(approvers):
        raise RuleError("the inviter is not among the approvers, or one stands there twice", rule="card.approvers")
    if not all(is_valid_key(key) for key in approvers):
        raise RuleError("an approver's key is not valid", rule="card.approvers")


def check_card_relays(preamble: InvitePreamble) -> None:
    """Check that there is a relay, and each once. :raises RuleError: otherwise."""
    keys = [relay.relay_pk for relay in preamble.relays]
    if not keys or len(set(keys)) != len(keys):
        raise RuleError("a card without a relay, or with one twice", rule="card.relays")


def check_invite_key(preamble: InvitePreamble) -> None:
    """Check that a letter can be sealed to the key of the card. :raises DecodeError: it is no X-Wing key."""
    XWING.kem.parse_public(preamble.invite_pk)


def check_card_day(link: InviteLink, preamble: InvitePreamble) -> None:
    """Check that link and card end on one day. :raises RuleError: they do not."""
    if link.expires_day != preamble.expires_day:
        raise RuleError("link and card end on different days", rule="card.day")


def check_not_expired(expires_day: int, *, now: int) -> None:
    """Check that today is not after the last day (UTC). :param now: seconds since 1970. :raises RuleError: it is."""
    if now // DAY > expires_day:
        raise RuleError("the invitation is no longer good", rule="invitation.expired")


@dataclass(frozen=True, slots=True, kw_only=True)
class Invitation:
    """What the inviter's device keeps of an invitation; it never leaves it (E14)."""

    link: InviteLink
    preamble: InvitePreamble
    invite_private: bytes = field(repr=False)
    """The 32-byte seed of the key that requests are sealed to."""
    read_seed: bytes = field(repr=False)
    """Reads the request box."""

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """Read the stored form. :raises InvalidMessageError: malformed."""
        return cls(
            link=InviteLink.decode(reader),
            preamble=InvitePreamble.decode(reader),
            invite_private=reader.raw(32),
            read_seed=reader.raw(32),
        )

    def encode(self, writer: Writer) -> None:
        """Append the stored form."""
        self.link.encode(writer)
        self.preamble.encode(writer)
        writer.fixed(self.invite_private, 32)
        writer.fixed(self.read_seed, 32)

    @property
    def read_key(self) -> SigningSeed:
        """Return the key that reads the request box."""
        return SigningSeed(self.read_seed)


def build_invitation(  # noqa: PLR0913 - each argument is a field, and all are named
    *,
    inviter: SigningSeed,
    lineage_id: bytes,
    approvers: Sequence[bytes],
    relays: Sequence[RelayAddr],
    expires_day: int,
    language: int = Language.ENGLISH,
    rng: Callable[[int], bytes],
) -> tuple[Invitation, Card]:
    """Return a new invitation and the card to put at its first relay; create its request box there too.

    :param approvers: the member_pks of the coordinators. :param expires_day: days since 1970.
    :raises UsageError: more coordinators or relays than a card holds.
    """
    secret, invite_private, read_seed = rng(SECRET_BYTES), rng(32), rng(32)
    preamble = InvitePreamble(
        lineage_id=lineage_id,
        inviter_member_pk=inviter.public_key,
        invite_pk=XWING.kem.key_pair(invite_private).public,
        approvers=tuple(approvers),
        request_box=request_box(secret, read_key=SigningSeed(read_seed)),
        relays=tuple(relays),
        expires_day=expires_day,
        language=language,
    ).sign(inviter)
    card = build_card(preamble, secret)
    link = InviteLink(relay_uri=relays[0].uri, invite_secret=secret, anchor=card.anchor, expires_day=expires_day)
    return Invitation(link=link, preamble=preamble, invite_private=invite_private, read_seed=read_seed), card
