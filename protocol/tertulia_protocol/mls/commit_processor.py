"""Receiving a commit (RFC 9420 section 12.4.2), in two steps so that an application can judge it in between.

``stage_commit`` needs no secret: it resolves the proposals, holds the rules of section 12.2 and works out the new
tree. ``apply_commit`` opens the path, runs the key schedule and compares the confirmation tag. Both are pure.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import replace

from tertulia_protocol.errors import UsageError
from tertulia_protocol.mls.commit import Commit, UpdatePath
from tertulia_protocol.mls.epoch_change import (
    NextEpoch,
    check_path_leaf,
    derive_next,
    enter_epoch,
    known_private_keys,
    own_update_key,
    provisional_context,
    resolve_proposals,
    resolve_psks,
    view_of,
)
from tertulia_protocol.mls.errors import ConfirmationError, RemovedError
from tertulia_protocol.mls.group_context import GroupContext
from tertulia_protocol.mls.group_state import (
    GroupState,
    Opened,
    PastEpoch,
    ProvisionalCommit,
    S,
    StagedCommit,
    check_opened_here,
)
from tertulia_protocol.mls.leaf_node import verify_leaf_signature
from tertulia_protocol.mls.proposal_rules import (
    Effect,
    GroupView,
    apply_proposals,
    check_path_present,
    check_proposals,
    check_result,
)
from tertulia_protocol.mls.ratchet_tree import RatchetTree
from tertulia_protocol.mls.tree_math import LeafIndex, NodeIndex, leaf_to_node
from tertulia_protocol.mls.treekem import decrypt_path, merge_path, own_path


def stage_commit(base: S, opened: Opened[S]) -> ProvisionalCommit[S]:
    """Work out the public part of a commit and check all of it. :raises InvalidMessageError: a rule is broken."""
    check_opened_here(base, opened)
    group, committer = opened.group, opened.sender
    commit = commit_of(opened)
    proposals = resolve_proposals(group, commit.proposals, committer)
    view = view_of(group)
    check_proposals(view, proposals, committer)
    check_path_present(proposals, has_path=commit.path is not None)
    effect = apply_proposals(view, proposals)
    check_result(view, effect)
    tree = effect.tree if commit.path is None else stage_path(view, effect, committer, commit.path)
    return ProvisionalCommit(
        opened=opened,
        committer=committer,
        proposals=proposals,
        effect=effect,
        tree=tree,
        path_leaf=None if commit.path is None else commit.path.leaf_node,
        extensions_before=group.extensions,
    )


def commit_of(opened: Opened[S]) -> Commit:
    """Return the commit in a message. :raises UsageError: there is something else in it."""
    body = opened.body
    if not isinstance(body, Commit):
        raise UsageError("the message is not a commit")
    return body


def stage_path(view: GroupView, effect: Effect, committer: LeafIndex, path: UpdatePath) -> RatchetTree:
    """Check a path's leaf and put the path into the tree. :raises InvalidMessageError: it is not valid."""
    check_path_leaf(view.suite, effect, committer, path.leaf_node)
    verify_leaf_signature(view.suite, path.leaf_node, group_id=view.group_id, leaf_index=committer)
    return merge_path(view.suite, effect.tree, committer, path, exclude=frozenset(effect.added))


def apply_commit(provisional: ProvisionalCommit[S], *, psks: Mapping[bytes, bytes]) -> StagedCommit[S]:
    """Derive the next epoch and compare the confirmation tag. :raises InvalidMessageError: it does not lead there.

    A commit that removes us ends here: the new epoch's secrets are not for us.
    """
    group = provisional.group
    if group.own_index in provisional.removed:
        return StagedCommit(provisional=provisional, next=None)
    found = resolve_psks(group, provisional.effect.psks, psks)
    context = provisional_context(group, provisional.effect, provisional.tree)
    commit_secret, private_keys = open_path(provisional, context)
    epoch = derive_next(group, context, provisional.opened.content, commit_secret=commit_secret, psks=found)
    verify_confirmation_tag(epoch, provisional.opened.content.auth.confirmation_tag)
    return StagedCommit(provisional=provisional, next=enter_epoch(group, provisional, epoch, private_keys))


def open_path(provisional: ProvisionalCommit[S], context: GroupContext) -> tuple[bytes, dict[NodeIndex, bytes]]:
    """Return the commit secret (Nh bytes; zero without a path) and our private keys in the new tree."""
    group, path, tree = provisional.group, provisional.commit.path, provisional.effect.tree
    keys = known_private_keys(tree, group.own_index, group.private_keys)
    keys |= own_update_key(group, provisional.proposals)
    if path is None:
        return bytes(group.suite.Nh), keys
    pending = provisional.opened.pending
    if pending is not None:
        commit_secret, above = own_path(group.suite, tree, group.own_index, pending.path_secret)
        return commit_secret, {**keys, **above, leaf_to_node(group.own_index): pending.leaf_private}
    commit_secret, above = decrypt_path(
        group.suite,
        tree,
        sender=provisional.committer,
        me=group.own_index,
        update_path=path,
        private_keys=keys,
        context=context.encoding,
        exclude=frozenset(provisional.added),
    )
    return commit_secret, {**keys, **above}


def verify_confirmation_tag(epoch: NextEpoch, tag: bytes | None) -> None:
    """Check that a commit leads where its author says (section 8.1). :raises ConfirmationError: it does not."""
    if tag is None or not hmac.compare_digest(epoch.confirmation_tag, tag):
        raise ConfirmationError("the confirmation tag does not hold", rule="RFC9420-12.4.2")


def merge(group: S, staged: StagedCommit[S]) -> S:
    """Return the group in the staged epoch, with as much of this one as the settings keep.

    :raises RemovedError: the commit removes us. :raises UsageError: the commit is of another epoch.
    """
    check_follows(group, staged)
    if staged.next is None:
        raise RemovedError("the commit removes this member")
    return replace(staged.next, past=past_epochs(group))


def check_follows(group: GroupState, staged: StagedCommit[S]) -> None:
    """Check that a staged commit was made from this epoch. :raises UsageError: it was not."""
    if staged.provisional.group.context != group.context:
        raise UsageError("the staged commit belongs to another epoch")


def past_epochs(group: GroupState) -> tuple[PastEpoch, ...]:
    """Return what is kept of this epoch and of those before it once it is over."""
    if group.settings.max_past_epochs < 1:
        return ()
    over = PastEpoch(
        context=group.context,
        tree=group.tree,
        sender_data_secret=group.secrets.sender_data,
        resumption_psk=group.secrets.resumption_psk,
        secret_tree=group.secret_tree,
    )
    return (over, *group.past)[: group.settings.max_past_epochs]
