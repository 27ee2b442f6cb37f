"""The ground that simulations stand on: virtual time, relays in memory, and the same story twice from one seed."""

from __future__ import annotations

import asyncio
import hashlib
import time

import pytest

from tertulia.relays import RelayClient, SegmentAddr
from tertulia.store import events
from tertulia_protocol.relay_api.records import SegmentConfig
from tertulia_protocol.relay_api.requests import Payment, PaymentType
from tertulia_protocol.signing import SigningSeed
from tests.support.memory_relay import MemoryRelay, MemoryTransport
from tests.support.stores import create_store
from tests.support.virtual_clock import START, SeededRng, StuckError, VirtualClock, run_virtual, virtual


@virtual
async def test_days_pass_at_once_and_in_order():
    clock, woken = VirtualClock(), []

    async def sleeper(seconds):
        await clock.sleep(seconds)
        woken.append((seconds, clock.monotonic()))

    begun = time.monotonic()
    await asyncio.gather(*(sleeper(seconds) for seconds in (86_400, 5, 0, 3600)))
    assert woken == [(0, 0), (5, 5), (3600, 3600), (86_400, 86_400)]
    assert clock.now() == START + 86_400
    assert time.monotonic() - begun < 5


@virtual
async def test_time_does_not_pass_while_somebody_works():
    clock = VirtualClock()
    sleeping = asyncio.ensure_future(clock.sleep(1))
    for _ in range(1000):
        await clock.sleep(0)
    assert clock.monotonic() == 0
    await sleeping
    clock.pass_(100)
    assert clock.monotonic() == 101


def test_waiting_for_nothing_is_told(monkeypatch):
    monkeypatch.setattr("tests.support.virtual_clock.STUCK_SECONDS", 0.01)

    async def stuck():
        await asyncio.Event().wait()

    with pytest.raises(StuckError):
        run_virtual(stuck())


def key(name: str) -> SigningSeed:
    return SigningSeed(hashlib.sha256(name.encode()).digest())


async def writer(client: RelayClient, segment: SegmentAddr, rng: SeededRng, clock: VirtualClock) -> None:
    for _ in range(10):
        await clock.sleep(rng(1)[0])
        await client.append(segment, rng(1024), key=key("append"))


async def reader(client: RelayClient, segment: SegmentAddr, store, clock: VirtualClock) -> None:
    seq = 0
    while seq < 20:
        for entry in (await client.read(segment, key=key("read"), after_seq=seq, wait_s=50)).entries:
            seq = entry.seq
            at, hashed = clock.now(), hashlib.sha256(entry.data).hexdigest()
            await store.run(lambda tx, n=seq, t=at, h=hashed: events.add(tx, "read", at=t, seq=n, hash=h))


def story(path, seed):
    async def run():
        clock = VirtualClock()
        async with MemoryRelay(clock=clock) as relay, await create_store(path, seed=seed) as store:
            transport = MemoryTransport(relay)
            client = RelayClient(transport=transport, rng=SeededRng(seed))
            config = SegmentConfig(
                segment_class=2, ttl_class=3, append_vk=key("append").public_key, read_vk=key("read").public_key
            )
            payment = Payment(PaymentType.ENROLMENT_CODE, await relay.add_code())
            await client.create(relay.address, config, payment)
            segment = SegmentAddr(relay=relay.address, segment_id=config.segment_id(relay.address.relay_pk))
            await asyncio.gather(
                writer(client, segment, SeededRng((seed, 1)), clock),
                writer(client, segment, SeededRng((seed, 2)), clock),
                reader(client, segment, store, clock),
            )
            return await store.read(lambda tx: events.read_after(tx, 0)), transport.sent

    return run_virtual(run())


def test_one_seed_is_one_story(tmp_path):
    once, again = story(tmp_path / "1", "a"), story(tmp_path / "2", "a")
    assert once == again
    assert len(once[0]) == 20
    assert story(tmp_path / "3", "b") != once
