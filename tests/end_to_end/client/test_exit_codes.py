"""Exit codes, each reached as people and programs reach it. 3, 8 and 130: test_commands; 1: tests/client/cli."""

from __future__ import annotations

import pytest

from tests.support.person import Person
from tests.support.relay_process import RelayProcess


@pytest.fixture(scope="module")
def somebody(tmp_path_factory):
    """A person with a profile and no circle."""
    return Person(tmp_path_factory.mktemp("somebody"), "Somebody").init()


def test_0_is_also_what_waits_for_the_relay(tmp_path):
    with RelayProcess(tmp_path / "relay") as relay:
        eve = Person(tmp_path, "Eve").init()
        eve.do("circle", "create", "Seule", env={"TERTULIA_CODE": relay.enrolment()})
        eve.do("board", "create", "B")
        relay.kill()
        ran = eve.run("post", "--board", "B", "--title", "T", "--json")
        assert ran.code == 0
        assert ran.json["state"] == "waiting"
        assert '"warning": {"code": "relay.unreachable"' in ran.err
        # 5, only where it was asked for.
        for command in (("sync", "--wait=1"), ("reply", ran.json["id"], "x", "--wait=1")):
            late = eve.run(*command, "--json")
            assert (late.code, late.error["code"]) in {(5, "relay.unreachable"), (5, "relay.not_in_time")}
        assert eve.run("sync").code == 0
        relay.restart()
        (circle,) = eve.ask("sync")["circles"]
        assert (circle["waiting"], circle["state"]) == (0, "active")


@pytest.mark.parametrize(
    ("code", "error", "command"),
    [
        (2, "usage", ("bogus",)),
        (2, "usage", ("read", "--bogus")),
        (2, "usage", ("approve",)),
        (2, "usage", ("approve", "x", "y", "z", "--words", "a b c d")),
        (2, "profile.not_found", ("--profile", "/nowhere/at/all", "status")),
    ],
)
def test_2_is_a_wrong_command(somebody, code, error, command):
    ran = somebody.run(*command, "--json")
    assert (ran.code, ran.error["code"]) == (code, error)


def test_2_without_any_command_shows_the_help(somebody):
    ran = somebody.run()
    assert (ran.code, ran.out) == (2, "")
    assert "Commands:" in ran.err


@pytest.mark.parametrize(
    ("error", "command", "text"),
    [
        ("link.invalid", ("join", "--link-file", "-"), "tertulia:AQAW"),
        ("link.invalid", ("join", "--link-file", "-"), "hello"),
        ("code.invalid", ("circle", "create", "X", "--code-file", "-"), "tertulia-relay:AQAW"),
    ],
)
def test_4_is_bad_input(somebody, error, command, text):
    ran = somebody.run(*command, "--json", text=text)
    assert (ran.code, ran.error["code"]) == (4, error)
    assert "AQAW" not in ran.err


def test_6_is_a_damaged_profile(tmp_path):
    profile = tmp_path / "X"
    profile.mkdir(mode=0o700)
    (profile / "profile.json").write_text("{}")
    (profile / "store.db").write_text("")
    for path in profile.iterdir():
        path.chmod(0o600)
    ran = Person(tmp_path, "X").run("status", "--json")
    assert (ran.code, ran.error["code"]) == (6, "store.damaged")


def test_7_is_a_passphrase_that_is_missing_or_wrong(somebody):
    ran = somebody.run("status", "--json", env={"TERTULIA_PASSPHRASE": ""})
    assert (ran.code, ran.error["code"]) == (7, "passphrase.missing")
    ran = somebody.run("status", "--json", env={"TERTULIA_PASSPHRASE": "not the right one"})
    assert (ran.code, ran.error["code"]) == (7, "passphrase.wrong")


def test_all_are_explained(somebody):
    codes = somebody.ask("help", "exit-codes")["exit_codes"]
    assert [one["code"] for one in codes] == [0, 1, 2, 3, 4, 5, 6, 7, 8, 130]
    assert all(one["meaning"] for one in codes)
