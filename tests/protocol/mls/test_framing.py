"""Framing: who may say what, in which envelope, with which proofs (RFC 9420 sections 6 to 6.2)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tertulia_protocol.codec import parse, serialize
from tertulia_protocol.errors import AuthenticityError, DecodeError, InvalidMessageError, RuleError, UnsupportedError
from tertulia_protocol.mls.ciphersuite import X25519_AES128
from tertulia_protocol.mls.commit import Commit
from tertulia_protocol.mls.framing import (
    AuthenticatedContent,
    Content,
    ContentType,
    FramedContent,
    FramedContentAuthData,
    PrivateMessage,
    PublicMessage,
    Sender,
    SenderType,
    WireFormat,
    framed_content_tbs,
    member,
    sign_framed_content,
    verify_framed_content,
)
from tertulia_protocol.mls.group_context import GroupContext
from tertulia_protocol.mls.mls_message import MLSMessage
from tertulia_protocol.mls.proposals import Add, Remove
from tertulia_protocol.mls.tree_math import LeafIndex
from tests.support.mls import make_bundle, seeded_rng
from tests.support.rebuild import rebuild

SUITE = X25519_AES128
SEED = seeded_rng("framing")(32)
KEY = SUITE.signature_public_key(SEED)
CONTEXT = GroupContext(
    cipher_suite=SUITE.id, group_id=b"g", epoch=5, tree_hash=bytes(32), confirmed_transcript_hash=bytes(32)
)
TAG = bytes(range(32))
APPLICATION: Content = b"hello"
ADD: Content = Add(make_bundle(SUITE, "ada").key_package)
REMOVE: Content = Remove(LeafIndex(3))
COMMIT: Content = Commit(proposals=())
MEMBER = member(LeafIndex(1))
EXTERNAL = Sender(SenderType.EXTERNAL, 0)
NEW_PROPOSAL = Sender(SenderType.NEW_MEMBER_PROPOSAL)
NEW_COMMIT = Sender(SenderType.NEW_MEMBER_COMMIT)


def framed(content: Content, sender: Sender = MEMBER) -> FramedContent:
    return FramedContent(group_id=b"g", epoch=5, sender=sender, authenticated_data=b"beside", content=content)


def signed(
    content: Content, sender: Sender = MEMBER, wire_format: WireFormat = WireFormat.PRIVATE_MESSAGE
) -> AuthenticatedContent:
    ac = sign_framed_content(SUITE, SEED, wire_format=wire_format, content=framed(content, sender), context=CONTEXT)
    return ac.with_confirmation_tag(TAG) if isinstance(content, Commit) else ac


def public(content: Content, sender: Sender = MEMBER) -> PublicMessage:
    tag = TAG if isinstance(content, Commit) else None
    return PublicMessage(
        content=framed(content, sender),
        auth=FramedContentAuthData(b"signature", tag),
        membership_tag=TAG if sender is MEMBER else None,
    )


@pytest.mark.parametrize("content", [APPLICATION, ADD, REMOVE, COMMIT])
def test_signed_content_is_read_again_and_verified(content):
    ac = signed(content)
    again = parse(AuthenticatedContent, serialize(ac))
    assert again == ac
    assert serialize(rebuild(again)) == serialize(ac)
    verify_framed_content(SUITE, again, public_key=KEY, context=CONTEXT)


@pytest.mark.parametrize("sender", [MEMBER, EXTERNAL, NEW_PROPOSAL, NEW_COMMIT])
@pytest.mark.parametrize("content", [APPLICATION, ADD, REMOVE, COMMIT])
def test_public_messages_write_themselves_as_they_were_read(sender, content):
    data = serialize(MLSMessage(public(content, sender)))
    again = parse(MLSMessage, data)
    assert again.body == public(content, sender)
    assert serialize(rebuild(again)) == data
    for end in range(len(data)):
        with pytest.raises(DecodeError):
            parse(MLSMessage, data[:end])
    with pytest.raises(DecodeError):
        parse(MLSMessage, data + b"\0")


class TestSignature:
    """RFC 9420 section 6.1: the signature covers the content, the wire format and, for members, the group context."""

    def refuse(self, ac: AuthenticatedContent, *, public_key: bytes = KEY, context: GroupContext = CONTEXT):
        before = serialize(ac)
        with pytest.raises(AuthenticityError) as caught:
            verify_framed_content(SUITE, ac, public_key=public_key, context=context)
        assert caught.value.code == "message.authenticity"
        assert serialize(ac) == before

    @pytest.mark.parametrize(
        "changes",
        [
            {"group_id": b"h"},
            {"epoch": 6},
            {"sender": member(LeafIndex(2))},
            {"authenticated_data": b"other"},
            {"content": b"hallo"},
        ],
    )
    def test_changed_content(self, changes):
        ac = signed(APPLICATION)
        self.refuse(replace(ac, content=replace(ac.content, **changes)))

    def test_another_wire_format(self):
        self.refuse(replace(signed(REMOVE), wire_format=WireFormat.PUBLIC_MESSAGE))

    @pytest.mark.parametrize(
        "changes", [{"tree_hash": bytes(31) + b"\1"}, {"epoch": 6}, {"confirmed_transcript_hash": b""}]
    )
    def test_another_group_context(self, changes):
        self.refuse(signed(APPLICATION), context=replace(CONTEXT, **changes))

    def test_another_members_key(self):
        self.refuse(signed(APPLICATION), public_key=SUITE.signature_public_key(bytes(32)))

    def test_no_signature(self):
        self.refuse(replace(signed(APPLICATION), auth=FramedContentAuthData(b"")))

    def test_the_group_context_belongs_to_what_members_sign(self):
        for sender, covered in ((MEMBER, True), (NEW_COMMIT, True), (EXTERNAL, False), (NEW_PROPOSAL, False)):
            content = framed(COMMIT, sender)
            tbs = framed_content_tbs(WireFormat.PUBLIC_MESSAGE, content, CONTEXT)
            assert tbs.endswith(serialize(CONTEXT)) == covered
        with pytest.raises(ValueError, match="group context"):
            framed_content_tbs(WireFormat.PUBLIC_MESSAGE, framed(COMMIT), None)


@pytest.mark.parametrize(
    ("sender", "content"),
    [
        (EXTERNAL, APPLICATION),
        (EXTERNAL, COMMIT),
        (NEW_PROPOSAL, APPLICATION),
        (NEW_PROPOSAL, REMOVE),
        (NEW_PROPOSAL, COMMIT),
        (NEW_COMMIT, APPLICATION),
        (NEW_COMMIT, REMOVE),
        (NEW_COMMIT, ADD),
    ],
)
def test_those_who_are_not_members_say_only_what_they_may(sender, content):
    # Private, so that it is not refused because application data must be.
    ac = AuthenticatedContent(
        wire_format=WireFormat.PRIVATE_MESSAGE,
        content=framed(content, sender),
        auth=FramedContentAuthData(bytes(64), TAG if isinstance(content, Commit) else None),
    )
    with pytest.raises(RuleError) as caught:
        verify_framed_content(SUITE, ac, public_key=KEY, context=CONTEXT)
    assert caught.value.rule == "RFC9420-6.1"
    with pytest.raises(RuleError):
        signed(content, sender)


@pytest.mark.parametrize(
    ("sender", "content"), [(EXTERNAL, ADD), (EXTERNAL, REMOVE), (NEW_PROPOSAL, ADD), (NEW_COMMIT, COMMIT)]
)
def test_those_who_are_not_members_may_say_some_things(sender, content):
    ac = signed(content, sender, WireFormat.PUBLIC_MESSAGE)
    verify_framed_content(SUITE, ac, public_key=KEY, context=CONTEXT)


def test_application_data_in_a_public_message_is_refused():
    ac = replace(signed(APPLICATION), wire_format=WireFormat.PUBLIC_MESSAGE)
    with pytest.raises(RuleError) as caught:
        verify_framed_content(SUITE, ac, public_key=KEY, context=CONTEXT)
    assert caught.value.rule == "RFC9420-6.2"
    with pytest.raises(RuleError):
        signed(APPLICATION, MEMBER, WireFormat.PUBLIC_MESSAGE)


class TestTags:
    """A tag is there exactly where RFC 9420 puts it."""

    @pytest.mark.parametrize(("content", "tag"), [(COMMIT, None), (REMOVE, TAG), (APPLICATION, TAG)])
    def test_a_confirmation_tag_missing_or_too_much_cannot_be_written(self, content, tag):
        ac = replace(signed(content), auth=FramedContentAuthData(bytes(64), tag))
        with pytest.raises(ValueError, match="confirmation tag"):
            serialize(ac)

    def test_a_commit_without_a_confirmation_tag_cannot_be_read(self):
        whole = serialize(signed(COMMIT))
        with pytest.raises(DecodeError):
            parse(AuthenticatedContent, whole[: -len(TAG) - 1])

    def test_a_proposal_with_a_confirmation_tag_cannot_be_read(self):
        with pytest.raises(DecodeError):
            parse(AuthenticatedContent, serialize(signed(REMOVE)) + b"\x20" + TAG)

    @pytest.mark.parametrize(("sender", "tag"), [(MEMBER, None), (EXTERNAL, TAG), (NEW_PROPOSAL, TAG)])
    def test_a_membership_tag_missing_or_too_much_cannot_be_written(self, sender, tag):
        message = replace(public(ADD, sender), membership_tag=tag)
        with pytest.raises(ValueError, match="membership tag"):
            serialize(message)

    def test_a_member_without_a_membership_tag_cannot_be_read(self):
        with pytest.raises(DecodeError):
            parse(PublicMessage, serialize(public(ADD))[: -len(TAG) - 1])

    def test_an_external_sender_with_a_membership_tag_cannot_be_read(self):
        with pytest.raises(DecodeError):
            parse(PublicMessage, serialize(public(ADD, EXTERNAL)) + b"\x20" + TAG)


class TestUnknown:
    """What this version does not know is refused as such."""

    @pytest.mark.parametrize("value", [0, 5, 255])
    def test_sender_type(self, value):
        with pytest.raises(UnsupportedError):
            parse(Sender, bytes([value]) + bytes(4))

    @pytest.mark.parametrize("value", [0, 4, 255])
    def test_content_type(self, value):
        message = PrivateMessage(
            group_id=b"g", epoch=5, content_type=ContentType.APPLICATION, encrypted_sender_data=b"", ciphertext=b""
        )
        data = serialize(message)
        assert data[10] == 1
        with pytest.raises(UnsupportedError):
            parse(PrivateMessage, data[:10] + bytes([value]) + data[11:])

    @pytest.mark.parametrize("value", [0, 6, 0x0A0A, 0xF000])
    def test_wire_format(self, value):
        with pytest.raises(UnsupportedError):
            parse(MLSMessage, b"\x00\x01" + value.to_bytes(2, "big") + serialize(public(ADD)))

    @pytest.mark.parametrize("value", [0, 2, 0xFFFF])
    def test_version(self, value):
        with pytest.raises(UnsupportedError):
            parse(MLSMessage, value.to_bytes(2, "big") + serialize(MLSMessage(public(ADD)))[2:])

    def test_version_of_a_group_context(self):
        with pytest.raises(UnsupportedError):
            parse(GroupContext, b"\x00\x02" + serialize(CONTEXT)[2:])


@pytest.mark.parametrize("sender", [Sender(SenderType.MEMBER), Sender(SenderType.NEW_MEMBER_COMMIT, 1)])
def test_a_sender_whose_index_does_not_fit_its_type_cannot_be_written(sender):
    with pytest.raises(ValueError, match="a sender of type"):
        serialize(sender)


@pytest.mark.parametrize("sender", [EXTERNAL, NEW_PROPOSAL, NEW_COMMIT])
def test_only_members_have_a_leaf(sender):
    assert MEMBER.leaf_index == 1
    with pytest.raises(RuleError):
        _ = sender.leaf_index


def test_a_repr_shows_no_content():
    assert "hello" not in repr(signed(APPLICATION))
    assert "hello" not in repr(MLSMessage(public(APPLICATION)))


def test_a_vector_that_is_not_in_its_shortest_form_is_refused():
    data = serialize(CONTEXT)
    assert data[4:6] == b"\x01g"
    for longer in (b"\x40\x01g", b"\x80\x00\x00\x01g"):
        with pytest.raises(InvalidMessageError):
            parse(GroupContext, data[:4] + longer + data[6:])
