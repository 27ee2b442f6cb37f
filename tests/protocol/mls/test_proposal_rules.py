"""RFC 9420 sections 12.1 and 12.2: a member breaks each rule alone, the others refuse and keep their state."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tertulia_protocol.errors import AuthenticityError, RuleError, UnsupportedError, UsageError
from tertulia_protocol.mls.ciphersuite import X25519_AES128 as SUITE
from tertulia_protocol.mls.ciphersuite import X25519_CHACHA20
from tertulia_protocol.mls.credential import BASIC, X509, Credential
from tertulia_protocol.mls.errors import UnknownProposalError, UnknownPskError
from tertulia_protocol.mls.extensions import Extension
from tertulia_protocol.mls.group_messages import LeafChanges
from tertulia_protocol.mls.key_package import KeyPackageBundle
from tertulia_protocol.mls.leaf_node import Lifetime
from tertulia_protocol.mls.proposal_rules import check_new_leaves_understood
from tertulia_protocol.mls.proposals import (
    Add,
    ExternalInit,
    GroupContextExtensions,
    PreSharedKey,
    ReInit,
    Remove,
    Update,
)
from tertulia_protocol.mls.psk import ExternalPSK, PreSharedKeyID, ResumptionPSK, ResumptionPSKUsage
from tertulia_protocol.mls.ratchet_tree import RatchetTree
from tertulia_protocol.mls.tree_math import LeafIndex
from tests.support.mls import NOW, seeded_rng
from tests.support.mls_forgery import encrypt, forge_commit, forge_path, sign, update_leaf
from tests.support.mls_world import EXTENSION, agree, bundle_of, found, refused, required, spread, supports

UNKNOWN = 0xF00D
"""An extension type that nobody here supports."""


@pytest.fixture
def peers():
    return found(SUITE, 4)


def refuse_commit(peer, message, error=RuleError, match=None):
    with refused(peer, error, match=match):
        peer.group.stage_commit(peer.group.open(message))


def refuse_proposal(peer, message, error=RuleError, match=None):
    with refused(peer, error, match=match):
        peer.group.process_proposal(peer.group.open(message))


def resigned(bundle: KeyPackageBundle, **leaf_changes):
    """Return the key package of ``bundle`` with another leaf, everything signed again."""
    key = bundle.signature_private
    leaf = replace(bundle.key_package.leaf_node, **leaf_changes).sign(SUITE, key)
    return replace(bundle.key_package, leaf_node=leaf).sign(SUITE, key)


def psk(identity=b"known", nonce=bytes(32)):
    return PreSharedKey(PreSharedKeyID(ExternalPSK(identity), nonce))


# --- 12.1 ---


@pytest.mark.parametrize(
    "proposal",
    [ReInit(group_id=b"next", version=1, cipher_suite=1, extensions=()), ExternalInit(b"kem output")],
    ids=lambda proposal: type(proposal).__name__,
)
def test_reinit_and_external_init_are_refused(peers, proposal):
    ada, bo, *_ = peers
    refuse_commit(bo, forge_commit(ada, proposal, path=forge_path(ada)), UnsupportedError)
    refuse_proposal(bo, encrypt(ada, sign(ada, proposal)), UnsupportedError)


def test_an_added_key_package_is_valid(peers):
    ada, bo, *_ = peers
    good = bundle_of(SUITE, "New").key_package
    bad = replace(good, signature=bytes(64))
    refuse_commit(bo, forge_commit(ada, Add(bad)), AuthenticityError)
    refuse_proposal(bo, encrypt(ada, sign(ada, Add(bad))), AuthenticityError)


def test_an_added_key_package_is_of_the_groups_suite(peers):
    ada, bo, *_ = peers
    refuse_commit(
        bo,
        forge_commit(ada, Add(bundle_of(X25519_CHACHA20, "New").key_package)),
        match="another version or cipher suite",
    )


def test_an_added_leaf_supports_the_groups_extensions():
    ada, bo = found(SUITE, 2, extensions=(Extension(EXTENSION, b""),))
    plain = supports(SUITE)
    bundle = bundle_of(SUITE, "New", supports=replace(plain, extensions=()))
    refuse_commit(bo, forge_commit(ada, Add(bundle.key_package)), match="does not support extension")


def test_an_added_leaf_has_the_required_capabilities():
    ada, bo = found(SUITE, 2, extensions=required(EXTENSION))
    bundle = bundle_of(SUITE, "New", supports=replace(supports(SUITE), extensions=()))
    refuse_commit(bo, forge_commit(ada, Add(bundle.key_package)), match="lacks a required capability")


def test_new_extensions_are_in_force_for_adds_of_the_same_commit(peers):
    ada, bo, *_ = peers
    bundle = bundle_of(SUITE, "New", supports=replace(supports(SUITE), extensions=()))
    message = forge_commit(
        ada, GroupContextExtensions(required(EXTENSION)), Add(bundle.key_package), path=forge_path(ada)
    )
    refuse_commit(bo, message, match="lacks a required capability")


def test_extensions_that_go_bind_nobody_who_is_added_by_the_same_commit():
    ada, bo = peers = found(SUITE, 2, extensions=(Extension(EXTENSION, b""),))
    bundle = bundle_of(SUITE, "New", supports=replace(supports(SUITE), extensions=()))
    spread(peers, ada.commit(GroupContextExtensions(()), Add(bundle.key_package)).message)
    agree([ada, bo])
    assert len(ada.group.members()) == 3


def test_an_expired_key_package_is_refused_by_the_committer(peers):
    ada, *_ = peers
    for lifetime in (
        Lifetime(not_before=NOW - 20, not_after=NOW - 10),
        Lifetime(not_before=NOW + 10, not_after=NOW + 20),
    ):
        key_package = resigned(bundle_of(SUITE, "New"), lifetime=lifetime)
        with refused(ada, RuleError, match="lifetime"):
            ada.group.build_commit(proposals=(Add(key_package),), now=NOW, rng=ada.rng)
        with refused(ada, RuleError, match="lifetime"):
            ada.group.propose_add(key_package, now=NOW, rng=ada.rng)


def test_an_update_is_signed_by_its_sender(peers):
    ada, bo, cleo, _dan = peers
    leaf = replace(update_leaf(cleo), signature=bytes(64))
    refuse_proposal(bo, encrypt(cleo, sign(cleo, Update(leaf))), AuthenticityError)
    foreign = Update(update_leaf(ada))
    refuse_proposal(bo, encrypt(cleo, sign(cleo, foreign)), AuthenticityError)


def test_an_update_brings_a_new_key(peers):
    _ada, bo, cleo, dan = peers
    for key in (cleo.group.own_leaf.encryption_key, dan.group.own_leaf.encryption_key):
        leaf = update_leaf(cleo, change=lambda leaf, key=key: replace(leaf, encryption_key=key))
        refuse_proposal(bo, encrypt(cleo, sign(cleo, Update(leaf))), match="does not change the encryption key")


def test_an_update_supports_the_groups_extensions():
    bo, cleo = found(SUITE, 2, extensions=(Extension(EXTENSION, b""),))
    less = replace(supports(SUITE), extensions=())
    leaf = update_leaf(cleo, change=lambda leaf: replace(leaf, capabilities=less))
    refuse_proposal(bo, encrypt(cleo, sign(cleo, Update(leaf))), match="does not support extension")


@pytest.mark.parametrize("index", [5, 8, 2**32 - 1])
def test_only_members_are_removed(index):
    ada, bo, *_ = found(SUITE, 5)
    refuse_commit(bo, forge_commit(ada, Remove(LeafIndex(index))), match="cannot be removed")
    with refused(ada, RuleError, match="cannot be removed"):
        ada.group.propose_remove(LeafIndex(index), rng=ada.rng)


def test_a_psk_nonce_has_its_length(peers):
    ada, bo, *_ = peers
    refuse_commit(bo, forge_commit(ada, psk(nonce=bytes(31))), match="nonce")


@pytest.mark.parametrize("usage", [ResumptionPSKUsage.REINIT, ResumptionPSKUsage.BRANCH])
def test_psks_for_other_uses_are_refused(peers, usage):
    ada, bo, *_ = peers
    resumption = ResumptionPSK(usage=usage, psk_group_id=ada.group.group_id, psk_epoch=1)
    message = forge_commit(ada, PreSharedKey(PreSharedKeyID(resumption, bytes(32))))
    refuse_commit(bo, message, match="re-initialisation or branching")


def test_a_psk_that_is_not_here_is_refused(peers):
    ada, bo, *_ = peers
    built = ada.commit(psk(), psks={b"known": b"key"})
    provisional = bo.group.stage_commit(bo.group.open(built.message))
    for psks in ({}, {b"other": b"key"}):
        with refused(bo, UnknownPskError):
            bo.group.apply_commit(provisional, psks=psks)
    group = bo.group.merge(bo.group.apply_commit(provisional, psks={b"known": b"key"}))
    assert group.epoch_authenticator == built.staged.epoch_authenticator
    with refused(ada, UnknownPskError):
        ada.group.build_commit(proposals=(psk(b"other"),), now=NOW, rng=ada.rng)


# --- 12.2 ---


def test_the_committer_does_not_commit_its_own_update(peers):
    ada, bo, *_ = peers
    message = forge_commit(ada, Update(update_leaf(ada)), path=forge_path(ada))
    refuse_commit(bo, message, match="commits its own Update")
    bo.receive(ada.propose_update())
    refuse_commit(bo, forge_commit(ada, references=bo.refs, path=forge_path(ada)), match="commits its own Update")
    with refused(ada, RuleError, match="commits its own Update"):
        ada.group.build_commit(references=ada.refs, now=NOW, rng=ada.rng)


def test_the_committer_does_not_remove_itself(peers):
    ada, bo, *_ = peers
    refuse_commit(bo, forge_commit(ada, Remove(ada.index)), match="removes itself")


def test_a_leaf_is_changed_once(peers):
    ada, bo, cleo, dan = peers
    twice = "changed by two proposals"
    refuse_commit(bo, forge_commit(ada, Remove(dan.index), Remove(dan.index)), match=twice)
    for _ in range(2):
        message = cleo.propose_update()
        bo.receive(message)
        ada.receive(message)
    one, other = bo.refs
    refuse_commit(bo, forge_commit(ada, references=(one, other)), match=twice)
    refuse_commit(bo, forge_commit(ada, Remove(cleo.index), references=(one,)), match=twice)


def test_nobody_is_added_twice(peers):
    ada, bo, *_ = peers
    bundle = bundle_of(SUITE, "New")
    other = SUITE.generate_key_pair(seeded_rng("other")).public
    again = resigned(bundle, encryption_key=other)
    refuse_commit(bo, forge_commit(ada, Add(bundle.key_package), Add(again)), match="a client is added twice")


def test_a_member_is_not_added_again(peers):
    ada, bo, cleo, _dan = peers
    other = SUITE.generate_key_pair(seeded_rng("other")).public
    again = resigned(bundle_of(SUITE, "Cleo"), encryption_key=other)
    refuse_commit(bo, forge_commit(ada, Add(again)), match="a member is added again")
    built = ada.commit(Remove(cleo.index), Add(again))
    spread([ada, bo], built.message)
    agree([ada, bo])


def test_no_psk_is_named_twice(peers):
    ada, bo, *_ = peers
    refuse_commit(bo, forge_commit(ada, psk(), psk()), match="a PSK is named twice")


def test_extensions_are_replaced_once(peers):
    ada, bo, *_ = peers
    proposal = GroupContextExtensions(())
    refuse_commit(bo, forge_commit(ada, proposal, proposal), match="replaced twice")


def test_no_encryption_key_stands_twice(peers):
    ada, bo, cleo, _dan = peers
    twin = resigned(bundle_of(SUITE, "New"), encryption_key=cleo.group.own_leaf.encryption_key)
    refuse_commit(bo, forge_commit(ada, Add(twin)), match="same encryption key")


def test_no_signature_key_stands_twice_after_an_update(peers):
    ada, bo, cleo, dan = peers
    key = dan.group.own_leaf.signature_key
    leaf = replace(update_leaf(cleo), signature_key=key).sign(
        SUITE, dan.group.signature_private, group_id=cleo.group.group_id, leaf_index=cleo.index
    )
    bo.receive(encrypt(cleo, sign(cleo, Update(leaf))))
    refuse_commit(bo, forge_commit(ada, references=bo.refs, path=forge_path(ada)), match="same signature key")


def test_new_leaves_and_members_support_each_others_credentials(peers):
    # Only basic credentials are accepted at all, so the rule is shown on a tree that could not come about.
    ada = peers[0].group.own_leaf
    foreign = replace(
        peers[1].group.own_leaf,
        credential=Credential(X509, b"\0"),
        capabilities=replace(supports(SUITE), credentials=(BASIC, X509)),
    )
    tree = RatchetTree([ada, None, foreign])
    for leaf in (ada, foreign):
        with pytest.raises(RuleError, match="credential"):
            check_new_leaves_understood(tree, [leaf])
    check_new_leaves_understood(RatchetTree([foreign]), [foreign])


def test_extensions_are_supported_by_every_member(peers):
    ada, bo, *_ = peers
    more = replace(supports(SUITE), extensions=(EXTENSION, UNKNOWN))
    spread(peers, ada.commit(changes=LeafChanges(capabilities=more)).message)
    for extensions in ((Extension(UNKNOWN, b""),), required(UNKNOWN)):
        message = forge_commit(ada, GroupContextExtensions(extensions), path=forge_path(ada))
        refuse_commit(bo, message, match="does not support extension|lacks a required capability")
        with refused(ada, RuleError):
            ada.group.build_commit(proposals=(GroupContextExtensions(extensions),), now=NOW, rng=ada.rng)


# --- 12.4 ---


def test_a_path_where_one_is_needed(peers):
    ada, bo, _cleo, dan = peers
    lacks = "lacks the path"
    refuse_commit(bo, forge_commit(ada), match=lacks)
    refuse_commit(bo, forge_commit(ada, Remove(dan.index)), match=lacks)
    refuse_commit(bo, forge_commit(ada, GroupContextExtensions(())), match=lacks)
    bo.receive(dan.propose_update())
    refuse_commit(bo, forge_commit(ada, references=bo.refs), match=lacks)
    with refused(ada, UsageError):
        ada.group.build_commit(proposals=(Remove(dan.index),), path=False, now=NOW, rng=ada.rng)


def test_a_proposal_that_never_arrived(peers):
    ada, bo, _cleo, dan = peers
    ada.receive(dan.propose_update())
    built = ada.commit(references=ada.refs)
    refuse_commit(bo, built.message, UnknownProposalError)
    with refused(bo, UnknownProposalError):
        bo.group.build_commit(references=ada.refs, now=NOW, rng=bo.rng)
