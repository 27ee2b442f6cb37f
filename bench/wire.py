"""Bytes: what posts and files take at the relay and on the wire, HTTP included, counted by a proxy between the two.

Without TLS and TCP's own headers: an operator's proxy or an onion service adds its own. There is no peer; a ratio would
need another system that pads, signs and chains as this one does.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

from bench.common import Line, Param, benchmark
from bench.members import CHARACTERS, TEXT, CountingProxy, admit, found, opened, running_relay

POSTS = 50
MIB = 1 << 20
FILES = (100_000, 5 * MIB)
"""Sizes in bytes."""
ENTRY_BYTES = "SELECT coalesce(sum(size), 0) FROM ent"
BLOB_BYTES = "SELECT coalesce(sum(length(body.data)), 0) FROM blob JOIN body ON blob.rid = body.rid"


@asynccontextmanager
async def members() -> AsyncIterator[tuple[Path, CountingProxy]]:
    """Run a relay behind a proxy and two members of a circle; give the folder of all, and the proxy."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with CountingProxy() as proxy:
            with running_relay(folder, uri=proxy.uri) as relay:
                proxy.lead_to(relay.listen)
                await found(folder / "amina", relay)
                await admit(folder / "amina", folder / "karim")
                yield folder, proxy


def stored(folder: Path) -> dict[str, int]:
    """Return how many bytes of entries and of blobs the relay holds."""
    database = folder / "relay" / "relay.db"
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
        return {
            table: connection.execute(query).fetchone()[0]
            for table, query in (("entries", ENTRY_BYTES), ("blobs", BLOB_BYTES))
        }


@benchmark("wire.post")
async def post() -> AsyncIterator[Line]:
    """Yield bytes for each post, sent one by one and all at once."""
    async with members() as (folder, proxy), opened(folder / "amina") as amina, opened(folder / "karim") as karim:
        for at_once in (1, POSTS):
            before = stored(folder)["entries"]
            proxy.reset()
            for number in range(POSTS):
                await amina.post(None, board="General", title=f"Topic {number}", body=TEXT)
                if number % at_once == at_once - 1:
                    await amina.sync()
            sums = {
                "stored": stored(folder)["entries"] - before,
                "sent": proxy.up,
                "received by the sender": proxy.down,
            }
            proxy.reset()
            (circle,) = (await karim.sync()).circles
            if circle.received != POSTS:
                raise RuntimeError(f"{circle.received} posts instead of {POSTS}")
            sums |= {"received by a reader": proxy.down, "sent by a reader": proxy.up}
            params: dict[str, Param] = {"characters": CHARACTERS, "posts_in_a_sync": at_once, "storage": "sqlite"}
            for what, total in sums.items():
                yield Line(params=params | {"what": what}, value=total / POSTS, unit="bytes")


@benchmark("wire.attachment")
async def attachment() -> AsyncIterator[Line]:
    """Yield bytes for a file with its post, and how fast it goes up and comes down."""
    async with members() as (folder, proxy), opened(folder / "amina") as amina, opened(folder / "karim") as karim:
        for size in FILES:
            file, copy = folder / f"{size}.bin", folder / f"{size}.copy"
            file.write_bytes(os.urandom(size))
            before = stored(folder)
            proxy.reset()
            started = time.perf_counter()
            written = await amina.post(None, board="General", title="A file", body=TEXT, attachments=[file])
            (circle,) = (await amina.sync(timeout=120)).circles
            up = time.perf_counter() - started
            if circle.waiting or circle.error is not None:
                raise RuntimeError(f"not sent: {circle}")
            after = stored(folder)
            sums = {"stored": sum(after.values()) - sum(before.values()), "sent": proxy.up}
            await karim.sync()
            proxy.reset()
            started = time.perf_counter()
            await karim.attachment_save(None, written.id, to=copy)
            down = time.perf_counter() - started
            if copy.read_bytes() != file.read_bytes():
                raise RuntimeError("another file came out")
            sums["received by a reader"] = proxy.down
            params: dict[str, Param] = {"bytes": size, "storage": "sqlite"}
            for what, total in sums.items():
                yield Line(params=params | {"what": what}, value=total, unit="bytes")
            for what, seconds in (("up", up), ("down", down)):
                yield Line(params=params | {"what": what}, value=size / MIB / seconds, unit="MiB/s")
