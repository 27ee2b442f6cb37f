"""From a link to a member: both sides, over a relay with real rules."""

from __future__ import annotations

from pathlib import Path

import pytest

from tertulia import boards, invitations, joining
from tertulia.circle import Circle
from tertulia.states import State
from tertulia_protocol.circle import sas
from tests.support.devices import World
from tests.support.joins import ALL, NOTHING, approved, ask, invited, joined, requests, sync_all
from tests.support.virtual_clock import virtual


@pytest.fixture(autouse=True)
def _cheap_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """One test makes the words at their full price; for the others they cost nothing."""
    monkeypatch.setattr(sas, "PASSES", 1)
    monkeypatch.setattr(sas, "MEMORY", 8192)


async def names(device) -> list[str]:
    members = await device.runtime.store.read(lambda tx: boards.members(tx, Circle.load(tx, device.circle_id)))
    return sorted(member.name for member in members)


@virtual
async def test_somebody_joins(tmp_path: Path):
    async with World(tmp_path) as world:
        ada = await world.found("Ada")
        board = await ada.board("Field notes")
        await ada.post(board, "Before Bo", "what was")
        await ada.synced()
        bo, view = await ask(world, ada, "Bo")
        assert view.state is joining.JoinState.REQUESTED
        (request,) = await requests(ada)
        assert (request.name, request.others) == ("Bo", 0)
        assert (request.words, request.numbers) == (view.words, view.numbers)
        assert request.request_hash == view.request_hash
        await approved(ada, view, history=ALL)
        await sync_all(bo)
        assert await bo.state() is State.ACTIVE
        assert await bo.epoch() == await ada.epoch()
        assert await bo.titles() == ["Before Bo"]
        await ada.synced()
        assert await names(ada) == await names(bo) == ["Ada", "Bo"]
        await bo.post(board, "From Bo")
        await bo.synced()
        await ada.synced()
        assert await ada.titles() == await bo.titles() == ["Before Bo", "From Bo"]
        assert (await bo.dump())["joining"] == []
        assert (await ada.dump())["reply"] == []
