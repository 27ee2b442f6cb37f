"""One encrypted database, one process, one transaction at a time; every way it can fail has its name."""

from __future__ import annotations

import asyncio
import os
import resource
import stat
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from tertulia import identity
from tertulia.clock import Executor
from tertulia.errors import (
    DamagedStoreError,
    DiskFullError,
    LockedError,
    NewerStoreError,
    NoProfileError,
    ProfileExistsError,
    StoreClosedError,
    StoreFilesError,
    WrongPassphraseError,
)
from tertulia.events import EventBus
from tertulia.store import database, events, meta, schema
from tertulia.store.database import Store
from tertulia.system import SystemClock, ThreadExecutor
from tertulia_protocol.errors import InternalError
from tests.support.stores import CHEAP, PASSPHRASE, create_store, open_store
from tests.support.virtual_clock import InlineExecutor, SeededRng, VirtualClock, virtual

ROOT = Path(__file__).resolve().parents[3]
OTHER = "another one"
CANARY = "canary 7d1f \u0645\u0631\u062d\u0628\u0627"


def everything(tx):
    names = [row[0] for row in tx.query("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
    return {name: sorted(tx.query(f"SELECT * FROM {name}"), key=repr) for name in names}  # noqa: S608 - from the file


def files(profile):
    """Only while no store of this process is open there."""
    return {path.name: path.read_bytes() for path in sorted(profile.iterdir())}


@pytest.fixture
def profile(tmp_path):
    return tmp_path / "profile"


@pytest.fixture(params=[InlineExecutor, ThreadExecutor])
def executor(request) -> Executor:
    return request.param()


# --- Making and opening ---------------------------------------------------------------------------------------------


async def test_what_was_written_is_there_after_opening_again(profile, executor):
    async with await create_store(profile, executor=executor, clock=SystemClock()) as store:
        await store.run(lambda tx: meta.set_value(tx, "note", CANARY.encode()))
    async with await open_store(profile, executor=type(executor)(), clock=SystemClock()) as store:
        assert await store.read(lambda tx: meta.get(tx, "note")) == CANARY.encode()
        assert await store.read(identity.profile_name) == "Amina"


@virtual
async def test_only_its_owner_can_reach_a_profile(profile):
    os.umask(os.umask(0o000))
    async with await create_store(profile) as store:
        await store.run(lambda tx: meta.set_value(tx, "note", b"x"))
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in profile.iterdir()}
    assert modes == dict.fromkeys(["lock", "profile.json", "store.db", "store.db-wal", "store.db-shm"], 0o600)
    assert stat.S_IMODE(profile.stat().st_mode) == 0o700


@virtual
async def test_a_profile_that_others_can_reach_is_not_opened(profile):
    await (await create_store(profile)).close()
    profile.chmod(0o750)
    before = files(profile)
    with pytest.raises(StoreFilesError) as caught:
        await open_store(profile)
    assert caught.value.code == "store.files"
    assert "chmod go=" in str(caught.value)
    assert files(profile) == before


@virtual
async def test_without_a_profile_nothing_is_made(profile):
    with pytest.raises(NoProfileError) as caught:
        await open_store(profile)
    assert caught.value.code == "profile.not_found"
    assert not profile.exists()


@virtual
async def test_a_profile_is_never_overwritten(profile):
    await (await create_store(profile)).close()
    before = files(profile)
    with pytest.raises(ProfileExistsError) as caught:
        await create_store(profile)
    assert caught.value.code == "profile.exists"
    assert files(profile) == before


@pytest.mark.parametrize("name", ["profile.json", "store.db"])
@virtual
async def test_nor_is_a_part_of_one(profile, name):
    await (await create_store(profile)).close()
    (profile / name).unlink()
    before = files(profile)
    with pytest.raises(ProfileExistsError):
        await create_store(profile)
    assert files(profile) == before
    with pytest.raises(DamagedStoreError) as caught:
        await open_store(profile)
    assert caught.value.code == "store.damaged"
    assert files(profile) == before


@virtual
async def test_a_wrong_passphrase_changes_nothing(profile):
    await (await create_store(profile)).close()
    before = files(profile)
    with pytest.raises(WrongPassphraseError) as caught:
        await Store.open(
            profile, passphrase=PASSPHRASE + "!", executor=InlineExecutor(), clock=VirtualClock(), floor=CHEAP
        )
    assert caught.value.code == "passphrase.wrong"
    assert files(profile) == before
    await (await open_store(profile)).close()


@virtual
async def test_a_cheap_profile_does_not_open_as_commands_open_it(profile):
    await (await create_store(profile)).close()
    with pytest.raises(DamagedStoreError):
        await Store.open(profile, passphrase=PASSPHRASE, executor=InlineExecutor(), clock=VirtualClock())


@virtual
async def test_what_setup_cannot_write_is_no_profile(profile):
    def fail(_tx):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await create_store(profile, setup=fail)
    with pytest.raises(NoProfileError):
        await open_store(profile)
    async with await create_store(profile) as store:
        assert await store.read(identity.profile_name) == "Amina"


@pytest.mark.parametrize("step", ["rename of the database", "rename of the key file"])
@virtual
async def test_a_power_cut_while_a_profile_is_made_leaves_none(profile, monkeypatch, step):
    def cut(*_args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if step == "rename of the database":
            patch.setattr(database, "_rename_new", cut)
        else:
            patch.setattr(Path, "replace", cut)
        with pytest.raises(KeyboardInterrupt):
            await create_store(profile)
    with pytest.raises(NoProfileError):
        await open_store(profile)
    await (await create_store(profile)).close()
    assert sorted(files(profile)) == ["lock", "profile.json", "store.db"]


@virtual
async def test_another_passphrase_opens_the_same_data(profile):
    async with await create_store(profile) as store:
        await store.run(lambda tx: meta.set_value(tx, "note", b"kept"))
        with pytest.raises(WrongPassphraseError):
            await store.change_passphrase("no", OTHER, rng=SeededRng(5), cost=CHEAP, floor=CHEAP)
        await store.change_passphrase(PASSPHRASE, OTHER, rng=SeededRng(6), cost=CHEAP, floor=CHEAP)
    with pytest.raises(WrongPassphraseError):
        await open_store(profile)
    store = await Store.open(profile, passphrase=OTHER, executor=InlineExecutor(), clock=VirtualClock(), floor=CHEAP)
    async with store:
        assert await store.read(lambda tx: meta.get(tx, "note")) == b"kept"
    assert sorted(files(profile)) == ["lock", "profile.json", "store.db"]


# --- Transactions ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt, asyncio.CancelledError])
@virtual
async def test_whatever_is_raised_nothing_stays(profile, error):
    async with await create_store(profile) as store:
        before = await store.read(everything)

        def work(tx):
            meta.set_value(tx, "note", b"x")
            events.add(tx, "test", at=1)
            raise error

        with pytest.raises(error):
            await store.run(work)
        assert await store.read(everything) == before
        await store.run(lambda tx: meta.set_value(tx, "note", b"y"))
        assert await store.read(lambda tx: meta.get(tx, "note")) == b"y"


@virtual
async def test_a_wrong_statement_is_a_fault_of_ours_and_changes_nothing(profile):
    async with await create_store(profile) as store:
        before = await store.read(everything)

        def work(tx):
            meta.set_value(tx, "note", b"x")
            tx.execute("INSERT INTO meta (name, value) VALUES ('note', 'secret value')")

        with pytest.raises(InternalError) as caught:
            await store.run(work)
        assert caught.value.code == "internal"
        assert "secret" not in str(caught.value)
        assert await store.read(everything) == before


@virtual
async def test_reading_cannot_write(profile):
    async with await create_store(profile) as store:
        before = await store.read(everything)
        with pytest.raises(StoreFilesError):
            await store.read(lambda tx: meta.set_value(tx, "note", b"x"))
        assert await store.read(everything) == before
        await store.run(lambda tx: meta.set_value(tx, "note", b"x"))


async def test_one_thread_does_all_the_work_in_order(profile):
    async with await create_store(profile, executor=ThreadExecutor(), clock=SystemClock()) as store:
        seen: list[tuple[int, int]] = []
        await asyncio.gather(
            *(store.run(lambda tx, n=n: seen.append((n, threading.get_ident()))) for n in range(20))  # noqa: ARG005 - work takes the transaction
        )
        assert [n for n, _ in seen] == list(range(20))
        assert {thread for _, thread in seen} != {threading.get_ident()}
        assert len({thread for _, thread in seen}) == 1


async def test_giving_up_the_wait_does_not_cut_a_transaction_in_two(profile):
    async with await create_store(profile, executor=ThreadExecutor(), clock=SystemClock()) as store:
        begun, go = threading.Event(), threading.Event()

        def work(tx):
            meta.set_value(tx, "one", b"1")
            begun.set()
            go.wait(5)
            meta.set_value(tx, "two", b"2")

        waiting = asyncio.ensure_future(store.run(work))
        await asyncio.to_thread(begun.wait, 5)
        waiting.cancel()
        go.set()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await store.read(lambda tx: (meta.get(tx, "one"), meta.get(tx, "two"))) == (b"1", b"2")


async def test_a_closed_store_says_so(profile, executor):
    store = await create_store(profile, executor=executor, clock=SystemClock())
    await store.close()
    await store.close()
    with pytest.raises((StoreClosedError, RuntimeError)):
        await store.run(lambda tx: None)  # noqa: ARG005 - work takes the transaction
    if isinstance(executor, InlineExecutor):
        with pytest.raises(StoreClosedError) as caught:
            await store.read(lambda tx: None)  # noqa: ARG005 - work takes the transaction
        assert caught.value.code == "store.closed"


@virtual
async def test_emptying_the_log_takes_deleted_secrets_out_of_it(profile):
    async with await create_store(profile) as store:
        await store.run(lambda tx: meta.set_value(tx, "secret", os.urandom(5000)))
        await store.run(lambda tx: tx.execute("DELETE FROM meta WHERE name = 'secret'"))
        assert (profile / "store.db-wal").stat().st_size > 0
        await store.checkpoint()
        assert (profile / "store.db-wal").stat().st_size == 0


# --- One process ----------------------------------------------------------------------------------------------------

HOLDER = """
import asyncio, sys
from pathlib import Path
from tests.support.stores import open_store
async def main():
    async with await open_store(Path(sys.argv[1])):
        print("open", flush=True)
        sys.stdin.readline()
from tests.support.virtual_clock import run_virtual
run_virtual(main())
"""


@contextmanager
def held(profile):
    """Let another process hold the profile open."""
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(profile)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environ,
    )
    with holder:
        assert holder.stdout.readline() == "open\n"
        yield holder
        holder.stdin.close()


async def test_two_processes_cannot_use_a_profile_at_once(profile):
    await (await create_store(profile, clock=SystemClock())).close()
    with held(profile) as holder:
        with pytest.raises(LockedError) as caught:
            await open_store(profile, clock=SystemClock())
        assert caught.value.code == "store.locked"
        with pytest.raises(LockedError):
            await open_store(profile, clock=SystemClock(), lock_wait=0.15)
        with pytest.raises(LockedError):
            await create_store(profile, clock=SystemClock())
        waiting = asyncio.ensure_future(open_store(profile, clock=SystemClock(), lock_wait=20))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        holder.kill()  # whoever is killed gives its lock back
        await (await waiting).close()


@virtual
async def test_not_even_one_process_twice(profile):
    async with await create_store(profile) as store:
        with pytest.raises(LockedError):
            await open_store(profile)
        await store.run(lambda tx: meta.set_value(tx, "note", b"x"))
    await (await open_store(profile)).close()


# --- Damage ---------------------------------------------------------------------------------------------------------


def overwrite(path, offset, data):
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: overwrite(path, 0, bytes(16)),
        lambda path: overwrite(path, 100, bytes(100)),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(os.urandom(8192)),
        lambda path: path.write_bytes(b"SQLite format 3\0" + bytes(4080)),
        lambda path: os.truncate(path, 5000),
    ],
    ids=["salt", "first page", "empty", "noise", "plain", "cut"],
)
@virtual
async def test_a_damaged_database_is_told_as_such_and_nothing_is_printed(profile, spoil, capfd):
    await (await create_store(profile)).close()
    spoil(profile / "store.db")
    with pytest.raises(DamagedStoreError) as caught:
        async with await open_store(profile) as store:
            await store.read(everything)
    assert caught.value.code == "store.damaged"
    assert capfd.readouterr() == ("", "")


@virtual
async def test_a_page_that_was_changed_is_found_when_it_is_read(profile, capfd):
    async with await create_store(profile) as store:
        await store.run(lambda tx: [meta.set_value(tx, f"note {n}", os.urandom(3000)) for n in range(50)])
    overwrite(profile / "store.db", (profile / "store.db").stat().st_size - 3000, b"\xff" * 10)
    with pytest.raises(DamagedStoreError):
        async with await open_store(profile) as store:
            await store.read(everything)
    assert capfd.readouterr() == ("", "")


@virtual
async def test_a_key_file_that_is_too_long_is_not_read(profile):
    await (await create_store(profile)).close()
    (profile / "profile.json").write_bytes(b" " * 5000)
    with pytest.raises(DamagedStoreError):
        await open_store(profile)


@virtual
async def test_a_newer_schema_is_left_alone(profile):
    async with await create_store(profile) as store:
        await store.run(lambda tx: tx.execute(f"PRAGMA user_version = {schema.VERSION + 1}"))
    before = files(profile)
    with pytest.raises(NewerStoreError) as caught:
        await open_store(profile)
    assert caught.value.code == "store.newer"
    assert files(profile) == before


@contextmanager
def files_no_longer_than(size):
    """Let no file of this process grow past ``size`` bytes, as a full volume would."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@virtual
async def test_a_limit_of_the_system_is_told_as_such_and_changes_nothing(profile):
    async with await create_store(profile) as store:
        await store.run(lambda tx: meta.set_value(tx, "note", b"kept"))
        before = await store.read(everything)
        with files_no_longer_than((profile / "store.db-wal").stat().st_size + 20_000):
            with pytest.raises(StoreFilesError) as caught:
                await store.run(lambda tx: meta.set_value(tx, "large", os.urandom(200_000)))
            assert caught.value.code == "store.files"
            assert await store.read(everything) == before
        await store.run(lambda tx: meta.set_value(tx, "large", os.urandom(200_000)))


@virtual
async def test_a_full_disk_is_told_as_such_and_changes_nothing(profile):
    """SQLite answers the same (SQLITE_FULL) to a disk without space and to its own bound."""
    async with await create_store(profile) as store:
        before = await store.read(everything)
        await store.read(lambda tx: tx.query("PRAGMA max_page_count = 1"))
        with pytest.raises(DiskFullError) as caught:
            await store.run(lambda tx: meta.set_value(tx, "large", os.urandom(200_000)))
        assert caught.value.code == "store.disk_full"
        assert await store.read(everything) == before
        await store.read(lambda tx: tx.query("PRAGMA max_page_count = 1000000"))
        await store.run(lambda tx: meta.set_value(tx, "large", os.urandom(200_000)))


@virtual
async def test_a_profile_that_cannot_be_made_is_told_as_such(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreFilesError) as caught:
        await create_store(tmp_path / "file" / "profile")
    assert caught.value.code == "store.files"


@virtual
async def test_a_limit_of_the_system_while_a_profile_is_made_leaves_none(profile):
    with files_no_longer_than(10_000), pytest.raises(StoreFilesError):
        await create_store(profile)
    with pytest.raises(NoProfileError):
        await open_store(profile)
    await (await create_store(profile)).close()


# --- Nothing in the clear -------------------------------------------------------------------------------------------

READER = """
import sys
from pathlib import Path
needles = [bytes.fromhex(n) for n in sys.argv[2:]]
for path in Path(sys.argv[1]).iterdir():
    data = path.read_bytes()
    print(path.name, len(data), sum(n in data for n in needles))
"""


@virtual
async def test_nothing_is_in_the_clear_on_the_disk(profile):
    """Read by another process: opening the files here would take SQLite's locks off them."""
    seed = b"\x07" * 32
    needles = [CANARY.encode(), CANARY.encode("utf-16-le"), CANARY.encode().hex().encode(), seed, b"SQLite format 3"]
    async with await create_store(profile, name=CANARY) as store:
        for number in range(50):
            await store.run(lambda tx, n=number: meta.set_value(tx, f"{CANARY} {n}", seed + CANARY.encode() * 20))
        (profile / "planted").write_bytes(needles[0] + seed)
        arguments = [needle.hex() for needle in needles]
        output = subprocess.run(  # noqa: ASYNC221 - nothing else runs in this loop
            [sys.executable, "-c", READER, str(profile), *arguments], capture_output=True, text=True, check=True
        ).stdout
    found = {line.split()[0]: (int(line.split()[1]), int(line.split()[2])) for line in output.splitlines()}
    assert set(found) == {"lock", "profile.json", "store.db", "store.db-wal", "store.db-shm", "planted"}
    assert found["store.db-wal"][0] > 50_000
    assert {name: count for name, (_, count) in found.items() if count} == {"planted": 2}


# --- Events ---------------------------------------------------------------------------------------------------------


@virtual
async def test_readers_of_events_are_woken_by_the_commit_that_made_them(profile):
    async with await create_store(profile) as store:
        stream = EventBus(store).stream()
        await store.run(lambda tx: events.add(tx, "first", at=1, circle=b"c" * 32, n=1, raw=b"\x01"))
        first = await anext(stream)
        assert (first.kind, first.circle, first.at, first.data) == ("first", b"c" * 32, 1, {"n": 1, "raw": "01"})
        coming = asyncio.ensure_future(anext(stream))
        await VirtualClock().sleep(100)
        assert not coming.done()
        await store.run(lambda tx: events.add(tx, "second", at=2))
        assert (await coming).kind == "second"
        again = EventBus(store).stream(after=first.number)
        assert (await anext(again)).kind == "second"
        await stream.aclose()
        await again.aclose()


@virtual
async def test_old_events_go_and_their_numbers_never_come_back(profile, monkeypatch):
    monkeypatch.setattr(events, "KEPT", 3)
    async with await create_store(profile) as store:
        assert await store.read(events.last_number) == 0
        for number in range(5):
            await store.run(lambda tx, n=number: events.add(tx, f"e{n}", at=n))
        kept = await store.read(lambda tx: events.read_after(tx, 0))
        assert [(event.number, event.kind) for event in kept] == [(3, "e2"), (4, "e3"), (5, "e4")]
        await store.run(lambda tx: tx.execute("DELETE FROM event"))
        await store.run(lambda tx: events.add(tx, "later", at=9))
        assert await store.read(events.last_number) == 6
