"""What happened, in order, kept until nobody needs it: a log in the store and a bell for those who wait.

An event is written in the transaction that caused it (``tertulia.store.events.add``), so it is there exactly when its
cause is. After the commit the store rings; readers then look into the log from their own resume token on.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial

from tertulia.store.database import Store
from tertulia.store.events import Event, read_after


class EventBus:
    """Wakes the readers of the event log."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._changed = asyncio.Event()
        store.on_events = self.ring

    def ring(self) -> None:
        """Tell all readers that there may be new events. The store calls it after a transaction that added some."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def stream(self, after: int = 0) -> AsyncIterator[Event]:
        """Yield the events after a resume token (``Event.number`` of the last one seen; 0: from the oldest kept)."""
        while True:
            changed = self._changed
            for event in await self._store.read(partial(read_after, number=after)):
                yield event
                after = event.number
            if changed is self._changed:
                await changed.wait()
