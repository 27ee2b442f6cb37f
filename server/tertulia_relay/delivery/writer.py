"""One writer, natural group commit: it takes whatever has queued, commits once, then answers (E34).

The result is as if each write ran alone, in order: every write decides on the rows as the one before left them, and a
refused one changes nothing. If the database refuses a batch as a whole, each write is tried alone, so that one that
cannot be stored does not take the others with it.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from tertulia_relay.delivery.ledger import Ledger
from tertulia_relay.delivery.outcomes import Outcome, Refusal, busy
from tertulia_relay.delivery.settings import Settings
from tertulia_relay.storage.errors import DatabaseBusyError
from tertulia_relay.storage.interface import SegmentRow, Storage, Wanted


class Write(ABC):
    """One request that changes something."""

    size: int = 0
    """Bytes of payload."""

    @abstractmethod
    def want(self, wanted: Wanted) -> None:
        """Say which rows are needed."""

    @abstractmethod
    def decide(self, ledger: Ledger) -> Outcome:
        """Apply the rules and change the ledger after the last check. :raises Refusal: nothing was changed."""


@dataclass(frozen=True, slots=True)
class Committed:
    """What became of a write, and the segment whose head goes with the answer, as committed."""

    outcome: Outcome
    segment: SegmentRow | None


@dataclass(frozen=True, slots=True)
class _Queued:
    write: Write
    done: asyncio.Future[Committed]


class Writer:
    """Takes writes, commits them in batches."""

    def __init__(
        self, *, storage: Storage, settings: Settings, open_ledger: Callable[[], tuple[int, float]],
        after_commit: Callable[[Ledger], None],
        after_write: Callable[[], None],
    ) -> None:  # fmt: skip
        """:param open_ledger: gives the UTC day and the monotonic seconds of a batch.

        :param after_commit: is told of each committed batch before any of its writes is answered.
        :param after_write: is told when a batch was committed that changed something: the database takes writes.
        """
        self._storage = storage
        self._settings = settings
        self._open_ledger = open_ledger
        self._after_commit = after_commit
        self._after_write = after_write
        self._queue: asyncio.Queue[_Queued] = asyncio.Queue()
        self._queued_bytes = 0
        self._task: asyncio.Task[None] | None = None
        self.commits = 0
        """How many transactions were committed."""

    def start(self) -> None:
        """Start the writer."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Finish what is queued and stop."""
        if self._task is not None:
            await self._queue.join()
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def check_room(self, size: int) -> None:
        """Check that the queue takes one more write of ``size`` bytes. :raises Refusal: BUSY."""
        if self._queue.qsize() >= self._settings.queue_jobs or self._queued_bytes + size > self._settings.queue_bytes:
            raise busy(1)

    async def submit(self, write: Write) -> Committed:
        """Queue a write and return once it is durable.

        :raises Refusal: BUSY: the queue is full; or what the rules say. :raises StorageError: it cannot be stored.
        """
        self.check_room(write.size)
        queued = _Queued(write, asyncio.get_running_loop().create_future())
        self._queue.put_nowait(queued)
        self._queued_bytes += write.size
        return await queued.done

    async def _run(self) -> None:
        while True:
            batch = self._take(await self._queue.get())
            try:
                await self._commit_or_split(batch)
            finally:
                for _ in batch:
                    self._queue.task_done()

    def _take(self, first: _Queued) -> list[_Queued]:
        batch, size = [first], first.write.size
        while len(batch) < self._settings.batch_jobs and size < self._settings.batch_bytes:
            try:
                queued = self._queue.get_nowait()
            except asyncio.QueueEmpty:
                break
            batch.append(queued)
            size += queued.write.size
        self._queued_bytes -= size
        return batch

    async def _commit_or_split(self, batch: list[_Queued]) -> None:
        try:
            await self._commit(batch)
        except Exception as error:  # noqa: BLE001 - the outermost loop: the writer outlives any fault of one batch
            if is_last_try(batch, error):
                _fail(batch, error)
                return
            for queued in batch:
                await self._commit_or_split([queued])

    async def _commit(self, batch: list[_Queued]) -> None:
        wanted = Wanted()
        for queued in batch:
            queued.write.want(wanted)
        async with self._storage.transaction() as transaction:
            utc_day, now = self._open_ledger()
            ledger = Ledger(await transaction.find(wanted), utc_day=utc_day, now=now)
            outcomes = [_decide(queued.write, ledger) for queued in batch]
            changes = ledger.changes()
            if changes:
                await transaction.apply(changes)
        self.commits += 1
        if changes:
            self._after_write()
        self._after_commit(ledger)
        for queued, outcome in zip(batch, outcomes, strict=True):
            if not queued.done.done():
                segment = None if outcome.head_of is None else ledger.segment(outcome.head_of)
                queued.done.set_result(Committed(outcome, segment))


def is_last_try(batch: list[_Queued], error: Exception) -> bool:
    """Answer whether trying each write alone can change nothing: it was alone, or nobody gets at the database."""
    return len(batch) == 1 or isinstance(error, DatabaseBusyError)


def _decide(write: Write, ledger: Ledger) -> Outcome:
    try:
        return write.decide(ledger)
    except Refusal as refusal:
        return refusal.outcome


def _fail(batch: list[_Queued], error: Exception) -> None:
    for queued in batch:
        if not queued.done.done():
            queued.done.set_exception(error)
