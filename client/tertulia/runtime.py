"""What every procedure of the client is handed first: the store, the relays, time, randomness, the events."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from tertulia.clock import Clock, Rng
from tertulia.events import EventBus
from tertulia.relays import RelayClient
from tertulia.store.database import Store
from tertulia.transport.interface import Transport


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """The parts of a running client. Made by :class:`tertulia.client.Client` or by a test."""

    store: Store
    transport: Transport
    clock: Clock
    rng: Rng = field(repr=False)
    events: EventBus
    locks: dict[bytes, asyncio.Lock] = field(default_factory=dict, repr=False)
    """One for each circle that this process commits to: see :meth:`committing`."""

    def committing(self, circle_id: bytes) -> asyncio.Lock:
        """Return what is held while a commit is brought to its end: two at once would only race each other."""
        return self.locks.setdefault(circle_id, asyncio.Lock())

    @property
    def relays(self) -> RelayClient:
        """Return the operations of relays over this transport."""
        return RelayClient(transport=self.transport, rng=self.rng)
