"""What a member may not do is told as such, before anything is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from tertulia import posting
from tertulia.errors import NotAcceptedError, NotAllowedError, exit_code
from tests.client.circles.test_evidence import story
from tests.support.devices import World
from tests.support.virtual_clock import virtual


@virtual
async def test_only_coordinators_open_topics_on_a_board_for_announcements(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        amina, bruno, _ = await story(world)
        board = await posting.write_board(
            amina.runtime, amina.circle_id, name="news", description="", announce_only=True
        )
        await amina.synced()
        await bruno.synced()
        before = await bruno.titles()
        with pytest.raises(NotAllowedError) as raised:
            await posting.write_topic(bruno.runtime, bruno.circle_id, board_id=board, title="no", body="")
        assert (raised.value.code, exit_code(raised.value)) == ("circle.not_allowed", 8)
        assert await bruno.waiting() == 0
        assert await bruno.titles() == before


@virtual
@pytest.mark.parametrize("name", ["x" * 101, "\u200b"])
async def test_what_the_others_would_not_accept_is_our_own_mistake(tmp_path: Path, name: str) -> None:
    """It did not come from outside: the person is told to write it otherwise, and nothing is kept of it."""
    async with World(tmp_path) as world:
        amina, _, _ = await story(world)
        before = await amina.waiting()
        with pytest.raises(NotAcceptedError) as raised:
            await posting.write_board(amina.runtime, amina.circle_id, name=name, description="", announce_only=False)
        assert (raised.value.code, exit_code(raised.value)) == ("content.not_accepted", 2)
        assert await amina.waiting() == before
        with pytest.raises(NotAcceptedError):
            posting.checked_name(name)
