"""Messages of a running group: order, replays, wrong groups and senders, and what a failure leaves behind."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tertulia_protocol.errors import AuthenticityError, ReplayError, RuleError, UnsupportedError, WrongEpochError
from tertulia_protocol.mls.ciphersuite import X25519_AES128 as SUITE
from tertulia_protocol.mls.framing import (
    FramedContent,
    PublicMessage,
    Sender,
    SenderType,
    WireFormat,
    member,
    sign_framed_content,
)
from tertulia_protocol.mls.group_state import GroupSettings
from tertulia_protocol.mls.message_protection import protect_public
from tertulia_protocol.mls.proposals import Add, Remove
from tertulia_protocol.mls.tree_math import LeafIndex
from tests.support.mls_forgery import encrypt, sign
from tests.support.mls_world import agree, bundle_of, found, refused, remove, spread


@pytest.fixture
def peers():
    return found(SUITE, 3)


def test_messages_out_of_order(peers):
    ada, bo, _cleo = peers
    messages = [ada.post(bytes([number])) for number in range(6)]
    for number in (3, 0, 5, 1):
        assert bo.read(messages[number]) == bytes([number])
        bo.restart()
    for number in (0, 1, 3, 5):
        with refused(bo, ReplayError):
            bo.group.open(messages[number])
    assert [bo.read(messages[number]) for number in (4, 2)] == [b"\4", b"\2"]


def test_limits_of_order():
    ada, bo = found(SUITE, 2, settings=GroupSettings(max_forward=5, max_skipped=2))
    messages = [ada.post(bytes([number])) for number in range(13)]
    with refused(bo, RuleError, match="ahead"):
        bo.group.open(messages[6])
    bo.read(messages[5])
    bo.restart()
    for number in range(3):
        with refused(bo, ReplayError):
            bo.group.open(messages[number])
    assert bo.read(messages[4]) == b"\4"
    with refused(bo, RuleError, match="ahead"):
        bo.group.open(messages[12])
    assert bo.read(messages[11]) == b"\x0b"


def test_a_forgery_does_not_burn_the_key_of_the_genuine_message(peers):
    ada, bo, cleo = peers
    genuine = ada.post(b"genuine")
    forged = encrypt(cleo, sign(cleo, b"forged", as_leaf=ada.index))
    with refused(bo, AuthenticityError):
        bo.group.open(forged)
    assert bo.read(genuine) == b"genuine"


def test_used_keys_are_gone_from_the_store(peers):
    ada, bo, _cleo = peers
    bo.read(ada.post(b"first"))
    ratchet = f"ratchet/{ada.index}/application"
    before = bo.rows[ratchet]
    bo.read(ada.post(b"second"))
    assert bo.rows[ratchet] != before
    assert before[8:] not in b"".join(bo.rows.values())


def test_a_message_of_another_group(peers):
    ada, bo, _cleo = peers
    message = ada.post(b"text")
    with refused(bo, WrongEpochError, match="another group"):
        bo.group.open(replace(message, group_id=b"other"))


@pytest.mark.parametrize("step", [-1, 1, 2**63])
def test_a_message_of_another_epoch(peers, step):
    ada, bo, _cleo = peers
    message = ada.post(b"text")
    with refused(bo, WrongEpochError, match="for epoch"):
        bo.group.open(replace(message, epoch=message.epoch + step))


def test_a_sender_that_is_no_member(peers):
    ada, bo, cleo = peers
    spread([ada, bo], ada.commit(remove(cleo)).message)
    for index in (cleo.index, LeafIndex(2**32 - 1)):
        content = sign(ada, b"from nobody")
        content = replace(content, content=replace(content.content, sender=member(index)))
        with refused(bo, RuleError, match="no member at leaf|outside of a tree"):
            bo.group.open(forge_sender(ada, content))


def forge_sender(peer, content):
    """Encrypt with the peer's own key but name another sender."""
    from tertulia_protocol.mls.message_protection import protect_private  # noqa: PLC0415 - used here only
    from tertulia_protocol.mls.secret_tree import RatchetKind  # noqa: PLC0415 - used here only

    own = peer.group.secret_tree.next_own(RatchetKind.APPLICATION)
    return protect_private(
        SUITE,
        content,
        key=own.key,
        nonce=own.nonce,
        reuse_guard=bytes(4),
        sender_data_secret=peer.group.secrets.sender_data,
        generation=own.generation,
    )


def public(peer, content, *, sender=None) -> PublicMessage:
    group = peer.group
    framed = FramedContent(
        group_id=group.group_id,
        epoch=group.epoch,
        sender=member(peer.index) if sender is None else sender,
        content=content,
    )
    signed = sign_framed_content(
        SUITE,
        group.signature_private,
        wire_format=WireFormat.PUBLIC_MESSAGE,
        content=framed,
        context=group.context,
    )
    return protect_public(SUITE, signed, membership_key=group.secrets.membership_key, context=group.context)


def test_public_messages_of_members(peers):
    ada, bo, cleo = peers
    message = public(ada, Remove(cleo.index))
    for bad in (
        replace(message, membership_tag=bytes(32)),
        replace(message, auth=replace(message.auth, signature=bytes(64))),
    ):
        with refused(bo, AuthenticityError):
            bo.group.open(bad)
    with refused(bo, WrongEpochError):
        bo.group.open(replace(message, content=replace(message.content, epoch=0)))
    for peer in peers:
        peer.keep(peer.group.process_proposal(peer.group.open(message)))
    spread([bo, ada], bo.commit(references=bo.refs).message)
    agree([ada, bo])


@pytest.mark.parametrize(
    "sender", [Sender(SenderType.EXTERNAL, 0), Sender(SenderType.NEW_MEMBER_PROPOSAL)], ids=lambda one: one.type.name
)
def test_senders_from_outside_are_refused(peers, sender):
    ada, bo, _cleo = peers
    message = public(ada, Add(bundle_of(SUITE, "New").key_package), sender=sender)
    with refused(bo, UnsupportedError):
        bo.group.open(message)


def test_proposals_and_application_data_have_ratchets_of_their_own(peers):
    ada, bo, _cleo = peers
    first, proposal, second = ada.post(b"one"), ada.propose_update(), ada.post(b"two")
    assert [bo.read(second), bo.read(first)] == [b"two", b"one"]
    bo.receive(proposal)
    assert len(bo.refs) == 1


def test_a_proposal_made_twice_is_one_and_both_messages_are_recognised(peers):
    ada, bo, cleo = peers
    messages = [cleo.propose_remove(cleo) for _ in range(2)]
    for peer in peers:
        for message in messages:
            peer.receive(message)
        assert len(peer.refs) == 1
        peer.restart()
    cleo.receive(messages[0])
    spread([ada, bo], bo.commit(references=bo.refs).message)
    agree([ada, bo])


def test_failing_calls_change_nothing_of_the_sender(peers):
    ada, *_ = peers
    with refused(ada, RuleError):
        ada.group.propose_remove(LeafIndex(7), rng=ada.rng)
    with refused(ada, RuleError):
        ada.group.member(LeafIndex(7))
    assert ada.group.member(ada.index).signature_key == ada.group.own_leaf.signature_key
