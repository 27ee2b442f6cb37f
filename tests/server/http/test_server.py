"""One endpoint, bare answers, nothing told, nothing logged."""

from __future__ import annotations

import asyncio
import logging
import socket

import pytest

from tertulia_relay.config import HttpConfig
from tertulia_relay.errors import AddressError, PortInUseError
from tertulia_relay.http.server import RelayServer
from tests.support.raw_http import QUICK, read_answer, request, running, until, until_closed

CANARY = "canary-7d1f"


@pytest.fixture
async def relay():
    async with running() as run:
        yield run


async def test_a_frame_is_answered_with_a_frame_and_nothing_else(relay):
    status, header, body = await relay.ask(request(b"abc"))
    assert (status, body) == (200, b"cba")
    assert header == {"content-type": "application/octet-stream", "content-length": "3"}


async def test_requests_follow_each_other_on_one_connection(relay):
    reader, writer = await relay.connect()
    for body in (b"one", b"two", b"three"):
        writer.write(request(body))
        assert (await read_answer(reader))[2] == body[::-1]
    assert len(relay.server.connections) == 1


async def test_a_chunked_body_is_one_frame(relay):
    body = b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    assert (await relay.ask(request(body, fields=["Transfer-Encoding: chunked"])))[2] == b"edcba"


@pytest.mark.parametrize(
    "wrong",
    [
        {"target": "/"},
        {"target": "/x/"},
        {"target": "/x?a=1"},
        {"target": "/x?"},
        {"target": "/%78"},
        {"target": "http://relay/x"},
        {"method": "GET", "body": b""},
        {"method": "PUT"},
        {"method": "OPTIONS", "body": b""},
    ],
    ids=str,
)
async def test_everything_else_is_not_found(relay, wrong):
    status, header, body = await relay.ask(request(**wrong))
    assert (status, body) == (404, b"")
    assert header == {"content-length": "0", "connection": "close"}
    assert relay.frames == []


async def test_another_media_type_is_refused(relay):
    assert (await relay.ask(request(content_type="text/plain")))[0] == 415
    assert relay.frames == []


@pytest.mark.parametrize("encoding", ["gzip", "identity", "br"])
async def test_an_encoded_body_is_refused(relay, encoding):
    assert (await relay.ask(request(fields=[f"Content-Encoding: {encoding}"])))[0] == 415
    assert relay.frames == []


async def test_another_protocol_is_refused(relay):
    upgrade = request(b"", fields=["Connection: Upgrade", "Upgrade: websocket"])
    assert (await relay.ask(upgrade))[0] == 400
    assert relay.frames == []


async def test_a_refused_connection_is_closed(relay):
    reader, writer = await relay.connect()
    writer.write(request(target="/"))
    await read_answer(reader)
    assert await until_closed(reader) == b""


@pytest.mark.parametrize(
    "junk",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + CANARY.encode(),
        CANARY.encode() + b"\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: a\r\nX\0: " + CANARY.encode() + b"\r\n\r\n",
    ],
)
async def test_what_is_not_http_gets_no_answer(relay, junk, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    assert await relay.send(junk) == b""
    assert relay.frames == []
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")


async def test_a_fault_of_ours_tells_its_place_and_no_value(caplog):
    async def broken(frame):
        raise ValueError(frame)

    async with running(broken) as relay:
        status, header, body = await relay.ask(request(CANARY.encode()))
    assert (status, body) == (500, b"")
    assert "server" not in header
    (record,) = caplog.records
    assert record.getMessage() == "a request failed"


async def test_the_port_of_another_program_is_a_clear_error():
    with socket.create_server(("127.0.0.1", 0)) as other:
        server = RelayServer(lambda frame: frame, QUICK)
        port = other.getsockname()[1]
        with pytest.raises(PortInUseError) as caught:
            await server.listen("127.0.0.1", port)
    assert caught.value.values == {"address": f"127.0.0.1:{port}"}


async def test_an_address_of_another_machine_is_a_clear_error():
    server = RelayServer(lambda frame: frame, HttpConfig())
    with pytest.raises(AddressError):
        await server.listen("192.0.2.1", 0)


async def test_close_lets_a_ready_answer_leave_and_drops_the_rest():
    waiting, go = asyncio.Event(), asyncio.Event()

    async def answer(frame):
        waiting.set()
        await go.wait()
        return frame

    async with running(answer) as relay:
        reader, writer = await relay.connect()
        idle, _ = await relay.connect()
        writer.write(request(b"abc"))
        await waiting.wait()
        closing = asyncio.create_task(relay.server.close(grace=2))
        await asyncio.sleep(0)
        go.set()
        assert (await read_answer(reader))[2] == b"abc"
        await closing
        assert await until_closed(idle) == b""
        with pytest.raises(ConnectionRefusedError):
            await relay.connect()


async def test_close_does_not_wait_longer_than_its_grace():
    async def never(_frame):
        await asyncio.Event().wait()

    async with running(never) as relay:
        reader, writer = await relay.connect()
        writer.write(request())
        await until(relay.server.busy)
        async with asyncio.timeout(2):
            await relay.server.close(grace=0.1)
        assert await until_closed(reader) == b""


async def test_a_request_of_a_client_that_hung_up_is_cancelled():
    waiting, cancelled = asyncio.Event(), asyncio.Event()

    async def answer(_frame):
        waiting.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with running(answer) as relay:
        _, writer = await relay.connect()
        writer.write(request())
        await waiting.wait()
        writer.transport.abort()
        async with asyncio.timeout(2):
            await cancelled.wait()
        assert relay.server.incoming.held == 0
