"""Proposals and commits as bytes: what an unknown type, a truncation or a second encoding meets."""

from __future__ import annotations

import pytest

from tertulia_protocol.codec import parse, serialize
from tertulia_protocol.errors import DecodeError, InvalidMessageError, RuleError, UnsupportedError
from tertulia_protocol.mls.ciphersuite import X25519_AES128
from tertulia_protocol.mls.commit import Commit, UpdatePath, UpdatePathNode
from tertulia_protocol.mls.extensions import Extension
from tertulia_protocol.mls.framing import (
    AuthenticatedContent,
    FramedContent,
    FramedContentAuthData,
    WireFormat,
    member,
)
from tertulia_protocol.mls.labeled import HPKECiphertext
from tertulia_protocol.mls.proposals import (
    Add,
    ExternalInit,
    GroupContextExtensions,
    PreSharedKey,
    ProposalOrRef,
    ReInit,
    Remove,
    Update,
    parse_proposal,
    proposal_ref,
    serialize_proposal,
)
from tertulia_protocol.mls.psk import ExternalPSK, PreSharedKeyID
from tertulia_protocol.mls.tree_math import LeafIndex
from tests.support.mls import make_bundle
from tests.support.rebuild import rebuild

SUITE = X25519_AES128
KEY_PACKAGE = make_bundle(SUITE, "ada").key_package
PROPOSALS = [
    Add(KEY_PACKAGE),
    Update(KEY_PACKAGE.leaf_node),
    Remove(LeafIndex(3)),
    PreSharedKey(PreSharedKeyID(ExternalPSK(b"id"), bytes(32))),
    ReInit(group_id=b"next", version=1, cipher_suite=1, extensions=(Extension(0xFA11, b"x"),)),
    ExternalInit(bytes(32)),
    GroupContextExtensions((Extension(0xFA11, b"x"), Extension(0xFA12, b""))),
]
COMMIT = Commit(
    proposals=(*map(ProposalOrRef, PROPOSALS), ProposalOrRef(bytes(32))),
    path=UpdatePath(
        leaf_node=KEY_PACKAGE.leaf_node,
        nodes=(
            UpdatePathNode(encryption_key=bytes(32), encrypted_path_secret=(HPKECiphertext(b"kem", b"ct"),)),
            UpdatePathNode(encryption_key=bytes(32), encrypted_path_secret=()),
        ),
    ),
)


def test_every_type_is_here_once():
    assert [proposal.type for proposal in PROPOSALS] == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize("proposal", PROPOSALS, ids=lambda proposal: type(proposal).__name__)
def test_a_proposal_writes_itself_as_it_was_read(proposal):
    data = serialize_proposal(proposal)
    assert data[:2] == proposal.type.to_bytes(2, "big")
    again = parse_proposal(data)
    assert again == proposal
    assert serialize_proposal(rebuild(again)) == data
    for end in range(len(data)):
        with pytest.raises(DecodeError):
            parse_proposal(data[:end])
    with pytest.raises(DecodeError):
        parse_proposal(data + b"\0")


@pytest.mark.parametrize("kind", [0x0000, 0x0008, 0x0A0A, 0xF000])
def test_a_proposal_of_an_unknown_type_is_refused_wherever_it_stands(kind):
    data = kind.to_bytes(2, "big") + b"\x01a"
    with pytest.raises(UnsupportedError):
        parse_proposal(data)
    with pytest.raises(UnsupportedError):
        parse(Commit, bytes([1 + len(data), 1]) + data + b"\0")


@pytest.mark.parametrize("kind", [0, 3, 255])
def test_an_entry_that_is_neither_value_nor_reference_is_refused(kind):
    with pytest.raises(UnsupportedError):
        parse(ProposalOrRef, bytes([kind]) + b"\x01a")


def test_new_extensions_with_a_type_twice_are_refused():
    twice = GroupContextExtensions((Extension(0xFA11, b"x"), Extension(0xFA11, b"y")))
    with pytest.raises(RuleError):
        parse_proposal(serialize_proposal(twice))


def test_a_commit_writes_itself_as_it_was_read():
    data = serialize(COMMIT)
    again = parse(Commit, data)
    assert again == COMMIT
    assert serialize(rebuild(again)) == data
    assert parse(Commit, serialize(Commit(proposals=()))) == Commit(proposals=(), path=None)


def test_every_truncation_of_a_commit_is_refused():
    data = serialize(COMMIT)
    for end in range(len(data)):
        with pytest.raises(InvalidMessageError):
            parse(Commit, data[:end])


@pytest.mark.parametrize("data", ["00 02", "00", "4000 00", "80000000 00", "c000000000000000 00", "01 00"])
def test_second_encodings_of_a_commit_are_refused(data):
    assert parse(Commit, b"\0\0") == Commit(proposals=())
    with pytest.raises(InvalidMessageError):
        parse(Commit, bytes.fromhex(data))


def test_a_reference_covers_who_said_it_and_how():
    def reference(sender: int, wire_format: WireFormat, signature: bytes) -> bytes:
        content = FramedContent(group_id=b"g", epoch=1, sender=member(LeafIndex(sender)), content=Remove(LeafIndex(3)))
        auth = FramedContentAuthData(signature)
        return proposal_ref(SUITE, AuthenticatedContent(wire_format=wire_format, content=content, auth=auth))

    one = reference(1, WireFormat.PRIVATE_MESSAGE, b"s")
    assert len(one) == SUITE.Nh
    assert one == reference(1, WireFormat.PRIVATE_MESSAGE, b"s")
    others = {
        reference(2, WireFormat.PRIVATE_MESSAGE, b"s"),
        reference(1, WireFormat.PUBLIC_MESSAGE, b"s"),
        reference(1, WireFormat.PRIVATE_MESSAGE, b"t"),
    }
    assert len(others - {one}) == 3


def test_a_sender_finds_its_reference_in_the_commit():
    assert [entry.content for entry in parse(Commit, serialize(COMMIT)).proposals] == [*PROPOSALS, bytes(32)]
