"""Removing a member: all its devices, in one commit that hops."""

from __future__ import annotations

from tertulia.commits import CommitOutcome
from tertulia.runtime import Runtime


async def remove_member(runtime: Runtime, circle_id: bytes, member_pk: bytes, *, ban: bool = True) -> CommitOutcome:
    """Remove a member (32 bytes) with all its devices; with ``ban`` it cannot be added again.

    ``done`` is False where it is no member (any more).

    :raises NotAllowedError: this person may not do that: no coordinator, or itself, or approvals are missing (E20).
    """
    raise NotImplementedError
