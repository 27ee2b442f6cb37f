"""What the documents say is so: links lead somewhere, names exist, commands are those of the programs."""

from __future__ import annotations

import os
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import click
import pytest

from tertulia.cli.main import build_cli
from tertulia_relay.cli import Output as RelayOutput
from tertulia_relay.cli import build_cli as build_relay_cli
from tertulia_relay.storage.sql import SqlStorage
from tests.support.documents import (
    blocks,
    code_spans,
    commands,
    documents,
    find_dead_links,
    find_dead_names,
    find_dead_sections,
    first_column,
    is_there,
    last_column,
)
from tests.support.sources import PACKAGES
from tests.support.teeth_rows import read_registry

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PLACEHOLDER = re.compile(r"\.\.\.")
TARGETS = frozenset(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))


def read(name: str) -> str:
    return (DOCS / name).read_text("utf-8")


def test_links_lead_somewhere():
    assert find_dead_links(ROOT) == []


def test_files_and_functions_exist():
    assert find_dead_names(ROOT) == []


def test_sections_that_the_code_names_exist():
    assert find_dead_sections(ROOT, PACKAGES) == []


def find_unnumbered(folder: Path) -> list[str]:
    """Return the decisions whose number is not the next, is not in their title, or that the index does not list."""
    notes = sorted(folder.glob("[0-9]*.md"))
    index = (folder / "README.md").read_text("utf-8")
    numbered = (
        path.name.startswith(f"{number:04}-")
        and path.read_text("utf-8").startswith(f"# {number:04}: ")
        and f"| [{number:04}]({path.name}) | " in index
        for number, path in enumerate(notes, 1)
    )
    others = [path.name for path in folder.glob("*.md") if path.name != "README.md" and path not in notes]
    return [path.name for path, fine in zip(notes, numbered, strict=True) if not fine] + others


def test_decisions_are_numbered_and_listed():
    assert find_unnumbered(DOCS / "decisions") == []


def test_the_way_of_a_post_names_functions():
    named = [span for span in code_spans(read("architecture.md")) if "::" in span]
    assert len(named) > 30


# --- Commands


def find_fault(words: tuple[str, ...]) -> str | None:
    """Say what is wrong with a command that a document shows, if anything is."""
    program, *rest = words
    if program == "make":
        unknown = [word for word in rest if "=" not in word and word not in TARGETS]
        return f"no target {unknown}" if unknown else None
    command: click.Command = build_cli() if program == "tertulia" else build_relay_cli(RelayOutput([]))
    context = click.Context(command)
    known = options_of(command)
    while rest and isinstance(command, click.Group):
        word = rest.pop(0)
        if word.startswith("-"):
            if known.get(word):
                rest = rest[1:]
            if word not in known:
                return f"no option {word}"
            continue
        found = command.get_command(context, word)
        if found is None:
            return f"no command {word}"
        command, known = found, {**known, **options_of(found)}
    unknown = [word for word in rest if word.startswith("--") and word.partition("=")[0] not in known]
    return f"no option {unknown}" if unknown else None


def options_of(command: click.Command) -> dict[str, bool]:
    """Return the options of a command, and whether a value follows."""
    given = [one for one in command.get_params(click.Context(command)) if isinstance(one, click.Option)]
    return {name: not one.is_flag for one in given for name in (*one.opts, *one.secondary_opts)}


SHOWN = [
    pytest.param(words, id=f"{path.relative_to(ROOT)}: {' '.join(words)}")
    for path in documents(ROOT)
    for words in dict.fromkeys(commands(path.read_text("utf-8")))
    if not any(PLACEHOLDER.search(word) for word in words)
]


def test_commands_are_found_in_the_documents():
    assert len(SHOWN) > 30


@pytest.mark.parametrize("words", SHOWN)
def test_every_command_shown_exists(words: tuple[str, ...]):
    assert find_fault(words) is None


@pytest.mark.parametrize(
    "words",
    [
        ("tertulia", "circle", "found", "Lake"),
        ("tertulia", "post", "--bord", "General"),
        ("tertulia", "--profil", "x", "read"),
        ("tertulia-relay", "start", "DIR"),
        ("tertulia-relay", "code", "DIR", "--units", "5"),
        ("make", "tests"),
    ],
)
def test_a_command_that_does_not_exist_is_found(words: tuple[str, ...]):
    assert find_fault(words) is not None


# --- What the relay sees


@pytest.fixture
async def columns(tmp_path: Path):
    """Return the columns of a database as a relay makes it."""
    storage = SqlStorage(tmp_path / "relay.db", rng=os.urandom)
    await storage.open()
    await storage.close()
    with closing(sqlite3.connect(tmp_path / "relay.db")) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        columns = "SELECT name FROM pragma_table_info(?)"
        return {f"{table}.{name}" for table in tables for (name,) in database.execute(columns, (table,))}


def undocumented(columns: set[str], text: str) -> set[str]:
    """Return the columns without an entry, and the entries without a column."""
    return columns ^ set(first_column(text))


def test_every_column_of_the_relay_is_explained(columns: set[str]):
    assert undocumented(columns, read("what-the-relay-sees.md")) == set()


def test_a_column_without_an_entry_is_found(columns: set[str]):
    assert undocumented(columns | {"seg.made_at"}, read("what-the-relay-sees.md")) == {"seg.made_at"}


# --- The threat model


def find_unproven(text: str) -> list[str]:
    """Return what a threat model names as held by nothing: neither a rule nor a file or test that exists."""
    rules = frozenset(read_registry(DOCS / "protocol"))
    return [name for name in last_column(text) if name not in rules and not ("/" in name and is_there(ROOT, name))]


def test_what_holds_an_adversary_exists():
    assert find_unproven(read("threat-model.md")) == []


def test_what_holds_nobody_is_found():
    planted = "| Cannot | fly | `V99` `V1` `tests/none.py` `tests/conftest.py::none` |\n"
    assert find_unproven(planted) == ["V99", "tests/none.py", "tests/conftest.py::none"]


def test_every_cannot_says_what_holds():
    rows = [line for line in read("threat-model.md").splitlines() if re.match(r"^\| [\w: ]*[Cc]annot \|", line)]
    assert len(rows) > 30
    assert [row for row in rows if not last_column(row)] == []


# --- The checks themselves


def test_planted_faults_are_found(tmp_path: Path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "client").mkdir()
    (tmp_path / "client/a.py").write_text("class A:\n    def b(self): ...\n\n\ndef c(): ...\n")
    (tmp_path / "docs/x.md").write_text(
        "# One title\n[a](y.md) [b](x.md#one-title) [c](#two) [d](https://example.org)\n"
        "`client/a.py` `client/a.py::A.b` `client/a.py::c` `client/a.py::d` `client/b.py` `client/*.py`\n"
    )
    assert find_dead_links(tmp_path) == ["docs/x.md: y.md", "docs/x.md: #two"]
    assert find_dead_names(tmp_path) == ["docs/x.md: client/a.py::d", "docs/x.md: client/b.py"]


def test_a_planted_section_is_found(tmp_path: Path):
    (tmp_path / "docs/protocol").mkdir(parents=True)
    (tmp_path / "client").mkdir()
    (tmp_path / "docs/protocol/x.md").write_text("## Here\n")
    (tmp_path / "client/a.py").write_text('"""One (docs/protocol,\n"Here" and "Gone")."""\n# docs/protocol, "Away"\n')
    assert find_dead_sections(tmp_path, ["client"]) == ["client/a.py: Gone", "client/a.py: Away"]


def test_a_decision_out_of_order_is_found(tmp_path: Path):
    (tmp_path / "README.md").write_text("| [0001](0001-a.md) | A |\n")
    (tmp_path / "0001-a.md").write_text("# 0001: A\n")
    assert find_unnumbered(tmp_path) == []
    (tmp_path / "0003-c.md").write_text("# 0003: C\n")
    (tmp_path / "b.md").write_text("# B\n")
    assert find_unnumbered(tmp_path) == ["0003-c.md", "b.md"]


def test_blocks_and_spans_are_told_apart():
    text = (
        "`tertulia read`\n```console Amina\n$ tertulia post --title 'a b' > x\nout\n```\n```text\n$ tertulia no\n```\n"
    )
    assert [block.person for block in blocks(text)] == ["Amina"]
    assert commands(text) == (("tertulia", "post", "--title", "a b"), ("tertulia", "read"))
