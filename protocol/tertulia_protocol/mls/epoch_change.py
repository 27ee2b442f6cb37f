"""What committer and receivers of a commit do alike: resolve proposals, find PSKs, enter the next epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from tertulia_protocol.errors import RuleError
from tertulia_protocol.mls.ciphersuite import CipherSuite
from tertulia_protocol.mls.errors import UnknownProposalError, UnknownPskError
from tertulia_protocol.mls.framing import AuthenticatedContent
from tertulia_protocol.mls.group_context import GroupContext
from tertulia_protocol.mls.group_state import GroupState, ProvisionalCommit, S
from tertulia_protocol.mls.key_schedule import DerivedEpoch, confirmation_tag, next_epoch
from tertulia_protocol.mls.leaf_node import LeafNode, LeafNodeSource, check_leaf
from tertulia_protocol.mls.proposal_rules import (
    Effect,
    GroupView,
    ResolvedProposal,
    check_new_leaves_understood,
    of_kind,
)
from tertulia_protocol.mls.proposals import ProposalOrRef, Update
from tertulia_protocol.mls.psk import ExternalPSK, PreSharedKeyID, psk_secret
from tertulia_protocol.mls.ratchet_tree import RatchetTree
from tertulia_protocol.mls.secret_tree import SecretTree
from tertulia_protocol.mls.transcript import confirmed_transcript_hash, interim_transcript_hash
from tertulia_protocol.mls.tree_hash import tree_hash
from tertulia_protocol.mls.tree_math import LeafIndex, NodeIndex, direct_path, leaf_to_node

MAX_EPOCH = 2**64 - 1


def view_of(group: GroupState) -> GroupView:
    """Return what the rules of proposals look at."""
    return GroupView(suite=group.suite, group_id=group.group_id, extensions=group.extensions, tree=group.tree)


def resolve_proposals(
    group: GroupState, entries: Sequence[ProposalOrRef], committer: LeafIndex
) -> tuple[ResolvedProposal, ...]:
    """Return the proposals of a commit (RFC 9420 section 12.4.2). :raises UnknownProposalError: one is not here."""
    return tuple(_resolve(group, entry, committer) for entry in entries)


def _resolve(group: GroupState, entry: ProposalOrRef, committer: LeafIndex) -> ResolvedProposal:
    if not isinstance(entry.content, bytes):
        return ResolvedProposal(proposal=entry.content, sender=committer)
    ref = entry.content
    check_proposal_known(group, ref)
    stored = group.proposals[ref]
    return ResolvedProposal(proposal=stored.proposal, sender=stored.sender, ref=ref)


def check_proposal_known(group: GroupState, ref: bytes) -> None:
    """Check that we have a proposal (RFC 9420 section 12.4.2). :raises UnknownProposalError: we do not."""
    if ref not in group.proposals:
        raise UnknownProposalError(f"no proposal {ref.hex()}", rule="RFC9420-12.4.2")


def resolve_psks(
    group: GroupState | None, ids: Sequence[PreSharedKeyID], external: Mapping[bytes, bytes]
) -> list[tuple[PreSharedKeyID, bytes]]:
    """Return the PSKs in the order of ``ids``. :raises UnknownPskError: one is not here (RFC 9420 section 12.4.2)."""
    return [(psk_id, _find_psk(group, psk_id, external)) for psk_id in ids]


def _find_psk(group: GroupState | None, psk_id: PreSharedKeyID, external: Mapping[bytes, bytes]) -> bytes:
    psk = psk_id.psk
    if isinstance(psk, ExternalPSK):
        found = external.get(psk.psk_id)
    else:
        found = None if group is None or psk.psk_group_id != group.group_id else _resumption(group, psk.psk_epoch)
    if found is None:
        raise UnknownPskError("no such pre-shared key", rule="RFC9420-12.4.2")
    return found


def _resumption(group: GroupState, epoch: int) -> bytes | None:
    if epoch == group.epoch:
        return group.secrets.resumption_psk
    return next((past.resumption_psk for past in group.past if past.context.epoch == epoch), None)


def check_epoch_left(epoch: int) -> None:
    """Check that another epoch can follow: whoever founds a group chooses where it starts. :raises RuleError: none."""
    if epoch >= MAX_EPOCH:
        raise RuleError("the group is in its last epoch", rule="RFC9420-12.4")


def provisional_context(group: GroupState, effect: Effect, tree: RatchetTree) -> GroupContext:
    """Return the context that path secrets are encrypted under (RFC 9420 section 12.4.1).

    It is that of the next epoch with the confirmed transcript hash of the present one.

    :raises RuleError: there is no next epoch.
    """
    check_epoch_left(group.epoch)
    return replace(
        group.context,
        epoch=group.epoch + 1,
        tree_hash=tree_hash(group.suite, tree),
        extensions=effect.extensions,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class NextEpoch:
    """The key schedule of the next epoch and what hangs on it."""

    context: GroupContext
    derived: DerivedEpoch = field(repr=False)
    confirmation_tag: bytes = field(repr=False)
    """What the commit's tag must be, Nh bytes."""


def derive_next(
    group: GroupState,
    context: GroupContext,
    content: AuthenticatedContent,
    *,
    commit_secret: bytes,
    psks: Sequence[tuple[PreSharedKeyID, bytes]],
) -> NextEpoch:
    """Run the key schedule for the next epoch (RFC 9420 sections 8, 8.1 and 12.4.2).

    :param context: the provisional one. :param content: the commit; its confirmation tag is not looked at.
    """
    suite = group.suite
    confirmed = confirmed_transcript_hash(suite, group.interim_transcript_hash, content)
    context = replace(context, confirmed_transcript_hash=confirmed)
    derived = next_epoch(
        suite,
        init_secret=group.secrets.init,
        commit_secret=commit_secret,
        psk_secret=psk_secret(suite, psks),
        group_context=context,
    )
    tag = confirmation_tag(suite, derived.secrets.confirmation_key, confirmed)
    return NextEpoch(context=context, derived=derived, confirmation_tag=tag)


def check_path_leaf(suite: CipherSuite, effect: Effect, committer: LeafIndex, leaf: LeafNode) -> None:
    """Check the leaf of a path, all but its signature and its keys (section 7.3). :raises InvalidMessageError: bad."""
    check_leaf(suite, leaf, source=LeafNodeSource.COMMIT, extensions=effect.extensions)
    check_path_leaf_understood(effect.tree, committer, leaf)


def check_path_leaf_understood(tree: RatchetTree, committer: LeafIndex, leaf: LeafNode) -> None:
    """Check the leaf of a path against the others' credentials (section 7.3). :raises RuleError: they do not fit.

    A leaf whose credential type and capabilities stay as they are fits as before.
    """
    old = tree.leaf(committer)
    if old is None or old.credential.type != leaf.credential.type or old.capabilities != leaf.capabilities:
        check_new_leaves_understood(tree, [leaf])


def known_private_keys(
    tree: RatchetTree, own_index: LeafIndex, keys: Mapping[NodeIndex, bytes]
) -> dict[NodeIndex, bytes]:
    """Return the private keys whose nodes still stand: those on our direct path that are not blank."""
    own = leaf_to_node(own_index)
    return {
        node: keys[node] for node in (own, *direct_path(own, tree.size)) if node in keys and tree.node(node) is not None
    }


def own_update_key(group: GroupState, proposals: Sequence[ResolvedProposal]) -> dict[NodeIndex, bytes]:
    """Return the private key of our own Update if the commit takes it up."""
    for resolved, _ in of_kind(proposals, Update):
        if resolved.sender == group.own_index and resolved.ref is not None:
            return {leaf_to_node(group.own_index): group.proposals[resolved.ref].leaf_private}
    return {}


def enter_epoch(
    group: S, provisional: ProvisionalCommit[S], epoch: NextEpoch, private_keys: Mapping[NodeIndex, bytes]
) -> S:
    """Return the group in the next epoch, with nothing pending and nothing proposed."""
    tree = provisional.tree
    return replace(
        group,
        context=epoch.context,
        tree=tree,
        interim_transcript_hash=interim_transcript_hash(
            group.suite, epoch.context.confirmed_transcript_hash, epoch.confirmation_tag
        ),
        confirmation_tag=epoch.confirmation_tag,
        secrets=epoch.derived.secrets,
        secret_tree=SecretTree.create(
            group.suite, epoch.derived.encryption_secret, n_leaves=tree.size, own_leaf=group.own_index
        ),
        private_keys=known_private_keys(tree, group.own_index, private_keys),
        proposals={},
        pending={},
    )
