"""Each limit of the HTTP server, attacked through a socket."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import asynccontextmanager

import msgspec
import pytest

from tertulia_protocol.relay_api.limits import MAX_REQUEST
from tertulia_relay.http.connections import Phase
from tertulia_relay.http.limits import FREE_BYTES, MAX_HEADER_BYTES, PIPELINED_REQUESTS
from tests.support.raw_http import QUICK, read_answer, request, running, until, until_closed

PATIENT = msgspec.structs.replace(QUICK, header_seconds=30, idle_seconds=60, body_seconds=30, write_seconds=30)


@pytest.fixture
async def relay():
    """Short times."""
    async with running() as run:
        yield run


@pytest.fixture
async def patient():
    """Long times: what ends a connection here is another limit."""
    async with running(config=PATIENT) as run:
        yield run


async def drip(writer, pieces, pause):
    """Send piece by piece until the other side is gone."""
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause)
    except ConnectionError:
        return


@asynccontextmanager
async def dripping(writer, pieces, pause=0.05):
    """Drip meanwhile."""
    task = asyncio.create_task(drip(writer, pieces, pause))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def seconds_until_closed(reader, writer, pieces):
    start = time.monotonic()
    async with dripping(writer, pieces):
        await until_closed(reader)
    return time.monotonic() - start


async def test_the_longest_body_is_taken(patient):
    assert (await patient.ask(request(bytes(MAX_REQUEST))))[0] == 200


async def test_a_body_that_comes_before_its_request_is_looked_at_is_no_header(patient):
    reader, writer = await patient.connect()
    for _ in range(2):
        await until(lambda: len(patient.server.connections) == 1)
        (connection,) = patient.server.connections
        head, _, body = request(bytes(MAX_REQUEST)).partition(b"\r\n\r\n")
        connection.data_received(head + b"\r\n\r\n")
        connection.data_received(body[: MAX_HEADER_BYTES + 1])
        writer.write(body[MAX_HEADER_BYTES + 1 :])
        assert (await read_answer(reader))[0] == 200


async def test_a_longer_body_is_refused_before_it_is_sent(patient):
    reader, writer = await patient.connect()
    writer.write(request(b"", fields=[f"Content-Length: {MAX_REQUEST + 1}"]))
    assert (await read_answer(reader))[0] == 413
    assert patient.frames == []


async def test_a_longer_chunked_body_is_refused(patient):
    chunk = b"4000\r\n" + bytes(0x4000) + b"\r\n"
    body = chunk * (MAX_REQUEST // 0x4000 + 1) + b"0\r\n\r\n"
    assert (await patient.ask(request(body, fields=["Transfer-Encoding: chunked"])))[0] == 413
    assert patient.frames == []


async def test_a_chunked_body_without_end_holds_little(patient):
    reader, writer = await patient.connect()
    writer.write(request(b"", fields=["Transfer-Encoding: chunked"]))
    async with dripping(writer, (b"4000\r\n" + bytes(0x4000) + b"\r\n" for _ in range(10_000)), pause=0):
        assert (await read_answer(reader))[0] == 413
        await until_closed(reader)
    assert patient.server.incoming.held == 0


async def test_a_slow_header_is_dropped(relay):
    line = b"POST /x HTTP/1.1\r\n" + b"".join(b"A%d: b\r\n" % i for i in range(40))
    reader, writer = await relay.connect()
    assert await seconds_until_closed(reader, writer, [line[i : i + 1] for i in range(len(line))]) < 2


async def test_a_connection_that_says_nothing_is_dropped(relay):
    reader, writer = await relay.connect()
    assert await seconds_until_closed(reader, writer, []) < 2


async def test_a_slow_second_header_is_dropped_sooner_than_an_idle_connection():
    async with running(config=msgspec.structs.replace(PATIENT, header_seconds=0.3)) as relay:
        reader, writer = await relay.connect()
        writer.write(request())
        await read_answer(reader)
        assert await seconds_until_closed(reader, writer, [b"P"] + [b""] * 100) < 2


async def test_an_idle_connection_is_dropped(relay):
    reader, writer = await relay.connect()
    writer.write(request())
    await read_answer(reader)
    assert await seconds_until_closed(reader, writer, []) < 3


async def test_a_slow_body_is_dropped(relay):
    reader, writer = await relay.connect()
    writer.write(request(b"", fields=["Content-Length: 2048"]))
    assert await seconds_until_closed(reader, writer, [b"a"] * 2048) < 2
    assert relay.frames == []
    assert relay.server.incoming.held == 0


async def test_an_answer_that_nobody_reads_is_dropped():
    async def long_answer(_frame):
        return bytes(8 << 20)

    async with running(long_answer, msgspec.structs.replace(QUICK, min_bytes_per_second=32 << 20)) as relay:
        with socket.socket() as stubborn:
            stubborn.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            stubborn.setblocking(False)  # noqa: FBT003 - the socket's own signature
            loop = asyncio.get_running_loop()
            await loop.sock_connect(stubborn, (relay.host, relay.port))
            await loop.sock_sendall(stubborn, request())
            await until(lambda: relay.server.outgoing.held, 3)
            await until(lambda: not relay.server.outgoing.held, 3)
            await until(lambda: not len(relay.server.register), 3)


async def test_a_long_header_line_is_dropped(patient):
    assert await patient.send(b"POST /x HTTP/1.1\r\nA: " + b"b" * 4096 + b"\r\n\r\n") == b""


async def test_too_many_header_fields_are_dropped(patient):
    assert await patient.send(request(fields=["A: b"] * 200)) == b""
    assert patient.frames == []


async def test_a_header_that_is_long_in_sum_is_dropped(patient):
    reader, writer = await patient.connect()
    writer.write(b"POST /x HTTP/1.1\r\n")
    field = b"A: " + b"b" * 1000 + b"\r\n"
    assert await seconds_until_closed(reader, writer, [field] * (MAX_HEADER_BYTES // len(field) + 2)) < 5


async def test_pipelined_requests_are_bounded():
    release = asyncio.Event()
    started = 0

    async def answer(frame):
        nonlocal started
        started += 1
        await release.wait()
        return frame

    async with running(answer, PATIENT) as relay:
        _, writer = await relay.connect()
        writer.write(request())
        await until(lambda: started)
        writer.write(request() * (PIPELINED_REQUESTS + 2))
        await until(lambda: not len(relay.server.register), 2)
        release.set()
    assert started == 1


async def test_a_few_pipelined_requests_are_answered_in_order(patient):
    reader, writer = await patient.connect()
    writer.write(request(b"one") + request(b"two"))
    assert [(await read_answer(reader))[2] for _ in range(2)] == [b"eno", b"owt"]


async def test_connections_are_bounded_and_silent_ones_give_way():
    async with running(config=msgspec.structs.replace(PATIENT, connections=8)) as relay:
        silent = [await relay.connect() for _ in range(20)]
        await until(lambda: len(relay.server.register) == 8)
        assert (await relay.ask(request(b"abc")))[2] == b"cba"
        assert len(relay.server.register) <= 8
        assert await until_closed(silent[0][0]) == b""


async def test_a_body_that_never_comes_gives_way():
    """Nobody needs a key to announce a body, so a thousand of these would keep everybody else out."""
    async with running(config=msgspec.structs.replace(PATIENT, connections=8)) as relay:
        stalled = [await relay.connect() for _ in range(8)]
        for _, writer in stalled:
            writer.write(request(b"ab", fields=["Content-Length: 263168"]))
        await until(lambda: all(line.phase is Phase.BODY for line in relay.server.connections))
        assert (await relay.ask(request(b"abc")))[2] == b"cba"
        assert len(relay.server.register) <= 8
        assert await until_closed(stalled[0][0]) == b""


async def test_an_idle_connection_gives_way_before_one_that_sends():
    async with running(config=msgspec.structs.replace(PATIENT, connections=4)) as relay:
        sending, writer = await relay.connect()
        writer.write(request(b"ab", fields=["Content-Length: 4"]))
        idle = [await relay.connect() for _ in range(3)]
        for reader, other in idle:
            other.write(request(b"abc"))
            assert (await read_answer(reader))[2] == b"cba"
        for _ in range(3):
            assert (await relay.ask(request(b"abc")))[2] == b"cba"
        writer.write(b"cd")
        assert (await read_answer(sending))[2] == b"dcba"


async def test_a_request_behind_another_leaves_its_deadline_alone():
    """It may not end a long poll before its time, nor make one that gives way of it."""
    release = asyncio.Event()

    async def answer(frame):
        await release.wait()
        return frame

    async with running(answer, QUICK) as relay:
        reader, writer = await relay.connect()
        writer.write(request(b"one"))
        await until(lambda: any(line.phase is Phase.REQUEST for line in relay.server.connections))
        (line,) = relay.server.connections
        deadline = line.deadline
        writer.write(request(b"two"))
        await until(lambda: line._messages)
        assert (line.phase, line.deadline) == (Phase.REQUEST, deadline)
        release.set()
        assert [(await read_answer(reader))[2] for _ in range(2)] == [b"one", b"two"]


async def test_a_connection_at_work_does_not_give_way():
    release = asyncio.Event()

    async def answer(frame):
        await release.wait()
        return frame

    async with running(answer, msgspec.structs.replace(PATIENT, connections=4)) as relay:
        working = [await relay.connect() for _ in range(4)]
        for _, writer in working:
            writer.write(request(b"abc"))
        await until(lambda: all(line.phase is Phase.REQUEST for line in relay.server.connections))
        assert await relay.send(request()) == b""
        release.set()
        for reader, _ in working:
            assert (await read_answer(reader))[2] == b"abc"


async def test_bodies_in_memory_are_bounded():
    async with running(config=msgspec.structs.replace(PATIENT, incoming_mib=1)) as relay:
        hold = relay.server.incoming.hold()
        with hold as taken:
            taken.take((1 << 20) - 1024)
            assert (await relay.ask(request(bytes(FREE_BYTES + 2048))))[0] == 503
            assert (await relay.ask(request(bytes(FREE_BYTES + 512))))[0] == 200
        assert (await relay.ask(request(bytes(FREE_BYTES + 2048))))[0] == 200
        assert relay.server.incoming.held == 0


async def test_whoever_uses_up_the_memory_stops_long_transfers_only():
    async def as_long(frame):
        return bytes(len(frame))

    async with running(as_long, msgspec.structs.replace(PATIENT, incoming_mib=1, outgoing_mib=1)) as relay:
        incoming, outgoing = relay.server.incoming.hold(), relay.server.outgoing.hold()
        with incoming as one, outgoing as two:
            one.take(1 << 20)
            two.take(1 << 20)
            assert (await relay.ask(request(bytes(FREE_BYTES))))[0] == 200
            assert (await relay.ask(request(bytes(FREE_BYTES + 1))))[0] == 503


async def test_answers_in_memory_are_bounded():
    async def long_answer(_frame):
        return bytes(600_000)

    async with running(long_answer, msgspec.structs.replace(PATIENT, outgoing_mib=1)) as relay:
        with relay.server.outgoing.hold() as taken:
            taken.take(500_000)
            assert (await relay.ask(request()))[0] == 503
        assert (await relay.ask(request()))[0] == 200
        assert relay.server.outgoing.held == 0
