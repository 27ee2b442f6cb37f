"""Changing the group: the procedure of a coordinator (docs/protocol, "Commits").

A commit is built, stored, sent, and takes effect only when it is read back from the log as the first that is valid.
``commit`` may be interrupted anywhere: what was stored is sent again by the next sync.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tertulia.circle import Circle
from tertulia.runtime import Runtime
from tertulia.store.tx import Tx
from tertulia_protocol.circle.charter import Charter
from tertulia_protocol.mls.proposals import Proposal
from tertulia_protocol.mls.welcome import Welcome


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


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitOutcome:
    """How ``commit`` ended: ``done`` is False where the plan function found nothing left to do."""

    done: bool
    epoch: int
    segment_no: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectiveCommit:
    """A commit of this device that was read back as effective, with what belongs to it (``after`` was not empty)."""

    number: int
    """Its key, for :func:`forget_effective`."""
    epoch: int
    """The epoch it led to."""
    segment_no: int
    seq: int
    """Position for joiners (E13): of the commit, or (0, chain_0) of the new segment if it hopped."""
    chain: bytes
    access: bytes = field(repr=False)
    """The serialised SegAccess of that segment."""
    welcome: Welcome | None = field(repr=False)
    tree: bytes = field(repr=False)
    """The serialised RatchetTree of the new epoch."""
    after: bytes = field(repr=False)


Plan = Callable[[Tx, Circle], CommitPlan | None]
"""Called in a transaction with the circle as it stands at the head of the log, again after every lost race."""


async def commit(runtime: Runtime, circle_id: bytes, plan: Plan) -> CommitOutcome:
    """Carry out a plan and return once it was read back.

    :raises NotAllowedError: this person is no coordinator, or the circle's state allows no sending.
    :raises TransportError: the relay cannot be reached; a commit that was stored is sent by the next sync.
    :raises PaymentError: a hop needs an enrolment code, and this device has none.
    """
    raise NotImplementedError


async def resume_commits(runtime: Runtime, circle_id: bytes) -> None:
    """Bring commits that an interruption left behind to an end. Part of every sync."""
    raise NotImplementedError


def effective_commits(tx: Tx, circle_id: bytes) -> tuple[EffectiveCommit, ...]:
    """Return the effective commits whose ``after`` nobody has taken care of yet, oldest first."""
    raise NotImplementedError


def forget_effective(tx: Tx, circle_id: bytes, number: int) -> None:
    """Delete one of them, in the transaction that did what it was for."""
    raise NotImplementedError
