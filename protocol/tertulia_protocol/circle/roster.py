"""Who may decide who decides: approvals of changes of roster, threshold and relays (docs/protocol, "The Charter", E20).

An approval covers who coordinates, how many must agree and where the relays are, before and after; not the segment, the
salt or any key. So it survives hops and can be collected over days, until the roster changes again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from tertulia_protocol.circle.charter import Approval, Charter, Coordinator
from tertulia_protocol.codec import Writer
from tertulia_protocol.errors import InvalidMessageError, RuleError
from tertulia_protocol.signing import Label, SigningSeed, verify

RULE = "V11"


@dataclass(frozen=True, slots=True, kw_only=True)
class RosterChange:
    """What coordinators approve of: from one Charter to the next, in one group."""

    group_id: bytes
    before: Charter
    after: Charter

    @property
    def removed(self) -> frozenset[bytes]:
        """Return the member_pks that leave the roster."""
        return self.before.roster - self.after.roster

    def digest(self) -> bytes:
        """Return the 32 bytes that an approval signs."""
        writer = Writer()
        writer.fixed(self.before.lineage_id, 32)
        writer.raw(self.group_id)
        writer.u32(self.before.roster_rev)
        writer.vector(self.before.coordinators)
        writer.vector(self.after.coordinators)
        writer.u8(self.after.roster_threshold)
        places = Writer()
        for relay_pk, role, uri in _places(self.after):
            places.fixed(relay_pk, 32)
            places.u8(role)
            places.opaque(uri.encode("ascii"))
        writer.opaque(places.getvalue())
        return hashlib.sha256(writer.getvalue()).digest()


def _places(charter: Charter) -> tuple[tuple[bytes, int, str], ...]:
    return tuple(relay.place for relay in charter.transport.relays)


def is_roster_changed(before: Charter, after: Charter) -> bool:
    """Answer whether coordinators come, go or change their rank."""
    return before.coordinators != after.coordinators


def is_relays_changed(before: Charter, after: Charter) -> bool:
    """Answer whether a relay comes, goes, moves or changes its role; its keys for the circle do not count."""
    return _places(before) != _places(after)


def is_approval_needed(before: Charter, after: Charter) -> bool:
    """Answer whether ``roster_rev`` moves: roster, threshold or relays change."""
    return (
        is_roster_changed(before, after)
        or before.roster_threshold != after.roster_threshold
        or is_relays_changed(before, after)
    )


def approve(change: RosterChange, member: SigningSeed) -> Approval:
    """Return a coordinator's approval. :raises ValueError: ``member`` is no coordinator of the old roster."""
    for coordinator in change.before.coordinators:
        if coordinator.member_pk == member.public_key:
            return Approval(rank=coordinator.rank, sig=member.sign(Label.ROSTER, change.digest()))
    raise ValueError("only a coordinator can approve")


def verify_approval(change: RosterChange, approval: Approval) -> bytes:
    """Check one approval and return the member_pk (32 bytes) of whose it is.

    :raises RuleError: nobody of the old roster has this rank, or whoever has it leaves the roster by this change.
    :raises AuthenticityError: the signature does not hold.
    """
    coordinator = coordinator_of(change.before.coordinators, approval.rank)
    check_approver_stays(change, coordinator.member_pk)
    verify_approval_signature(change, coordinator.member_pk, approval)
    return coordinator.member_pk


def verify_approval_signature(change: RosterChange, member_pk: bytes, approval: Approval) -> None:
    """Check that a coordinator signed exactly this change. :raises AuthenticityError: it did not."""
    verify(member_pk, Label.ROSTER, change.digest(), approval.sig)


def coordinator_of(coordinators: Iterable[Coordinator], rank: int) -> Coordinator:
    """Return the coordinator of a rank. :raises RuleError: there is none."""
    found = next((coordinator for coordinator in coordinators if coordinator.rank == rank), None)
    if found is None:
        raise RuleError(f"an approval by rank {rank}, whom the roster does not have", rule=RULE)
    return found


def check_approver_stays(change: RosterChange, member_pk: bytes) -> None:
    """Check that whoever approves is not removed by the change: it does not count (E20). :raises RuleError: it is."""
    if member_pk in change.removed:
        raise RuleError("an approval by a coordinator who is being removed", rule=RULE)


def check_approvers_differ(approvers: Collection[bytes], committer: bytes) -> None:
    """Check that nobody counts twice, the committer's unsigned approval included. :raises RuleError: somebody does."""
    if len({*approvers, committer}) != len(approvers) + 1:
        raise RuleError("somebody approves twice", rule=RULE)


def check_enough(change: RosterChange, approvers: Collection[bytes], committer: bytes) -> None:
    """Check that as many coordinators agree as the old threshold says. :raises RuleError: fewer do."""
    # The committer agrees by committing, unless it is on its way out.
    agreeing = len(approvers) + (committer not in change.removed)
    if agreeing < change.before.roster_threshold:
        raise RuleError(f"{agreeing} of {change.before.roster_threshold} coordinators agree", rule=RULE)


def is_exempt(change: RosterChange, *, committer: bytes, left: Collection[bytes]) -> bool:
    """Answer whether the change needs no approvals: coordinators only leave, and of their own will.

    :param committer: member_pk of who commits: it may take itself off the roster.
    :param left: member_pks all of whose leaves go by their own Remove in this commit.
    """
    before, after = change.before, change.after
    return (
        bool(change.removed)
        and change.removed <= {committer, *left}
        and after.coordinators == tuple(item for item in before.coordinators if item.member_pk in after.roster)
        and after.roster_threshold == min(before.roster_threshold, len(after.coordinators))
        and not is_relays_changed(before, after)
    )


def without(charter: Charter, left: Collection[bytes]) -> Charter:
    """Return the Charter after coordinators went of their own will (E20): the threshold follows as far as it must.

    Everything else that a commit changes, ``rev``, ``roster_rev`` and the hop, is the committer's to set.

    :param left: member_pks; those of no coordinator do not matter.
    """
    staying = tuple(each for each in charter.coordinators if each.member_pk not in left)
    if staying == charter.coordinators:
        return charter
    threshold = min(charter.roster_threshold, len(staying))
    return replace(charter, coordinators=staying, roster_threshold=threshold, approvals=())


def check_approvals(change: RosterChange, *, committer: bytes, left: Collection[bytes]) -> None:
    """Check that a change of roster, threshold or relays is agreed upon (V11, E20). Arguments: see :func:`is_exempt`.

    Whatever approvals the Charter carries must hold, also where none are needed: they stay in it and are believed.

    :raises RuleError: too few, twice the same, or by somebody who does not count.
    :raises AuthenticityError: a signature does not hold.
    """
    approvers = [verify_approval(change, approval) for approval in change.after.approvals]
    check_approvers_differ(approvers, committer)
    if not is_exempt(change, committer=committer, left=left):
        check_enough(change, approvers, committer)


def missing_approvals(change: RosterChange, *, committer: bytes, approvals: Iterable[Approval]) -> int:
    """Return how many more approvals a change needs before ``committer`` can commit it. Invalid ones do not count."""
    agreeing = {committer} - change.removed
    for approval in approvals:
        try:
            agreeing.add(verify_approval(change, approval))
        except InvalidMessageError:
            continue
    return max(0, change.before.roster_threshold - len(agreeing))
