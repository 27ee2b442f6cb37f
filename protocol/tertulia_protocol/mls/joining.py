"""How a group begins for a member: founding it (RFC 9420 section 11) or joining by a Welcome (section 12.4.3.1)."""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tertulia_protocol.codec import parse
from tertulia_protocol.errors import RuleError
from tertulia_protocol.mls.ciphersuite import CipherSuite, Rng, get_suite
from tertulia_protocol.mls.epoch_change import resolve_psks
from tertulia_protocol.mls.errors import ConfirmationError
from tertulia_protocol.mls.extensions import Extension, ExtensionType, check_no_duplicates, find_extension
from tertulia_protocol.mls.group_context import GroupContext
from tertulia_protocol.mls.group_state import GroupSettings, S, leaf_at
from tertulia_protocol.mls.key_package import KeyPackageBundle, verify_key_package
from tertulia_protocol.mls.key_schedule import DerivedEpoch, confirmation_tag, derive_epoch, next_epoch
from tertulia_protocol.mls.leaf_node import (
    LeafNode,
    check_leaf_consistent,
    check_leaf_in_group,
)
from tertulia_protocol.mls.proposal_rules import check_new_leaves_understood, check_psk_usage
from tertulia_protocol.mls.psk import PreSharedKeyID, check_psk_nonce, psk_secret
from tertulia_protocol.mls.ratchet_tree import RatchetTree
from tertulia_protocol.mls.secret_tree import SecretTree
from tertulia_protocol.mls.transcript import interim_transcript_hash
from tertulia_protocol.mls.tree_hash import tree_hash
from tertulia_protocol.mls.tree_math import LeafIndex, NodeIndex
from tertulia_protocol.mls.tree_validation import verify_tree
from tertulia_protocol.mls.treekem import join_path
from tertulia_protocol.mls.welcome import (
    GroupInfo,
    Welcome,
    open_group_info,
    open_group_secrets,
    verify_group_info_signature,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Start:
    """What the first state of a member is made of."""

    suite: CipherSuite
    own_index: LeafIndex
    context: GroupContext
    tree: RatchetTree = field(repr=False)
    derived: DerivedEpoch = field(repr=False)
    private_keys: dict[NodeIndex, bytes] = field(repr=False)


def create_group(  # noqa: PLR0913 - each argument is one choice, and all are named
    kind: type[S],
    *,
    suite: CipherSuite,
    group_id: bytes,
    bundle: KeyPackageBundle,
    extensions: tuple[Extension, ...],
    rng: Rng,
    settings: GroupSettings,
) -> S:
    """Found a group (see ``Group.create``)."""
    leaf = bundle.key_package.leaf_node
    check_no_duplicates(extensions)
    verify_key_package(suite, bundle.key_package, now=None)
    check_leaf_in_group(leaf, extensions=extensions)
    tree = RatchetTree([leaf])
    context = GroupContext(
        cipher_suite=suite.id,
        group_id=group_id,
        epoch=0,
        tree_hash=tree_hash(suite, tree),
        confirmed_transcript_hash=b"",
        extensions=extensions,
    )
    zero = bytes(suite.Nh)
    # Section 11 draws the epoch secret itself; one derived from a random init secret is as random.
    derived = next_epoch(suite, init_secret=rng(suite.Nh), commit_secret=zero, psk_secret=zero, group_context=context)
    start = _Start(
        suite=suite,
        own_index=LeafIndex(0),
        context=context,
        tree=tree,
        derived=derived,
        private_keys={NodeIndex(0): bundle.encryption_private},
    )
    return _begin(kind, start, bundle, settings)


def _begin(kind: type[S], start: _Start, bundle: KeyPackageBundle, settings: GroupSettings) -> S:
    confirmed, derived = start.context.confirmed_transcript_hash, start.derived
    tag = confirmation_tag(start.suite, derived.secrets.confirmation_key, confirmed)
    return kind(
        settings=settings,
        suite=start.suite,
        own_index=start.own_index,
        signature_private=bundle.signature_private,
        context=start.context,
        tree=start.tree,
        interim_transcript_hash=interim_transcript_hash(start.suite, confirmed, tag),
        confirmation_tag=tag,
        secrets=derived.secrets,
        secret_tree=SecretTree.create(
            start.suite, derived.encryption_secret, n_leaves=start.tree.size, own_leaf=start.own_index
        ),
        private_keys=start.private_keys,
        proposals={},
        pending={},
    )


def join_group(  # noqa: PLR0913 - each argument is one choice, and all are named
    kind: type[S],
    *,
    welcome: Welcome,
    bundle: KeyPackageBundle,
    ratchet_tree: RatchetTree | None,
    psks: Mapping[bytes, bytes],
    settings: GroupSettings,
) -> S:
    """Join by a Welcome (see ``Group.join``), in the order of RFC 9420 section 12.4.3.1."""
    suite = get_suite(welcome.cipher_suite)
    secrets = open_group_secrets(suite, welcome, bundle)
    psk = welcome_psk_secret(suite, secrets.psks, psks)
    info = open_group_info(suite, welcome, joiner_secret=secrets.joiner_secret, psk_secret=psk)
    tree = choose_tree(info, ratchet_tree)
    context = info.group_context
    verify_signer(suite, info, tree)
    verify_group_tree(suite, context, tree)
    own_index = find_own_leaf(tree, bundle.key_package.leaf_node)
    private_keys = join_path(
        suite,
        tree,
        me=own_index,
        sender=info.signer,
        path_secret=secrets.path_secret,
        leaf_private=bundle.encryption_private,
    )
    derived = derive_epoch(suite, joiner_secret=secrets.joiner_secret, psk_secret=psk, group_context=context)
    verify_welcome_tag(suite, derived, info)
    start = _Start(
        suite=suite,
        own_index=own_index,
        context=context,
        tree=tree,
        derived=derived,
        private_keys=private_keys,
    )
    return _begin(kind, start, bundle, settings)


def welcome_psk_secret(suite: CipherSuite, ids: tuple[PreSharedKeyID, ...], external: Mapping[bytes, bytes]) -> bytes:
    """Return the secret of a Welcome's PSKs, Nh bytes. :raises InvalidMessageError: one is unknown or not allowed."""
    for psk_id in ids:
        check_psk_nonce(suite, psk_id)
        check_psk_usage(psk_id)
    return psk_secret(suite, resolve_psks(None, ids, external))


def choose_tree(info: GroupInfo, outside: RatchetTree | None) -> RatchetTree:
    """Return the ratchet tree: the one inside of the Welcome, or else the one from outside.

    :raises RuleError: there is none. :raises InvalidMessageError: the one inside is malformed.
    """
    inside = find_extension(info.extensions, ExtensionType.RATCHET_TREE)
    if inside is not None:
        return parse(RatchetTree, inside)
    if outside is None:
        raise RuleError("there is no ratchet tree", rule="RFC9420-12.4.3.1")
    return outside


def verify_signer(suite: CipherSuite, info: GroupInfo, tree: RatchetTree) -> None:
    """Check the signature of the GroupInfo. :raises InvalidMessageError: not by the member that it names."""
    verify_group_info_signature(suite, info, public_key=leaf_at(tree, info.signer).signature_key)


def verify_group_tree(suite: CipherSuite, context: GroupContext, tree: RatchetTree) -> None:
    """Check a ratchet tree against the group that it is said to be of. :raises InvalidMessageError: it is not valid."""
    check_tree_hash(suite, context, tree)
    for _, leaf in tree.leaves():
        check_leaf_consistent(suite, leaf)
        check_leaf_in_group(leaf, extensions=context.extensions)
    check_new_leaves_understood(tree, (leaf for _, leaf in tree.leaves()))
    verify_tree(suite, tree, group_id=context.group_id)


def check_tree_hash(suite: CipherSuite, context: GroupContext, tree: RatchetTree) -> None:
    """Check that the tree is the one that the group agreed on. :raises RuleError: it is another."""
    if not hmac.compare_digest(tree_hash(suite, tree), context.tree_hash):
        raise RuleError("the ratchet tree is not the group's", rule="RFC9420-12.4.3.1")


def find_own_leaf(tree: RatchetTree, own: LeafNode) -> LeafIndex:
    """Return where our own leaf stands. :raises RuleError: it is not in the tree."""
    places = [index for index, leaf in tree.leaves() if leaf.encryption_key == own.encryption_key and leaf == own]
    check_own_leaf(places)
    return places[0]


def check_own_leaf(places: Sequence[LeafIndex]) -> None:
    """Check that our leaf stands in the tree. :raises RuleError: it does not."""
    if not places:
        raise RuleError("the ratchet tree does not have our leaf", rule="RFC9420-12.4.3.1")


def verify_welcome_tag(suite: CipherSuite, derived: DerivedEpoch, info: GroupInfo) -> None:
    """Check that we reached the epoch that the GroupInfo is of. :raises ConfirmationError: we did not."""
    confirmed = info.group_context.confirmed_transcript_hash
    tag = confirmation_tag(suite, derived.secrets.confirmation_key, confirmed)
    if not hmac.compare_digest(tag, info.confirmation_tag):
        raise ConfirmationError("the confirmation tag of a Welcome does not hold", rule="RFC9420-12.4.3.1")
