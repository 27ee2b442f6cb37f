"""BLOB_PUT, BLOB_GET, BLOB_DEL: E17."""

from __future__ import annotations

import hashlib

import pytest

from tertulia_protocol.relay_api.limits import BLOB_SIZES
from tertulia_protocol.relay_api.requests import Payment, PaymentType
from tertulia_protocol.relay_api.responses import Status
from tests.support.relay_world import FIRST_DAY, entry_bytes, seed

CHUNK = entry_bytes("chunk", 4096)
ID = hashlib.sha256(CHUNK).digest()


@pytest.mark.parametrize("size", BLOB_SIZES)
async def test_a_blob_comes_back_under_the_hash_of_itself(world, size):
    segment, chunk = await world.created(), entry_bytes("blob", size)
    assert (await world.put_blob(chunk, segment=segment)).status is Status.OK
    response = await world.get_blob(hashlib.sha256(chunk).digest())
    assert (response.status, response.body, response.head) == (Status.OK, chunk, None)


async def test_an_unknown_blob_is_gone(world, unchanged):
    async with unchanged():
        assert (await world.get_blob(ID)).status is Status.GONE
        assert (await world.del_blob(ID)).status is Status.GONE


@pytest.mark.parametrize(("ttl_class", "days"), [(0, 7), (1, 30), (2, 60), (3, 400)])
async def test_a_blob_lives_as_long_as_its_class_says_even_before_the_nightly_deletion(world, ttl_class, days):
    await world.put_blob(CHUNK, ttl_class=ttl_class)
    world.clock.day += days
    assert (await world.get_blob(ID)).status is Status.OK
    world.clock.day += 1
    assert (await world.get_blob(ID)).status is Status.GONE
    assert (await world.del_blob(ID)).status is Status.GONE


async def test_an_unknown_life_class_is_malformed(world, unchanged):
    async with unchanged():
        assert (await world.put_blob(CHUNK, ttl_class=4)).status is Status.MALFORMED


async def test_the_same_blob_again_is_free_and_prolongs(world):
    segment = await world.created()
    await world.put_blob(CHUNK, segment=segment, ttl_class=1)
    used = (await world.storage.segment(segment.id)).blob_used
    world.clock.day += 10
    assert (await world.put_blob(CHUNK, segment=segment, ttl_class=1)).status is Status.OK
    assert (await world.storage.segment(segment.id)).blob_used == used == 4096
    assert [row[3] for row in world.dump()["blob"]] == [FIRST_DAY + 40]
    worthless = Payment(PaymentType.ENROLMENT_CODE, bytes(16))
    assert (await world.put_blob(CHUNK, payment=worthless, ttl_class=2)).status is Status.OK
    assert [row[3] for row in world.dump()["blob"]] == [FIRST_DAY + 70]


async def test_the_same_blob_again_never_shortens_and_keeps_the_first_secret(world, unchanged):
    await world.put_blob(CHUNK, ttl_class=3, secret=b"1" * 32)
    async with unchanged():
        assert (await world.put_blob(CHUNK, ttl_class=0, secret=b"2" * 32)).status is Status.OK
        assert (await world.del_blob(ID, secret=b"2" * 32)).status is Status.DENY


async def test_an_expired_blob_is_paid_for_anew(world):
    await world.put_blob(CHUNK, ttl_class=0, secret=b"1" * 32)
    world.clock.day += 8
    before = world.dump()["code"]
    assert (await world.put_blob(CHUNK, ttl_class=0, secret=b"2" * 32)).status is Status.OK
    assert world.dump()["code"] != before
    assert (await world.get_blob(ID)).body == CHUNK
    assert len(world.dump()["body"]) == 1
    assert (await world.del_blob(ID, secret=b"2" * 32)).status is Status.OK


async def test_a_blob_on_a_segment_needs_its_append_key(world, unchanged):
    segment = await world.created()
    async with unchanged():
        for key in (segment.read_key, segment.admin_key, seed("stranger")):
            assert (await world.put_blob(CHUNK, segment=segment, key=key)).status is Status.DENY


async def test_a_blob_on_an_unknown_segment_is_gone(world, unchanged):
    async with unchanged():
        assert (await world.put_blob(CHUNK, segment=world.segment("never"))).status is Status.GONE


async def test_a_sealed_segment_pays_for_nothing_more(world, unchanged):
    segment = await world.created()
    await world.seal(segment, entry_bytes("hop"), segment.chain())
    async with unchanged():
        assert (await world.put_blob(CHUNK, segment=segment)).status is Status.SEALED


async def test_a_mailbox_pays_for_no_blobs(world, unchanged):
    mailbox = await world.created("box", segment_class=1)
    async with unchanged():
        assert (await world.put_blob(CHUNK, segment=mailbox)).status is Status.QUOTA


async def test_a_payment_by_the_segment_with_a_value_is_malformed(world, unchanged):
    segment = await world.created()
    async with unchanged():
        response = await world.put_blob(CHUNK, segment=segment, payment=Payment(PaymentType.SEGMENT_QUOTA, b"x"))
    assert response.status is Status.MALFORMED


async def test_only_the_secret_deletes(world, unchanged):
    await world.put_blob(CHUNK)
    async with unchanged():
        assert (await world.del_blob(ID, secret=b"x" * 32)).status is Status.DENY
        assert (await world.get_blob(ID)).status is Status.OK
    assert (await world.del_blob(ID)).status is Status.OK
    assert (await world.get_blob(ID)).status is Status.GONE
    assert (world.dump()["blob"], world.dump()["body"]) == ([], [])
