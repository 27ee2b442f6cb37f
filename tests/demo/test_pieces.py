"""The demonstration's own pieces: what it would miss, it must not claim."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.demo import texts
from tests.demo.commands import StepFailedError, check
from tests.demo.files import FilesError, body_of, read_real_files
from tests.demo.holdings import read_holdings, squeezed
from tests.demo.layout import LEFT, WIDTH, beside, columns, heading, wrapped
from tests.demo.page import INTRODUCTION
from tests.demo.search import file_needles, planted, search, text_needles
from tests.demo.story import STEPS


@pytest.mark.parametrize("text", [texts.MARKET, texts.ROAD, texts.BAKARY, texts.LEILA, texts.BOARD_FIELD])
def test_a_planted_text_is_found_in_every_form_and_noise_holds_none(text: str) -> None:
    needles = text_needles("it", text)
    for form, leak in planted(text).items():
        if form != "half of it" or len(text) > 50:
            assert search({"file": os.urandom(100_003) + leak + os.urandom(1000)}, needles), form
    assert search({"file": os.urandom(1_000_000)}, needles) == []


def test_a_part_of_a_file_is_found() -> None:
    data = os.urandom(100_000)
    needles = file_needles("it", data)
    assert search({"disk": b"x" + data[20_000:40_000]}, needles)
    assert search({"disk": os.urandom(100_000)}, needles) == []


def test_noise_stays_as_it_is_and_text_shrinks() -> None:
    assert squeezed(os.urandom(4096)) > 0.99
    assert squeezed(texts.MARKET.encode() * 20) < 0.5


def test_columns_stand_side_by_side_within_the_page() -> None:
    left = [line for text in (texts.ROAD, texts.MARKET, texts.MEETING) for line in wrapped(text, LEFT, margin="  ")]
    lines = list(beside(left, ["ab" * 40] * 3))
    assert len(lines) == len(left)
    assert all(columns(line) <= WIDTH for line in lines)
    assert {columns(line[: line.index("│")]) for line in lines} == {LEFT + 1}
    assert columns(heading("x")) == WIDTH


def test_titles_fit_into_their_heading() -> None:
    assert all(columns(title) < WIDTH - 10 for title, _ in STEPS)
    assert all(columns(line) <= WIDTH for line in INTRODUCTION.splitlines())


def test_text_becomes_a_body_and_other_files_do_not(tmp_path: Path) -> None:
    assert body_of("e\u0301\r\nb".encode()) == "é\nb"
    assert body_of(b"\xff\xfe") is None
    assert body_of(b"bell \x07") is None
    assert body_of(b"x" * 65537) is None
    assert body_of(b" \n") is None
    (tmp_path / "a b.txt").write_text("text")
    (file,) = read_real_files(f"'{tmp_path}/a b.txt'")
    assert (file.title, file.body, file.data) == ("a b.txt", "text", b"text")
    with pytest.raises(FilesError, match="missing"):
        read_real_files(str(tmp_path / "missing"))
    with pytest.raises(FilesError):
        read_real_files(str(tmp_path))


def test_a_step_that_does_not_hold_says_what_was_expected() -> None:
    check(holds=True, expected="x")
    with pytest.raises(StepFailedError) as raised:
        check(holds=False, expected="one", got="two")
    assert (raised.value.expected, raised.value.got) == ("one", "two")


def test_everything_in_the_database_is_measured(tmp_path: Path) -> None:
    path = tmp_path / "relay.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(
            """
            CREATE TABLE seg (id BLOB, cfg BLOB); CREATE TABLE ent (seg BLOB, seq INTEGER, rid INTEGER);
            CREATE TABLE blob (id BLOB, rid INTEGER); CREATE TABLE body (rid INTEGER, data BLOB);
            CREATE TABLE code (h BLOB);
            INSERT INTO seg VALUES (x'aabbcc', x'01'); INSERT INTO ent VALUES (x'aabbcc', 1, 7);
            INSERT INTO blob VALUES (x'ddeeff', 8); INSERT INTO body VALUES (7, x'1122'), (8, x'334455');
            """
        )
    found = read_holdings(path)
    assert found.tables["body"] == (2, 7)
    assert {thing.label: thing.data.hex() for thing in found.things.values()} == {
        "segment aabbcc": "01",
        "entry aabbcc 1": "1122",
        "blob ddeeff": "334455",
    }
