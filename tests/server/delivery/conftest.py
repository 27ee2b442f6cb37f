from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from tests.support.relay_world import RelayWorld


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[RelayWorld]:
    async with RelayWorld(tmp_path / "relay.db") as world:
        yield world


Unchanged = Callable[[], AbstractAsyncContextManager[None]]


@pytest.fixture
def unchanged(world: RelayWorld) -> Unchanged:
    """Whatever happens inside leaves every row of every table as it was."""

    @asynccontextmanager
    async def check() -> AsyncIterator[None]:
        before = world.dump()
        yield
        assert world.dump() == before

    return check
