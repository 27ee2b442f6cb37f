"""How a run speaks: nothing that others wrote drives the terminal; JSON as the contract says."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import ClassVar

import pytest

from tertulia.cli import output as module
from tertulia.cli.output import Output, indented, isolated, printable, rfc3339, size, table, to_json, width
from tertulia.errors import StuckError, WrongRelayError
from tertulia.results import Result


@pytest.mark.parametrize(
    "text",
    [
        "\x1b[2J",
        "a\x07",
        "\x9b31m",
        "\x00",
        "a\rb",
        "\u202egnp.exe",
        "\u2066x",
        "\u200fa",
        "\ud800",
        "\x7f",
        "a\u2028b",
    ],
)
def test_what_could_drive_a_terminal_is_shown_as_such(text):
    shown = printable(text)
    assert "\ufffd" in shown
    assert len(shown) == len(text)
    assert printable(shown) == shown


def test_newlines_stay_in_bodies_only():
    assert printable("a\n\tb", lines=True) == "a\n\tb"
    assert printable("a\n\tb") == "a\ufffd\ufffdb"
    assert indented("a\n\x1b[1mb", 1) == "  a\n  \ufffd[1mb"


@pytest.mark.parametrize("text", ["السلام", "Ünïcödé", "名前", "👩‍👩‍👧", "नमस्ते"])
def test_ordinary_text_of_any_script_stays_as_it_is(text):
    assert printable(text) == text


def test_a_name_on_a_terminal_keeps_its_direction_to_itself(monkeypatch):
    class Screen(io.StringIO):
        def isatty(self):
            return True

    assert isolated("أهلا") == "أهلا"
    monkeypatch.setattr(module.sys, "stdout", Screen())
    assert isolated("سلم\u202e") == "\u2068سلم\ufffd\u2069"
    assert isolated("") == ""


def test_columns_are_aligned_by_what_they_take():
    assert width("名") == 2
    assert width("e\u0301") == 1
    assert table([("a", "1"), ("名前", "2")]) == "a     1\n名前  2"
    assert table([]) == ""


def test_sizes_are_read_at_a_glance():
    assert [size(n) for n in (0, 1023, 1024, 5 << 20, 3 << 40)] == ["0 B", "1023 B", "1.0 KiB", "5.0 MiB", "3072.0 GiB"]


@dataclass(frozen=True)
class Thing(Result):
    name: str | None
    parent: str | None
    at: datetime
    path: Path
    parts: tuple = ()
    unknown_when_none: ClassVar[frozenset[str]] = frozenset({"name"})


def test_unknown_is_absent_and_none_is_null():
    paris = timezone(timedelta(hours=1))
    thing = Thing(None, None, datetime(2026, 11, 21, 20, 30, 59, tzinfo=paris), Path("/x"), (StuckError(),))
    shown = to_json({"things": [thing]})["things"][0]
    assert "name" not in shown
    assert shown["parent"] is None
    assert shown["at"] == "2026-11-21T19:30:00Z"
    assert shown["path"] == "/x"
    assert shown["parts"][0]["code"] == "circle.stuck"
    assert rfc3339(datetime(2026, 1, 1, tzinfo=UTC)) == "2026-01-01T00:00:00Z"


def test_json_is_one_line_and_talk_is_silent(capsys):
    out = Output(as_json=True, quiet=False)
    out.say("talk")
    out.result("text", {"text": "a\nb é"})
    shown = capsys.readouterr()
    assert shown.err == ""
    assert shown.out.count("\n") == 1
    assert json.loads(shown.out) == {"text": "a\nb é"}
    assert "é" in shown.out


def test_quiet_is_the_result_and_faults(capsys):
    out = Output(as_json=False, quiet=True)
    out.say("talk")
    out.result("text", {})
    assert capsys.readouterr() == ("text\n", "")
    out.error({"code": "c", "message": "m \x1b[1m", "kept": "", "next": "n"})
    assert capsys.readouterr() == ("", "m \ufffd[1m\nn\n[c]\n")


def test_a_warning_cannot_drive_a_terminal(capsys):
    out = Output(as_json=False, quiet=False)
    out.warn(WrongRelayError(uri="https://relay.example/\x1b[2J\u202e"))
    shown = capsys.readouterr().err
    assert "\ufffd[2J\ufffd" in shown
    assert shown.isprintable() or shown.rstrip("\n").isprintable()
    assert "[relay.wrong_key]" in shown
