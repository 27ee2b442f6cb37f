"""Protection of messages: what a changed byte, a foreign key or a full padding meets (RFC 9420 sections 6.2, 6.3)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tertulia_protocol.codec import Writer, serialize
from tertulia_protocol.errors import AuthenticityError, DecodeError, InvalidMessageError, RuleError, UsageError
from tertulia_protocol.mls import message_protection
from tertulia_protocol.mls.ciphersuite import HYBRID, X25519_AES128, X25519_CHACHA20
from tertulia_protocol.mls.commit import Commit
from tertulia_protocol.mls.framing import (
    AuthenticatedContent,
    Content,
    ContentType,
    FramedContent,
    FramedContentAuthData,
    PrivateMessage,
    Sender,
    SenderType,
    WireFormat,
    member,
    sign_framed_content,
)
from tertulia_protocol.mls.group_context import GroupContext
from tertulia_protocol.mls.message_protection import (
    SenderData,
    open_private,
    open_public,
    open_sender_data,
    protect_private,
    protect_public,
)
from tertulia_protocol.mls.proposals import Add, Remove
from tertulia_protocol.mls.tree_math import LeafIndex
from tests.support.mls import make_bundle, seeded_rng

SUITE = X25519_AES128
RNG = seeded_rng("message protection")
SEED, SENDER_DATA_SECRET, MEMBERSHIP_KEY = RNG(32), RNG(32), RNG(32)
GUARD = b"\xa1\xb2\xc3\xd4"
CONTEXT = GroupContext(
    cipher_suite=SUITE.id, group_id=b"g", epoch=5, tree_hash=bytes(32), confirmed_transcript_hash=bytes(32)
)
TAG = bytes(range(32))
SENDER = SenderData(leaf_index=LeafIndex(1), generation=9, reuse_guard=GUARD)


def keys(suite=SUITE) -> dict[str, bytes]:
    rng = seeded_rng("ratchet")
    return {"key": rng(suite.Nk), "nonce": rng(suite.Nn)}


def signed(
    content: Content, wire_format: WireFormat = WireFormat.PRIVATE_MESSAGE, sender: Sender | None = None
) -> AuthenticatedContent:
    framed = FramedContent(
        group_id=b"g", epoch=5, sender=sender or member(LeafIndex(1)), authenticated_data=b"beside", content=content
    )
    ac = sign_framed_content(SUITE, SEED, wire_format=wire_format, content=framed, context=CONTEXT)
    return ac.with_confirmation_tag(TAG) if isinstance(content, Commit) else ac


def private(content: Content = b"hello", suite=SUITE, padding: int = 0) -> PrivateMessage:
    return protect_private(
        suite,
        signed(content),
        **keys(suite),
        reuse_guard=GUARD,
        sender_data_secret=SENDER_DATA_SECRET,
        generation=9,
        padding=padding,
    )


def opened(message: PrivateMessage, suite=SUITE) -> AuthenticatedContent:
    sender = open_sender_data(suite, message, sender_data_secret=SENDER_DATA_SECRET)
    assert sender == SENDER
    return open_private(suite, message, sender=sender, **keys(suite))


def sealed(message: PrivateMessage, plaintext: bytes) -> PrivateMessage:
    """The same message with another plaintext, sealed with the right keys."""
    aad = Writer()
    aad.opaque(message.group_id)
    aad.u64(message.epoch)
    aad.u8(message.content_type)
    inner = aad.getvalue()
    aad.opaque(message.authenticated_data)
    nonce = bytes(a ^ b for a, b in zip(keys()["nonce"], GUARD.ljust(SUITE.Nn, b"\0"), strict=True))
    ciphertext = SUITE.aead_seal(keys()["key"], nonce, aad.getvalue(), plaintext)
    key, data_nonce = message_protection._sender_data_key(SUITE, SENDER_DATA_SECRET, ciphertext)
    return replace(
        message,
        ciphertext=ciphertext,
        encrypted_sender_data=SUITE.aead_seal(key, data_nonce, inner, serialize(SENDER)),
    )


def plaintext(content: Content) -> bytes:
    ac = signed(content)
    writer = Writer()
    message_protection.write_content(writer, content)
    ac.auth.encode(writer, ac.content.content_type)
    return writer.getvalue()


@pytest.mark.parametrize("suite", [X25519_AES128, X25519_CHACHA20, HYBRID], ids=lambda suite: suite.name)
@pytest.mark.parametrize("content", [b"", b"hello", Remove(LeafIndex(3)), Commit(proposals=())])
def test_a_private_message_opens(suite, content):
    ac = opened(private(content, suite, padding=17), suite)
    assert ac.content.content == content
    assert ac == signed(content)


def test_padding_hides_the_length():
    lengths = {len(private(b"a" * size, padding=100 - size).ciphertext) for size in range(60)}
    assert len(lengths) == 1


class TestPrivate:
    """Nothing of a private message can be changed."""

    def refuse(self, message: PrivateMessage, error: type[InvalidMessageError] = AuthenticityError) -> None:
        before = serialize(message)
        with pytest.raises(error):
            opened(message)
        assert serialize(message) == before

    @pytest.mark.parametrize(
        "changes",
        [
            {"group_id": b"h"},
            {"epoch": 6},
            {"content_type": ContentType.PROPOSAL},
            {"authenticated_data": b"other"},
            {"encrypted_sender_data": b""},
            {"encrypted_sender_data": bytes(28)},
            {"ciphertext": b""},
            {"ciphertext": bytes(90)},
        ],
    )
    def test_a_changed_field(self, changes):
        self.refuse(replace(private(), **changes))

    def test_every_changed_byte_of_the_ciphertext(self):
        message = private(b"hi")
        for place in range(len(message.ciphertext)):
            changed = bytearray(message.ciphertext)
            changed[place] ^= 1
            self.refuse(replace(message, ciphertext=bytes(changed)))

    @pytest.mark.parametrize("changes", [{"leaf_index": LeafIndex(2)}, {"generation": 8}])
    def test_what_the_sender_data_says_is_what_is_looked_up(self, changes):
        """The caller looks up the key by leaf and generation: with another key nothing opens."""
        other = replace(SENDER, **changes)
        foreign = keys() | {"key": seeded_rng(repr(other))(SUITE.Nk)}
        with pytest.raises(AuthenticityError):
            open_private(SUITE, private(), sender=other, **foreign)

    def test_another_reuse_guard(self):
        with pytest.raises(AuthenticityError):
            open_private(SUITE, private(), sender=replace(SENDER, reuse_guard=bytes(4)), **keys())

    def test_another_epochs_sender_data_secret(self):
        with pytest.raises(AuthenticityError):
            open_sender_data(SUITE, private(), sender_data_secret=bytes(32))

    @pytest.mark.parametrize("content", [b"hello", Remove(LeafIndex(3)), Commit(proposals=())])
    @pytest.mark.parametrize("rest", [b"\1", b"\0\0\1", b"\1\0\0", b"hidden"])
    def test_padding_that_is_not_zero(self, content, rest):
        message = private(content)
        assert opened(sealed(message, plaintext(content) + bytes(3))).content.content == content
        self.refuse(sealed(message, plaintext(content) + rest), DecodeError)

    @pytest.mark.parametrize("content", [b"hello", Remove(LeafIndex(3)), Commit(proposals=())])
    def test_a_truncated_inside(self, content):
        whole = plaintext(content)
        for end in (0, 1, len(whole) // 2, len(whole) - 1):
            self.refuse(sealed(private(content), whole[:end]), DecodeError)

    def test_a_commit_without_a_confirmation_tag(self):
        self.refuse(
            sealed(private(Commit(proposals=())), plaintext(Commit(proposals=()))[: -len(TAG) - 1]), DecodeError
        )

    def test_a_proposal_with_a_confirmation_tag(self):
        content = Remove(LeafIndex(3))
        self.refuse(sealed(private(content), plaintext(content) + b"\x20" + TAG), DecodeError)


@pytest.mark.parametrize("content", [Remove(LeafIndex(3)), Commit(proposals=())])
def test_a_public_message_opens(content):
    ac = signed(content, WireFormat.PUBLIC_MESSAGE)
    message = protect_public(SUITE, ac, membership_key=MEMBERSHIP_KEY, context=CONTEXT)
    assert open_public(SUITE, message, membership_key=MEMBERSHIP_KEY, context=CONTEXT) == ac


class TestMembershipTag:
    """RFC 9420 section 6.2: only members can make it, and it covers everything."""

    message = protect_public(
        SUITE, signed(Commit(proposals=()), WireFormat.PUBLIC_MESSAGE), membership_key=MEMBERSHIP_KEY, context=CONTEXT
    )

    def refuse(self, message, *, membership_key: bytes = MEMBERSHIP_KEY, context: GroupContext = CONTEXT) -> None:
        with pytest.raises(AuthenticityError) as caught:
            open_public(SUITE, message, membership_key=membership_key, context=context)
        assert caught.value.code == "message.authenticity"

    @pytest.mark.parametrize("tag", [bytes(32), b"", TAG + TAG])
    def test_another_tag(self, tag):
        self.refuse(replace(self.message, membership_tag=tag))

    def test_another_content(self):
        self.refuse(replace(self.message, content=replace(self.message.content, authenticated_data=b"other")))

    @pytest.mark.parametrize(
        "auth", [FramedContentAuthData(bytes(64), TAG), FramedContentAuthData(message.auth.signature, bytes(32))]
    )
    def test_other_proofs(self, auth):
        self.refuse(replace(self.message, auth=auth))

    def test_another_epoch(self):
        self.refuse(self.message, membership_key=bytes(32))
        self.refuse(self.message, context=replace(CONTEXT, tree_hash=b""))


def test_those_who_are_not_members_have_no_membership_tag():
    ac = signed(Add(make_bundle(SUITE, "ada").key_package), WireFormat.PUBLIC_MESSAGE, Sender(SenderType.EXTERNAL, 0))
    message = protect_public(SUITE, ac, membership_key=MEMBERSHIP_KEY, context=CONTEXT)
    assert message.membership_tag is None
    assert open_public(SUITE, message, membership_key=MEMBERSHIP_KEY, context=CONTEXT) == ac


def test_application_data_is_neither_sent_nor_opened_in_public():
    ac = replace(signed(b"hello"), wire_format=WireFormat.PUBLIC_MESSAGE)
    with pytest.raises(RuleError):
        protect_public(SUITE, ac, membership_key=MEMBERSHIP_KEY, context=CONTEXT)
    tag = message_protection.membership_tag(SUITE, ac, membership_key=MEMBERSHIP_KEY, context=CONTEXT)
    message = message_protection.PublicMessage(content=ac.content, auth=ac.auth, membership_tag=tag)
    with pytest.raises(RuleError) as caught:
        open_public(SUITE, message, membership_key=MEMBERSHIP_KEY, context=CONTEXT)
    assert caught.value.rule == "RFC9420-6.2"


def test_content_travels_only_as_it_was_signed():
    with pytest.raises(UsageError):
        protect_public(SUITE, signed(Remove(LeafIndex(3))), membership_key=MEMBERSHIP_KEY, context=CONTEXT)
    with pytest.raises(UsageError):
        protect_private(
            SUITE,
            signed(Remove(LeafIndex(3)), WireFormat.PUBLIC_MESSAGE),
            **keys(),
            reuse_guard=GUARD,
            sender_data_secret=SENDER_DATA_SECRET,
            generation=9,
        )


def test_only_members_send_private_messages():
    ac = signed(Remove(LeafIndex(3)), sender=Sender(SenderType.EXTERNAL, 1))
    with pytest.raises(RuleError):
        protect_private(SUITE, ac, **keys(), reuse_guard=GUARD, sender_data_secret=SENDER_DATA_SECRET, generation=9)


def test_a_repr_shows_no_reuse_guard():
    assert "reuse_guard" not in repr(SENDER)
