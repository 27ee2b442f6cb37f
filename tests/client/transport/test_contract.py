"""What every transport does, shown with each of them against the relay's real rules."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from tertulia.errors import UnreachableError
from tertulia.transport.http import HttpTransport
from tertulia.transport.interface import Purpose, stream_name
from tertulia_protocol.codec import parse
from tertulia_protocol.relay_api.addresses import RelayAddr
from tertulia_protocol.relay_api.requests import NoArgs, Op, ReadArgs, build_request
from tertulia_protocol.relay_api.responses import RelayInfo, Status
from tertulia_relay.config import HttpConfig
from tests.support.memory_relay import MemoryRelay, MemoryTransport
from tests.support.raw_http import running
from tests.support.relay_world import ManualClock


@dataclass
class Way:
    transport: object
    address: RelayAddr
    relay: MemoryRelay
    unknown: RelayAddr


@asynccontextmanager
async def in_memory(relay):
    yield MemoryTransport(relay), relay.address


@asynccontextmanager
async def over_http(relay):
    async with running(relay.answer, HttpConfig()) as run:
        transport = HttpTransport()
        try:
            yield transport, RelayAddr(relay_pk=relay.key.public_key, uri=f"http://127.0.0.1:{run.port}")
        finally:
            await transport.close()


@pytest.fixture(params=[in_memory, over_http], ids=["memory", "http"])
async def way(request):
    other = MemoryRelay("other", clock=ManualClock())
    async with MemoryRelay(clock=ManualClock()) as relay, request.param(relay) as (transport, address):
        unknown = RelayAddr(relay_pk=other.key.public_key, uri="http://127.0.0.1:9")
        yield Way(transport, address, relay, unknown)


def info(nonce: bytes = b"n" * 16):
    return build_request(Op.INFO, args=NoArgs(), nonce=nonce)


async def test_a_request_is_answered(way):
    response = await way.transport.send(way.address, info(), stream="info")
    assert (response.status, response.nonce) == (Status.OK, b"n" * 16)
    parse(RelayInfo, response.body).verify(way.address.relay_pk)


async def test_answers_find_their_requests_when_many_are_on_their_way(way):
    nonces = [bytes([n]) * 16 for n in range(20)]
    sending = (way.transport.send(way.address, info(nonce), stream=f"info:{n % 3}") for n, nonce in enumerate(nonces))
    assert [response.nonce for response in await asyncio.gather(*sending)] == nonces


async def test_a_refusal_is_an_answer(way):
    request = build_request(
        Op.READ, args=ReadArgs(after_seq=0, max_bytes=1 << 20), nonce=b"r" * 16, segment_id=b"s" * 32
    )
    assert (await way.transport.send(way.address, request, stream="read")).status is Status.GONE


async def test_a_relay_that_is_not_there_cannot_be_reached(way):
    with pytest.raises(UnreachableError) as caught:
        await way.transport.send(way.unknown, info(), stream="info")
    assert caught.value.code == "relay.unreachable"


async def test_closing_twice_is_no_fault(way):
    await way.transport.send(way.address, info(), stream="info")
    await way.transport.close()
    await way.transport.close()


def test_streams_are_named_by_purpose_and_thing():
    names = {stream_name(purpose, key) for purpose in Purpose for key in (b"", b"\x01", b"\x02")}
    assert len(names) == 3 * len(Purpose)
    assert stream_name(Purpose.READ, b"\x01\xff") == "read:01ff"
