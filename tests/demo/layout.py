"""Text side by side within 100 columns, in several scripts, with or without a terminal."""

from __future__ import annotations

import itertools
import sys
import textwrap
import unicodedata
from collections.abc import Iterable, Sequence

WIDTH = 100
LEFT = 57
BETWEEN = " │ "
RIGHT = WIDTH - LEFT - len(BETWEEN)

_ISOLATE, _END = "\u2068", "\u2069"
_LEFT_TO_RIGHT = "\u200e"


def columns(text: str) -> int:
    """Return how many columns a text takes."""
    return sum(_columns(sign) for sign in text)


def _columns(sign: str) -> int:
    if unicodedata.combining(sign) or unicodedata.category(sign) in {"Cf", "Mn", "Me"}:
        return 0
    return 2 if unicodedata.east_asian_width(sign) in "WF" else 1


def wrapped(text: str, width: int, *, margin: str = "", most: int = 0) -> list[str]:
    """Return the lines of a text, each within ``width`` columns; of more than ``most`` the rest is left out."""
    lines = [
        margin + part
        for line in text.splitlines() or [""]
        for part in textwrap.wrap(line, width - len(margin), break_on_hyphens=False) or [""]
    ]
    lines = [line for line in lines if line.strip()]
    if most and len(lines) > most:
        lines = [*lines[: most - 1], f"{margin}..."]
    return [_cut(line, width) for line in lines]


def _cut(line: str, width: int) -> str:
    while columns(line) > width:
        line = line[:-1]
    return line


def beside(left: Sequence[str], right: Sequence[str]) -> Iterable[str]:
    """Yield two lists of lines side by side."""
    for one, other in itertools.zip_longest(left, right, fillvalue=""):
        text = _cut(one, LEFT)
        yield f"{_own_direction(text)}{' ' * (LEFT - columns(text))}{BETWEEN}{_cut(other, RIGHT)}".rstrip()


def _own_direction(text: str) -> str:
    """Keep text that is read from the right from turning around what stands beside it, on a terminal."""
    if not any(unicodedata.bidirectional(sign) in {"R", "AL"} for sign in text) or not sys.stdout.isatty():
        return text
    margin = text[: len(text) - len(text.lstrip())]
    return f"{margin}{_ISOLATE}{text.lstrip()}{_END}{_LEFT_TO_RIGHT}"


def heading(text: str) -> str:
    """Return a heading as wide as the page."""
    return f"── {text} ".ljust(WIDTH, "─")


def size(count: int) -> str:
    """Return a number of bytes."""
    return f"{count:,} B"
