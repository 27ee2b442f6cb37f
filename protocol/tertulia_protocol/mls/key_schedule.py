"""From one epoch's secrets to the next (RFC 9420 section 8).

What an epoch needs for its whole life is :class:`EpochSecrets`. The secrets that exist only while an epoch is being
made (joiner, welcome, encryption) stand beside it in :class:`DerivedEpoch` and are dropped with it: whoever kept them
could decrypt what forward secrecy has put out of reach.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tertulia_protocol.codec import Reader, Writer, serialize
from tertulia_protocol.mls.ciphersuite import CipherSuite
from tertulia_protocol.mls.group_context import GroupContext
from tertulia_protocol.mls.hpke import HpkeKeyPair
from tertulia_protocol.mls.labeled import derive_secret, expand_with_label


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochSecrets:
    """The secrets that a member keeps during an epoch (table 4 of the RFC), Nh bytes each."""

    sender_data: bytes = field(repr=False)
    exporter: bytes = field(repr=False)
    external: bytes = field(repr=False)
    confirmation_key: bytes = field(repr=False)
    membership_key: bytes = field(repr=False)
    resumption_psk: bytes = field(repr=False)
    epoch_authenticator: bytes = field(repr=False)
    init: bytes = field(repr=False)
    """Enters the key schedule of the next epoch."""

    @classmethod
    def decode(cls, reader: Reader) -> EpochSecrets:
        """Read the stored form. :raises DecodeError: truncated."""
        return cls(
            sender_data=reader.opaque(),
            exporter=reader.opaque(),
            external=reader.opaque(),
            confirmation_key=reader.opaque(),
            membership_key=reader.opaque(),
            resumption_psk=reader.opaque(),
            epoch_authenticator=reader.opaque(),
            init=reader.opaque(),
        )

    def encode(self, writer: Writer) -> None:
        """Append the stored form."""
        writer.opaque(self.sender_data)
        writer.opaque(self.exporter)
        writer.opaque(self.external)
        writer.opaque(self.confirmation_key)
        writer.opaque(self.membership_key)
        writer.opaque(self.resumption_psk)
        writer.opaque(self.epoch_authenticator)
        writer.opaque(self.init)


@dataclass(frozen=True, slots=True, kw_only=True)
class DerivedEpoch:
    """A new epoch's secrets, those among them that must not outlive its making."""

    secrets: EpochSecrets
    joiner_secret: bytes = field(repr=False)
    """For the GroupSecrets of a Welcome."""
    welcome_secret: bytes = field(repr=False)
    """For the GroupInfo of a Welcome."""
    encryption_secret: bytes = field(repr=False)
    """The root of the secret tree, which takes it over."""


def derive_joiner_secret(
    suite: CipherSuite, *, init_secret: bytes, commit_secret: bytes, group_context: GroupContext
) -> bytes:
    """Return joiner_secret (Nh bytes).

    :param init_secret: of the epoch before. :param commit_secret: of the path; Nh zero bytes where there is none.
    :param group_context: of the new epoch.
    """
    extracted = suite.extract(init_secret, commit_secret)
    return expand_with_label(suite, extracted, "joiner", serialize(group_context), suite.Nh)


def welcome_secret(suite: CipherSuite, joiner_secret: bytes, psk_secret: bytes) -> bytes:
    """Return welcome_secret (Nh bytes)."""
    return derive_secret(suite, suite.extract(joiner_secret, psk_secret), "welcome")


def derive_epoch(
    suite: CipherSuite, *, joiner_secret: bytes, psk_secret: bytes, group_context: GroupContext
) -> DerivedEpoch:
    """Return the secrets of the epoch that ``group_context`` describes, from the joiner secret of a Welcome.

    :param psk_secret: Nh zero bytes where there is no PSK.
    """
    member = suite.extract(joiner_secret, psk_secret)
    epoch = expand_with_label(suite, member, "epoch", serialize(group_context), suite.Nh)
    return DerivedEpoch(
        secrets=EpochSecrets(
            sender_data=derive_secret(suite, epoch, "sender data"),
            exporter=derive_secret(suite, epoch, "exporter"),
            external=derive_secret(suite, epoch, "external"),
            confirmation_key=derive_secret(suite, epoch, "confirm"),
            membership_key=derive_secret(suite, epoch, "membership"),
            resumption_psk=derive_secret(suite, epoch, "resumption"),
            epoch_authenticator=derive_secret(suite, epoch, "authentication"),
            init=derive_secret(suite, epoch, "init"),
        ),
        joiner_secret=joiner_secret,
        welcome_secret=derive_secret(suite, member, "welcome"),
        encryption_secret=derive_secret(suite, epoch, "encryption"),
    )


def next_epoch(
    suite: CipherSuite, *, init_secret: bytes, commit_secret: bytes, psk_secret: bytes, group_context: GroupContext
) -> DerivedEpoch:
    """Return the secrets of the epoch that ``group_context`` describes, from the epoch before it.

    :param commit_secret: Nh zero bytes where the commit has no path. :param psk_secret: the same where it has no PSK.
    """
    joiner_secret = derive_joiner_secret(
        suite, init_secret=init_secret, commit_secret=commit_secret, group_context=group_context
    )
    return derive_epoch(suite, joiner_secret=joiner_secret, psk_secret=psk_secret, group_context=group_context)


def export(suite: CipherSuite, exporter_secret: bytes, label: bytes | str, context: bytes, length: int) -> bytes:
    """Return MLS-Exporter(label, context, length) (section 8.5): ``length`` bytes, at most 8160."""
    derived = derive_secret(suite, exporter_secret, label)
    return expand_with_label(suite, derived, "exported", suite.hash(context), length)


def external_key_pair(suite: CipherSuite, external_secret: bytes) -> HpkeKeyPair:
    """Return the key pair to which an external commit would be sent (section 8.3)."""
    return suite.derive_key_pair(external_secret)


def confirmation_tag(suite: CipherSuite, confirmation_key: bytes, confirmed_transcript_hash: bytes) -> bytes:
    """Return the tag (Nh bytes) that shows a commit's author to have reached the same epoch (section 6.1)."""
    return suite.mac(confirmation_key, confirmed_transcript_hash)


def verify_confirmation_tag(
    suite: CipherSuite, confirmation_key: bytes, confirmed_transcript_hash: bytes, tag: bytes
) -> None:
    """Check a confirmation tag. :raises AuthenticityError: it is of another epoch."""
    suite.verify_mac(confirmation_key, confirmed_transcript_hash, tag)
