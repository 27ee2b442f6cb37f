"""The relay put together: upkeep, parts that end by themselves, system limits."""

from __future__ import annotations

import asyncio
import resource
import sqlite3
from pathlib import Path

import pytest

from tertulia_protocol.relay_api.records import SegmentConfig
from tertulia_protocol.relay_api.requests import CreateArgs, Op, Payment, PaymentType, ReadArgs, build_request
from tertulia_protocol.relay_api.responses import Response, Status
from tertulia_protocol.signing import SigningSeed
from tertulia_relay import app
from tertulia_relay.config import Config, HttpConfig
from tertulia_relay.directory import RelayDirectory
from tertulia_relay.errors import ConfigError, PortInUseError, StoppedError
from tertulia_relay.storage.errors import DiskFullError


class StepClock:
    """A clock whose day the test sets and whose sleeper it wakes."""

    def __init__(self):
        self.day = 20_000
        self.slept = []
        self._asleep = asyncio.Event()
        self._wake = asyncio.Event()

    def utc_day(self):
        return self.day

    def monotonic(self):
        return 0.0

    async def sleep(self, seconds):
        if not seconds:  # only lets others run
            return
        self.slept.append(seconds)
        self._asleep.set()
        await self._wake.wait()
        self._wake.clear()

    async def asleep(self):
        """Wait until somebody sleeps."""
        async with asyncio.timeout(5):
            await self._asleep.wait()
        self._asleep.clear()

    async def step(self):
        """Wake the sleeper and wait until it sleeps again."""
        self._wake.set()
        await self.asleep()


@pytest.fixture
async def parts(tmp_path):
    directory = RelayDirectory(tmp_path / "relay")
    await app.init(directory, uri="", listen="127.0.0.1:1")
    clock = StepClock()
    relay = app.make_relay(directory, Config(), clock)
    await relay.start()
    yield relay, clock, directory
    await relay.close()


def codes(directory):
    with sqlite3.connect(directory.database) as database:
        (count,) = database.execute("SELECT count(*) FROM code").fetchone()
    database.close()
    return count


def log_bytes(directory):
    return Path(f"{directory.database}-wal").stat().st_size


async def test_upkeep_truncates_the_log_every_hour_and_deletes_every_day(parts):
    relay, clock, directory = parts
    upkeep = asyncio.create_task(app.upkeep(relay, clock))
    await clock.asleep()
    await relay.add_code(budget=1, days=1)
    assert log_bytes(directory) > 0
    await clock.step()
    assert log_bytes(directory) == 0
    assert codes(directory) == 1
    clock.day += 2
    await clock.step()
    assert codes(directory) == 0
    assert log_bytes(directory) == 0
    assert set(clock.slept) == {3600}
    upkeep.cancel()


async def test_upkeep_outlives_a_full_disk_and_does_then_what_was_due(parts, monkeypatch, caplog):
    relay, clock, directory = parts
    await relay.add_code(budget=1, days=1)
    clock.day += 2

    async def full():
        raise DiskFullError("SQLITE_FULL")

    with monkeypatch.context() as patch:
        patch.setattr(relay, "nightly", full)
        upkeep = asyncio.create_task(app.upkeep(relay, clock))
        await clock.asleep()
    assert [record.getMessage() for record in caplog.records] == [
        "the upkeep of the database failed: relay.storage.full"
    ]
    assert codes(directory) == 1
    await clock.step()
    assert codes(directory) == 0
    upkeep.cancel()


async def test_readers_who_wait_leave_connections_for_others(tmp_path):
    """Whoever holds the read key of one mailbox could else hold every connection, 50 seconds at a time."""
    directory = RelayDirectory(tmp_path / "relay")
    await app.init(directory, uri="", listen="127.0.0.1:1")
    key = SigningSeed(bytes(range(32)))
    config = SegmentConfig(segment_class=1, ttl_class=0, append_vk=key.public_key, read_vk=key.public_key)
    segment_id = config.segment_id(directory.load_key().public_key)
    relay = app.make_relay(directory, Config(http=HttpConfig(connections=8)), app.SystemClock())

    async def ask(op, args, *, signed=True):
        request = build_request(op, args=args, nonce=bytes(16), segment_id=segment_id)
        request = request.sign(key, relay_pk=directory.load_key().public_key) if signed else request
        return Response.from_frame(await relay.answer(request.to_frame())).status

    async with app.started(relay):
        payment = Payment(PaymentType.ENROLMENT_CODE, await relay.add_code(budget=1, days=1))
        assert await ask(Op.CREATE, CreateArgs(config=config, payment=payment), signed=False) is Status.OK
        polls = [asyncio.create_task(ask(Op.READ, ReadArgs(after_seq=0, max_bytes=0, wait_s=50))) for _ in range(8)]
        answered, waiting = await asyncio.wait(polls, return_when=asyncio.FIRST_COMPLETED, timeout=2)
        while len(answered) < 2:
            more, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED, timeout=2)
            assert more
            answered |= more
        assert [poll.result() for poll in answered] == [Status.OK] * 2
        assert len(waiting) == 6
        for poll in waiting:
            poll.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def fails():
    raise ValueError("a fault")


async def ends():
    return


async def lasts():
    await asyncio.Event().wait()


@pytest.mark.parametrize("part", [fails, ends])
async def test_a_part_that_ends_by_itself_stops_the_relay_loudly(part):
    with pytest.raises(StoppedError) as caught:
        async with asyncio.timeout(5):
            await app.run_until(asyncio.Event(), {"upkeep": part(), "sweep": lasts()})
    assert caught.value.values == {"part": "upkeep"}
    assert isinstance(caught.value.__cause__, ValueError) == (part is fails)


async def test_told_to_stop_it_ends_every_part():
    stop = asyncio.Event()
    running = asyncio.create_task(app.run_until(stop, {"upkeep": lasts(), "sweep": lasts()}))
    await asyncio.sleep(0)
    stop.set()
    async with asyncio.timeout(5):
        await running
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_port_that_is_taken_leaves_no_lock_and_no_address(parts):
    _, _, directory = parts
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    taken = server.sockets[0].getsockname()[1]
    with pytest.raises(PortInUseError):
        await app.serve(directory, listen=f"127.0.0.1:{taken}", on_ready=lambda _ready: None, stop=asyncio.Event())
    assert directory.listening_address() is None
    with directory.locked():
        pass
    server.close()


async def test_serve_says_where_it_is_and_ends_when_told(parts):
    _, _, directory = parts
    stop, said = asyncio.Event(), []

    def ready(what):
        said.append((what, directory.listening_address()))
        stop.set()

    await app.serve(directory, listen="127.0.0.1:0", on_ready=ready, stop=stop)
    ((what, address),) = said
    assert what.listen == address
    assert what.card.startswith(f"http://{address}#")
    assert directory.listening_address() is None


def test_too_few_open_files_are_a_clear_error(monkeypatch, tmp_path):
    monkeypatch.setattr(resource, "getrlimit", lambda _which: (256, 512))

    def refuse(_which, _limits):
        raise ValueError("not allowed")

    monkeypatch.setattr(resource, "setrlimit", refuse)
    with pytest.raises(ConfigError) as caught:
        app.check_descriptors(tmp_path, HttpConfig(connections=1000))
    assert caught.value.values["key"] == "http.connections"
    app.check_descriptors(tmp_path, HttpConfig(connections=256 - app.SPARE_DESCRIPTORS))


def test_room_is_made_for_the_connections(monkeypatch, tmp_path):
    made = []
    monkeypatch.setattr(resource, "getrlimit", lambda _which: (256, 4096))
    monkeypatch.setattr(resource, "setrlimit", lambda _which, limits: made.append(limits))
    app.check_descriptors(tmp_path, HttpConfig(connections=1000))
    assert made == [(1000 + app.SPARE_DESCRIPTORS, 4096)]
