"""The tables: what every version stored still opens, a step that fails changes nothing, rows fit their tables."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
from pathlib import Path

import pytest

import tertulia.store
from tertulia.errors import DamagedStoreError
from tertulia.store import circles, rows, schema
from tertulia.store.migrations import v0001
from tests.support.make_client_schema1 import bare, dump, tables
from tests.support.stores import create_store, open_store
from tests.support.virtual_clock import virtual

STORED = Path(__file__).resolve().parents[2] / "data" / "client" / "schema1.sql"

DIRECT = {"meta", "event", "mls_row", "segment_access"}
"""Tables whose functions need no row class."""

NUMBERED = {"evidence": {"number"}}
"""Logs whose rows the database numbers; ``event`` is one too."""


async def with_stored(profile, text):
    """Make a profile whose database holds what an earlier version stored, and nothing of this one."""

    def setup(tx):
        for (name,) in tx.query("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"):
            tx.execute(f"DROP TABLE {name}")
        tx.script(text)

    await (await create_store(profile, setup=setup)).close()


@virtual
async def test_what_version_1_stored_is_there(tmp_path):
    text = STORED.read_text(encoding="utf-8")
    await with_stored(tmp_path / "profile", text)
    async with await open_store(tmp_path / "profile") as store:
        assert await store.read(schema.stored_version) == schema.VERSION
        stored = await store.read(dump)
    if schema.VERSION == 1:
        assert stored in text
    assert text.count("INSERT INTO") == stored.count("INSERT INTO") == 2 * len(set(find_tables(text)))


def find_tables(text):
    return [line.split()[2] for line in text.splitlines() if line.startswith("CREATE TABLE")]


def test_the_stored_tables_are_those_of_version_1():
    """Until schema 1 is released: run ``python -m tests.support.make_client_schema1`` after changing it."""
    assert STORED.read_text(encoding="utf-8").startswith(bare(v0001.TABLES))


def second(tx):
    tx.execute("ALTER TABLE circle ADD COLUMN colour TEXT NOT NULL DEFAULT 'blue'")


def third(tx):
    tx.execute("CREATE TABLE third (n INTEGER PRIMARY KEY)")


@virtual
async def test_steps_run_in_order_and_keep_what_is_there(tmp_path, monkeypatch):
    async with await create_store(tmp_path / "profile") as store:
        before = await store.read(dump)
    monkeypatch.setattr(schema, "MIGRATIONS", (v0001.apply, second, third))
    monkeypatch.setattr(schema, "VERSION", 3)
    for _ in range(2):
        async with await open_store(tmp_path / "profile") as store:
            assert await store.read(schema.stored_version) == 3
            assert await store.read(dump) == before
            assert "third" in await store.read(tables)


@virtual
async def test_a_step_that_fails_leaves_the_version_before(tmp_path, monkeypatch):
    async with await create_store(tmp_path / "profile") as store:
        before = await store.read(dump)

    def fail(_tx):
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", (v0001.apply, second, fail))
        patch.setattr(schema, "VERSION", 3)
        with pytest.raises(ZeroDivisionError):
            await open_store(tmp_path / "profile")
    async with await open_store(tmp_path / "profile") as store:
        assert await store.read(schema.stored_version) == schema.VERSION
        assert await store.read(dump) == before
        assert "colour" not in [row[1] for row in await store.read(lambda tx: tx.query("PRAGMA table_info(circle)"))]


@virtual
async def test_a_database_without_tables_is_damaged(tmp_path):
    await with_stored(tmp_path / "profile", "PRAGMA user_version = 0;\n")
    with pytest.raises(DamagedStoreError):
        await open_store(tmp_path / "profile")


# --- Rows -----------------------------------------------------------------------------------------------------------


def row_classes():
    """Return every row class of the store."""
    found = []
    for module in pkgutil.iter_modules(tertulia.store.__path__):
        names = vars(importlib.import_module(f"tertulia.store.{module.name}"))
        found += [
            kind for name, kind in names.items() if name.endswith("Row") and dataclasses.is_dataclass(kind)
            and kind.__module__ == f"tertulia.store.{module.name}"
        ]  # fmt: skip
    return found


@virtual
async def test_every_row_class_is_a_table_and_every_table_has_one(tmp_path):
    async with await create_store(tmp_path / "profile") as store:
        names = await store.read(tables)
        described = {
            name: {row[1] for row in await store.read(lambda tx, name=name: tx.query(f"PRAGMA table_info({name})"))}
            for name in names
        }
    classes = row_classes()
    assert len(classes) > 10
    without = set(names) - DIRECT
    for kind in classes:
        fitting = {name for name in without if described[name] - NUMBERED.get(name, set()) == set(rows.columns(kind))}
        assert len(fitting) == 1, kind
        without -= fitting
    assert without == set()


@virtual
async def test_forgetting_a_circle_leaves_nothing_of_it(tmp_path):
    async with await create_store(tmp_path / "profile") as store:

        def owned(tx):
            return {
                name for name in tables(tx) if "circle" in [row[1] for row in tx.query(f"PRAGMA table_info({name})")]
            }

        # The log of events stays, and a request to join is no circle yet.
        assert await store.read(owned) == {*circles.TABLES_OF_A_CIRCLE, "event", "joining"}


@virtual
async def test_tables_with_a_key_of_their_own_have_no_rowid(tmp_path):
    async with await create_store(tmp_path / "profile") as store:
        listed = await store.read(lambda tx: tx.query("PRAGMA table_list"))
    with_rowid = {row[1] for row in listed if row[2] == "table" and not row[4]}
    assert {name for name in with_rowid if not name.startswith("sqlite_")} == {"event", *NUMBERED}
