"""Commits that do not hold (RFC 9420 sections 12.4.1 and 12.4.2): refused without a trace, the genuine one not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tertulia_protocol.codec import Reader, serialize
from tertulia_protocol.errors import (
    AuthenticityError,
    InvalidMessageError,
    ReplayError,
    RuleError,
    UsageError,
    WrongEpochError,
)
from tertulia_protocol.mls.ciphersuite import X25519_AES128 as SUITE
from tertulia_protocol.mls.commit import Commit
from tertulia_protocol.mls.credential import BASIC, X509, Credential
from tertulia_protocol.mls.epoch_change import check_path_leaf_understood
from tertulia_protocol.mls.errors import ConfirmationError
from tertulia_protocol.mls.extensions import Extension
from tertulia_protocol.mls.framing import PrivateMessage
from tertulia_protocol.mls.group_messages import LeafChanges
from tertulia_protocol.mls.labeled import HPKECiphertext
from tertulia_protocol.mls.leaf_node import LeafNodeSource
from tertulia_protocol.mls.proposals import Remove
from tests.support.mls import NOW
from tests.support.mls_forgery import encrypt, forge_commit, forge_path, sign
from tests.support.mls_world import (
    EXTENSION,
    agree,
    everybody_commits,
    found,
    refused,
    remove,
    rewire,
    spread,
    supports,
)


@pytest.fixture
def peers():
    peers = found(SUITE, 4)
    everybody_commits(peers)
    return peers


def stage(peer, message):
    return peer.group.stage_commit(peer.group.open(message))


def refuse(peer, message, error=RuleError, match=None):
    """Refuse a commit whose public part is wrong, then follow a genuine one."""
    with refused(peer, error, match=match):
        stage(peer, message)


def test_a_path_leaf_is_signed_by_the_committer(peers):
    ada, bo, cleo, _dan = peers
    path = forge_path(ada, sign_with=cleo.group.signature_private)
    refuse(bo, forge_commit(ada, path=path), AuthenticityError)


def test_a_path_leaf_is_made_for_a_commit(peers):
    ada, bo, *_ = peers
    path = forge_path(ada, change=lambda leaf: replace(leaf, source=LeafNodeSource.UPDATE, parent_hash=None))
    refuse(bo, forge_commit(ada, path=path), match="UPDATE where COMMIT belongs")


def test_a_path_leaf_supports_the_groups_extensions():
    ada, bo = found(SUITE, 2, extensions=(Extension(EXTENSION, b""),))
    less = replace(supports(SUITE), extensions=())
    path = forge_path(ada, change=lambda leaf: replace(leaf, capabilities=less))
    refuse(bo, forge_commit(ada, path=path), match="does not support extension")
    with refused(ada, RuleError, match="does not support extension"):
        ada.group.build_commit(changes=LeafChanges(capabilities=less), now=NOW, rng=ada.rng)


def test_a_path_leaf_brings_a_new_key(peers):
    ada, bo, cleo, _dan = peers
    for key in (ada.group.own_leaf.encryption_key, cleo.group.own_leaf.encryption_key):
        path = forge_path(ada, change=lambda leaf, key=key: replace(leaf, encryption_key=key))
        refuse(bo, forge_commit(ada, path=path), match="key")


def test_a_path_leaf_does_not_take_anothers_signature_key(peers):
    ada, bo, cleo, _dan = peers
    path = forge_path(
        ada,
        change=lambda leaf: replace(leaf, signature_key=cleo.group.own_leaf.signature_key),
        sign_with=cleo.group.signature_private,
    )
    refuse(bo, forge_commit(ada, path=path), match="same signature key")


def test_a_path_leafs_parent_hash_holds(peers):
    ada, bo, *_ = peers
    path = forge_path(ada, change=lambda leaf: replace(leaf, parent_hash=bytes(32)))
    refuse(bo, forge_commit(ada, path=path), match="parent hash")


def test_a_path_leafs_credential_is_understood(peers):
    # Only basic credentials are accepted at all, so the rule is shown on a leaf that could not come about.
    ada = peers[0].group
    foreign = replace(
        ada.own_leaf,
        credential=Credential(X509, b"\0"),
        capabilities=replace(supports(SUITE), credentials=(BASIC, X509)),
    )
    with pytest.raises(RuleError, match="credential"):
        check_path_leaf_understood(ada.tree, ada.own_index, foreign)
    check_path_leaf_understood(ada.tree, ada.own_index, replace(ada.own_leaf, encryption_key=b"new"))


def test_a_path_has_the_length_of_the_filtered_direct_path(peers):
    ada, bo, *_ = peers
    path = forge_path(ada)
    for nodes in (path.nodes[:-1], (*path.nodes, path.nodes[-1])):
        refuse(bo, forge_commit(ada, path=replace(path, nodes=nodes)), match="path has")


def altered(built, ada, change):
    """Return ``built`` with its path changed, signed and encrypted by its author; its tag is of the genuine one."""
    commit = built.pending.content.content.content
    assert isinstance(commit, Commit)
    path = change(commit.path)
    genuine = built.pending.content.auth.confirmation_tag
    signed = sign(ada, Commit(proposals=commit.proposals, path=path))
    return encrypt(ada, signed.with_confirmation_tag(genuine))


def with_first_secret(path, ciphertext):
    node = path.nodes[-1]
    count = len(node.encrypted_path_secret)
    return replace(path, nodes=(*path.nodes[:-1], replace(node, encrypted_path_secret=(ciphertext,) * count)))


def test_a_path_secret_that_does_not_open(peers):
    ada, _bo, cleo, _dan = peers
    built = ada.commit(path=True)
    bad = HPKECiphertext(kem_output=cleo.group.own_leaf.encryption_key, ciphertext=bytes(48))
    message = altered(built, ada, lambda path: with_first_secret(path, bad))
    provisional = stage(cleo, message)
    with refused(cleo, AuthenticityError):
        cleo.group.apply_commit(provisional)


def test_a_path_secret_that_does_not_give_its_keys(peers):
    ada, _bo, cleo, _dan = peers
    one, other = ada.commit(path=True), ada.commit(path=True)
    foreign = other.pending.content.content.content.path.nodes[-1].encrypted_path_secret
    message = altered(
        one,
        ada,
        lambda path: replace(path, nodes=(*path.nodes[:-1], replace(path.nodes[-1], encrypted_path_secret=foreign))),
    )
    provisional = stage(cleo, message)
    # The other commit leads to another tree, so already its context does not fit.
    with refused(cleo, AuthenticityError):
        cleo.group.apply_commit(provisional)


def test_a_wrong_confirmation_tag(peers):
    ada, bo, _cleo, dan = peers
    genuine = ada.commit(Remove(dan.index))
    tag = genuine.pending.content.auth.confirmation_tag
    for bad in (bytes(32), b"", tag[:-1], tag + b"\0", bytes([tag[0] ^ 1]) + tag[1:]):
        forged = encrypt(ada, genuine.pending.content.with_confirmation_tag(bad))
        provisional = stage(bo, forged)
        with refused(bo, ConfirmationError):
            bo.group.apply_commit(provisional)
    # The forger used later generations; the genuine commit is still followed.
    spread(peers, genuine.message)
    agree(peers[:3])


def test_a_forged_commit_then_the_genuine_one_of_the_same_generation(peers):
    ada, bo, cleo, _dan = peers
    genuine = ada.commit(path=True)
    generation = 1  # Ada's first commit of this epoch; her commits in other epochs had other ratchets
    forged = sign(cleo, Commit(proposals=(), path=forge_path(cleo)), as_leaf=0)
    for number in range(generation + 1):
        with refused(bo, AuthenticityError):
            bo.group.open(encrypt(cleo, forged, generation=number))
    spread(peers, genuine.message)
    agree(peers)


@pytest.mark.parametrize("what", ["application", "proposal", "commit"])
def test_a_message_in_the_name_of_another_is_refused(peers, what):
    ada, bo, cleo, dan = peers
    content = {
        "application": b"I am Ada",
        "proposal": Remove(dan.index),
        "commit": Commit(proposals=(), path=forge_path(cleo)),
    }[what]
    for key in (cleo.group.signature_private, bytes(32)):
        forged = encrypt(cleo, sign(cleo, content, as_leaf=ada.index, key=key))
        with refused(bo, AuthenticityError, match="signature"):
            bo.group.open(forged)
    for signature in (b"", bytes(64)):
        signed = sign(ada, content)
        unsigned = replace(signed, auth=replace(signed.auth, signature=signature))
        with refused(bo, AuthenticityError, match="signature"):
            bo.group.open(encrypt(ada, unsigned))


def test_a_commit_is_processed_once(peers):
    ada, bo, *_ = peers
    built = ada.commit(path=True)
    opened = bo.group.open(built.message)
    staged = bo.group.apply_commit(bo.group.stage_commit(opened))
    bo.receive(built.message)
    with refused(bo, WrongEpochError):
        bo.group.open(built.message)
    with refused(bo, UsageError):
        bo.group.merge(staged)


def test_a_proposal_is_taken_once(peers):
    ada, bo, *_ = peers
    message = ada.propose_update()
    bo.receive(message)
    with refused(bo, ReplayError):
        bo.group.open(message)


def test_an_opened_commit_is_staged_by_the_state_that_opened_it(peers):
    ada, bo, *_ = peers
    opened = bo.group.open(ada.post(b"text"))
    with refused(bo, UsageError):
        bo.group.stage_commit(opened)
    with refused(bo, UsageError):
        bo.group.process_proposal(opened)


def test_no_step_lies_between_opening_and_using(peers):
    ada, bo, *_ = peers
    commit, proposal = ada.commit(path=True).message, ada.propose_update()
    opened = [bo.group.open(commit), bo.group.open(proposal)]
    bo.post(b"a step")
    with refused(bo, UsageError):
        bo.group.stage_commit(opened[0])
    with refused(bo, UsageError):
        bo.group.process_proposal(opened[1])
    consumed = bo.group.open(commit)
    assert consumed.group.stage_commit(consumed).committer == ada.index


def test_nothing_of_a_commit_may_be_changed_on_its_way(peers):
    ada, bo, *_ = peers
    built = ada.commit(path=True, authenticated_data=b"signed")
    whole = serialize(built.message)
    for position in range(0, len(whole), 7):
        damaged = whole[:position] + bytes([whole[position] ^ 0x40]) + whole[position + 1 :]
        before = dict(bo.rows)
        with pytest.raises(InvalidMessageError):
            bo.group.open(PrivateMessage.decode(Reader(damaged)))
        assert bo.group.rows() == before
    with refused(bo, AuthenticityError):
        bo.group.open(replace(built.message, authenticated_data=b"other"))
    bo.receive(built.message)


def test_a_commit_that_removes_several(peers):
    ada, bo, cleo, dan = peers
    built = ada.commit(remove(cleo), remove(dan))
    spread(peers, built.message)
    assert cleo.is_removed
    assert dan.is_removed
    agree([ada, bo])
    assert rewire(built.message) == built.message


def test_no_commit_leads_past_the_last_epoch():
    """A founder can start a group anywhere; who was led into its last epoch must not stumble over the number."""
    ada, bo = found(SUITE, 2)
    last = replace(ada.group.context, epoch=2**64 - 1)
    ada.group, bo.group = replace(ada.group, context=last), replace(bo.group, context=last)
    ada.rows, bo.rows = ada.group.rows(), bo.group.rows()
    with refused(ada, RuleError, "last epoch"):
        ada.group.build_commit(now=NOW, rng=ada.rng)
    message = forge_commit(ada, path=forge_path(ada))
    with refused(bo, RuleError, "last epoch"):
        bo.group.apply_commit(bo.group.stage_commit(bo.group.open(message)))
