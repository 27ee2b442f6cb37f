"""Removing a member: all its devices, in one commit that hops."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from tertulia.circle import Circle
from tertulia.commits import CommitOutcome, CommitPlan, commit
from tertulia.errors import NotAllowedError
from tertulia.runtime import Runtime
from tertulia.store.tx import Tx
from tertulia_protocol.circle.charter import Charter
from tertulia_protocol.circle.identity import ban_hash
from tertulia_protocol.circle.roster import RosterChange, missing_approvals
from tertulia_protocol.mls.proposals import Remove


async def remove_member(runtime: Runtime, circle_id: bytes, member_pk: bytes, *, ban: bool = True) -> CommitOutcome:
    """Remove a member (32 bytes) with all its devices; with ``ban`` it cannot be added again.

    ``done`` is False where it is no member (any more).

    :raises NotAllowedError: this person may not do that: no coordinator, or itself, or approvals are missing (E20).
    :raises TransportError: see ``commits.commit``: once it was stored the next sync goes on with it.
    """
    return await commit(runtime, circle_id, partial(plan_removal, member_pk=member_pk, ban=ban))


def plan_removal(_tx: Tx, circle: Circle, *, member_pk: bytes, ban: bool) -> CommitPlan | None:
    """Plan to remove a member. :raises NotAllowedError: see :func:`remove_member`."""
    check_not_self(circle, member_pk)
    leaves = circle.leaves_of(member_pk)
    if not leaves:
        return None
    charter = charter_without(circle.charter, member_pk, ban=ban)
    check_approved(circle, charter)
    return CommitPlan(
        proposals=tuple(Remove(leaf) for leaf in leaves),
        charter=None if charter == circle.charter else charter,
        hop=True,
    )


def check_not_self(circle: Circle, member_pk: bytes) -> None:
    """Check that nobody removes itself: whoever commits stays (V7). :raises NotAllowedError: it is oneself."""
    if member_pk == circle.member_pk:
        raise NotAllowedError("nobody removes itself")


def charter_without(charter: Charter, member_pk: bytes, *, ban: bool) -> Charter:
    """Return the Charter without a member: off the roster, and banned if so wished."""
    coordinators = tuple(each for each in charter.coordinators if each.member_pk != member_pk)
    banned = {*charter.banned, ban_hash(member_pk)} if ban else set(charter.banned)
    changed = coordinators != charter.coordinators
    return replace(
        charter,
        coordinators=coordinators,
        roster_threshold=min(charter.roster_threshold, len(coordinators)),
        banned=tuple(sorted(banned)),
        approvals=() if changed else charter.approvals,
    )


def check_approved(circle: Circle, after: Charter) -> None:
    """Check that this coordinator alone may change the roster so (E20). :raises NotAllowedError: others must agree."""
    before = circle.charter
    if before.coordinators == after.coordinators:
        return
    change = RosterChange(group_id=circle.group.group_id, before=before, after=after)
    missing = missing_approvals(change, committer=circle.member_pk, approvals=after.approvals)
    if missing:
        raise NotAllowedError(f"{missing} more coordinators must agree")
