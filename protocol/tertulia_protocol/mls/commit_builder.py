"""Building a commit, and the Welcome for those it adds (RFC 9420 section 12.4.1).

Nothing takes effect here: the commit becomes one of several that may be pending, and only the one that the group's
log carries first is applied, by the same way as any other member's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Generic

from tertulia_protocol.codec import serialize
from tertulia_protocol.errors import UsageError
from tertulia_protocol.mls.ciphersuite import Rng
from tertulia_protocol.mls.commit import Commit
from tertulia_protocol.mls.epoch_change import (
    NextEpoch,
    check_path_leaf,
    derive_next,
    enter_epoch,
    known_private_keys,
    provisional_context,
    resolve_proposals,
    resolve_psks,
    view_of,
)
from tertulia_protocol.mls.extensions import Extension, ExtensionType
from tertulia_protocol.mls.framing import AuthenticatedContent, PrivateMessage
from tertulia_protocol.mls.group_messages import NO_CHANGES, LeafChanges, protect, sign_content
from tertulia_protocol.mls.group_state import (
    GroupState,
    Opened,
    PendingCommit,
    ProvisionalCommit,
    S,
    StagedCommit,
)
from tertulia_protocol.mls.leaf_node import LeafNode, LeafNodeSource
from tertulia_protocol.mls.proposal_rules import (
    Effect,
    ResolvedProposal,
    apply_proposals,
    check_proposals,
    check_result,
    is_path_required,
    of_kind,
)
from tertulia_protocol.mls.proposals import Add, Proposal, ProposalOrRef
from tertulia_protocol.mls.psk import PreSharedKeyID, psk_secret
from tertulia_protocol.mls.ratchet_tree import RatchetTree
from tertulia_protocol.mls.treekem import CreatedPath, create_path
from tertulia_protocol.mls.welcome import GroupInfo, NewMember, Welcome, build_welcome


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltCommit(Generic[S]):
    """A commit ready to be sent. Store ``group`` before ``message`` leaves the device."""

    message: PrivateMessage
    welcome: Welcome | None
    """For all that the commit adds; send it only once the commit was accepted."""
    tree: RatchetTree = field(repr=False)
    """The ratchet tree of the next epoch, which joiners need if it is not in the Welcome."""
    pending: PendingCommit
    staged: StagedCommit[S]
    """The next epoch as it will be if this commit wins."""
    group: S = field(repr=False)
    """The group in the present epoch with the commit pending."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """What is to be committed, with every rule checked, and the path if there is one."""

    entries: tuple[ProposalOrRef, ...]
    resolved: tuple[ResolvedProposal, ...]
    effect: Effect
    psks: list[tuple[PreSharedKeyID, bytes]] = field(repr=False)
    path: CreatedPath | None

    @property
    def tree(self) -> RatchetTree:
        return self.effect.tree if self.path is None else self.path.tree


def build_commit(  # noqa: PLR0913 - each argument is one choice, and all are named
    group: S,
    *,
    now: int,
    rng: Rng,
    proposals: Sequence[Proposal],
    references: Sequence[bytes],
    path: bool | None,
    changes: LeafChanges,
    authenticated_data: bytes,
    welcome_with_tree: bool,
    psks: Mapping[bytes, bytes],
) -> BuiltCommit[S]:
    """Build a commit (see ``Group.build_commit``)."""
    entries = (*map(ProposalOrRef, references), *map(ProposalOrRef, proposals))
    plan = _plan(group, entries, path=path, changes=changes, now=now, psks=psks, rng=rng)
    commit = Commit(proposals=entries, path=None if plan.path is None else plan.path.update_path)
    unconfirmed = sign_content(group, commit, authenticated_data)
    commit_secret = bytes(group.suite.Nh) if plan.path is None else plan.path.commit_secret
    epoch = derive_next(
        group,
        provisional_context(group, plan.effect, plan.tree),
        unconfirmed,
        commit_secret=commit_secret,
        psks=plan.psks,
    )
    content = unconfirmed.with_confirmation_tag(epoch.confirmation_tag)
    message, group = protect(group, content, rng=rng)
    pending = _pending(group, message, content, plan.path)
    group = replace(group, pending={**group.pending, pending.message_hash: pending})
    staged = _stage(group, plan, pending, epoch)
    welcome = _welcome(staged, plan, epoch, with_tree=welcome_with_tree) if plan.effect.added else None
    return BuiltCommit(message=message, welcome=welcome, tree=plan.tree, pending=pending, staged=staged, group=group)


def drop_pending(group: S, message_hash: bytes) -> S:
    """Forget a pending commit. :raises UsageError: there is none of this hash."""
    if message_hash not in group.pending:
        raise UsageError("no such pending commit")
    return replace(group, pending={key: value for key, value in group.pending.items() if key != message_hash})


def _plan(  # noqa: PLR0913 - see build_commit
    group: GroupState,
    entries: tuple[ProposalOrRef, ...],
    *,
    path: bool | None,
    changes: LeafChanges,
    now: int,
    psks: Mapping[bytes, bytes],
    rng: Rng,
) -> _Plan:
    resolved = resolve_proposals(group, entries, group.own_index)
    view = view_of(group)
    check_proposals(view, resolved, group.own_index, now=now)
    effect = apply_proposals(view, resolved)
    check_result(view, effect)
    with_path = choose_path(resolved, path, changes)
    return _Plan(
        entries=entries,
        resolved=resolved,
        effect=effect,
        psks=resolve_psks(group, effect.psks, psks),
        path=_create_path(group, effect, changes, rng) if with_path else None,
    )


def choose_path(proposals: Sequence[ResolvedProposal], path: bool | None, changes: LeafChanges) -> bool:  # noqa: FBT001 - the caller passes on what it was given
    """Return whether to make a path. :raises UsageError: it is needed but not wanted (RFC 9420 section 12.4)."""
    needed = is_path_required(proposals) or changes != NO_CHANGES
    if path is False and needed:
        raise UsageError("this commit needs a path")
    return needed if path is None else path


def _create_path(group: GroupState, effect: Effect, changes: LeafChanges, rng: Rng) -> CreatedPath:
    def build_leaf(encryption_key: bytes, parent_hash: bytes) -> LeafNode:
        leaf = replace(
            changes.applied_to(group.own_leaf),
            encryption_key=encryption_key,
            source=LeafNodeSource.COMMIT,
            lifetime=None,
            parent_hash=parent_hash,
        )
        check_path_leaf(group.suite, effect, group.own_index, leaf)
        return leaf.sign(group.suite, group.signature_private, group_id=group.group_id, leaf_index=group.own_index)

    def context_of(tree: RatchetTree) -> bytes:
        return provisional_context(group, effect, tree).encoding

    return create_path(
        group.suite,
        effect.tree,
        group.own_index,
        new_leaf=build_leaf,
        context=context_of,
        exclude=frozenset(effect.added),
        rng=rng,
    )


def _pending(
    group: GroupState, message: PrivateMessage, content: AuthenticatedContent, path: CreatedPath | None
) -> PendingCommit:
    return PendingCommit(
        message_hash=group.suite.hash(serialize(message)),
        content=content,
        path_secret=b"" if path is None else path.first_path_secret,
        leaf_private=b"" if path is None else path.leaf_private,
    )


def _stage(group: S, plan: _Plan, pending: PendingCommit, epoch: NextEpoch) -> StagedCommit[S]:
    """Return what receiving this very commit would lead to."""
    opened = Opened(content=pending.content, base=group, group=group, epoch=group.epoch, pending=pending)
    provisional = ProvisionalCommit(
        opened=opened,
        committer=group.own_index,
        proposals=plan.resolved,
        effect=plan.effect,
        tree=plan.tree,
        path_leaf=None if plan.path is None else plan.path.update_path.leaf_node,
        extensions_before=group.extensions,
    )
    keys = known_private_keys(plan.effect.tree, group.own_index, group.private_keys)
    if plan.path is not None:
        keys |= plan.path.private_keys
    return StagedCommit(provisional=provisional, next=enter_epoch(group, provisional, epoch, keys))


def _welcome(staged: StagedCommit[S], plan: _Plan, epoch: NextEpoch, *, with_tree: bool) -> Welcome:
    """Return the one Welcome for all that the commit adds (section 12.4.3)."""
    group = staged.provisional.group
    suite, own = group.suite, group.own_index
    info = GroupInfo(
        group_context=epoch.context,
        extensions=(Extension(ExtensionType.RATCHET_TREE, serialize(plan.tree)),) if with_tree else (),
        confirmation_tag=epoch.confirmation_tag,
        signer=own,
    )
    added = zip(plan.effect.added, of_kind(plan.resolved, Add), strict=True)
    return build_welcome(
        suite,
        group_info=info.sign(suite, group.signature_private),
        joiner_secret=epoch.derived.joiner_secret,
        psk_secret=psk_secret(suite, plan.psks),
        psks=plan.effect.psks,
        new_members=[
            NewMember(
                key_package=add.key_package,
                path_secret=None if plan.path is None else plan.path.path_secret_for(own, index),
            )
            for index, (_, add) in added
        ],
    )
