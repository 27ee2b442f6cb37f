"""The command: one result on standard output, talk and errors on standard error, exit codes, no question."""

from __future__ import annotations

import base64
import json
import os
import re
import sqlite3
import stat
from pathlib import Path

import pytest

from tertulia_protocol.errors import DecodeError, InternalError, StorageError, TransportError, UsageError
from tertulia_protocol.relay_api.addresses import Enrolment, RelayAddr
from tertulia_relay import app, cli
from tertulia_relay.directory import RelayDirectory
from tertulia_relay.storage.errors import DatabaseError

CANARY = "canary-22b4"


class Ran:
    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    @property
    def error(self):
        assert self.out == ""
        (line,) = self.err.splitlines()
        return json.loads(line)["error"]


@pytest.fixture
def run(capsys):
    """Run the command in this process."""

    def run(*arguments):
        old = os.umask(0o022)
        try:
            code = cli.run([str(argument) for argument in arguments])
        finally:
            os.umask(old)
        return Ran(code, *capsys.readouterr())

    return run


@pytest.fixture
def home(run, tmp_path):
    """A relay."""
    assert run("--quiet", "init", tmp_path / "relay").code == 0
    return tmp_path / "relay"


def test_init_makes_a_private_relay_and_prints_its_card_alone(run, tmp_path):
    ran = run("init", tmp_path / "relay", "--uri", "https://relay.example")
    assert ran.code == 0
    (line,) = ran.out.splitlines()
    address = RelayAddr.from_card(line)
    assert address.uri == "https://relay.example"
    assert str(tmp_path / "relay" / "relay.key") in ran.err
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "relay").iterdir()}
    assert {"relay.toml", "relay.key", "relay.db"} <= set(modes)
    assert set(modes.values()) == {0o600}
    assert stat.S_IMODE((tmp_path / "relay").stat().st_mode) == 0o700


def test_init_in_json_is_one_object(run, tmp_path):
    ran = run("init", tmp_path / "relay", "--json")
    assert ran.err == ""
    assert json.loads(ran.out)["relay"].startswith("http://127.0.0.1:8440#")
    assert len(ran.out.splitlines()) == 1


def test_two_relays_have_two_keys(run, tmp_path):
    assert run("init", tmp_path / "a").out != run("init", tmp_path / "b").out


@pytest.mark.parametrize("damage", ["whole", "relay.toml", "relay.key", "relay.db"])
def test_init_changes_nothing_that_is_there(run, home, damage):
    for path in home.iterdir():
        if damage not in ("whole", path.name):
            path.unlink()
    before = {path.name: path.read_bytes() for path in home.iterdir()}
    ran = run("init", home, "--json")
    assert (ran.code, ran.error["code"]) == (2, "relay.exists")
    assert {path.name: path.read_bytes() for path in home.iterdir()} == before


def test_init_with_an_address_that_is_not_allowed_leaves_nothing(run, tmp_path):
    ran = run("init", tmp_path / "relay", "--uri", "http://relay.example", "--json")
    assert (ran.code, ran.error["code"]) == (2, "relay.config")
    assert not (tmp_path / "relay").exists()


def test_init_that_fails_half_way_leaves_nothing(run, tmp_path, monkeypatch):
    def broken(*_arguments):
        raise DatabaseError

    monkeypatch.setattr(app, "make_relay", broken)
    ran = run("init", tmp_path / "relay", "--json")
    assert (ran.code, ran.error["code"]) == (6, "relay.storage")
    assert list((tmp_path / "relay").iterdir()) == []


def test_of_two_inits_at_once_the_second_removes_nothing_of_the_first(run, home, monkeypatch):
    before = {path.name: path.read_bytes() for path in home.iterdir()}
    monkeypatch.setattr(RelayDirectory, "check_free", lambda _self: None)
    ran = run("init", home, "--json")
    assert (ran.code, ran.error["code"]) == (2, "relay.exists")
    assert {path.name: path.read_bytes() for path in home.iterdir()} == before


def test_code_prints_one_enrolment_string_that_names_this_relay(run, home):
    ran = run("code", home, "--uri", "https://relay.example", "--budget", "7", "--days", "3")
    assert ran.code == 0
    (line,) = ran.out.splitlines()
    enrolment = Enrolment.from_string(line)
    assert enrolment.relay.uri == "https://relay.example"
    assert enrolment.relay.card().partition("#")[2] == app.check(RelayDirectory(home)).card.partition("#")[2]


def test_code_stores_no_code(run, home):
    code = Enrolment.from_string(run("code", home).out).code
    assert code
    for path in home.iterdir():
        data = path.read_bytes()
        assert code not in data
        assert code.hex().encode() not in data
        assert base64.b64encode(code)[:20] not in data


def test_codes_differ(run, home):
    assert run("code", home).out != run("code", home).out


def test_code_uses_the_configured_address_then_the_listening_one(run, home):
    assert Enrolment.from_string(run("code", home).out).relay.uri == "http://127.0.0.1:8440"
    (home / "relay.listen").write_text("127.0.0.1:5555\n")
    assert Enrolment.from_string(run("code", home).out).relay.uri == "http://127.0.0.1:5555"
    (home / "relay.toml").write_text("uri = 'https://relay.example'")
    assert Enrolment.from_string(run("code", home).out).relay.uri == "https://relay.example"


def test_code_without_a_known_address_says_so(run, home):
    (home / "relay.toml").write_text("listen = '127.0.0.1:0'")
    ran = run("code", home, "--json")
    assert (ran.code, ran.error["code"]) == (2, "relay.no_address")


def test_code_with_an_address_nobody_may_use_stores_nothing(run, home):
    before = sqlite3.connect(home / "relay.db").execute("SELECT count(*) FROM code").fetchone()
    ran = run("code", home, "--uri", "http://relay.example", "--json")
    assert (ran.code, ran.error["code"]) == (2, "relay.address")
    assert sqlite3.connect(home / "relay.db").execute("SELECT count(*) FROM code").fetchone() == before


@pytest.mark.parametrize("wrong", [("--budget", "0"), ("--budget", "x"), ("--days", "0"), ("--nonsense",)])
def test_wrong_options_are_usage(run, home, wrong):
    ran = run("code", home, *wrong, "--json")
    assert (ran.code, ran.error["code"]) == (2, "usage")


def test_check_says_ok_and_changes_nothing(run, home):
    before = {path.name: path.read_bytes() for path in home.iterdir()}
    ran = run("check", home)
    assert (ran.code, ran.out) == (0, "ok\n")
    report = json.loads(run("--json", "check", home).out)
    assert report["ok"] is True
    assert report["schema"]
    assert report["free_mib"] > 0
    assert report["relay"].startswith("http://127.0.0.1:8440#")
    after = {path.name: path.read_bytes() for path in home.iterdir()}
    assert {name: after[name] for name in before} == before


def _open_key(home):
    (home / "relay.key").chmod(0o644)


def _open_directory(home):
    home.chmod(0o755)


def _open_database(home):
    (home / "relay.db").chmod(0o640)


def _lose_key(home):
    (home / "relay.key").unlink()


def _damage_key(home):
    (home / "relay.key").write_text(CANARY)


def _lose_database(home):
    (home / "relay.db").unlink()


def _empty_database(home):
    (home / "relay.db").write_bytes(b"")


def _junk_database(home):
    (home / "relay.db").write_bytes(CANARY.encode() * 1000)


def _damage_database(home):
    data = bytearray((home / "relay.db").read_bytes())
    # The root page of the last table: a page of junk where a b-tree belongs.
    data[-4096:] = b"\xff" * 4096
    (home / "relay.db").write_bytes(data)


def _newer_schema(home):
    with sqlite3.connect(home / "relay.db") as database:
        database.execute("UPDATE alembic_version SET version_num = 'of-the-future'")
    database.close()


def _bad_config(home):
    (home / "relay.toml").write_text("urri = ''")


TROUBLE = [
    (_open_key, 6, "relay.permissions"),
    (_open_directory, 6, "relay.permissions"),
    (_open_database, 6, "relay.permissions"),
    (_lose_key, 6, "relay.key"),
    (_damage_key, 6, "relay.key"),
    (_lose_database, 6, "relay.storage.missing"),
    (_empty_database, 6, "relay.storage.missing"),
    (_junk_database, 6, "relay.storage.damaged"),
    (_newer_schema, 6, "relay.storage.newer"),
    (_bad_config, 2, "relay.config"),
]


@pytest.mark.parametrize(("spoil", "code", "name"), TROUBLE, ids=lambda value: getattr(value, "__name__", str(value)))
def test_check_finds(run, home, spoil, code, name):
    spoil(home)
    ran = run("check", home, "--json")
    assert (ran.code, ran.error["code"]) == (code, name)
    assert CANARY not in ran.err
    assert all(ran.error[part] for part in ("message", "kept", "next"))
    assert "{" not in "".join(ran.error.values())


def test_check_finds_a_damaged_page(run, home):
    _damage_database(home)
    ran = run("check", home, "--json")
    assert (ran.code, ran.error["code"]) == (6, "relay.storage.damaged")


def test_check_finds_a_disk_that_is_almost_full(run, home, monkeypatch):
    usage = type("Usage", (), {"free": app.LOW_DISK_BYTES - 1})
    monkeypatch.setattr(app.shutil, "disk_usage", lambda _path: usage)
    ran = run("check", home, "--json")
    assert (ran.code, ran.error["code"]) == (6, "relay.low_disk")


@pytest.mark.parametrize("command", ["serve", "code", "check"])
def test_a_missing_relay_is_a_clear_error(run, tmp_path, command):
    ran = run(command, tmp_path / "nowhere", "--json")
    assert (ran.code, ran.error["code"]) == (2, "relay.not_found")
    assert str(tmp_path / "nowhere") in ran.error["next"]


def test_the_system_s_refusal_is_a_clear_error(run):
    ran = run("init", "/proc/relay", "--json")
    assert (ran.code, ran.error["code"]) == (6, "relay.files")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_a_full_disk_is_a_clear_error():
    error = cli._from_system(_os_error_of("/dev/full"))
    assert cli.exit_code(error) == 6
    assert error.code == "relay.storage.full"


def _os_error_of(path):
    try:
        with Path(path).open("wb", buffering=0) as file:
            file.write(b"a")
    except OSError as error:
        return error
    raise AssertionError(path)


def test_an_error_for_people_says_what_was_kept_and_what_to_do(run, tmp_path):
    ran = run("check", tmp_path / "nowhere")
    assert ran.out == ""
    assert ran.err.splitlines() == [
        f"There is no relay in {tmp_path / 'nowhere'}.",
        "Nothing was changed.",
        f"Make one with: tertulia-relay init {tmp_path / 'nowhere'}",
        "[relay.not_found]",
    ]


def test_a_fault_of_ours_is_exit_1_and_tells_no_value(run, home, monkeypatch):
    def broken(_directory):
        raise ValueError(CANARY)

    monkeypatch.setattr(app, "check", broken)
    ran = run("check", home, "--json")
    assert (ran.code, ran.error["code"]) == (1, "internal")
    assert "builtins.ValueError" in ran.error["fault"]
    assert CANARY not in ran.err
    ran = run("check", home)
    assert CANARY not in ran.err
    assert "builtins.ValueError" in ran.err


@pytest.mark.parametrize(
    ("kind", "code"), [(UsageError, 2), (DecodeError, 4), (TransportError, 5), (StorageError, 6), (InternalError, 1)]
)
def test_exit_codes_follow_the_tree(kind, code):
    assert cli.exit_code(kind()) == code


@pytest.mark.parametrize("arguments", [("--help",), ("init", "--help"), ("--lang", "fr", "--help"), ("--version",)])
def test_help_and_version(run, arguments):
    ran = run(*arguments)
    assert ran.code == 0
    assert ran.out
    assert ran.err == ""


def test_without_a_command_it_is_usage(run):
    assert run().code == 2


def test_options_for_all_commands_may_stand_before_or_after(run, home):
    before, after = (json.loads(run(*words).out) for words in (("--json", "check", home), ("check", home, "--json")))
    # What is free on the disk changes from one moment to the next.
    assert [key for key in before if before[key] != after.get(key)] in ([], ["free_mib"])
    assert before.keys() == after.keys()
    assert run("--quiet", "check", home).err == ""


def test_interrupted_is_130(run, home, monkeypatch):
    def interrupted(_directory):
        raise KeyboardInterrupt

    monkeypatch.setattr(app, "check", interrupted)
    assert run("check", home).code == 130


def test_help_is_fast_because_nothing_is_imported_early():
    source = Path(cli.__file__).read_text()
    early = re.findall(r"^(?:from|import) (\S+)", source, re.MULTILINE)
    heavy = {"asyncio", "aiohttp", "sqlalchemy", "alembic", "nacl"}
    assert not heavy & {name.partition(".")[0] for name in early}
    assert not any(name.startswith("tertulia_relay.") and name != "tertulia_relay.i18n" for name in early)
