"""When a commit is valid: rules V1 to V16, the circle's law in one place (docs/protocol, "Commits").

A commit is judged by (my state, this entry) and nothing else: no clock, no network, no earlier log, no person. So all
members in one epoch come to one answer. What an entry, a leaf and a Charter must be in detail stands in
``entry_rules``, ``leaf_rules``, ``charter_rules`` and ``epoch_rules``. The order is that of E22::

    check_entry     V1 V2        the entry's header and the MLS framing, before any key is used
    Group.open                   decryption, signature; nothing is consumed yet
    stage_commit    V3 V4 V5     who commits, and which kinds of proposals by value
                    RFC 9420     section 12.2 to 12.4, all that needs no secret
                    V4 ... V14   ``RULES``, in order: check_commit
                    E38          is this program new enough?
    apply_commit    V15 V16      keys, confirmation tag; the resulting epoch once more as a whole
    Group.merge                  the caller's, in one transaction with everything else

V1 to V3 fail: junk, invisible. V4 to V14 fail: "X tried to ...", the commit counts for nobody. V15, V16 or an unknown
proposal (V5) fail: :class:`StuckError`. Whatever is raised, the caller has changed nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from tertulia_protocol.circle import charter_rules, leaf_rules
from tertulia_protocol.circle.aad import EntryAAD, coordinator_leaves
from tertulia_protocol.circle.charter import (
    Charter,
    charter_of,
    refreshed_in,
)
from tertulia_protocol.circle.entry_rules import (
    as_rule,
    check_entry,
    check_no_coord,
    check_repair,
    check_v1,
    check_v2,
    check_v3,
    read_message,
)
from tertulia_protocol.circle.epoch_rules import (
    BEHAVIOUR_VERSION,
    check_epoch,
    check_extensions,
    check_min_client,
    check_result,
)
from tertulia_protocol.circle.errors import StuckError
from tertulia_protocol.circle.identity import member_of
from tertulia_protocol.circle.roster import RosterChange, check_approvals, is_approval_needed
from tertulia_protocol.codec import parse
from tertulia_protocol.errors import InvalidMessageError, RuleError
from tertulia_protocol.mls.commit import Commit
from tertulia_protocol.mls.errors import UnknownProposalError
from tertulia_protocol.mls.group import Group
from tertulia_protocol.mls.group_state import Opened, ProvisionalCommit, StagedCommit, leaf_at
from tertulia_protocol.mls.leaf_node import LeafNode
from tertulia_protocol.mls.proposal_rules import ResolvedProposal, of_kind
from tertulia_protocol.mls.proposals import Add, GroupContextExtensions, Proposal, Remove, Update
from tertulia_protocol.mls.tree_math import LeafIndex

__all__ = [
    "BEHAVIOUR_VERSION",
    "RULES",
    "CommitView",
    "apply_commit",
    "check_commit",
    "check_entry",
    "check_epoch",
    "check_min_client",
    "check_no_coord",
    "check_repair",
    "check_result",
    "check_v1",
    "check_v2",
    "check_v3",
    "read_message",
    "stage_commit",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitView:
    """What the rules look at: a commit whose keys are not yet derived, and the Charters around it."""

    commit: ProvisionalCommit[Group]
    aad: EntryAAD
    before: Charter
    after: Charter

    @property
    def group(self) -> Group:
        """Return the group in the old epoch with the commit's key used up."""
        return self.commit.group

    @property
    def committer(self) -> bytes:
        """Return the member_pk (32 bytes) of who commits."""
        return self.member_at(self.commit.committer)

    @property
    def is_hop(self) -> bool:
        """Answer whether the commit leads to another segment."""
        return charter_rules.is_hop(self.before, self.after)

    def member_at(self, index: LeafIndex) -> bytes:
        """Return whose leaf it is before the commit. :raises RuleError: nobody's."""
        return member_of(leaf_at(self.group.tree, index)).member_pk

    def by_value(self) -> Iterator[ResolvedProposal]:
        """Yield the committer's own proposals."""
        return (resolved for resolved in self.commit.proposals if not resolved.by_reference)

    def by_reference(self) -> Iterator[ResolvedProposal]:
        """Yield what others, or the committer earlier, proposed."""
        return (resolved for resolved in self.commit.proposals if resolved.by_reference)


# --- V4 to V14: may it be done? ------------------------------------------------------------------------------------


def check_author(opened: Opened[Group], before: Charter) -> None:
    """V4: a coordinator of *my current* roster commits, or a member refreshes its path (E5).

    Who else may commit could lock out a part of the circle with a corrupt path (RFC 9420 section 16.12). It comes
    before everything that can end in "stuck": or any member could bring all others there.
    """
    if not before.is_coordinator(_author(opened)) and not is_refresh(opened, before):
        raise RuleError("a member commits who is no coordinator", rule="V4")


def _author(opened: Opened[Group]) -> bytes:
    return member_of(leaf_at(opened.group.tree, opened.sender)).member_pk


def is_refresh(opened: Opened[Group], before: Charter) -> bool:
    """Answer whether a commit only renews its author's path, and that for the first time in this segment (E5)."""
    commit, segment_no = opened.body, before.segment_no
    return (
        isinstance(commit, Commit)
        and before.policy.member_refresh == 1
        and not commit.proposals
        and commit.path is not None
        and _refreshed_in(leaf_at(opened.group.tree, opened.sender)) != segment_no
        and _refreshed_in(commit.path.leaf_node) == segment_no
    )


def _refreshed_in(leaf: LeafNode) -> int | None:
    with as_rule("V8"):
        return refreshed_in(leaf)


def check_values(proposals: Iterable[Proposal]) -> None:
    """V5: by value only Adds, Removes and a new Charter. PSKs, ReInit and ExternalInit lead elsewhere (E35)."""
    for proposal in proposals:
        if not isinstance(proposal, Add | Remove | GroupContextExtensions):
            raise RuleError(f"{type(proposal).__name__} by value", rule="V5")


def check_v4(view: CommitView) -> None:
    """V4: see :func:`check_author`."""
    check_author(view.commit.opened, view.before)


def check_v5(view: CommitView) -> None:
    """V5: by value only Adds, Removes and a new Charter; by reference only Updates and Removes.

    What is by reference was said by somebody who cannot commit, so it may concern nobody but itself.
    """
    check_values(resolved.proposal for resolved in view.by_value())
    for resolved in view.by_reference():
        if not isinstance(resolved.proposal, Update | Remove):
            raise RuleError(f"{type(resolved.proposal).__name__} by reference", rule="V5")


def check_v6(view: CommitView) -> None:
    """V6: by reference everybody removes only its own leaf: no member evicts another through a coordinator's hand.

    An Update is of its sender's leaf by definition (RFC 9420 section 12.1.2).
    """
    for resolved, remove in of_kind(view.by_reference(), Remove):
        if remove.removed != resolved.sender:
            raise RuleError("somebody proposes to remove another", rule="V6")


def check_v7(view: CommitView) -> None:
    """V7: the committer does not remove its own leaf, nor another coordinator's who stays on the roster.

    Such a Remove would evict a coordinator without the approvals that its removal takes (3.7). It is a repair if the
    same commit adds the same device again; and whoever is no longer on the new roster went there by V11.
    """
    for _, remove in of_kind(view.by_value(), Remove):
        if remove.removed == view.commit.committer:
            raise RuleError("the committer removes itself", rule="V7")
        removed = member_of(leaf_at(view.group.tree, remove.removed))
        stays = removed.member_pk in view.before.roster & view.after.roster
        if stays and removed.member_pk != view.committer and removed.device not in devices_added(view):
            raise RuleError("a coordinator's device is removed by another", rule="V7")


def devices_added(view: CommitView) -> frozenset[tuple[bytes, bytes]]:
    """Return the devices, (member_pk, device_id), that the commit adds; V8 looks at their credentials."""
    return frozenset(member_of(add.key_package.leaf_node).device for _, add in of_kind(view.by_value(), Add))


def check_v8(view: CommitView) -> None:
    """V8: every new or changed leaf belongs to a member of this circle, and to the member and device it had.

    Otherwise somebody could enter under another's name, or a leaf could change hands (committer's path included).
    """
    lineage_id, before = view.before.lineage_id, view.group.tree
    for _, add in of_kind(view.commit.proposals, Add):
        leaf_rules.verify_leaf(add.key_package.leaf_node, lineage_id=lineage_id)
    changed = [(each.sender, update.leaf_node, False) for each, update in of_kind(view.commit.proposals, Update)]
    if view.commit.path_leaf is not None:
        refresh = is_refresh(view.commit.opened, view.before) and leaf_rules.is_refresh_leaf(view.commit.path_leaf)
        changed.append((view.commit.committer, view.commit.path_leaf, refresh))
    for index, leaf, is_refreshed in changed:
        new = leaf_rules.verify_leaf(leaf, lineage_id=lineage_id, refresh=is_refreshed)
        leaf_rules.check_same_device(member_of(leaf_at(before, index)), new)


def check_v9(view: CommitView) -> None:
    """V9: no shared signature keys, no device twice, no more devices or leaves than allowed, nobody banned.

    A stranger could otherwise hide behind a member's key or many leaves, or come back.
    """
    leaf_rules.check_leaves_together(view.commit.tree, view.after)


def check_v10(view: CommitView) -> None:
    """V10: somebody coordinates; ranks, members and threshold make sense after the commit.

    A circle without a coordinator who has a device could never change again.
    """
    charter_rules.check_coordinators(view.after, view.commit.tree)
    charter_rules.check_ranks_stay(view.before, view.after)


def check_v11(view: CommitView) -> None:
    """V11: roster, threshold and relays change only with the approvals of the old roster (E20).

    One coordinator, or its seized device, cannot make itself the only one or lead the circle to its own relay.
    """
    if is_approval_needed(view.before, view.after):
        change = RosterChange(group_id=view.group.group_id, before=view.before, after=view.after)
        check_approvals(change, committer=view.committer, left=members_left(view))


def members_left(view: CommitView) -> frozenset[bytes]:
    """Return the member_pks all of whose leaves go by their own Remove in this commit."""
    own = {remove.removed for each, remove in of_kind(view.by_reference(), Remove) if remove.removed == each.sender}
    return leaf_rules.members_gone(view.group.tree, own)


def check_v12(view: CommitView) -> None:
    """V12: the Charter is well-formed and changes only as it may; a Remove hops; a new secret travels along (E7).

    Otherwise a removed member could read on in the old segment, approvals could be used twice, or absent members
    could lose the way.
    """
    charter_rules.check_form(view.after)
    charter_rules.check_change(view.before, view.after, removes=bool(view.commit.removed))
    check_coord_present(view)
    check_coord_recipients(view)


def check_coord_present(view: CommitView) -> None:
    """E7: a new secret of the coordinators travels in the very commit that raises its generation, and no other.

    :raises RuleError: it is missing, or there without need, or of another generation.
    """
    coord_gen = view.after.transport.coord_gen
    expected = coord_gen if coord_gen != view.before.transport.coord_gen else None
    if (None if view.aad.coord is None else view.aad.coord.coord_gen) != expected:
        raise RuleError("the coordinators' secret does not fit its generation", rule="V12")


def check_coord_recipients(view: CommitView) -> None:
    """E7: a new secret is sealed to each device of the new roster. :raises RuleError: somebody is left out, or in.

    Whether it opens, only the recipient can know; then it is an alarm and no reason to refuse.
    """
    if view.aad.coord is None:
        return
    expected = coordinator_leaves(
        view.group, view.after, committer=view.commit.committer, removed=frozenset(view.commit.removed)
    )
    if view.aad.coord.leaves != expected:
        raise RuleError("the coordinators' secret is not sealed to all of them", rule="V12")


def check_v13(view: CommitView) -> None:
    """V13: a new list of extensions is exactly the required capabilities as they were, and the Charter (E27).

    External senders could speak from outside, and new requirements could shut members out. The cipher suite cannot
    change: only a ReInit could (V5).
    """
    if view.commit.extensions_before == view.commit.extensions_after:
        return
    check_extensions(view.commit.extensions_after)


def check_v14(view: CommitView) -> None:
    """V14: whoever only adds may omit the path; everybody else renews the keys. MLS demands the same (RFC 9420 12.4).

    Without new key material a removed member could derive the next epoch.
    """
    only_adds = all(isinstance(each.proposal, Add) for each in view.commit.proposals)
    if view.commit.path_leaf is None and not (view.commit.proposals and only_adds):
        raise RuleError("a commit without a path", rule="V14")


RULES: Final[tuple[tuple[str, Callable[[CommitView], None]], ...]] = (
    ("V4", check_v4),
    ("V5", check_v5),
    ("V6", check_v6),
    ("V7", check_v7),
    ("V8", check_v8),
    ("V9", check_v9),
    ("V10", check_v10),
    ("V11", check_v11),
    ("V12", check_v12),
    ("V13", check_v13),
    ("V14", check_v14),
)


def check_commit(view: CommitView) -> None:
    """Run V4 to V14 in order. :raises RuleError: one is broken; ``rule`` says which."""
    for rule, check in RULES:
        with as_rule(rule):
            check(view)


def stage_commit(opened: Opened[Group]) -> CommitView:
    """Judge a commit as far as no secret is needed.

    :raises RuleError: a rule is broken (V2 to V14, or one of RFC 9420): the commit counts for nobody.
    :raises StuckError: it refers to a proposal that we do not have (V5, E22).
    :raises OutdatedError: the next epoch is for newer programs (E38): merge nothing, read on, ask for an update.
    """
    with as_rule("V2"):
        aad = parse(EntryAAD, opened.authenticated_data)
    with as_rule("V3"):
        check_v3(opened)
    before = charter_of(opened.group.extensions)
    with as_rule("V4"):
        check_author(opened, before)
    check_commit_values(opened)
    provisional = _stage(opened)
    with as_rule("V12"):
        after = charter_of(provisional.extensions_after)
    view = CommitView(commit=provisional, aad=aad, before=before, after=after)
    check_commit(view)
    check_min_client(after)
    return view


def check_commit_values(opened: Opened[Group]) -> None:
    """V5 for proposals by value, before MLS works on them. :raises RuleError: not a commit, or of a wrong kind."""
    if not isinstance(opened.body, Commit):
        raise RuleError("not a commit", rule="V1")
    check_values(each.content for each in opened.body.proposals if not isinstance(each.content, bytes))


def _stage(opened: Opened[Group]) -> ProvisionalCommit[Group]:
    try:
        return opened.group.stage_commit(opened)
    except UnknownProposalError as error:
        raise StuckError("a commit refers to a proposal that did not arrive", rule="V5") from error
    except RuleError:
        raise
    except InvalidMessageError as error:
        raise RuleError(error.detail, rule="RFC9420-12.4.2") from error


# --- V15 and V16: does it lead where it says? ----------------------------------------------------------------------


def apply_commit(view: CommitView) -> StagedCommit[Group]:
    """Derive the next epoch (V15) and look at it as a whole (V16). A commit that removes us ends before both.

    :raises StuckError: it cannot be derived here, or is not a valid epoch of a circle: not junk, see E4.
    """
    try:
        staged = view.group.apply_commit(view.commit)
    except InvalidMessageError as error:
        raise StuckError(error.detail, rule="V15") from error
    if staged.next is not None:
        check_result(staged.next)
    return staged
