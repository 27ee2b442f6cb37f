"""A relay that forks, rolls back, drops, reorders and injects (E23, 5.1)."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from tertulia import sync
from tertulia.catchup import MAX_HEALS
from tertulia.circle import Circle
from tertulia.errors import BadAnswerError
from tertulia.receive import receive
from tertulia.relays import SegmentAddr
from tertulia.states import State
from tertulia.store import log
from tertulia.store.tx import Tx
from tertulia_protocol.relay_api.records import HeadState, SignedHead
from tertulia_protocol.relay_api.requests import Op
from tertulia_protocol.relay_api.responses import Entry
from tertulia_protocol.signing import SigningSeed
from tests.support.cheating import append, where
from tests.support.devices import Device, World
from tests.support.lying_relay import LyingTransport, position_of, tampered
from tests.support.virtual_clock import virtual


async def entries_of(device: Device) -> tuple[bytes, list[bytes]]:
    """Return the current segment and all its entries, as the relay has them."""

    def where(tx: Tx) -> tuple[SegmentAddr, SigningSeed]:
        circle = Circle.load(tx, device.circle_id)
        return circle.segment(), circle.access.relays[0].read_key

    segment, key = await device.runtime.store.read(where)
    result = await device.runtime.relays.read(segment, key=key, after_seq=0)
    return result.head.segment_id, [entry.data for entry in result.entries]


async def lying(world: World, device: Device) -> LyingTransport:
    transport = LyingTransport(world.relay)
    device.transport = transport
    device.runtime = replace(device.runtime, transport=transport)
    return transport


async def story(world: World) -> tuple[Device, Device, bytes]:
    amina = await world.found()
    bruno = await world.join(amina, "Bruno")
    board = await amina.board()
    await amina.post(board, "one")
    await amina.synced()
    await bruno.synced()
    return amina, bruno, board


@virtual
async def test_other_entries_at_the_same_place_are_a_fork(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        _, bruno, _ = await story(world)
        segment_id, entries = await entries_of(bruno)
        transport = await lying(world, bruno)
        transport.logs[segment_id] = [*entries[:-1], tampered(entries[-1])]
        before = await bruno.dump()
        await bruno.sync()
        assert await bruno.state() is State.FORK_ALARM
        after = await bruno.dump()
        changed = {name for name in before if before[name] != after[name]}
        assert changed <= {"circle", "evidence", "event", "sqlite_sequence"}
        (evidence,) = await bruno.runtime.store.read(lambda tx: log.list_evidence(tx, bruno.circle_id))
        assert evidence.kind == "fork"
        assert len(await bruno.events("fork_alarm")) == 1
        # Nothing more is read or sent.
        sent = len(transport.sent)
        await bruno.sync()
        assert len(transport.sent) == sent


@virtual
async def test_a_head_that_the_entries_do_not_lead_to_is_a_fork(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        amina, bruno, board = await story(world)
        await amina.post(board, "two")
        await amina.synced()
        segment_id, entries = await entries_of(amina)
        transport = await lying(world, bruno)
        head = transport.sign(segment_id, position_of(segment_id, [*entries[:-1], tampered(entries[-1])]))
        position = await bruno.runtime.store.read(lambda tx: Circle.load(tx, bruno.circle_id).position)
        new = [Entry(seq, data) for seq, data in enumerate(entries, 1) if seq > position.seq]
        await bruno.runtime.store.run(lambda tx: receive(tx, bruno.circle_id, head=head, entries=new, now=1))
        assert await bruno.state() is State.FORK_ALARM
        assert await bruno.titles() == ["one"]


@virtual
async def test_a_head_signed_earlier_counts(tmp_path: Path) -> None:
    """The head ran ahead of the entries; when they come they must lead through it (E30)."""
    async with World(tmp_path) as world:
        amina, bruno, board = await story(world)
        await amina.post(board, "two")
        await amina.post(board, "three")
        await amina.synced()
        segment_id, entries = await entries_of(amina)
        transport = await lying(world, bruno)
        position = await bruno.runtime.store.read(lambda tx: Circle.load(tx, bruno.circle_id).position)
        false = [*entries[: position.seq], tampered(entries[position.seq]), entries[-1]]
        ahead = transport.sign(segment_id, position_of(segment_id, false))
        await bruno.runtime.store.run(lambda tx: receive(tx, bruno.circle_id, head=ahead, entries=[], now=1))
        assert await bruno.state() is State.ACTIVE
        await amina.post(board, "four")
        await amina.synced()
        _, entries = await entries_of(amina)
        transport.logs[segment_id] = entries
        await bruno.sync()
        assert await bruno.state() is State.FORK_ALARM


@virtual
async def test_two_heads_of_one_place_are_a_fork(tmp_path: Path) -> None:
    """Both ahead of all that we have: the heads alone prove it."""
    async with World(tmp_path) as world:
        _, bruno, _ = await story(world)
        segment_id, entries = await entries_of(bruno)
        transport = await lying(world, bruno)
        for last in (bytes(1024), bytes(4096)):
            head = transport.sign(segment_id, position_of(segment_id, [*entries, last]))
            await bruno.runtime.store.run(partial(receive, circle_id=bruno.circle_id, head=head, entries=[], now=1))
        assert await bruno.state() is State.FORK_ALARM


@virtual
async def test_a_relay_that_loses_what_is_put_back(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        _, bruno, _ = await story(world)
        segment_id, entries = await entries_of(bruno)
        transport = await lying(world, bruno)
        transport.logs[segment_id] = entries[:-1]
        result = await bruno.sync()
        assert isinstance(result.error, BadAnswerError)
        assert len(await bruno.events("rollback")) == MAX_HEALS + 1
        assert await bruno.titles() == ["one"]


@virtual
async def test_a_relay_that_was_restored_is_healed(tmp_path: Path) -> None:
    """An old backup: the members put back what it lost, byte for byte, and go on (E23)."""
    async with World(tmp_path) as world:
        amina, bruno, board = await story(world)
        _, entries = await entries_of(amina)
        backup = await world.backup()
        await amina.post(board, "two")
        await amina.synced()
        await bruno.synced()
        await bruno.post(board, "three")
        await bruno.synced()
        await amina.synced()
        _, whole = await entries_of(amina)
        assert len(whole) == len(entries) + 2
        await world.restore(backup)
        _, lost = await entries_of(amina)
        assert lost == entries
        await bruno.synced()
        _, healed = await entries_of(amina)
        assert healed == whole
        await amina.post(board, "four")
        await amina.synced()
        await bruno.synced()
        assert await amina.titles() == await bruno.titles() == ["one", "two", "three", "four"]
        assert await bruno.state() is await amina.state() is State.ACTIVE
        assert len(await bruno.events("rollback")) == 1


@virtual
async def test_somebody_writes_before_the_rest_is_put_back(tmp_path: Path) -> None:
    """Two healers and a fresh poster: the conditional append stops the healer, and the chains tell it is a fork."""
    async with World(tmp_path) as world:
        amina, bruno, board = await story(world)
        carla = await world.join(amina, "Carla")
        board = await amina.board("Another")
        for device in (amina, bruno, carla):
            await device.synced()
        backup = await world.backup()
        await amina.post(board, "two")
        await amina.synced()
        await bruno.synced()
        await world.restore(backup)
        await carla.post(board, "fresh")
        await carla.synced()
        await bruno.sync()
        assert await bruno.state() is State.FORK_ALARM
        assert await carla.state() is State.ACTIVE


@virtual
async def test_gaps_and_entries_beyond_the_head_are_refused(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        amina, bruno, board = await story(world)
        await amina.post(board, "two")
        await amina.post(board, "three")
        await amina.synced()
        segment_id, entries = await entries_of(amina)
        transport = await lying(world, bruno)
        position = await bruno.runtime.store.read(lambda tx: Circle.load(tx, bruno.circle_id).position)
        head = transport.sign(segment_id, position_of(segment_id, entries))
        short = transport.sign(segment_id, position_of(segment_id, entries[:-1]))
        new = [Entry(seq, data) for seq, data in enumerate(entries, 1) if seq > position.seq]
        before = await bruno.dump()
        for bad_head, bad in ((head, new[1:]), (head, [new[1], new[0]]), (short, new)):
            with pytest.raises(BadAnswerError) as caught:
                await bruno.runtime.store.run(
                    partial(receive, circle_id=bruno.circle_id, head=bad_head, entries=bad, now=1)
                )
            assert caught.value.code == "relay.bad_answer"
        assert await bruno.dump() == before


@virtual
async def test_another_state_or_day_is_no_evidence(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        _, bruno, _ = await story(world)
        segment_id, entries = await entries_of(bruno)
        transport = await lying(world, bruno)
        transport.logs[segment_id] = entries
        transport.state = HeadState.FROZEN | HeadState.EXPIRING
        await bruno.sync()
        assert await bruno.state() is State.ACTIVE


@virtual
async def test_a_head_of_another_segment_changes_nothing(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        _, bruno, _ = await story(world)
        transport = await lying(world, bruno)
        head: SignedHead = transport.sign(bytes(32), position_of(bytes(32), []))
        before = await bruno.dump()
        await bruno.runtime.store.run(lambda tx: receive(tx, bruno.circle_id, head=head, entries=[], now=1))
        assert await bruno.dump() == before


@virtual
async def test_junk_is_kept_and_skipped(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        amina, bruno, board = await story(world)
        segment, key = await where(bruno)
        await append(bruno, segment, bytes(4096), key)
        await bruno.post(board, "after the junk")
        await bruno.synced()
        await amina.synced()
        assert await amina.titles() == ["one", "after the junk"]
        rows = (await amina.dump())["raw_entry"]
        assert sum(row[3] == 0 and row[4] == bytes(4096) for row in rows) == 1
        assert len(await amina.events("junk")) == 1


@virtual
async def test_a_segment_that_is_gone_is_a_state(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        _, bruno, board = await story(world)
        await world.restore(world.empty_backup())
        await bruno.post(board, "kept")
        result = await bruno.sync()
        assert result.error is not None
        assert result.error.code == "relay.gone"
        assert await bruno.state() is State.GONE
        assert await bruno.waiting() == 1
        sent = [each.op for each in bruno.transport.sent]
        await bruno.sync()
        assert [each.op for each in bruno.transport.sent] == sent
        assert Op.APPEND not in sent[-1:]


@virtual
async def test_no_relay_for_two_days_is_dark(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        _, bruno, board = await story(world)
        bruno.transport.offline = True
        await bruno.sync()
        assert await bruno.state() is State.ACTIVE
        world.clock.pass_(sync.DARK_SECONDS + 1)
        await bruno.sync()
        assert await bruno.state() is State.DARK
        await bruno.post(board, "written in the dark")
        bruno.transport.offline = False
        await bruno.synced()
        assert await bruno.state() is State.ACTIVE
        assert await bruno.waiting() == 0
