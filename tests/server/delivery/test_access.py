"""Shape, size, existence and signature: what is refused before the writer."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tertulia_protocol.relay_api import requests
from tertulia_protocol.relay_api.limits import REQUEST_SIZES
from tertulia_protocol.relay_api.requests import Op, build_request
from tertulia_protocol.relay_api.responses import Response, Status
from tests.support.relay_world import entry_bytes, seed


@pytest.mark.parametrize("frame", [b"", b"\1" * 100, b"\2" * 2048, b"\xff" * 5120, bytes(2048), b"\1" * 300_000])
async def test_a_frame_that_is_no_request_gets_malformed_with_a_zero_nonce(world, unchanged, frame):
    async with unchanged():
        response = Response.from_frame(await world.relay.answer(frame))
    assert response == Response(status=Status.MALFORMED, nonce=bytes(16))


async def test_padding_that_is_not_zero_is_malformed(world, unchanged):
    frame = bytearray(build_request(Op.INFO, args=requests.NoArgs(), nonce=b"n" * 16).to_frame())
    frame[-1] = 1
    async with unchanged():
        assert Response.from_frame(await world.relay.answer(bytes(frame))).status is Status.MALFORMED


@pytest.mark.parametrize("op", [0, 14, 255])
async def test_an_unknown_operation_is_malformed(world, unchanged, op):
    async with unchanged():
        assert (await world.send(requests.Request(op=op, nonce=b"n" * 16))).status is Status.MALFORMED


@pytest.mark.parametrize("op", [op for op in requests.ARGS if op not in (Op.APPEND, Op.SEAL, Op.BLOB_PUT)])
async def test_arguments_that_do_not_parse_are_malformed(world, unchanged, op):
    segment = await world.created()
    bare = op in (Op.INFO, Op.BLOB_GET, Op.BLOB_DEL)
    request = requests.Request(op=op, nonce=b"n" * 16, args=b"\xff" * 7, segment_id=bytes(32) if bare else segment.id)
    async with unchanged():
        response = await world.send(request)
    assert response.status is Status.MALFORMED
    assert response.head is None


@pytest.mark.parametrize(("op", "size"), [(Op.APPEND, 1024), (Op.SEAL, 1024), (Op.BLOB_PUT, 4096)])
async def test_arguments_beside_a_payload_that_do_not_parse_are_malformed(world, unchanged, op, size):
    segment = await world.created()
    request = requests.Request(op=op, nonce=b"n" * 16, args=b"\xff" * 7, segment_id=segment.id, payload=bytes(size))
    async with unchanged():
        assert (await world.send(request, segment.append_key)).status is Status.MALFORMED


@pytest.mark.parametrize("size", [0, 1, 1023, 1025, 4095, 100_000, 262_143])
async def test_an_entry_of_another_size_is_too_big_before_anything_is_parsed(world, unchanged, size):
    request = requests.Request(op=Op.APPEND, nonce=b"n" * 16, args=b"\xff", payload=bytes(size))
    async with unchanged():
        assert (await world.send(request)).status is Status.TOOBIG
        assert (await world.send(replace(request, op=Op.SEAL))).status is Status.TOOBIG


@pytest.mark.parametrize("size", [0, 1024, 4095, 4097, 262_143])
async def test_a_blob_of_another_size_is_too_big_before_anything_is_parsed(world, unchanged, size):
    request = requests.Request(op=Op.BLOB_PUT, nonce=b"n" * 16, args=b"\xff", payload=bytes(size))
    async with unchanged():
        assert (await world.send(request)).status is Status.TOOBIG


async def test_a_letter_of_more_than_16_kib_is_too_big_for_a_mailbox(world, unchanged):
    mailbox = await world.created("box", segment_class=1, ttl_class=1)
    assert (await world.append(mailbox, entry_bytes("fits", 16384))).status is Status.OK
    async with unchanged():
        assert (await world.append(mailbox, entry_bytes("no", 65536))).status is Status.TOOBIG


async def test_a_payload_where_none_belongs_is_malformed(world, unchanged):
    segment = await world.created()
    read = world.request(Op.READ, segment.id, requests.ReadArgs(after_seq=0, max_bytes=1), b"x")
    async with unchanged():
        assert (await world.send(read, segment.read_key)).status is Status.MALFORMED


async def test_a_segment_where_none_belongs_is_malformed(world, unchanged):
    segment = await world.created()
    async with unchanged():
        info = world.request(Op.INFO, segment.id, requests.NoArgs())
        assert (await world.send(info)).status is Status.MALFORMED


async def test_a_signature_where_none_belongs_is_malformed(world, unchanged):
    segment = world.segment()
    args = requests.CreateArgs(config=segment.config, payment=world.payment())
    async with unchanged():
        response = await world.send(world.request(Op.CREATE, segment.id, args), segment.append_key)
    assert response.status is Status.MALFORMED


async def test_tokens_are_not_available_yet(world, unchanged):
    async with unchanged():
        response = await world.send(requests.Request(op=Op.TOKENS, nonce=b"n" * 16))
    assert response.status is Status.UNAVAILABLE


async def every_signed_request(world, segment):
    entry, start = entry_bytes("never"), segment.chain()
    return [
        world.append_request(segment, entry),
        world.append_request(segment, entry, admin=True),
        world.seal_request(segment, entry, start),
        world.request(Op.UNSEAL, segment.id, requests.UnsealArgs(if_head=start)),
        world.request(Op.FREEZE, segment.id, requests.NoArgs()),
        world.request(Op.DROP, segment.id, requests.NoArgs()),
        world.request(Op.READ, segment.id, requests.ReadArgs(after_seq=0, max_bytes=1)),
    ]


async def test_an_unknown_segment_is_gone(world, unchanged):
    segment = world.segment("never made")
    async with unchanged():
        for request in await every_signed_request(world, segment):
            response = await world.send(request)
            assert (response.status, response.head, response.body) == (Status.GONE, None, b"")


async def test_an_expired_segment_is_gone_before_it_is_deleted(world, unchanged):
    segment = await world.created(ttl_class=0)
    await world.append(segment, entry_bytes("one"))
    world.clock.day += 7
    assert (await world.read(segment)).status is Status.OK
    world.clock.day += 1
    async with unchanged():
        for request in await every_signed_request(world, segment):
            response = await world.send(request)
            assert (response.status, response.head) == (Status.GONE, None)
        assert (await world.read(segment)).status is Status.GONE
        assert (await world.create(segment)).status is Status.GONE


async def test_a_segment_expires_for_the_writer_between_the_check_and_the_write(world, unchanged):
    """Midnight may pass while a write waits for the writer."""
    segment = await world.created(ttl_class=0)
    world.clock.day += 7
    days = iter([world.clock.day] * 1 + [world.clock.day + 1] * 9)
    world.clock.utc_day = lambda: next(days)
    async with unchanged():
        assert (await world.append(segment, entry_bytes("late"))).status is Status.GONE


async def test_a_wrong_signature_is_denied_and_sees_no_head(world, unchanged):
    segment = await world.created()
    await world.append(segment, entry_bytes("one"))
    async with unchanged():
        for request in await every_signed_request(world, segment):
            response = await world.send(request, seed("somebody else"))
            assert (response.status, response.head, response.body) == (Status.DENY, None, b"")


async def test_keys_do_not_stand_in_for_each_other(world, unchanged):
    segment = await world.created()
    async with unchanged():
        assert (await world.read(segment, key=segment.append_key)).status is Status.DENY
        assert (await world.freeze(segment, key=segment.append_key)).status is Status.DENY
        assert (await world.drop(segment, key=segment.heir_key)).status is Status.DENY
        request = world.append_request(segment, entry_bytes("one"))
        assert (await world.send(request, segment.read_key)).status is Status.DENY
        assert (await world.send(request, segment.admin_key)).status is Status.DENY


async def test_a_signature_holds_for_one_relay_segment_operation_and_content_only(world, unchanged):
    segment, other = await world.created(), await world.created("other")
    good = world.append_request(segment, entry_bytes("one"))
    changed = [
        replace(good, payload=entry_bytes("two")),
        replace(good, nonce=b"x" * 16),
        replace(good, args=b"\1"),
        replace(good, op=Op.READ, args=bytes(13), payload=b""),
        replace(good, segment_id=other.id),
        good.sign(segment.append_key, relay_pk=seed("another relay").public_key),
    ]
    async with unchanged():
        for request in changed:
            assert (await world.send(request)).status is Status.DENY


async def test_nobody_is_denied_before_any_verifier_sees_the_key(world, unchanged, monkeypatch):
    """E1: zero bytes are a point of small order; some verifiers take one forged signature in four under it."""
    segment = await world.created(has_admin=False)

    def fail(*_args, **_kwargs):
        raise AssertionError("a verifier was asked about nobody")

    monkeypatch.setattr(requests.Request, "verify", fail)
    forged = bytes([1]) + bytes(63)  # R = the neutral point, S = 0
    async with unchanged():
        for request in await every_signed_request(world, segment):
            if request.op == Op.READ or (request.op == Op.APPEND and not request.args[0] & 1):
                continue
            response = await world.send(replace(request, signature=forged))
            assert (response.status, response.head) == (Status.DENY, None)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    op=st.integers(0, 20), args=st.binary(max_size=160), payload=st.sampled_from([b"", b"x", bytes(1024), bytes(4096)]),
    known=st.booleans(), size=st.sampled_from(REQUEST_SIZES), noise=st.binary(max_size=60),
)  # fmt: skip
async def test_whatever_comes_is_answered(world, op, args, payload, known, size, noise):
    segment = world.segment()
    await world.create(segment)
    request = requests.Request(
        op=op, nonce=b"n" * 16, args=args, payload=payload, segment_id=segment.id if known else bytes(32)
    ).sign(segment.append_key, relay_pk=world.relay_pk)
    Response.from_frame(await world.relay.answer(request.to_frame()))
    assert Response.from_frame(await world.relay.answer(noise.ljust(size, b"\0"))).status is Status.MALFORMED


async def test_without_a_key_nobody_learns_the_class_of_a_segment(world, unchanged):
    mailbox, log = await world.created("box", segment_class=1), await world.created("log")
    async with unchanged():
        for segment in (mailbox, log):
            args = requests.AppendArgs(admin=False, if_head=None)
            unsigned = world.request(Op.APPEND, segment.id, args, entry_bytes("long", 65536))
            assert (await world.send(unsigned)).status is Status.DENY
            seal = requests.SealArgs(if_head=segment.chain(), heir_vk=bytes(32), retire_days=30)
            assert (await world.send(world.request(Op.SEAL, segment.id, seal, entry_bytes("long", 65536)))).status is (
                Status.DENY
            )
