"""CREATE, DROP, EXTEND."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tertulia_protocol.relay_api import requests
from tertulia_protocol.relay_api.records import HeadState
from tertulia_protocol.relay_api.requests import Op, Payment, PaymentType
from tertulia_protocol.relay_api.responses import Status
from tests.support.relay_world import FIRST_DAY, entry_bytes, head_of, seed

NOT_A_KEY = b"\2" + bytes(31)


async def left(world, code=None):
    """Return the units left on a code, as the database holds them."""
    (row,) = [row for row in world.dump()["code"] if code is None or row[0] == code]
    return row[1]


async def test_creating_gives_the_head_before_the_first_entry(world):
    segment = world.segment()
    response = await world.create(segment)
    assert response.status is Status.OK
    assert head_of(response).position == segment.chain()
    assert head_of(response).state == HeadState.OPEN


async def test_creating_again_is_free_and_gives_the_head_of_now(world, unchanged):
    segment = await world.created()
    await world.append(segment, entry_bytes("one"))
    async with unchanged():
        response = await world.create(segment)
        without_money = await world.create(segment, Payment(PaymentType.ENROLMENT_CODE, bytes(16)))
    assert (response.status, without_money.status) == (Status.OK, Status.OK)
    assert head_of(response).position == segment.chain(entry_bytes("one"))


@pytest.mark.parametrize(
    "change",
    [
        {"append_vk": bytes(32)},
        {"append_vk": NOT_A_KEY},
        {"read_vk": bytes(32)},
        {"read_vk": NOT_A_KEY},
        {"admin_vk": NOT_A_KEY},
        {"version": 2},
        {"segment_class": 0},
        {"segment_class": 3},
        {"ttl_class": 4},
    ],
)
async def test_a_configuration_that_is_not_allowed_is_malformed(world, unchanged, change):
    segment = world.segment()
    segment.config = replace(segment.config, **change)
    segment.id = segment.config.segment_id(world.relay_pk)
    async with unchanged():
        assert (await world.create(segment)).status is Status.MALFORMED


async def test_an_id_cannot_be_registered_with_other_keys(world, unchanged):
    victim, squatter = world.segment("victim"), world.segment("squatter")
    args = requests.CreateArgs(config=squatter.config, payment=world.payment())
    async with unchanged():
        assert (await world.send(world.request(Op.CREATE, victim.id, args))).status is Status.MALFORMED
        foreign = squatter.config.segment_id(seed("another relay").public_key)
        assert (await world.send(world.request(Op.CREATE, foreign, args))).status is Status.MALFORMED


@pytest.mark.parametrize(("ttl_class", "days"), [(0, 7), (1, 30), (2, 60), (3, 400)])
async def test_a_segment_lives_as_long_as_its_class_says(world, ttl_class, days):
    segment = await world.created(ttl_class=ttl_class)
    assert (await world.storage.segment(segment.id)).expires_day == FIRST_DAY + days


async def test_the_last_days_show_in_the_head(world):
    segment = await world.created(ttl_class=1)
    world.clock.day += 23
    assert head_of(await world.read(segment)).state == HeadState.OPEN
    world.clock.day += 1
    assert head_of(await world.read(segment)).state == HeadState.EXPIRING


async def test_an_empty_segment_can_be_dropped(world):
    async with unchanged_but_for_code(world):
        segment = await world.created()
        assert (await world.drop(segment)).status is Status.OK
        assert (await world.read(segment)).status is Status.GONE
        assert (await world.read(segment, key=seed("stranger"))).status is Status.GONE  # as if it had never been


def unchanged_but_for_code(world):
    class Check:
        async def __aenter__(self):
            self.before = world.dump() | {"code": []}

        async def __aexit__(self, *_):
            assert world.dump() | {"code": []} == self.before

    return Check()


async def test_a_segment_with_an_entry_cannot_be_dropped(world, unchanged):
    segment = await world.created()
    await world.append(segment, entry_bytes("one"))
    async with unchanged():
        response = await world.drop(segment)
    assert response.status is Status.CONFLICT
    assert head_of(response).position.seq == 1


async def test_a_segment_without_admin_cannot_be_dropped(world, unchanged):
    segment = await world.created("box", has_admin=False)
    async with unchanged():
        assert (await world.drop(segment)).status is Status.DENY


async def test_extending_to_a_later_day_is_paid_for_once(world, unchanged):
    segment = await world.created(ttl_class=1)
    before = await left(world)
    response = await world.extend(segment, days=60)
    assert (response.status, response.head) == (Status.OK, None)
    assert (await world.storage.segment(segment.id)).expires_day == FIRST_DAY + 60
    assert before - await left(world) == 64
    async with unchanged():
        assert (await world.extend(segment, days=60)).status is Status.OK
        assert (await world.extend(segment, days=5)).status is Status.OK


async def test_extending_goes_no_further_than_400_days(world):
    segment = await world.created(ttl_class=3)
    world.clock.day += 20
    await world.extend(segment, days=65535)
    assert (await world.storage.segment(segment.id)).expires_day == FIRST_DAY + 420


async def test_extending_never_shortens(world, unchanged):
    segment = await world.created(ttl_class=3)
    async with unchanged():
        assert (await world.extend(segment, days=1, units=1)).status is Status.OK


async def test_a_larger_quota_costs_a_unit_per_mib(world):
    segment = await world.created()
    before = await left(world)
    assert (await world.extend(segment, units=70)).status is Status.OK
    assert (await world.storage.segment(segment.id)).quota == 70 * 1024 * 1024
    assert before - await left(world) == 6


async def test_a_mailbox_is_enlarged_by_64_letters_a_unit(world):
    mailbox = await world.created("box", segment_class=1)
    before = await left(world)
    assert (await world.extend(mailbox, units=3)).status is Status.OK
    assert (await world.storage.segment(mailbox.id)).quota == 192
    assert before - await left(world) == 2


async def test_extending_by_nothing_is_malformed(world, unchanged):
    segment = await world.created()
    async with unchanged():
        assert (await world.extend(segment)).status is Status.MALFORMED


async def test_extending_what_is_not_there_is_gone(world, unchanged):
    async with unchanged():
        assert (await world.extend(world.segment("never"), days=9)).status is Status.GONE


async def test_extending_without_the_units_is_refused(world, unchanged):
    segment = await world.created(ttl_class=1)
    poor = await world.relay.add_code(budget=1, days=1)
    async with unchanged():
        response = await world.extend(segment, days=60, payment=Payment(PaymentType.ENROLMENT_CODE, poor))
    assert (response.status, response.head) == (Status.PAY, None)
