"""One round of a sync: what goes wrong with one thing does not stop the others."""

from __future__ import annotations

from pathlib import Path

import pytest

from tertulia import sync
from tertulia.errors import CircleFullError, RelayQuotaError, StoreFilesError
from tertulia_protocol.relay_api.requests import Op, Request
from tests.client.circles.test_evidence import story
from tests.client.test_attachments import a_file, post_with
from tests.support.devices import World
from tests.support.virtual_clock import virtual


@virtual
async def test_a_file_for_which_there_is_no_room_holds_up_nothing_else(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        amina, bruno, board = await story(world)
        await post_with(amina, amina.circle_id, a_file(tmp_path))
        await amina.post(board, "goes all the same")

        async def full(_address: object, request: Request, _stream: object) -> None:
            if request.op == Op.BLOB_PUT:
                raise RelayQuotaError

        amina.transport.before = full
        result = await amina.sync()
        assert isinstance(result.error, RelayQuotaError)
        await bruno.synced()
        assert "goes all the same" in await bruno.titles()


@virtual
async def test_what_one_circle_cannot_do_is_told_with_its_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with World(tmp_path) as world:
        amina, _, _ = await story(world)

        async def fail(*_: object) -> None:
            raise CircleFullError

        monkeypatch.setattr(sync, "resume_commits", fail)
        results = await sync.sync_all(amina.runtime, timeout=60)
        assert [type(result.error) for result in results] == [CircleFullError]


@virtual
async def test_a_disk_that_fails_stops_all_and_leaves_nothing_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with World(tmp_path) as world:
        amina, _, _ = await story(world)

        async def fail(*_: object) -> None:
            raise StoreFilesError

        monkeypatch.setattr(sync, "resume_commits", fail)
        with pytest.raises(StoreFilesError):
            await sync.sync_all(amina.runtime, timeout=60)
