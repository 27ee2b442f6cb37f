"""Whoever follows for days erases as much as whoever syncs once."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from tertulia import sync
from tests.client.circles.test_evidence import story
from tests.support.devices import World
from tests.support.virtual_clock import virtual


@virtual
async def test_following_leaves_no_old_keys_in_the_log_of_the_database(tmp_path: Path) -> None:
    """What a commit or a post has used up is deleted; the pages before that must not stay until the program ends."""
    async with World(tmp_path) as world:
        amina, bruno, board = await story(world)
        await bruno.post(board, "two")
        await bruno.synced()
        log = amina.runtime.store.profile / "store.db-wal"
        assert log.stat().st_size > 0
        following = asyncio.create_task(sync.follow(amina.runtime, amina.circle_id))
        try:
            for _ in range(400):
                await amina.runtime.clock.sleep(1.0)
                if "two" in await amina.titles() and log.stat().st_size == 0:
                    break
            assert "two" in await amina.titles()
            assert log.stat().st_size == 0
        finally:
            following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await following
