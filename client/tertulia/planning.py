"""Making a commit: what a coordinator plans, what members have proposed, and what the rules demand of both.

A commit is built, measured, judged by the same rules as everybody will judge it, and stored; only then is it sent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from tertulia import outgoing
from tertulia.circle import Circle
from tertulia.clock import Rng
from tertulia.errors import CircleFullError, NotAllowedError
from tertulia.store import outbox
from tertulia.store.outbox import PendingCommitRow
from tertulia.store.tx import Tx
from tertulia_protocol.circle import leaf_rules, rules
from tertulia_protocol.circle.aad import CoordSecret, EntryAAD, seal_coord_secret
from tertulia_protocol.circle.charter import SALT_LENGTH, Charter, group_extensions
from tertulia_protocol.circle.entries import MAX_BODY, Inner, InnerHeader, build_inner
from tertulia_protocol.circle.roster import is_approval_needed, is_roster_changed
from tertulia_protocol.circle.rules import CommitView
from tertulia_protocol.circle.segments import COORD_SECRET_LENGTH, build_transport, export_access, heir_key
from tertulia_protocol.codec import serialize
from tertulia_protocol.errors import InvalidMessageError, RuleError
from tertulia_protocol.mls.commit_builder import BuiltCommit
from tertulia_protocol.mls.group import Group
from tertulia_protocol.mls.group_state import StoredProposal
from tertulia_protocol.mls.mls_message import MLSMessage
from tertulia_protocol.mls.proposals import Add, GroupContextExtensions, Proposal, Remove, Update
from tertulia_protocol.mls.tree_math import LeafIndex
from tertulia_protocol.relay_api.addresses import RelayAddr


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitPlan:
    """What to change. Pending proposals of members are taken along as E21 says."""

    proposals: tuple[Proposal, ...] = ()
    """By value: Adds, Removes. The Charter's own proposal is made by the procedure."""
    charter: Charter | None = None
    """The new Charter, if it changes; ``rev``, ``roster_rev`` and ``transport`` are set by the procedure."""
    hop: bool = False
    """Move to a new segment. Set by itself where a Remove or a change of roster or relays demands it (V12)."""
    rotate_coord: bool = False
    """Make a new coordinators' secret; set by itself with a change of roster (E7)."""
    after: bytes = field(default=b"", repr=False)
    """For whoever planned it: comes back with :class:`EffectiveCommit` once the commit is effective."""


Plan = Callable[[Tx, Circle], CommitPlan | None]
"""Called in a transaction with the circle as it stands at the head of the log, again after every lost race."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Draft:
    """A plan with everything decided but the bytes."""

    proposals: tuple[Proposal, ...]
    references: tuple[bytes, ...]
    charter: Charter
    hop: bool
    coord_secret: bytes | None = field(repr=False)
    """The coordinators' secret after the commit, where it hops."""
    coord: CoordSecret | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Built:
    draft: _Draft
    inner: Inner
    commit: BuiltCommit[Group]


def build_pending(tx: Tx, circle: Circle, plan: CommitPlan, *, now: int, rng: Rng) -> PendingCommitRow:
    """Build a commit and store it with everything that belongs to it; ``circle`` is saved.

    :raises NotAllowedError: this person is no coordinator. :raises RuleError: nobody would accept it.
    :raises CircleFullError: it does not fit into an entry (E25).
    """
    check_coordinator(circle)
    built = _build_to_fit(circle, plan, now=now, rng=rng)
    draft = built.draft
    circle.group = built.commit.group
    circle.save()
    outgoing.remember_own(circle, built.inner.hash, outgoing.OWN_COMMIT, built.inner.hash)
    row = PendingCommitRow(
        circle=circle.id,
        inner_hash=built.inner.hash,
        number=outbox.next_pending_number(tx, circle.id),
        epoch=circle.group.epoch,
        segment_no=circle.segment_no,
        inner=built.inner.data,
        hop=int(draft.hop),
        transport=serialize(draft.charter.transport) if draft.hop else None,
        access=serialize(export_access(built.commit.staged, draft.charter)) if draft.hop else None,
        heir_vk=_heir_vk(circle, draft.coord_secret) if draft.coord_secret is not None else None,
        coord_gen=draft.charter.transport.coord_gen,
        coord_secret=draft.coord_secret if draft.coord is not None else None,
        welcome=serialize(built.commit.welcome) if built.commit.welcome is not None else None,
        tree=serialize(built.commit.tree) if built.commit.welcome is not None else None,
        after=plan.after,
        created_at=now,
    )
    outbox.add_pending(tx, row)
    return row


def check_coordinator(circle: Circle) -> None:
    """Check that this person may commit (V4). :raises NotAllowedError: only coordinators may."""
    if not circle.is_coordinator():
        raise NotAllowedError("only a coordinator can change the circle")


def _heir_vk(circle: Circle, secret_after: bytes) -> bytes:
    """Return the public key of those who may open the segment again that this hop seals (E8)."""
    transport = circle.charter.transport
    relay_pk = transport.relays[0].relay_pk
    return heir_key(secret_after, salt=transport.salt, segment_no=transport.segment_no, relay_pk=relay_pk).public_key


# --- Deciding --------------------------------------------------------------------------------------------------------


def _build_to_fit(circle: Circle, plan: CommitPlan, *, now: int, rng: Rng) -> _Built:
    """Build the commit; where it is too long leave out Updates first, then Adds (E25)."""
    proposals, updates = plan.proposals, True
    while True:
        try:
            built = _build(circle, replace(plan, proposals=proposals), with_updates=updates, now=now, rng=rng)
        except RuleError:
            # Updates that are valid each by itself may still not go together (two with one key).
            if not updates:
                raise
            updates = False
            continue
        if len(built[1]) <= MAX_BODY:
            return _finish(*built)
        adds = [each for each in proposals if isinstance(each, Add)]
        if updates:
            updates = False
        elif len(adds) > 1:
            proposals = tuple(each for each in proposals if each is not adds[-1])
        else:
            raise CircleFullError("the commit does not fit into an entry")


def _build(
    circle: Circle, plan: CommitPlan, *, with_updates: bool, now: int, rng: Rng
) -> tuple[_Draft, bytes, BuiltCommit[Group], InnerHeader]:
    draft = _decide(circle, plan, with_updates=with_updates, rng=rng)
    header = outgoing.build_header(circle)
    aad = serialize(EntryAAD(header_hash=header.hash(), coord=draft.coord))
    built = circle.group.build_commit(
        now=now, rng=rng, proposals=draft.proposals, references=draft.references, authenticated_data=aad
    )
    check_own(circle, built, EntryAAD(header_hash=header.hash(), coord=draft.coord), draft.charter)
    return draft, serialize(MLSMessage(built.message)), built, header


def _finish(draft: _Draft, body: bytes, built: BuiltCommit[Group], header: InnerHeader) -> _Built:
    return _Built(draft=draft, inner=build_inner(header, body), commit=built)


def check_own(circle: Circle, built: BuiltCommit[Group], aad: EntryAAD, charter: Charter) -> None:
    """Judge our own commit as everybody will: also, that a Remove will fit afterwards (V9, E25).

    :raises RuleError: a rule is broken; nothing was sent. :raises OutdatedError: we could not follow it ourselves.
    """
    rules.check_min_client(charter)
    rules.check_commit(CommitView(commit=built.staged.provisional, aad=aad, before=circle.charter, after=charter))


def _decide(circle: Circle, plan: CommitPlan, *, with_updates: bool, rng: Rng) -> _Draft:
    removed = {each.removed for each in plan.proposals if isinstance(each, Remove)}
    leaving = leavers(circle, removed)
    before, wanted = circle.charter, plan.charter or circle.charter
    wanted = replace(wanted, transport=before.transport) if plan.charter is None else wanted
    wanted = without_leavers(circle, wanted, leaving)
    roster = is_roster_changed(before, wanted)
    hop = plan.hop or bool(removed) or bool(leaving) or is_approval_needed(before, wanted)
    secret, rotate = _secret_after(circle, rotate=hop and (plan.rotate_coord or roster), hop=hop, rng=rng)
    charter = _next_charter(before, wanted, secret=secret, rotate=rotate, rng=rng)
    gone = removed | {each.sender for each in leaving}
    proposals = (
        plan.proposals if charter == before else (*plan.proposals, GroupContextExtensions(group_extensions(charter)))
    )
    has_path = bool(leaving) or not proposals or any(not isinstance(each, Add) for each in proposals)
    updates = newest_updates(circle, gone) if has_path and with_updates else ()
    return _Draft(
        proposals=proposals,
        references=tuple(each.ref for each in (*leaving, *updates)),
        charter=charter,
        hop=hop,
        coord_secret=secret if hop else None,
        coord=seal_coord_secret(circle.group, secret, charter=charter, removed=gone) if rotate and secret else None,
    )


def leavers(circle: Circle, removed: set[LeafIndex]) -> tuple[StoredProposal, ...]:
    """Return the proposals of members who want to leave, one for each leaf that nobody removes already (E21)."""
    found: dict[LeafIndex, StoredProposal] = {}
    for stored in circle.group.proposals.values():
        proposal = stored.proposal
        if isinstance(proposal, Remove) and is_of_another(circle, stored) and proposal.removed == stored.sender:
            found[stored.sender] = stored
    return tuple(each for sender, each in found.items() if sender not in removed)


def newest_updates(circle: Circle, gone: set[LeafIndex]) -> tuple[StoredProposal, ...]:
    """Return the newest Update of each member who stays, our own left out (E21)."""
    found: dict[LeafIndex, StoredProposal] = {}
    for stored in circle.group.proposals.values():
        if isinstance(stored.proposal, Update) and is_of_another(circle, stored) and is_valid_update(circle, stored):
            found[stored.sender] = stored
    return tuple(each for sender, each in found.items() if sender not in gone)


def is_valid_update(circle: Circle, stored: StoredProposal) -> bool:
    """Answer whether an Update keeps to V8: one that does not would spoil the commit of whoever takes it along."""
    if not isinstance(stored.proposal, Update):
        return False
    try:
        new = leaf_rules.verify_leaf(stored.proposal.leaf_node, lineage_id=circle.id)
        leaf_rules.check_same_device(circle.member_of(stored.sender), new)
    except InvalidMessageError:
        return False
    return True


def without_leavers(circle: Circle, charter: Charter, leaving: Sequence[StoredProposal]) -> Charter:
    """Return the Charter without coordinators whose last device leaves: the roster may name no one else (V10, E20)."""
    gone = {each.sender for each in leaving}
    staying = {circle.member_of(each.index).member_pk for each in circle.group.members() if each.index not in gone}
    coordinators = tuple(each for each in charter.coordinators if each.member_pk in staying)
    if coordinators == charter.coordinators:
        return charter
    threshold = min(charter.roster_threshold, len(coordinators))
    return replace(charter, coordinators=coordinators, roster_threshold=threshold, approvals=())


def is_of_another(circle: Circle, stored: StoredProposal) -> bool:
    """Answer whether a proposal is not our own: a committer leaves those out (E21)."""
    return stored.sender != circle.group.own_index


def _secret_after(circle: Circle, *, rotate: bool, hop: bool, rng: Rng) -> tuple[bytes | None, bool]:
    """Return the coordinators' secret after the commit, and whether it is a new one.

    A coordinator without the secret makes a new one: it could not name the next segment's keys otherwise.
    """
    if not hop:
        return None, False
    secret = None if rotate else circle.coord_secret
    return (rng(COORD_SECRET_LENGTH), True) if secret is None else (secret, False)


def _next_charter(before: Charter, wanted: Charter, *, secret: bytes | None, rotate: bool, rng: Rng) -> Charter:
    after = wanted
    if secret is not None:
        relays: Sequence[tuple[RelayAddr, int]] = [
            (RelayAddr(relay_pk=relay.relay_pk, uri=relay.uri), relay.role) for relay in wanted.transport.relays
        ]
        transport = build_transport(
            secret,
            segment_no=before.segment_no + 1,
            relays=relays,
            salt=rng(SALT_LENGTH),
            coord_gen=before.transport.coord_gen + rotate,
        )
        after = replace(after, transport=transport)
    if after == before:
        return before
    return replace(after, rev=before.rev + 1, roster_rev=before.roster_rev + is_approval_needed(before, after))
