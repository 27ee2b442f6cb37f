"""Payments: E3 and E27."""

from __future__ import annotations

import asyncio
import hashlib

import pytest

from tertulia_protocol.relay_api.requests import Payment, PaymentType
from tertulia_protocol.relay_api.responses import Status
from tests.support.relay_world import FIRST_DAY, entry_bytes


def code_payment(code):
    return Payment(PaymentType.ENROLMENT_CODE, code)


async def test_a_code_is_stored_as_a_hash_only(world):
    code = await world.relay.add_code(budget=5, days=3)
    assert (hashlib.sha256(code).digest(), 5, FIRST_DAY + 3) in world.dump()["code"]
    await world.relay.checkpoint()
    assert code not in world.path.read_bytes()


@pytest.mark.parametrize(("budget", "days"), [(0, 1), (1, 0), (-1, 1), (1, -1)])
async def test_a_code_without_worth_is_not_made(world, unchanged, budget, days):
    async with unchanged():
        with pytest.raises(ValueError, match="positive"):
            await world.relay.add_code(budget=budget, days=days)


@pytest.mark.parametrize(("segment_class", "cost"), [(1, 1), (2, 64)])
async def test_a_mailbox_costs_1_and_a_log_64(world, unchanged, segment_class, cost):
    short = await world.relay.add_code(budget=cost - 1, days=1) if cost > 1 else bytes(16)
    exact = await world.relay.add_code(budget=cost, days=1)
    segment = world.segment(segment_class=segment_class)
    async with unchanged():
        assert (await world.create(segment, code_payment(short))).status is Status.PAY
    assert (await world.create(segment, code_payment(exact))).status is Status.OK
    assert (hashlib.sha256(exact).digest(), 0, FIRST_DAY + 1) in world.dump()["code"]


@pytest.mark.parametrize(("size", "cost"), [(4096, 1), (16384, 1), (65536, 1), (262144, 4)])
async def test_a_blob_costs_1_per_started_64_kib(world, unchanged, size, cost):
    exact = await world.relay.add_code(budget=cost, days=1)
    chunk = entry_bytes("blob", size)
    assert (await world.put_blob(chunk, payment=code_payment(exact))).status is Status.OK
    async with unchanged():
        other = entry_bytes("another", 4096)
        assert (await world.put_blob(other, payment=code_payment(exact))).status is Status.PAY


async def test_an_unknown_code_pays_for_nothing(world, unchanged):
    async with unchanged():
        response = await world.create(world.segment(), code_payment(b"?" * 16))
    assert (response.status, response.head) == (Status.PAY, None)


async def test_a_code_ends_on_its_last_day(world, unchanged):
    code = await world.relay.add_code(budget=200, days=3)
    world.clock.day += 3
    assert (await world.create(world.segment("in time"), code_payment(code))).status is Status.OK
    world.clock.day += 1
    async with unchanged():
        assert (await world.create(world.segment("late"), code_payment(code))).status is Status.PAY


async def test_a_code_cannot_be_spent_twice_by_asking_at_once(world):
    code = await world.relay.add_code(budget=3 * 64 + 63, days=1)
    segments = [world.segment(f"segment {number}") for number in range(12)]
    responses = await asyncio.gather(*(world.create(segment, code_payment(code)) for segment in segments))
    statuses = [response.status for response in responses]
    assert (statuses.count(Status.OK), statuses.count(Status.PAY)) == (3, 9)
    assert (hashlib.sha256(code).digest(), 63, FIRST_DAY + 1) in world.dump()["code"]
    assert len(world.dump()["seg"]) == 3


async def test_one_segment_created_by_many_at_once_is_paid_for_once(world):
    code = await world.relay.add_code(budget=64, days=1)
    segment = world.segment()
    responses = await asyncio.gather(*(world.create(segment, code_payment(code)) for _ in range(5)))
    assert {response.status for response in responses} == {Status.OK}


async def test_blind_tokens_are_not_available_yet(world, unchanged):
    async with unchanged():
        response = await world.create(world.segment(), Payment(PaymentType.BLIND_TOKEN, bytes(354)))
        assert response.status is Status.UNAVAILABLE
        response = await world.put_blob(entry_bytes("b", 4096), payment=Payment(PaymentType.BLIND_TOKEN, bytes(354)))
        assert response.status is Status.UNAVAILABLE


@pytest.mark.parametrize("payment", [Payment(0), Payment(3), Payment(4), Payment(255, bytes(16)), Payment(1, b"short")])
async def test_other_payments_pay_for_no_segment(world, unchanged, payment):
    async with unchanged():
        assert (await world.create(world.segment(), payment)).status is Status.PAY
