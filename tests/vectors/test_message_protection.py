"""message-protection.json: every message opens, and what we protect opens again."""

from __future__ import annotations

import pytest

from tertulia_protocol.codec import parse, serialize
from tertulia_protocol.mls.ciphersuite import SUITES
from tertulia_protocol.mls.commit import Commit
from tertulia_protocol.mls.framing import (
    AuthenticatedContent,
    Content,
    ContentType,
    FramedContent,
    WireFormat,
    member,
    sign_framed_content,
    verify_framed_content,
)
from tertulia_protocol.mls.group_context import GroupContext
from tertulia_protocol.mls.message_protection import (
    open_private,
    open_public,
    open_sender_data,
    protect_private,
    protect_public,
)
from tertulia_protocol.mls.mls_message import MLSMessage
from tertulia_protocol.mls.proposals import parse_proposal
from tertulia_protocol.mls.secret_tree import RatchetKind, SecretTree
from tertulia_protocol.mls.tree_math import LeafIndex
from tests.support.vectors import load_vectors

CASES = 2
"""Of suites 1 and 3, one each."""
SENDER, RECEIVER = LeafIndex(1), LeafIndex(0)
TAG = bytes(range(32))


class Case:
    def __init__(self, raw: dict[str, str]) -> None:
        self.suite = SUITES[int(raw["cipher_suite"])]
        self.raw = {name: bytes.fromhex(value) for name, value in raw.items() if isinstance(value, str)}
        self.epoch = int(raw["epoch"])
        self.context = GroupContext(
            cipher_suite=self.suite.id,
            group_id=self.raw["group_id"],
            epoch=self.epoch,
            tree_hash=self.raw["tree_hash"],
            confirmed_transcript_hash=self.raw["confirmed_transcript_hash"],
        )

    def secrets(self, own: LeafIndex) -> SecretTree:
        return SecretTree.create(self.suite, self.raw["encryption_secret"], 2, own)

    def content(self, name: str) -> Content:
        data = self.raw[name]
        return {"application": bytes, "proposal": parse_proposal, "commit": lambda data: parse(Commit, data)}[name](
            data
        )

    def open(self, data: bytes) -> AuthenticatedContent:
        """Open and verify what arrived."""
        message = parse(MLSMessage, data)
        assert serialize(message) == data
        if message.wire_format is WireFormat.PUBLIC_MESSAGE:
            ac = open_public(self.suite, message.body, membership_key=self.raw["membership_key"], context=self.context)
        else:
            sender = open_sender_data(self.suite, message.body, sender_data_secret=self.raw["sender_data_secret"])
            kind = kind_of(message.body.content_type)
            key = self.secrets(RECEIVER).key_for(sender.leaf_index, kind, sender.generation)
            ac = open_private(self.suite, message.body, sender=sender, key=key.key, nonce=key.nonce)
        verify_framed_content(self.suite, ac, public_key=self.raw["signature_pub"], context=self.context)
        assert ac.content.sender == member(SENDER)
        assert (ac.content.group_id, ac.content.epoch) == (self.raw["group_id"], self.epoch)
        return ac

    def sign(self, content: Content, wire_format: WireFormat, authenticated_data: bytes) -> AuthenticatedContent:
        framed = FramedContent(
            group_id=self.raw["group_id"],
            epoch=self.epoch,
            sender=member(SENDER),
            authenticated_data=authenticated_data,
            content=content,
        )
        ac = sign_framed_content(
            self.suite, self.raw["signature_priv"], wire_format=wire_format, content=framed, context=self.context
        )
        return ac.with_confirmation_tag(TAG) if framed.content_type is ContentType.COMMIT else ac

    def protect(self, content: Content, wire_format: WireFormat, padding: int) -> bytes:
        ac = self.sign(content, wire_format, b"data beside")
        if wire_format is WireFormat.PUBLIC_MESSAGE:
            message = protect_public(self.suite, ac, membership_key=self.raw["membership_key"], context=self.context)
            return serialize(MLSMessage(message))
        own = self.secrets(SENDER).next_own(kind_of(ac.content.content_type))
        private = protect_private(
            self.suite,
            ac,
            key=own.key,
            nonce=own.nonce,
            reuse_guard=b"\1\2\3\4",
            sender_data_secret=self.raw["sender_data_secret"],
            generation=own.generation,
            padding=padding,
        )
        return serialize(MLSMessage(private))


def kind_of(content_type: ContentType) -> RatchetKind:
    return RatchetKind.APPLICATION if content_type is ContentType.APPLICATION else RatchetKind.HANDSHAKE


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    return [Case(raw) for raw in load_vectors("message-protection") if raw["cipher_suite"] in SUITES]


def test_the_cases_of_our_suites_are_there(cases):
    assert len(cases) == CASES
    assert [case.suite.id for case in cases] == [1, 3]


@pytest.mark.parametrize("name", ["proposal_priv", "proposal_pub", "commit_priv", "commit_pub", "application_priv"])
def test_what_others_protected_opens(cases, name):
    for case in cases:
        opened = case.open(case.raw[name])
        assert opened.content.content == case.content(name.partition("_")[0])


@pytest.mark.parametrize("padding", [0, 1, 100])
@pytest.mark.parametrize("name", ["proposal", "commit", "application"])
def test_what_we_protect_privately_opens(cases, name, padding):
    for case in cases:
        opened = case.open(case.protect(case.content(name), WireFormat.PRIVATE_MESSAGE, padding))
        assert opened.content.content == case.content(name)
        assert opened.content.authenticated_data == b"data beside"
        assert opened.auth.confirmation_tag == (TAG if name == "commit" else None)


@pytest.mark.parametrize("name", ["proposal", "commit"])
def test_what_we_protect_publicly_opens(cases, name):
    for case in cases:
        opened = case.open(case.protect(case.content(name), WireFormat.PUBLIC_MESSAGE, 0))
        assert opened.content.content == case.content(name)
        assert opened.auth.confirmation_tag == (TAG if name == "commit" else None)
