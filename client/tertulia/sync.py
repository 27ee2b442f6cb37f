"""Keeping up with the relay: reading, sending, finishing what was begun."""

from __future__ import annotations

from dataclasses import dataclass, field

from tertulia.runtime import Runtime
from tertulia.states import State
from tertulia_protocol.errors import TertuliaError


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncResult:
    """How a sync of one circle ended. ``error``: why it could not be finished, None if it was."""

    circle_id: bytes
    state: State
    at_head: bool
    received: int
    waiting: int
    """Items of the outbox that were not read back yet."""
    error: TertuliaError | None = field(default=None)


async def read_to_head(runtime: Runtime, circle_id: bytes, *, wait_s: int = 0) -> int:
    """Read the log to its head, walking through sealed segments; return the number of entries processed.

    :raises TransportError: the relay cannot be reached or refuses.
    """
    raise NotImplementedError


async def flush_outbox(runtime: Runtime, circle_id: bytes) -> int:
    """Append what waits in the outbox; return how many items were sent. They count once they are read back."""
    raise NotImplementedError


async def sync_circle(runtime: Runtime, circle_id: bytes) -> SyncResult:
    """Do one whole round for a circle: read, commits, outbox, read back, invitations and replies.

    Errors of the relay end the round and are in the result; give a deadline with ``asyncio.timeout``.
    """
    raise NotImplementedError


async def sync_all(runtime: Runtime, *, timeout: float) -> tuple[SyncResult, ...]:  # noqa: ASYNC109 - of the command
    """Do one round for every circle and every open request to join, within ``timeout`` seconds."""
    raise NotImplementedError


async def follow(runtime: Runtime, circle_id: bytes) -> None:
    """Keep one circle up to date by long polls until cancelled."""
    raise NotImplementedError


async def wait_sent(runtime: Runtime, circle_id: bytes, post_id: bytes) -> None:
    """Sync until a post was read back. :raises TransportError: the relay cannot be reached."""
    raise NotImplementedError
