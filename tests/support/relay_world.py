"""A relay on a real SQLite file with a clock that only moves when told, and clients that sign what they are told."""

from __future__ import annotations

import asyncio
import hashlib
import heapq
import itertools
import random
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self, TypedDict, Unpack

from tertulia_protocol.codec import Struct, parse, serialize
from tertulia_protocol.relay_api import requests
from tertulia_protocol.relay_api.records import Position, SegmentConfig, SignedHead
from tertulia_protocol.relay_api.requests import Op, Payment, PaymentType, Request
from tertulia_protocol.relay_api.responses import AppendedBody, BusyBody, EntriesBody, RelayLimits, Response, Status
from tertulia_protocol.signing import NOBODY, SigningSeed
from tertulia_relay.delivery.relay import Relay
from tertulia_relay.delivery.settings import Settings
from tertulia_relay.storage.sql import SqlStorage
from tertulia_relay.wakeup.in_process import InProcessWakeup

FIRST_DAY = 20_000


class ManualClock:
    """Time that moves by :meth:`pass_`; sleepers wake in order."""

    def __init__(self) -> None:
        self.day = FIRST_DAY
        self.seconds = 1000.0
        self._sleepers: list[tuple[float, int, asyncio.Event]] = []
        self._count = itertools.count()
        self._changed = asyncio.Event()

    def utc_day(self) -> int:
        return self.day

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        event = asyncio.Event()
        entry = (self.seconds + seconds, next(self._count), event)
        heapq.heappush(self._sleepers, entry)
        self._changed.set()
        try:
            await event.wait()
        finally:
            if entry in self._sleepers:
                self._sleepers.remove(entry)
                heapq.heapify(self._sleepers)

    @property
    def sleepers(self) -> int:
        return len(self._sleepers)

    async def until_sleeping(self, count: int = 1) -> None:
        """Return once ``count`` sleepers wait."""
        while len(self._sleepers) < count:
            self._changed.clear()
            await asyncio.wait_for(self._changed.wait(), 5)

    def pass_(self, seconds: float) -> None:
        self.seconds += seconds
        while self._sleepers and self._sleepers[0][0] <= self.seconds:
            heapq.heappop(self._sleepers)[2].set()


def entry_bytes(text: str, size: int = 1024) -> bytes:
    return hashlib.shake_128(text.encode()).digest(size)


def seed(text: str) -> SigningSeed:
    return SigningSeed(hashlib.sha256(text.encode()).digest())


class SegmentOptions(TypedDict, total=False):
    """What a test may choose of a segment."""

    segment_class: int
    ttl_class: int
    has_admin: bool


class AppendOptions(TypedDict, total=False):
    """What a test may choose of an APPEND."""

    admin: bool
    if_head: Position | None


@dataclass(kw_only=True)
class Segment:
    """A segment and the keys that belong to it."""

    name: str
    relay_pk: bytes
    segment_class: int = 2
    ttl_class: int = 3
    has_admin: bool = True
    config: SegmentConfig = field(init=False)
    id: bytes = field(init=False)

    def __post_init__(self) -> None:
        self.append_key, self.read_key = seed(f"{self.name} append"), seed(f"{self.name} read")
        self.admin_key, self.heir_key = seed(f"{self.name} admin"), seed(f"{self.name} heir")
        self.config = SegmentConfig(
            segment_class=self.segment_class,
            ttl_class=self.ttl_class,
            append_vk=self.append_key.public_key,
            read_vk=self.read_key.public_key,
            admin_vk=self.admin_key.public_key if self.has_admin else NOBODY,
        )
        self.id = self.config.segment_id(self.relay_pk)

    def chain(self, *entries: bytes) -> Position:
        """Return the position after these entries, computed by hand."""
        chain = hashlib.sha256(b"tl1 chain" + self.id).digest()
        for seq, data in enumerate(entries, start=1):
            chain = hashlib.sha256(chain + seq.to_bytes(8, "big") + hashlib.sha256(data).digest()).digest()
        return Position(len(entries), chain)


class RelayWorld:
    """One relay and everything a test asks of it."""

    def __init__(
        self, path: Path, *, settings: Settings | None = None, limits: RelayLimits | None = None, **storage: int
    ) -> None:
        self.path = path
        self.random = random.Random(path.exists())  # noqa: S311 - tests repeat; a restart must not
        self.key = seed("relay")
        self.relay_pk = self.key.public_key
        self.clock = ManualClock()
        self.wakeup = InProcessWakeup()
        self.storage_errors: list[Exception] = []
        self.storage = SqlStorage(path, rng=self.rng, **storage)
        self.relay = Relay(
            key=self.key,
            settings=settings or Settings(limits=limits or RelayLimits()),
            storage=self.storage,
            wakeup=self.wakeup,
            clock=self.clock,
            rng=self.rng,
            on_storage_error=self.storage_errors.append,
        )
        self.code = b""

    def rng(self, length: int) -> bytes:
        return self.random.randbytes(length)

    async def __aenter__(self) -> Self:
        await self.relay.start()
        self.code = await self.relay.add_code(budget=10_000, days=30)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.relay.close()

    # Asking

    async def send(self, request: Request, key: SigningSeed | None = None) -> Response:
        if key is not None:
            request = request.sign(key, relay_pk=self.relay_pk)
        response = Response.from_frame(await self.relay.answer(request.to_frame()))
        assert response.nonce == request.nonce
        if response.head is not None:
            response.head.verify(relay_pk=self.relay_pk, segment_id=request.segment_id)
        return response

    def request(self, op: Op, segment_id: bytes, args: Struct, payload: bytes = b"") -> Request:
        return requests.build_request(op, args=args, nonce=self.rng(16), segment_id=segment_id, payload=payload)

    def payment(self) -> Payment:
        return Payment(PaymentType.ENROLMENT_CODE, self.code)

    def segment(self, name: str = "circle", **options: Unpack[SegmentOptions]) -> Segment:
        return Segment(name=name, relay_pk=self.relay_pk, **options)

    async def create(self, segment: Segment, payment: Payment | None = None) -> Response:
        args = requests.CreateArgs(config=segment.config, payment=payment or self.payment())
        return await self.send(self.request(Op.CREATE, segment.id, args))

    async def created(self, name: str = "circle", **options: Unpack[SegmentOptions]) -> Segment:
        segment = self.segment(name, **options)
        response = await self.create(segment)
        assert response.status is Status.OK
        return segment

    def append_request(
        self, segment: Segment, data: bytes, *, admin: bool = False, if_head: Position | None = None
    ) -> Request:
        args = requests.AppendArgs(admin=admin, if_head=if_head)
        request = self.request(Op.APPEND, segment.id, args, data)
        return request.sign(segment.admin_key if admin else segment.append_key, relay_pk=self.relay_pk)

    async def append(self, segment: Segment, data: bytes, **options: Unpack[AppendOptions]) -> Response:
        return await self.send(self.append_request(segment, data, **options))

    def seal_request(self, segment: Segment, data: bytes, if_head: Position, retire_days: int = 60) -> Request:
        args = requests.SealArgs(if_head=if_head, heir_vk=segment.heir_key.public_key, retire_days=retire_days)
        return self.request(Op.SEAL, segment.id, args, data).sign(segment.admin_key, relay_pk=self.relay_pk)

    async def seal(self, segment: Segment, data: bytes, if_head: Position, retire_days: int = 60) -> Response:
        return await self.send(self.seal_request(segment, data, if_head, retire_days))

    async def unseal(self, segment: Segment, if_head: Position, key: SigningSeed | None = None) -> Response:
        request = self.request(Op.UNSEAL, segment.id, requests.UnsealArgs(if_head=if_head))
        return await self.send(request, key or segment.heir_key)

    async def freeze(self, segment: Segment, key: SigningSeed | None = None) -> Response:
        return await self.send(self.request(Op.FREEZE, segment.id, requests.NoArgs()), key or segment.admin_key)

    async def drop(self, segment: Segment, key: SigningSeed | None = None) -> Response:
        return await self.send(self.request(Op.DROP, segment.id, requests.NoArgs()), key or segment.admin_key)

    async def read(
        self,
        segment: Segment,
        after_seq: int = 0,
        *,
        max_bytes: int = 1 << 20,
        wait_s: int = 0,
        key: SigningSeed | None = None,
    ) -> Response:
        args = requests.ReadArgs(after_seq=after_seq, max_bytes=max_bytes, wait_s=wait_s)
        return await self.send(self.request(Op.READ, segment.id, args), key or segment.read_key)

    async def extend(
        self, segment: Segment, *, days: int = 0, units: int = 0, payment: Payment | None = None
    ) -> Response:
        args = requests.ExtendArgs(payment=payment or self.payment(), days=days, units=units)
        return await self.send(self.request(Op.EXTEND, segment.id, args))

    async def put_blob(
        self, data: bytes, *, segment: Segment | None = None, ttl_class: int = 1, payment: Payment | None = None,
        secret: bytes = b"s" * 32, key: SigningSeed | None = None,
    ) -> Response:  # fmt: skip
        pays = payment or (Payment(PaymentType.SEGMENT_QUOTA) if segment else self.payment())
        args = requests.BlobPutArgs(payment=pays, delete_hash=hashlib.sha256(secret).digest(), ttl_class=ttl_class)
        request = self.request(Op.BLOB_PUT, segment.id if segment else bytes(32), args, data)
        return await self.send(request, key or (segment.append_key if segment else None))

    async def get_blob(self, blob_id: bytes) -> Response:
        return await self.send(self.request(Op.BLOB_GET, bytes(32), requests.BlobGetArgs(blob_id=blob_id)))

    async def del_blob(self, blob_id: bytes, secret: bytes = b"s" * 32) -> Response:
        args = requests.BlobDelArgs(blob_id=blob_id, delete_secret=secret)
        return await self.send(self.request(Op.BLOB_DEL, bytes(32), args))

    # Looking inside

    def dump(self) -> dict[str, list[tuple[object, ...]]]:
        """Return every row of every table, as another process sees the file."""
        with closing(sqlite3.connect(self.path)) as connection:
            names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type='table'")]
            return {name: sorted(connection.execute(f"SELECT * FROM {name}").fetchall(), key=repr) for name in names}  # noqa: S608 - names from the file itself


def seq_of(response: Response) -> int:
    return parse(AppendedBody, response.body).seq


def retry_after(response: Response) -> int:
    return parse(BusyBody, response.body).retry_after_s


def entries_of(response: Response) -> list[tuple[int, bytes]]:
    return [(entry.seq, entry.data) for entry in parse(EntriesBody, response.body).entries]


def head_of(response: Response) -> SignedHead:
    assert response.head is not None
    return response.head


__all__ = [
    "FIRST_DAY", "ManualClock", "RelayWorld", "Segment", "entries_of", "entry_bytes", "head_of", "retry_after", "seed",
    "seq_of", "serialize",
]  # fmt: skip
