"""What the documents claim, taken out of their text so that tests can hold it against the code.

Conventions: a path in backticks begins with one of ``TOPS``; ``path.py::name`` or ``path.py::Class.method`` names what
is in it; commands stand in blocks of ``console`` after ``$``, or in backticks. A word after ``console`` says whose
terminal it is: ``tests/end_to_end/test_how_to.py`` runs those.
"""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

TOPS = ("protocol/", "server/", "client/", "tests/", "bench/", "docs/")
PROGRAMS = ("tertulia", "tertulia-relay", "make")

_FENCE = re.compile(r"^```(.*?)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_SECTIONS = re.compile(r'docs/(\w+)((?:(?:,| and) "[^"]+")+)')
_LINE_BREAK = re.compile(r"\s*\n\s*(?:# )?")
_RULE_TITLE = re.compile(r"[^\w\- ]")


@dataclass(frozen=True, slots=True)
class Block:
    """A block of ``console``: whose terminal (empty: anybody's), and the commands after ``$``."""

    person: str
    commands: tuple[str, ...]


def documents(root: Path) -> tuple[Path, ...]:
    """Return every document for people: those at the top, and all under ``docs``."""
    return (*sorted(root.glob("*.md")), *sorted((root / "docs").rglob("*.md")))


def without_blocks(text: str) -> str:
    """Return a text without its fenced blocks."""
    return _FENCE.sub("", text)


def code_spans(text: str) -> tuple[str, ...]:
    """Return what stands in backticks, outside of blocks."""
    return tuple(_CODE.findall(without_blocks(text)))


def blocks(text: str) -> Iterator[Block]:
    """Return the blocks of ``console``, in order."""
    for info, body in _FENCE.findall(text):
        language, _, person = info.strip().partition(" ")
        if language == "console":
            yield Block(person, tuple(line[2:] for line in body.splitlines() if line.startswith("$ ")))


def commands(text: str) -> tuple[tuple[str, ...], ...]:
    """Return the words of each command of ours that a document shows, in blocks and in backticks.

    What follows a ``|``, ``>`` or ``<`` belongs to the shell.
    """
    shown = [line for block in blocks(text) for line in block.commands]
    spans = [span for span in code_spans(text) if span.partition(" ")[0] in PROGRAMS and " " in span]
    split = (shlex.split(re.split(r"\s[|<>]\s", line)[0]) for line in (*shown, *spans))
    return tuple(tuple(words) for words in split if words and words[0] in PROGRAMS)


def find_dead_links(root: Path) -> list[str]:
    """Find relative links, with their anchors, that lead nowhere."""
    faults = []
    for path in documents(root):
        for target in _LINK.findall(without_blocks(path.read_text("utf-8"))):
            if "://" in target or target.startswith("mailto:"):
                continue
            file, _, anchor = target.partition("#")
            found = (path.parent / file).resolve() if file else path
            if not found.exists() or (anchor and anchor not in _anchors(found)):
                faults.append(f"{path.relative_to(root)}: {target}")
    return faults


def _anchors(path: Path) -> frozenset[str]:
    titles = (line.lstrip("#").strip() for line in path.read_text("utf-8").splitlines() if line.startswith("#"))
    return frozenset(_RULE_TITLE.sub("", title.lower()).replace(" ", "-") for title in titles)


def find_dead_names(root: Path) -> list[str]:
    """Find paths in backticks that do not exist, and names after ``::`` that are not in their file."""
    return [
        f"{path.relative_to(root)}: {span}"
        for path in documents(root)
        for span in code_spans(path.read_text("utf-8"))
        if span.startswith(TOPS) and not is_there(root, span)
    ]


def find_dead_sections(root: Path, folders: Iterable[str]) -> list[str]:
    """Find sections that a source file names (a folder of ``docs``, then titles in quotes) and no document has."""
    return [
        f"{path.relative_to(root)}: {title}"
        for folder in folders
        for path in sorted((root / folder).rglob("*.py"))
        for part, titles in _SECTIONS.findall(_LINE_BREAK.sub(" ", path.read_text("utf-8")))
        for title in re.findall(r'"([^"]+)"', titles)
        if title not in _titles(root / "docs" / part)
    ]


@cache
def _titles(folder: Path) -> frozenset[str]:
    lines = (line for path in folder.rglob("*.md") for line in path.read_text("utf-8").splitlines())
    return frozenset(line.lstrip("#").strip() for line in lines if line.startswith("#"))


def is_there(root: Path, name: str) -> bool:
    """Answer whether ``path`` or ``path::name`` or ``path::Class.method`` exists. Stars in a path match."""
    path, _, inside = name.partition("::")
    if "*" in path:
        return any(root.glob(path))
    file = root / path
    return file.exists() and (not inside or inside in _defined(ast.parse(file.read_text("utf-8")).body))


def _defined(body: Iterable[ast.stmt], prefix: str = "") -> frozenset[str]:
    found: set[str] = set()
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(prefix + node.name)
        if isinstance(node, ast.ClassDef):
            found |= _defined(node.body, f"{prefix}{node.name}.")
    return frozenset(found)


def first_column(text: str) -> tuple[str, ...]:
    """Return what stands in backticks as the first cell of the rows of tables."""
    return tuple(re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE))


def last_column(text: str) -> tuple[str, ...]:
    """Return everything in backticks in the last cell of the rows of tables."""
    cells = (line.rstrip().removesuffix("|").rpartition("|")[2] for line in text.splitlines() if line.startswith("|"))
    return tuple(name for cell in cells for name in _CODE.findall(cell))
