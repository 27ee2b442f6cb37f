"""The outermost loop: where options stand, secrets, faults of ours, what a machine can do wrong."""

from __future__ import annotations

import errno
import io
import json
import os
from types import SimpleNamespace

import click
import pytest

from tertulia.cli import main, options
from tertulia.cli.arguments import check_count, names_circle, read_date
from tertulia.cli.attachments import read_number
from tertulia.cli.inviting import read_history
from tertulia.cli.main import describe_fault, run
from tertulia.cli.members import check_person
from tertulia.cli.options import TertuliaCommand, check_no_secret, first_look, person_language
from tertulia.cli.profile import check_words_have_a_place
from tertulia.cli.secrets_in import read_file, take_environment
from tertulia.cli.syncing import check_no_decision, check_reached
from tertulia.errors import (
    EXIT_CODES,
    FileError,
    ForkError,
    PhraseFileMissingError,
    SecretInArgumentError,
    UnreachableError,
    YesMissingError,
    exit_code,
)
from tertulia.results import CircleSync, SyncReport
from tertulia_protocol.errors import InternalError, StorageError

CANARY = "canary-7f21"


def planted(monkeypatch, error):
    """Put a command into the place of ``status`` that raises."""

    @options.command("status", help="x")
    def command():
        raise error

    monkeypatch.setattr("tertulia.cli.profile.status", command)


@pytest.mark.parametrize(
    ("error", "code", "name"),
    [
        (KeyError(CANARY), 1, "internal"),
        (InternalError("a reason"), 1, "internal"),
        (OSError(errno.ENOSPC, "x"), 6, "store.disk_full"),
        (PermissionError(errno.EACCES, "x", "/a/file"), 2, "file"),
        (StorageError(), 6, "storage"),
    ],
)
def test_every_error_ends_as_a_sentence_and_a_code(monkeypatch, capsys, error, code, name):
    planted(monkeypatch, error)
    assert run(["status", "--json"]) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert json.loads(shown.err)["error"]["code"] == name
    assert CANARY not in shown.err
    assert run(["status"]) == code
    assert f"[{name}]" in capsys.readouterr().err


def test_interruption_is_130_and_silent(monkeypatch, capsys):
    planted(monkeypatch, KeyboardInterrupt())
    assert run(["status"]) == 130
    planted(monkeypatch, click.Abort())
    assert run(["status"]) == 130
    assert capsys.readouterr() == ("", "")


def fail():
    try:
        int(CANARY)
    except ValueError as error:
        raise KeyError(CANARY) from error


def test_a_fault_tells_places_and_no_messages():
    with pytest.raises(KeyError) as caught:
        fail()
    shown = describe_fault(caught.value)
    assert "KeyError at test_run.py:" in shown
    assert "from ValueError" in shown
    assert CANARY not in shown


def test_every_kind_of_error_has_an_exit_code():
    assert {exit_code(kind()) for kind in EXIT_CODES} == {1, 2, 3, 4, 5, 6, 7, 8}


@pytest.mark.parametrize("arguments", [["--json", "status", "--quiet"], ["status", "--quiet", "--json"]])
def test_options_for_all_stand_anywhere(arguments):
    look = first_look(arguments)
    assert (look.as_json, look.quiet) == (True, True)


def test_what_comes_after_two_dashes_is_text():
    assert not first_look(["post", "--", "--json"]).as_json
    assert first_look(["--lang", "fr"]).lang == first_look(["--lang=fr"]).lang == "fr"


@pytest.mark.parametrize(
    ("lang", "environment", "code"),
    [
        (None, {"LANG": "fr_FR.UTF-8"}, "fr"),
        (None, {"LC_ALL": "ar_EG", "LANG": "fr"}, "ar"),
        ("es-MX", {"LANG": "fr"}, "es"),
        (None, {"LANG": "C.UTF-8"}, "en"),
        (None, {}, "en"),
    ],
)
def test_the_language_of_the_person(lang, environment, code):
    assert person_language(lang, environment) == code


@pytest.mark.parametrize(
    ("given", "understood"),
    [
        (["--wait", "body"], ["--wait=60", "body"]),
        (["--wait", "5", "body"], ["--wait", "5", "body"]),
        (["body", "--wait"], ["body", "--wait=60"]),
        (["--", "--wait"], ["--", "--wait"]),
        (["--wait=7"], ["--wait=7"]),
    ],
)
def test_wait_needs_no_number(given, understood):
    seen = []
    command = TertuliaCommand("x", params=[click.Argument(["rest"], nargs=-1), click.Option(["--wait"], type=float)])
    command.callback = lambda rest, wait: seen.append((rest, wait))
    command.main(given, standalone_mode=False)
    assert options._filled_wait(given) == understood
    assert len(seen) == 1


# --- Checks


@pytest.mark.parametrize(
    "argument", ["tertulia:x", "tertulia-relay:x", "--link=tertulia:x", " Tertulia:x", "TERTULIA-RELAY:x"]
)
def test_a_secret_in_an_argument_is_refused(capsys, argument):
    with pytest.raises(SecretInArgumentError) as caught:
        check_no_secret(["join", argument])
    assert caught.value.code == "argument.secret"
    assert run(["join", argument, "--json"]) == 2
    assert argument not in capsys.readouterr().err


def test_secrets_leave_the_environment(monkeypatch):
    for name in ("TERTULIA_PASSPHRASE", "TERTULIA_LINK", "TERTULIA_CODE"):
        monkeypatch.setenv(name, CANARY)
    secrets = take_environment()
    assert CANARY not in os.environ.values()
    assert len(secrets.values) == 3
    assert CANARY not in repr(secrets)


def test_one_line_end_is_dropped(tmp_path):
    (tmp_path / "f").write_bytes("a é \r\n".encode())
    assert read_file(str(tmp_path / "f")) == "a é "
    (tmp_path / "f").write_bytes(b"a\n\n")
    assert read_file(str(tmp_path / "f")) == "a\n"
    (tmp_path / "f").write_bytes(b"\xff")
    for name in ("f", "none"):
        with pytest.raises(FileError) as caught:
            read_file(str(tmp_path / name))
        assert caught.value.code == "file"


def test_nobody_is_asked_where_nobody_is(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO())
    with pytest.raises(YesMissingError) as caught:
        check_person()
    assert caught.value.code == "yes.missing"
    with pytest.raises(PhraseFileMissingError) as missing:
        check_words_have_a_place(None)
    assert missing.value.code == "phrase_file.missing"


def report(**changes):
    fields = {"id": "c_x", "alias": "x", "state": "active", "at_head": True, "received": 0, "waiting": 0}
    return SyncReport(circles=(CircleSync(**{**fields, **changes}),), joins=())


def test_a_relay_that_was_not_reached_counts_only_where_it_was_waited_for():
    check_reached(report())
    with pytest.raises(UnreachableError) as caught:
        check_reached(report(error=UnreachableError()))
    assert caught.value.code == "relay.unreachable"


def test_a_circle_that_waits_for_a_decision_is_told():
    check_no_decision(report(error=UnreachableError()))
    with pytest.raises(ForkError) as caught:
        check_no_decision(report(state="fork_alarm", error=ForkError()))
    assert exit_code(caught.value) == 3


@pytest.mark.parametrize(("count", "fits"), [(0, False), (1, True), (3, True), (4, False)])
def test_arguments_are_counted(count, fits):
    if fits:
        check_count(count, least=1, most=3)
    else:
        with pytest.raises(click.UsageError):
            check_count(count, least=1, most=3)


def test_dates_numbers_and_histories_are_read():
    assert read_date("2026-11-21").isoformat() == "2026-11-21T00:00:00+00:00"
    assert read_date("2026-11-21T19:30+01:00").utcoffset().seconds == 3600
    assert read_date(None) is None
    assert [read_history(text) for text in ("none", "all", "30")] == ["none", "all", 30]
    assert read_number("12") == 12
    for read, text in (
        (read_date, "yesterday"),
        (read_history, "0"),
        (read_history, "-1"),
        (read_number, "x"),
        (read_number, "٣"),
    ):
        with pytest.raises(click.BadParameter):
            read(text)


def test_a_circle_is_named_by_alias_or_identifier():
    circles = [SimpleNamespace(id="c_abcdefghijklmnop", alias="Réseau")]
    assert names_circle("réseau", circles)
    assert names_circle("c_abcd", circles)
    assert not names_circle("c_abc", circles)
    assert not names_circle("p_abcd", circles)


def test_every_command_of_the_table_is_one():
    cli = main.build_cli()
    for name in cli.list_commands(click.Context(cli)):
        found = cli.get_command(click.Context(cli), name)
        assert isinstance(found, click.Command)
        with click.Context(cli) as context:
            assert found.help
            assert found.get_help(click.Context(found, parent=context, info_name=name))
