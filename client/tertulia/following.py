"""Following the group: a commit of the log judged, applied and merged, and all that changes with the epoch.

Everything here happens in the transaction of the batch that the commit stands in.
"""

from __future__ import annotations

import hashlib
from enum import Enum, auto

from tertulia import outgoing
from tertulia.circle import Circle
from tertulia.states import State, may_follow
from tertulia.store import events, log, outbox
from tertulia.store.log import EvidenceRow
from tertulia.store.outbox import DONE, PendingCommitRow
from tertulia_protocol.circle import rules
from tertulia_protocol.circle.aad import EntryAAD, open_coord_secret
from tertulia_protocol.circle.entries import REPAIR, Inner, repair_of
from tertulia_protocol.circle.errors import OutdatedError, StuckError
from tertulia_protocol.circle.identity import member_of
from tertulia_protocol.circle.rules import CommitView
from tertulia_protocol.circle.segments import export_access, is_coord_secret_of
from tertulia_protocol.codec import serialize
from tertulia_protocol.errors import InvalidMessageError, RuleError
from tertulia_protocol.mls.group import Group
from tertulia_protocol.mls.group_state import Opened, StagedCommit
from tertulia_protocol.relay_api.records import Position


class Step(Enum):
    """How a commit ended for the batch that it stands in."""

    REFUSED = auto()
    """It counts for nobody, or not for us: read on."""
    MERGED = auto()
    HOPPED = auto()
    """The circle goes on in another segment; what is left of this one counts for nobody (E32)."""
    REMOVED = auto()
    OUTDATED = auto()
    """Not merged, and the place before it is kept: a newer version goes on from here (E38)."""


def follow_commit(  # noqa: PLR0913 - the entry in all its forms
    circle: Circle, opened: Opened[Group], inner: Inner, *, entry: bytes, place: Position, now: int
) -> Step:
    """Judge a commit, and merge it if it is the one. Nothing changes otherwise. :param place: the position after it."""
    author = circle.member_of(opened.sender).member_pk
    try:
        check_repair(circle, inner)
        view = rules.stage_commit(opened)
        staged = rules.apply_commit(view)
    except OutdatedError:
        return _stop_here(circle, now=now)
    except StuckError as error:
        _get_stuck(circle, entry, error, author=author, now=now)
        return Step.REFUSED
    except InvalidMessageError as error:
        rule = error.rule if isinstance(error, RuleError) else ""
        events.add(circle.tx, "commit_refused", circle=circle.id, at=now, member=author, rule=rule)
        return Step.REFUSED
    return _merge(circle, view, staged, inner, place=place, now=now)


def check_repair(circle: Circle, inner: Inner) -> None:
    """Check that a commit is the one to take where we are stuck, and no repair where we are not (E4).

    :raises RuleError: a race loser's commit before a stuck member; or a repair of what we have not refused.
    """
    stuck = circle.state is State.STUCK
    is_repair = inner.header.flags == REPAIR
    if stuck != is_repair or (stuck and inner.header.rsv != circle.detail[:12]):
        raise RuleError("a commit for members in another state", rule="E4")


def _get_stuck(circle: Circle, entry: bytes, error: StuckError, *, author: bytes, now: int) -> None:
    """Stay in this epoch and keep reading; say which commit it was, so that it can be repaired (E4)."""
    if not may_follow(circle.state, State.STUCK):
        return
    digest = hashlib.sha256(entry).digest()
    log.add_evidence(circle.tx, EvidenceRow(circle=circle.id, kind="stuck", at=now, data=entry))
    circle.move_to(State.STUCK, repair_of(entry) + digest)
    events.add(circle.tx, "stuck", circle=circle.id, at=now, member=author, rule=error.rule)


def _stop_here(circle: Circle, *, now: int) -> Step:
    """Wait for a newer version before this commit (E38). Who is stuck or must not send anyway stays what it is."""
    if may_follow(circle.state, State.OUTDATED):
        circle.move_to(State.OUTDATED, rules.BEHAVIOUR_VERSION.to_bytes(2, "big"))
        events.add(circle.tx, "outdated", circle=circle.id, at=now)
    return Step.OUTDATED


def _merge(  # noqa: PLR0913 - the commit in all its forms
    circle: Circle, view: CommitView, staged: StagedCommit[Group], inner: Inner, *, place: Position, now: int
) -> Step:
    if staged.next is None:
        _leave(circle, view, now=now)
        return Step.REMOVED
    own = outbox.find_pending(circle.tx, circle.id, inner.hash)
    _take_coord_secret(circle, view, own, now=now)
    group = view.group.merge(staged)
    access = export_access(group, view.after) if view.is_hop else None
    circle.group = group
    log.clear_own(circle.tx, circle.id)
    if access is not None:
        circle.enter_segment(access, now=now)
    circle.save()
    if circle.state is State.STUCK:
        circle.move_to(State.SYNCING)
    outgoing.renew(circle)
    _finish_own(circle, own, place=circle.position if access is not None else place)
    outbox.clear_pending(circle.tx, circle.id)
    _tell(circle, view, now=now)
    return Step.HOPPED if view.is_hop else Step.MERGED


def _leave(circle: Circle, view: CommitView, *, now: int) -> None:
    """This device was removed: all keys go, what was read stays."""
    circle.erase_group()
    log.clear_own(circle.tx, circle.id)
    outbox.clear_pending(circle.tx, circle.id)
    circle.move_to(State.REMOVED)
    events.add(circle.tx, "removed", circle=circle.id, at=now, by=view.committer)


def _take_coord_secret(circle: Circle, view: CommitView, own: PendingCommitRow | None, *, now: int) -> None:
    """Keep the coordinators' new secret where it is for us. Whoever lacks it goes on without: an alarm (E7)."""
    if not view.after.is_coordinator(circle.member_pk) or view.aad.coord is None:
        return
    secret = own.coord_secret if own is not None else _open(view.group, view.aad)
    if secret is None or not is_coord_secret_of(secret, view.after.transport):
        events.add(circle.tx, "no_coordinator_key", circle=circle.id, at=now)
        return
    circle.keep_coord_secret(view.after.transport.coord_gen, secret)


def _open(group: Group, aad: EntryAAD) -> bytes | None:
    try:
        return None if aad.coord is None else open_coord_secret(group, aad.coord)
    except InvalidMessageError:
        return None


def _finish_own(circle: Circle, own: PendingCommitRow | None, *, place: Position) -> None:
    """Keep of our own effective commit what belongs to it, as long as somebody needs it (E13).

    :param place: from where those read whom it added.
    """
    if own is None:
        return
    outbox.change_pending(
        circle.tx,
        circle.id,
        own.inner_hash,
        state=DONE,
        access=serialize(circle.access),
        coord_secret=None,
        done_epoch=circle.group.epoch,
        done_segment=circle.segment_no,
        done_seq=place.seq,
        done_chain=place.chain,
    )


def _tell(circle: Circle, view: CommitView, *, now: int) -> None:
    before = _members(view.group)
    after = frozenset(circle.members())
    for member_pk in sorted(after - before):
        events.add(circle.tx, "member_added", circle=circle.id, at=now, member=member_pk, by=view.committer)
    for member_pk in sorted(before - after):
        events.add(circle.tx, "member_removed", circle=circle.id, at=now, member=member_pk, by=view.committer)
    if view.is_hop:
        events.add(circle.tx, "hop", circle=circle.id, at=now, segment=circle.segment_no)


def _members(group: Group) -> frozenset[bytes]:
    return frozenset(member_of(each.leaf).member_pk for each in group.members())
