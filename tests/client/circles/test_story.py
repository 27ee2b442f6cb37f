"""The main path: found, join, post, read on other devices, remove, go on."""

from __future__ import annotations

from pathlib import Path

from tertulia import boards
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
