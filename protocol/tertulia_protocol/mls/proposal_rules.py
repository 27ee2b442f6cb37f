"""What a list of proposals must be for a commit to be valid (RFC 9420 sections 12.1 and 12.2), and what it does (12.3).

Each rule is a function of its own. :func:`check_proposals` runs those that come before the proposals are applied,
:func:`check_result` those about the tree that they lead to.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from tertulia_protocol.errors import RuleError, UnsupportedError
from tertulia_protocol.mls.ciphersuite import CipherSuite
from tertulia_protocol.mls.extensions import Extension, check_no_duplicates
from tertulia_protocol.mls.key_package import KeyPackage, check_key_package_suite, verify_key_package
from tertulia_protocol.mls.leaf_node import (
    LeafNode,
    LeafNodeSource,
    check_credential_understood,
    check_credentials_in_use,
    check_leaf,
    check_leaf_in_group,
    verify_leaf_signature,
)
from tertulia_protocol.mls.proposals import (
    Add,
    ExternalInit,
    GroupContextExtensions,
    PreSharedKey,
    Proposal,
    ReInit,
    Remove,
    Update,
)
from tertulia_protocol.mls.psk import PreSharedKeyID, ResumptionPSK, ResumptionPSKUsage, check_psk_nonce
from tertulia_protocol.mls.ratchet_tree import RatchetTree
from tertulia_protocol.mls.tree_math import LeafIndex
from tertulia_protocol.mls.tree_validation import verify_unique_keys


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedProposal:
    """A proposal of a commit, wherever it was."""

    proposal: Proposal
    sender: LeafIndex
    """Whoever proposed it; the committer itself for a proposal by value."""
    ref: bytes | None = None
    """Its ProposalRef where the commit names it by reference."""

    @property
    def by_reference(self) -> bool:
        """Answer whether the commit names it by reference."""
        return self.ref is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupView:
    """What the rules look at: the public state of the group before the commit."""

    suite: CipherSuite
    group_id: bytes
    extensions: tuple[Extension, ...]
    tree: RatchetTree = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What a list of proposals leads to, before a path."""

    tree: RatchetTree = field(repr=False)
    extensions: tuple[Extension, ...]
    added: tuple[LeafIndex, ...]
    updated: tuple[LeafIndex, ...]
    removed: tuple[LeafIndex, ...]
    psks: tuple[PreSharedKeyID, ...]


P = TypeVar("P", Add, Update, Remove, PreSharedKey, GroupContextExtensions)


def of_kind(proposals: Iterable[ResolvedProposal], kind: type[P]) -> Iterator[tuple[ResolvedProposal, P]]:
    """Yield the proposals of one type with themselves unpacked, in their order."""
    for resolved in proposals:
        if isinstance(resolved.proposal, kind):
            yield resolved, resolved.proposal


# --- Section 12.1: each proposal by itself -------------------------------------------------------------------------


def check_kind(proposal: Proposal) -> None:
    """Check that we take part in this kind of proposal. :raises UnsupportedError: ReInit or ExternalInit."""
    if isinstance(proposal, ReInit | ExternalInit):
        raise UnsupportedError(f"{type(proposal).__name__} proposals are not supported")


def verify_add(view: GroupView, key_package: KeyPackage, *, now: int | None) -> None:
    """Check an Add by itself (sections 10.1 and 12.1.1). :param now: None where the committer has looked at the clock.

    :raises InvalidMessageError: the key package is not valid, or is for another suite.
    """
    check_key_package_suite(view.suite, key_package)
    verify_key_package(view.suite, key_package, now=now)
    check_leaf_in_group(key_package.leaf_node, extensions=view.extensions)


def verify_update(view: GroupView, sender: LeafIndex, leaf: LeafNode) -> None:
    """Check an Update by itself (sections 7.3 and 12.1.2). :raises InvalidMessageError: the leaf is not valid."""
    check_leaf(view.suite, leaf, source=LeafNodeSource.UPDATE, extensions=view.extensions)
    check_update_key(view.tree, sender, leaf)
    verify_leaf_signature(view.suite, leaf, group_id=view.group_id, leaf_index=sender)


def check_update_key(tree: RatchetTree, sender: LeafIndex, leaf: LeafNode) -> None:
    """Check that an Update brings a key that is new (section 7.3). :raises RuleError: the key is in the tree."""
    if tree.leaf(sender) is None or tree.has_encryption_key(leaf.encryption_key):
        raise RuleError("an Update does not change the encryption key", rule="RFC9420-7.3")


def check_remove(tree: RatchetTree, removed: LeafIndex) -> None:
    """Check that a Remove is of a member (section 12.1.3). :raises RuleError: the leaf is blank or outside."""
    if tree.leaf(removed) is None:
        raise RuleError(f"leaf {removed} cannot be removed: nobody is there", rule="RFC9420-12.1.3")


def check_psk_usage(psk: PreSharedKeyID) -> None:
    """Check that a resumption PSK is for use in a running group (section 12.1.4). :raises RuleError: it is not."""
    if isinstance(psk.psk, ResumptionPSK) and psk.psk.usage is not ResumptionPSKUsage.APPLICATION:
        raise RuleError("a PSK for re-initialisation or branching stands in a commit", rule="RFC9420-12.1.4")


def verify_proposal(view: GroupView, resolved: ResolvedProposal, *, now: int | None = None) -> None:
    """Check a proposal by itself (section 12.1). ``view.extensions`` are those in force after the commit.

    :raises InvalidMessageError: it is not valid.
    """
    proposal = resolved.proposal
    check_kind(proposal)
    if isinstance(proposal, Add):
        verify_add(view, proposal.key_package, now=now)
    elif isinstance(proposal, Update):
        verify_update(view, resolved.sender, proposal.leaf_node)
    elif isinstance(proposal, Remove):
        check_remove(view.tree, proposal.removed)
    elif isinstance(proposal, PreSharedKey):
        check_psk_nonce(view.suite, proposal.psk_id)
        check_psk_usage(proposal.psk_id)
    elif isinstance(proposal, GroupContextExtensions):
        check_no_duplicates(proposal.extensions)


# --- Section 12.2: the list ----------------------------------------------------------------------------------------


def check_no_own_update(proposals: Sequence[ResolvedProposal], committer: LeafIndex) -> None:
    """Check that the committer does not commit its own Update; it has a path for that. :raises RuleError: it does."""
    if any(resolved.sender == committer for resolved, _ in of_kind(proposals, Update)):
        raise RuleError("the committer commits its own Update", rule="RFC9420-12.2")


def check_committer_stays(proposals: Sequence[ResolvedProposal], committer: LeafIndex) -> None:
    """Check that the committer does not remove itself. :raises RuleError: it does."""
    if any(remove.removed == committer for _, remove in of_kind(proposals, Remove)):
        raise RuleError("the committer removes itself", rule="RFC9420-12.2")


def check_one_change_per_leaf(proposals: Sequence[ResolvedProposal]) -> None:
    """Check that no leaf is updated or removed twice. :raises RuleError: one is."""
    leaves = [resolved.sender for resolved, _ in of_kind(proposals, Update)]
    leaves += [remove.removed for _, remove in of_kind(proposals, Remove)]
    if len(leaves) != len(set(leaves)):
        raise RuleError("a leaf is changed by two proposals", rule="RFC9420-12.2")


def check_adds_differ(proposals: Sequence[ResolvedProposal]) -> None:
    """Check that nobody is added twice; clients are told apart by signature key. :raises RuleError: somebody is."""
    keys = [add.key_package.leaf_node.signature_key for _, add in of_kind(proposals, Add)]
    if len(keys) != len(set(keys)):
        raise RuleError("a client is added twice", rule="RFC9420-12.2")


def check_adds_are_new(proposals: Sequence[ResolvedProposal], tree: RatchetTree) -> None:
    """Check that nobody is added who is a member and is not removed by the same commit. :raises RuleError: not so."""
    leaving = {
        leaf.signature_key
        for _, remove in of_kind(proposals, Remove)
        if (leaf := tree.leaf(remove.removed)) is not None
    }
    for _, add in of_kind(proposals, Add):
        key = add.key_package.leaf_node.signature_key
        if key not in leaving and tree.has_signature_key(key):
            raise RuleError("a member is added again", rule="RFC9420-12.2")


def check_psks_differ(proposals: Sequence[ResolvedProposal]) -> None:
    """Check that no PSK is named twice. :raises RuleError: one is."""
    psks = [proposal.psk_id for _, proposal in of_kind(proposals, PreSharedKey)]
    if len(psks) != len(set(psks)):
        raise RuleError("a PSK is named twice", rule="RFC9420-12.2")


def check_one_extensions(proposals: Sequence[ResolvedProposal]) -> None:
    """Check that extensions are replaced at most once. :raises RuleError: they are replaced twice."""
    if sum(1 for _ in of_kind(proposals, GroupContextExtensions)) > 1:
        raise RuleError("the extensions are replaced twice", rule="RFC9420-12.2")


def check_proposals(
    view: GroupView, proposals: Sequence[ResolvedProposal], committer: LeafIndex, *, now: int | None = None
) -> None:
    """Check a commit's list of proposals before they are applied (section 12.2).

    :param now: Unix seconds where the committer checks the lifetimes of key packages, None on receipt.
    :raises InvalidMessageError: a rule is broken.
    """
    for resolved in proposals:
        check_kind(resolved.proposal)
    check_no_own_update(proposals, committer)
    check_committer_stays(proposals, committer)
    check_one_change_per_leaf(proposals)
    check_adds_differ(proposals)
    check_adds_are_new(proposals, view.tree)
    check_psks_differ(proposals)
    check_one_extensions(proposals)
    after = view_with_extensions(view, proposals)
    for resolved in proposals:
        verify_proposal(after, resolved, now=now)


# --- Section 12.3: what they do ------------------------------------------------------------------------------------


def extensions_after(view: GroupView, proposals: Sequence[ResolvedProposal]) -> tuple[Extension, ...]:
    """Return the extensions of the next epoch."""
    for _, proposal in of_kind(proposals, GroupContextExtensions):
        return proposal.extensions
    return view.extensions


def view_with_extensions(view: GroupView, proposals: Sequence[ResolvedProposal]) -> GroupView:
    """Return what the other proposals are judged by: new extensions are in force for them (section 12.3)."""
    return replace(view, extensions=extensions_after(view, proposals))


def apply_proposals(view: GroupView, proposals: Sequence[ResolvedProposal]) -> Effect:
    """Return what the proposals lead to: Updates first, then Removes, then Adds in their order (section 12.3)."""
    updates = [(resolved.sender, update.leaf_node) for resolved, update in of_kind(proposals, Update)]
    removed = tuple(remove.removed for _, remove in of_kind(proposals, Remove))
    leaves = [add.key_package.leaf_node for _, add in of_kind(proposals, Add)]
    tree, added = view.tree, list[LeafIndex]()
    if updates or removed or leaves:
        editor = tree.edit()
        for index, leaf in updates:
            editor.update_leaf(index, leaf)
        for index in removed:
            editor.remove_leaf(index)
        added = [editor.add_leaf(leaf) for leaf in leaves]
        tree = editor.freeze()
    return Effect(
        tree=tree,
        extensions=extensions_after(view, proposals),
        added=tuple(added),
        updated=tuple(index for index, _ in updates),
        removed=removed,
        psks=tuple(proposal.psk_id for _, proposal in of_kind(proposals, PreSharedKey)),
    )


def is_path_required(proposals: Sequence[ResolvedProposal]) -> bool:
    """Answer whether a commit needs a path (section 12.4): always, but with nothing else than Adds and PSKs."""
    return not proposals or any(not isinstance(resolved.proposal, Add | PreSharedKey) for resolved in proposals)


def check_path_present(proposals: Sequence[ResolvedProposal], *, has_path: bool) -> None:
    """Check that a commit that needs a path has one. :raises RuleError: it has none."""
    if is_path_required(proposals) and not has_path:
        raise RuleError("a commit lacks the path that its proposals demand", rule="RFC9420-12.4")


# --- The last rules of section 12.2: the tree that they lead to ----------------------------------------------------


def check_new_leaves_understood(tree: RatchetTree, new: Iterable[LeafNode]) -> None:
    """Check that new leaves and the rest of the group support each other's credential types (7.3).

    :raises RuleError: somebody does not support a credential that is in use.
    """
    in_use = {leaf.credential.type for _, leaf in tree.leaves()}
    listed = {leaf.capabilities.credentials for _, leaf in tree.leaves()}
    common = set.intersection(*(set(types) for types in listed))
    for leaf in new:
        check_credentials_in_use(leaf, in_use)
        check_credential_understood(leaf, common)


def check_members_support(tree: RatchetTree, extensions: tuple[Extension, ...]) -> None:
    """Check that every member supports new extensions and what they require (sections 12.1.7 and 13.4).

    :raises RuleError: a member does not.
    """
    for _, leaf in tree.leaves():
        check_leaf_in_group(leaf, extensions=extensions)


def check_result(view: GroupView, effect: Effect) -> None:
    """Check the tree that the proposals lead to (section 12.2, last rules). :raises RuleError: it is not valid."""
    verify_unique_keys(effect.tree)
    changed = [leaf for index in (*effect.added, *effect.updated) if (leaf := effect.tree.leaf(index)) is not None]
    if changed:
        check_new_leaves_understood(effect.tree, changed)
    if effect.extensions != view.extensions:
        check_members_support(effect.tree, effect.extensions)
