"""The relay without HTTP and without SQL: one body in, one body out (docs/protocol, "The relay")."""

from __future__ import annotations

from collections.abc import Callable

from tertulia_protocol.errors import DecodeError, StorageError
from tertulia_protocol.relay_api.addresses import CODE_LENGTH
from tertulia_protocol.relay_api.requests import Request
from tertulia_protocol.relay_api.responses import Response, Status
from tertulia_protocol.signing import SigningSeed
from tertulia_relay.delivery.admission import code_hash
from tertulia_relay.delivery.clock import Clock
from tertulia_relay.delivery.directory import Directory
from tertulia_relay.delivery.freezing import FreezeCounter, Thaw
from tertulia_relay.delivery.heads import Heads
from tertulia_relay.delivery.ledger import Ledger
from tertulia_relay.delivery.operations import Operations
from tertulia_relay.delivery.outcomes import Refusal
from tertulia_relay.delivery.quotas import RateBuckets
from tertulia_relay.delivery.reading import Reading
from tertulia_relay.delivery.segments import AddCode, Unfreeze
from tertulia_relay.delivery.settings import Settings
from tertulia_relay.delivery.writer import Writer
from tertulia_relay.storage.interface import CodeRow, Storage
from tertulia_relay.wakeup.interface import Wakeup

NO_NONCE = bytes(16)

THAW_AGAIN_SECONDS = 1.0
"""How soon the end of a freeze is tried again where it could not be written."""

EXPIRY_SLICE = 500
"""How many rows one transaction of the nightly deletion takes: writers wait for no more than that."""


class Relay:
    """Answers requests by the rules of the protocol."""

    def __init__(  # noqa: PLR0913 - the parts of the relay, wired in one place
        self,
        *,
        key: SigningSeed,
        settings: Settings,
        storage: Storage,
        wakeup: Wakeup,
        clock: Clock,
        rng: Callable[[int], bytes],
        on_storage_error: Callable[[StorageError], None] | None = None,
    ) -> None:
        """Take the parts; nothing is opened before :meth:`start`.

        :param on_storage_error: called without any content of requests, once per outage (again only after a write
            has succeeded in between), when the database cannot be written or read.
        """
        self._storage = storage
        self._wakeup = wakeup
        self._clock = clock
        self._rng = rng
        self._on_storage_error = on_storage_error
        self._outage = False
        self._started = False
        self._rates = RateBuckets(settings.limits, tracked=settings.tracked_segments)
        self._freezes = FreezeCounter(per_hour=settings.freezes_per_hour, tracked=settings.tracked_segments)
        self._thaw = Thaw(clock=clock, seconds=settings.freeze_seconds, unfreeze=self._unfreeze)
        self._directory = Directory(storage=storage, clock=clock, tracked=settings.tracked_segments)
        self._reading = Reading(storage=storage, wakeup=wakeup, clock=clock, settings=settings)
        self._writer = Writer(
            storage=storage,
            settings=settings,
            open_ledger=lambda: (clock.utc_day(), clock.monotonic()),
            after_commit=self._after_commit,
            after_write=self._after_write,
        )
        self._operations = Operations(
            key=key,
            settings=settings,
            storage=storage,
            clock=clock,
            rng=rng,
            directory=self._directory,
            reading=self._reading,
            writer=self._writer,
            rates=self._rates,
            freezes=self._freezes,
            thaw=self._thaw,
            heads=Heads(key, expiring_days=settings.expiring_days, tracked=settings.tracked_segments),
        )

    async def start(self) -> None:
        """Open the storage (migrating it) and start the writer.

        :raises StorageError: it cannot be opened; ``SchemaTooNewError``: a newer version made it.
        """
        await self._storage.open()
        await self._wakeup.start()
        self._writer.start()
        self._started = True

    async def close(self) -> None:
        """Finish the writes that were accepted, answer waiting READs, close the storage. Safe to call twice."""
        if not self._started:
            return
        self._started = False
        self._reading.close()
        await self._wakeup.close()
        await self._thaw.close()
        await self._writer.close()
        await self._storage.close()

    async def answer(self, frame: bytes) -> bytes:
        """Answer one HTTP body with one HTTP body; whatever the bytes are, this raises nothing.

        A frame that is no request at all gets MALFORMED with a zero nonce. Cancelling this call (the client hung up)
        frees a waiting READ; a write that was accepted still happens.
        """
        try:
            request = Request.from_frame(frame)
        except DecodeError:
            return Response(status=Status.MALFORMED, nonce=NO_NONCE).to_frame()
        return (await self._respond(request)).to_frame()

    async def _respond(self, request: Request) -> Response:
        try:
            return await self._operations.respond(request)
        except Refusal as refusal:
            return Response(status=refusal.outcome.status, nonce=request.nonce, body=refusal.outcome.body)
        except StorageError as error:
            self._report(error)
            return Response(status=Status.UNAVAILABLE, nonce=request.nonce)

    def _report(self, error: StorageError) -> None:
        if not self._outage and self._on_storage_error is not None:
            self._on_storage_error(error)
        self._outage = True

    def _after_write(self) -> None:
        self._outage = False

    def _after_commit(self, ledger: Ledger) -> None:
        self._rates.take(ledger.charged, now=ledger.now)
        for segment_id, count in ledger.freezes.items():
            for _ in range(count):
                self._freezes.count(segment_id, now=ledger.now)
        for segment_id in ledger.dropped:
            self._directory.forget(segment_id)
        for segment_id in ledger.grown:
            row = ledger.segment(segment_id)
            if row is not None:
                self._thaw.meet(row)
            self._wakeup.announce(segment_id)

    async def _unfreeze(self, segment_id: bytes, number: int) -> None:
        while not await self._has_thawed(segment_id, number):
            await self._clock.sleep(THAW_AGAIN_SECONDS)

    async def _has_thawed(self, segment_id: bytes, number: int) -> bool:
        # A queue that is full just now, or a database that fails, must not keep the members out for longer.
        try:
            await self._writer.submit(Unfreeze(segment_id=segment_id, number=number))
        except Refusal:
            return False
        except StorageError as error:
            self._report(error)
            return False
        return True

    async def nightly(self) -> None:
        """Delete what has expired, give the space back, and truncate the log of the database. Call once a UTC day.

        :raises StorageError: the database cannot be written.
        """
        utc_day = self._clock.utc_day()
        while await self._storage.expire(utc_day=utc_day, limit=EXPIRY_SLICE):
            await self._clock.sleep(0)
        await self._storage.compact()
        await self._storage.checkpoint()

    async def checkpoint(self) -> None:
        """Truncate the database's log, which keeps the order of recent writes. Call at least hourly.

        :raises StorageError: the database cannot be written.
        """
        await self._storage.checkpoint()

    async def add_code(self, *, budget: int, days: int) -> bytes:
        """Make a 16-byte enrolment code worth ``budget`` units for ``days`` days; only its hash is stored.

        :raises ValueError: a number is not positive. :raises StorageError: the database cannot be written.
        """
        if budget <= 0 or days <= 0:
            raise ValueError("a budget and a number of days are positive")
        code = self._rng(CODE_LENGTH)
        row = CodeRow(hash=code_hash(code), left=budget, expires_day=self._clock.utc_day() + days)
        await self._writer.submit(AddCode(row=row))
        return code
