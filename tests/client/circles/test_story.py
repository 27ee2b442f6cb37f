"""The main path: found, join, post, read on other devices, remove, go on."""

from __future__ import annotations

from pathlib import Path

from tertulia import boards, outgoing
from tertulia.circle import Circle
from tertulia.states import State
from tests.support.devices import World
from tests.support.virtual_clock import virtual


@virtual
async def test_what_one_posts_all_read(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        amina = await world.found()
        bruno = await world.join(amina, "Bruno")
        await amina.synced()
        board = await amina.board()
        await amina.synced()
        await bruno.synced()
        topic = await bruno.post(board, "Bonjour", "à tous")
        assert await bruno.titles() == ["Bonjour"]
        await bruno.synced()
        assert await bruno.waiting() == 0
        await amina.synced()
        await amina.reply(topic, "Salut")
        await amina.synced()
        await bruno.synced()
        assert await amina.titles() == await bruno.titles() == ["Bonjour", "Salut"]
        assert await amina.epoch() == await bruno.epoch()
        assert await amina.state() == await bruno.state() == State.ACTIVE
        assert await bruno.runtime.store.read(lambda tx: boards.circle_name(tx, bruno.circle_id)) is None
        names = await amina.runtime.store.read(lambda tx: boards.members(tx, Circle.load(tx, amina.circle_id)))
        assert [view.name for view in names] == ["Amina", "Bruno"]


@virtual
async def test_a_removed_member_reads_nothing_new(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        amina = await world.found()
        bruno, carla = await world.join_all(amina, ("Bruno", "Carla"))
        board = await amina.board()
        await amina.post(board, "before")
        await amina.synced()
        for device in (bruno, carla):
            await device.synced()
        outcome = await amina.remove(bruno)
        assert outcome.done
        assert outcome.segment_no == 1
        await amina.post(board, "after")
        await amina.synced()
        await carla.synced()
        await bruno.sync()
        assert await bruno.state() is State.REMOVED
        assert await bruno.titles() == ["before"]
        assert await carla.titles() == await amina.titles() == ["before", "after"]
        assert await amina.epoch() == await carla.epoch()
        assert (await bruno.dump())["mls_row"] == []
        assert not (await amina.remove(bruno)).done


@virtual
async def test_offline_through_three_hops(tmp_path: Path) -> None:
    """Whoever was away walks along the sealed segments; what it wrote meanwhile arrives exactly once (E6)."""
    async with World(tmp_path) as world:
        amina = await world.found()
        carla, *others = await world.join_all(amina, ("Carla", "Bruno", "Dora", "Emil"))
        board = await amina.board()
        await amina.synced()
        await carla.synced()
        carla.transport.offline = True
        await carla.post(board, "written offline")
        for number, other in enumerate(others):
            assert (await amina.remove(other)).segment_no == number + 1
            await amina.post(board, f"in segment {number + 1}")
            await amina.synced()
        carla.transport.offline = False
        await carla.synced()
        assert await carla.waiting() == 0
        await amina.synced()
        expected = {"written offline", "in segment 1", "in segment 2", "in segment 3"}
        titles = await amina.titles()
        assert set(titles) == expected
        assert len(titles) == len(expected)
        assert await carla.titles() == titles
        # Only this segment and the one before are kept (E23, E40).
        dump = await carla.dump()
        assert {row[1] for table in ("raw_entry", "segment_access", "chain") for row in dump[table]} == {2, 3}
        assert await amina.epoch() == await carla.epoch()


@virtual
async def test_an_entry_of_an_epoch_that_is_over_is_made_again(tmp_path: Path) -> None:
    """E6: encrypted before an Add, appended after it: everybody skips it, its author sends it again."""
    async with World(tmp_path) as world:
        amina = await world.found()
        bruno = await world.join(amina, "Bruno")
        board = await amina.board()
        await amina.synced()
        await bruno.synced()
        await bruno.post(board, "once")
        (entry,) = await bruno.runtime.store.run(
            lambda tx: outgoing.next_entries(tx, bruno.circle_id, rng=bruno.runtime.rng)
        )
        carla = await world.join(amina, "Carla")
        await bruno.runtime.relays.append(entry.segment, entry.data, key=entry.key)
        await bruno.synced()
        for device in (amina, carla):
            await device.synced()
            assert await device.titles() == ["once"]
        assert await bruno.titles() == ["once"]
        assert await bruno.waiting() == 0
