"""Joining by a Welcome (RFC 9420 section 12.4.3.1): a member who invites can lie about everything, and is found out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tertulia_protocol.codec import serialize
from tertulia_protocol.errors import AuthenticityError, DecodeError, RuleError, UnsupportedError
from tertulia_protocol.mls.ciphersuite import X25519_AES128 as SUITE
from tertulia_protocol.mls.ciphersuite import X25519_CHACHA20
from tertulia_protocol.mls.errors import ConfirmationError, UnknownPskError
from tertulia_protocol.mls.extensions import Extension, ExtensionType
from tertulia_protocol.mls.group import Group
from tertulia_protocol.mls.proposals import Add, PreSharedKey
from tertulia_protocol.mls.psk import ExternalPSK, PreSharedKeyID, ResumptionPSK, ResumptionPSKUsage, psk_secret
from tertulia_protocol.mls.ratchet_tree import RatchetTree
from tertulia_protocol.mls.tree_hash import tree_hash
from tertulia_protocol.mls.tree_math import LeafIndex, NodeIndex
from tertulia_protocol.mls.welcome import NewMember, build_welcome, open_group_info, open_group_secrets
from tests.support.mls import seeded_rng
from tests.support.mls_world import EXTENSION, agree, bundle_of, everybody_commits, found, spread, supports

ZERO = bytes(32)


class Invitation:
    """A Welcome taken apart, so that its author can change a part and put it together again."""

    def __init__(self, *, path: bool = True, extensions: tuple[Extension, ...] = ()) -> None:
        self.ada, self.bo, self.cleo = self.peers = found(SUITE, 3, extensions=extensions)
        everybody_commits(self.peers)
        self.bundle = bundle_of(SUITE, "New")
        self.built = self.ada.commit(Add(self.bundle.key_package), path=path)
        self.tree = self.built.tree
        self.secrets = open_group_secrets(SUITE, self.built.welcome, self.bundle)
        self.info = open_group_info(
            SUITE, self.built.welcome, joiner_secret=self.secrets.joiner_secret, psk_secret=ZERO
        )
        self.signature_private = self.ada.group.signature_private
        self.psks: tuple[PreSharedKeyID, ...] = ()
        self.psk_secret = ZERO

    def nodes(self):
        return [self.tree.node(NodeIndex(index)) for index in range(2 * self.tree.size - 1)]

    def claim_tree(self, nodes) -> None:
        """Say that the group's tree is this one."""
        self.tree = RatchetTree(nodes)
        context = replace(self.info.group_context, tree_hash=tree_hash(SUITE, self.tree))
        self.info = replace(self.info, group_context=context)

    def welcome(self):
        return build_welcome(
            SUITE,
            group_info=self.info.sign(SUITE, self.signature_private),
            joiner_secret=self.secrets.joiner_secret,
            psk_secret=self.psk_secret,
            psks=self.psks,
            new_members=[NewMember(key_package=self.bundle.key_package, path_secret=self.secrets.path_secret)],
        )

    def accept(self, **more) -> Group:
        return Group.join(welcome=self.welcome(), bundle=self.bundle, **{"ratchet_tree": self.tree, **more})

    def refuse(self, error=RuleError, match=None, **more) -> None:
        with pytest.raises(error, match=match) as raised:
            self.accept(**more)
        assert type(raised.value) is error


@pytest.fixture
def invitation():
    return Invitation()


def test_an_honest_welcome_put_together_again_is_accepted(invitation):
    spread(invitation.peers, invitation.built.message)
    assert invitation.accept().epoch_authenticator == invitation.ada.group.epoch_authenticator
    agree(invitation.peers)


def test_a_welcome_for_somebody_else(invitation):
    other = bundle_of(SUITE, "Other")
    with pytest.raises(RuleError, match="not for this key package"):
        Group.join(welcome=invitation.welcome(), bundle=other, ratchet_tree=invitation.tree)


def test_a_welcome_of_another_suite(invitation):
    welcome = replace(invitation.welcome(), cipher_suite=X25519_CHACHA20.id)
    with pytest.raises(RuleError, match="another cipher suite"):
        Group.join(welcome=welcome, bundle=invitation.bundle, ratchet_tree=invitation.tree)
    with pytest.raises(UnsupportedError):
        Group.join(welcome=replace(welcome, cipher_suite=2), bundle=invitation.bundle)


def test_the_group_info_is_signed_by_the_member_it_names(invitation):
    invitation.info = replace(invitation.info, signer=invitation.bo.index)
    invitation.refuse(AuthenticityError)
    invitation.signature_private = ZERO
    invitation.info = replace(invitation.info, signer=invitation.ada.index)
    invitation.refuse(AuthenticityError)


def test_the_signer_is_a_member(invitation):
    for signer in (7, 2**32 - 1):
        invitation.info = replace(invitation.info, signer=LeafIndex(signer))
        invitation.refuse(match="no member at leaf")


def test_without_a_tree(invitation):
    invitation.refuse(match="no ratchet tree", ratchet_tree=None)


def test_with_another_tree(invitation):
    invitation.refuse(match="not the group's", ratchet_tree=invitation.ada.group.tree)


def test_a_tree_inside_comes_before_one_outside(invitation):
    inside = Extension(ExtensionType.RATCHET_TREE, serialize(invitation.ada.group.tree))
    invitation.info = replace(invitation.info, extensions=(inside,))
    invitation.refuse(match="not the group's")
    invitation.info = replace(
        invitation.info, extensions=(Extension(ExtensionType.RATCHET_TREE, serialize(invitation.tree)),)
    )
    invitation.accept(ratchet_tree=None)
    invitation.info = replace(invitation.info, extensions=(Extension(ExtensionType.RATCHET_TREE, b"\x01"),))
    invitation.refuse(DecodeError)


def test_a_tree_with_a_leaf_that_its_owner_did_not_sign(invitation):
    nodes = invitation.nodes()
    nodes[2] = replace(nodes[2], signature=bytes(64))
    invitation.claim_tree(nodes)
    invitation.refuse(match="parent hash")


def test_a_tree_with_a_parent_that_nobody_below_made(invitation):
    nodes = invitation.nodes()
    nodes[1] = replace(nodes[1], encryption_key=SUITE.generate_key_pair(seeded_rng("x")).public)
    invitation.claim_tree(nodes)
    invitation.refuse(match="in its parent hash")


def test_a_tree_with_wrong_unmerged_leaves(invitation):
    nodes = invitation.nodes()
    root = invitation.tree.root
    nodes[root] = replace(nodes[root], unmerged_leaves=(LeafIndex(7),))
    invitation.claim_tree(nodes)
    invitation.refuse(match="unmerged")


def test_a_tree_with_a_key_twice(invitation):
    nodes = invitation.nodes()
    nodes[1] = replace(nodes[1], encryption_key=nodes[0].encryption_key)
    invitation.claim_tree(nodes)
    invitation.refuse(match="same encryption key")


def test_a_member_that_lacks_what_the_group_requires(invitation):
    context = replace(invitation.info.group_context, extensions=(Extension(0xF00D, b""),))
    invitation.info = replace(invitation.info, group_context=context)
    invitation.refuse(match="does not support extension")


def test_our_leaf_is_in_the_tree():
    invitation = Invitation(path=False)
    nodes = invitation.nodes()
    other = bundle_of(SUITE, "Other")
    nodes[6] = other.key_package.leaf_node
    invitation.claim_tree(nodes)
    invitation.refuse(match="does not have our leaf")


def test_a_path_secret_that_does_not_give_the_trees_keys(invitation):
    invitation.secrets = replace(invitation.secrets, path_secret=bytes(32))
    invitation.refuse(match="path secret")


def test_a_missing_path_secret(invitation):
    invitation.secrets = replace(invitation.secrets, path_secret=None)
    invitation.refuse(match="lacks the key")


def test_a_wrong_confirmation_tag(invitation):
    invitation.info = replace(invitation.info, confirmation_tag=bytes(32))
    invitation.refuse(ConfirmationError)


def test_another_joiner_secret(invitation):
    invitation.secrets = replace(invitation.secrets, joiner_secret=bytes(32))
    invitation.refuse(ConfirmationError)


def test_another_transcript_or_epoch(invitation):
    context = invitation.info.group_context
    for changed in (replace(context, epoch=9), replace(context, confirmed_transcript_hash=bytes(32))):
        invitation.info = replace(invitation.info, group_context=changed)
        # The signatures of leaves that came by commits do not cover the epoch; the key schedule does.
        invitation.refuse(ConfirmationError)


def test_psks_of_a_welcome():
    invitation = Invitation(path=False)
    psk_id = PreSharedKeyID(ExternalPSK(b"known"), ZERO)
    built = invitation.ada.commit(Add(invitation.bundle.key_package), PreSharedKey(psk_id), psks={b"known": b"key"})
    for psks in ({}, {b"other": b"key"}):
        with pytest.raises(UnknownPskError):
            Group.join(welcome=built.welcome, bundle=invitation.bundle, ratchet_tree=built.tree, psks=psks)
    with pytest.raises(AuthenticityError):
        Group.join(welcome=built.welcome, bundle=invitation.bundle, ratchet_tree=built.tree, psks={b"known": b"no"})
    group = Group.join(
        welcome=built.welcome, bundle=invitation.bundle, ratchet_tree=built.tree, psks={b"known": b"key"}
    )
    assert group.epoch_authenticator == built.staged.epoch_authenticator


def test_a_psk_that_is_not_for_joining(invitation):
    resumption = ResumptionPSK(usage=ResumptionPSKUsage.BRANCH, psk_group_id=b"a group", psk_epoch=1)
    invitation.psks = (PreSharedKeyID(resumption, ZERO),)
    invitation.psk_secret = psk_secret(SUITE, [(invitation.psks[0], b"key")])
    invitation.refuse(match="re-initialisation or branching")
    invitation.psks = (PreSharedKeyID(ExternalPSK(b"known"), b"short"),)
    invitation.refuse(match="nonce", psks={b"known": b"key"})


def test_founding_with_what_the_founder_does_not_support():
    for extensions, supported in (
        ((Extension(EXTENSION, b""),), replace(supports(SUITE), extensions=())),
        ((Extension(EXTENSION, b""), Extension(EXTENSION, b"")), supports(SUITE)),
    ):
        bundle = bundle_of(SUITE, "Ada", supports=supported)
        with pytest.raises(RuleError):
            Group.create(suite=SUITE, group_id=b"g", bundle=bundle, extensions=extensions, rng=seeded_rng("create"))
