"""Wrote ``tests/data/relay/schema1.sql`` while schema 1 was the newest.

``python -m tests.support.make_relay_schema1``
"""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from tests.support.relay_world import RelayWorld, entry_bytes

TARGET = Path(__file__).parents[1] / "data" / "relay" / "schema1.sql"


async def fill(path: Path) -> None:
    async with RelayWorld(path) as world:
        segment = await world.created("old circle")
        await world.created("old box", segment_class=1, ttl_class=1)
        await world.append(segment, entry_bytes("old one"))
        await world.append(segment, entry_bytes("old two", 4096))
        await world.put_blob(entry_bytes("old blob", 4096), segment=segment)


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "relay.db"
        asyncio.run(fill(path))
        with closing(sqlite3.connect(path)) as connection:
            TARGET.write_text("\n".join(connection.iterdump()) + "\n")


if __name__ == "__main__":
    main()
