"""What is particular to the SQLite file: its settings, its schema, and what it must not record."""

from __future__ import annotations

import asyncio
import hashlib
import os
import resource
import sqlite3
import subprocess
import sys
from contextlib import closing, contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from tertulia_protocol.relay_api.responses import Status
from tertulia_relay.storage import migrations, sqlite
from tertulia_relay.storage.errors import (
    DatabaseBusyError,
    DatabaseDamagedError,
    DatabaseError,
    DiskFullError,
    SchemaTooNewError,
)
from tertulia_relay.storage.interface import Changes, SegmentRow
from tertulia_relay.storage.schema import metadata
from tertulia_relay.storage.sql import SqlStorage
from tertulia_relay.storage.sqlite import VACUUM_PAGES, _driver, _number
from tests.support.relay_world import RelayWorld, entries_of, entry_bytes, head_of

SCHEMA_1 = Path(__file__).parents[2] / "data" / "relay" / "schema1.sql"


@pytest.fixture
async def path(tmp_path):
    storage = SqlStorage(tmp_path / "relay.db", rng=os.urandom)
    await storage.open()
    await storage.close()
    return tmp_path / "relay.db"


def query(path, statement):
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(statement).fetchall()


def log_bytes(path):
    return Path(f"{path}-wal").stat().st_size


async def test_the_writer_is_durable_and_wipes_what_it_deletes(tmp_path):
    storage = SqlStorage(tmp_path / "relay.db", rng=os.urandom)
    await storage.open()
    wanted = {
        "synchronous": 2, "secure_delete": 1, "auto_vacuum": 2, "foreign_keys": 1,
        "busy_timeout": 5000,
    }  # fmt: skip
    mode = await storage._write(lambda writer: _driver(writer).execute("PRAGMA journal_mode").fetchone())
    assert mode == ("wal",)
    found = await storage._write(lambda writer: {name: _number(_driver(writer), f"PRAGMA {name}") for name in wanted})
    assert found == wanted
    await storage.close()


async def test_a_reader_cannot_write(tmp_path):
    storage = SqlStorage(tmp_path / "relay.db", rng=os.urandom)
    await storage.open()
    with pytest.raises(DatabaseError, match="SQLITE_READONLY"):
        await storage._read(lambda reader: reader.exec_driver_sql("DELETE FROM code"))
    await storage.close()


def test_no_table_counts_its_rows_in_order_of_arrival(path):
    """An automatic rowid would tell whoever seizes the file in which order segments were written to."""
    tables = dict(query(path, "SELECT name, sql FROM sqlite_master WHERE type='table'"))
    assert tables.pop("alembic_version")
    body = tables.pop("body")
    assert "WITHOUT ROWID" not in body
    assert query(path, "PRAGMA table_info(body)")[0][1:6] == ("rid", "INTEGER", 1, None, 1)
    assert set(tables) == {"seg", "ent", "blob", "code"}
    for name, statement in tables.items():
        assert "WITHOUT ROWID" in statement, name
    assert not any("AUTOINCREMENT" in statement for statement in [*tables.values(), body])


def test_nothing_in_the_schema_is_a_time_but_a_day(path):
    columns = {column[1] for table in metadata.tables for column in query(path, f"PRAGMA table_info({table})")}
    times = {name for name in columns if any(word in name for word in ("time", "date", "day", "stamp", "ctr", "at_"))}
    assert times == {"expires_day"}


async def test_row_numbers_are_random_and_have_63_bits(tmp_path):
    async with RelayWorld(tmp_path / "r.db") as world:
        segment = await world.created()
        for number in range(64):
            await world.append(segment, entry_bytes(str(number)))
    numbers = [row[0] for row in query(tmp_path / "r.db", "SELECT rid FROM ent ORDER BY seq")]
    assert all(0 <= number < 2**63 for number in numbers)
    assert max(numbers) > 2**62
    assert numbers != sorted(numbers)
    assert len(set(numbers)) == 64
    bodies = query(tmp_path / "r.db", "SELECT rowid, rid FROM body")
    assert all(rowid == rid for rowid, rid in bodies)


def test_duplicates_are_looked_up_by_index(path):
    plan = query(path, "EXPLAIN QUERY PLAN SELECT seg, h, seq FROM ent WHERE h IN (x'00', x'01')")
    assert all("SEARCH" in row[3] for row in plan)


def test_the_metadata_is_what_the_migrations_make(path):
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "render_as_batch": True})
        assert compare_metadata(context, metadata) == []
    engine.dispose()


async def test_a_file_that_version_1_wrote_opens_and_serves(tmp_path):
    path = tmp_path / "old.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(SCHEMA_1.read_text())
    async with RelayWorld(path) as world:
        segment, box = world.segment("old circle"), world.segment("old box", segment_class=1, ttl_class=1)
        entries = [entry_bytes("old one"), entry_bytes("old two", 4096)]
        read = await world.read(segment)
        assert [data for _, data in entries_of(read)] == entries
        assert head_of(read).position == segment.chain(*entries)
        assert (await world.append(segment, entry_bytes("new"))).status == 0
        assert (await world.read(box)).status == 0
        assert (await world.get_blob(hashlib.sha256(entry_bytes("old blob", 4096)).digest())).status == 0
    assert query(path, "SELECT version_num FROM alembic_version") == [("0001",)]


def test_every_migration_is_known_by_name():
    """The relay tells by these names, without alembic, whether there is anything to migrate."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    newest_first = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    assert tuple(reversed(newest_first)) == migrations.SCHEMAS


def test_alembic_is_loaded_only_to_migrate(path):
    """In a process of its own: whether a module was ever loaded cannot be seen here."""
    script = """if True:
        import asyncio, os, sys
        from pathlib import Path
        from tertulia_relay.storage.sql import SqlStorage
        async def main(path):
            storage = SqlStorage(path, rng=os.urandom)
            await storage.open()
            await storage.close()
            return any(name.partition(".")[0] == "alembic" for name in sys.modules)
        path = Path(sys.argv[1])
        print(asyncio.run(main(path)), asyncio.run(main(path.with_name("new.db"))))
    """
    done = subprocess.run([sys.executable, "-c", script, str(path)], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["False", "True"]


@pytest.mark.parametrize("mix_bytes", [0, sqlite.MIX_BYTES])
async def test_all_free_pages_go_back_to_the_disk(tmp_path, monkeypatch, mix_bytes):
    monkeypatch.setattr(sqlite, "MIX_BYTES", mix_bytes)
    path = tmp_path / "r.db"
    async with RelayWorld(path) as world:
        for number in range(1, 20):
            data = entry_bytes(str(number), 262144)
            assert (await world.put_blob(data, ttl_class=0)).status == 0
        await world.storage.checkpoint()
        full = path.stat().st_size
        world.clock.day += 8
        while await world.storage.expire(utc_day=world.clock.day, limit=500):
            pass
        free = query(path, "PRAGMA freelist_count")[0][0]
        assert free > 2 * VACUUM_PAGES
        assert await world.storage._write(sqlite.release_pages)
        assert query(path, "PRAGMA freelist_count") == [(free - VACUUM_PAGES,)]
        await world.storage.compact()
        await world.storage.checkpoint()
        assert query(path, "PRAGMA freelist_count") == [(0,)]
        assert path.stat().st_size <= full - 4096 * free


async def test_others_write_while_space_is_given_back(tmp_path, monkeypatch):
    monkeypatch.setattr(sqlite, "VACUUM_PAGES", 5)
    monkeypatch.setattr(sqlite, "MIX_BYTES", 0)
    async with RelayWorld(tmp_path / "r.db") as world:
        segment = await world.created()
        await world.put_blob(entry_bytes("blob", 262144), ttl_class=0)
        world.clock.day += 8
        await world.storage.expire(utc_day=world.clock.day, limit=500)
        compacting = asyncio.ensure_future(world.storage.compact())
        assert (await world.append(segment, entry_bytes("meanwhile"))).status == 0
        assert not compacting.done()
        await compacting
    assert query(tmp_path / "r.db", "PRAGMA freelist_count") == [(0,)]


async def test_a_log_that_somebody_reads_from_is_not_said_to_be_empty(tmp_path):
    path = tmp_path / "r.db"
    async with RelayWorld(path) as world:
        segment = await world.created()
        with closing(sqlite3.connect(path, isolation_level=None)) as backup:
            backup.execute("BEGIN")
            backup.execute("SELECT count(*) FROM seg").fetchall()
            await world.append(segment, entry_bytes("one"))
            with pytest.raises(DatabaseBusyError) as caught:
                await world.relay.checkpoint()
            assert caught.value.code == "relay.storage.busy"
            assert (await world.append(segment, entry_bytes("two"))).status == 0
        await world.relay.checkpoint()
        assert log_bytes(path) == 0


@contextmanager
def files_no_longer_than(size):
    """Let no file of this process grow past ``size`` bytes, as a full volume would."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_a_limit_of_the_system_is_a_full_disk_too(tmp_path):
    """SQLite calls this an I/O error; the operator must read on the first one what to do about it."""
    path = tmp_path / "r.db"
    async with RelayWorld(path) as world:
        segment = await world.created()
        with files_no_longer_than(log_bytes(path) + 300_000):
            assert (await world.append(segment, entry_bytes("fits", 262144))).status == 0
            before = world.dump()
            assert (await world.append(segment, entry_bytes("one", 262144))).status == Status.UNAVAILABLE
            assert world.dump() == before
        assert [error.code for error in world.storage_errors] == ["relay.storage.full"]
        assert "SQLITE_IOERR" in str(world.storage_errors[0])
        assert (await world.append(segment, entry_bytes("one", 262144))).status == 0


async def test_another_io_error_is_no_full_disk(tmp_path):
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode, error.sqlite_errorname = sqlite3.SQLITE_IOERR_WRITE, "SQLITE_IOERR_WRITE"
    assert sqlite.translate(error, tmp_path / "r.db").code == "relay.storage"
    with files_no_longer_than(1000):
        assert sqlite.translate(error, tmp_path / "r.db").code == "relay.storage.full"
        assert sqlite.translate(error, None).code == "relay.storage"


async def test_a_newer_schema_is_refused_and_left_alone(path):
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num='9999'")
    before = path.read_bytes()
    storage = SqlStorage(path, rng=os.urandom)
    with pytest.raises(SchemaTooNewError) as caught:
        await storage.open()
    assert caught.value.code == "relay.storage.newer"
    with pytest.raises(DatabaseError):
        await storage.segment(b"a" * 32)
    assert path.read_bytes() == before


async def test_opening_again_changes_nothing(path):
    before = query(path, "SELECT name, sql FROM sqlite_master ORDER BY name")
    storage = SqlStorage(path, rng=os.urandom)
    await storage.open()
    await storage.close()
    assert query(path, "SELECT name, sql FROM sqlite_master ORDER BY name") == before


async def test_a_file_that_is_no_database_is_damaged(tmp_path):
    (tmp_path / "relay.db").write_bytes(b"this is no database" * 1000)
    storage = SqlStorage(tmp_path / "relay.db", rng=os.urandom)
    with pytest.raises(DatabaseDamagedError):
        await storage.open()


async def test_a_directory_that_is_not_there_is_an_error_of_ours(tmp_path):
    storage = SqlStorage(tmp_path / "missing" / "relay.db", rng=os.urandom)
    with pytest.raises(DatabaseError):
        await storage.open()


async def test_an_error_never_shows_what_was_to_be_written(tmp_path):
    storage = SqlStorage(tmp_path / "relay.db", rng=os.urandom)
    await storage.open()
    row = SegmentRow(
        id=b"canary" * 5 + b"..", config=b"canary" * 16, head=0, chain=b"0" * 32, sealed=False, frozen=0, used=0,
        quota=1, blob_used=0, blob_quota=0, expires_day=1, heir=None,
    )  # fmt: skip
    with pytest.raises(DatabaseError) as caught:
        async with storage.transaction() as transaction:
            await transaction.apply(Changes(new_segments=[row, row]))
    error: BaseException | None = caught.value
    while error is not None:
        assert "canary" not in str(error)
        error = error.__cause__
    await storage.close()


async def arrivals(world, count=40):
    """Write to four segments in turns; return for each entry, in order of arrival, the page that its end lies on."""
    segments = [await world.created(str(number)) for number in range(4)]
    entries = [entry_bytes(f"entry {number}", 4096) for number in range(count)]
    for number, entry in enumerate(entries):
        assert (await world.append(segments[number * 7 % 4], entry)).status is Status.OK
    return entries


def pages_of(path, entries):
    data = path.read_bytes()
    return [data.index(entry[-32:]) // sqlite.PAGE_BYTES for entry in entries]


async def test_after_a_night_the_pages_tell_no_order_of_arrival(tmp_path):
    path = tmp_path / "relay.db"
    async with RelayWorld(path) as world:
        entries = await arrivals(world)
        await world.relay.checkpoint()
        assert pages_of(path, entries) == sorted(pages_of(path, entries))  # what a seized file tells of the same day
        await world.relay.nightly()
        pages = pages_of(path, entries)
        follow = sum(one < next_one for one, next_one in pairwise(pages))
        assert len(entries) / 4 < follow < len(entries) * 3 / 4


async def test_without_room_for_a_copy_free_pages_still_go_back(tmp_path, monkeypatch):
    path = tmp_path / "r.db"

    def full(_connection):
        raise DiskFullError("SQLITE_FULL")

    monkeypatch.setattr(sqlite, "mix_pages", full)
    async with RelayWorld(path) as world:
        await world.put_blob(entry_bytes("blob", 262144), ttl_class=0)
        world.clock.day += 8
        await world.relay.nightly()
        assert query(path, "PRAGMA freelist_count") == [(0,)]
