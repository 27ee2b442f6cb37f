"""How a run of the command speaks: the result alone on standard output, talk on standard error (docs/reference/cli.md).

Everything that members wrote passes :func:`printable` before it reaches a terminal: text of others must not be able to
move the cursor, hide itself or turn around what follows.
"""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tertulia.i18n import describe
from tertulia_protocol.errors import TertuliaError

FSI, PDI = "\u2068", "\u2069"
"""First strong isolate and its end: what stands between keeps its own direction and leaves its surroundings alone."""

_CONTROL = {"Cc", "Cs"}
_TURNING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u2028\u2029")


class Output:
    """Standard output and standard error of one run."""

    def __init__(self, *, as_json: bool, quiet: bool) -> None:
        self.as_json = as_json
        self.quiet = quiet

    @property
    def draws(self) -> bool:
        """Whether a person watches standard error: progress and questions make sense."""
        return not (self.quiet or self.as_json) and sys.stderr.isatty()

    def result(self, text: str, value: object) -> None:
        """Print the one result: ``text`` for people, or ``value`` as one JSON object."""
        line = json.dumps(to_json(value), ensure_ascii=False) if self.as_json else text
        if line or self.as_json:
            sys.stdout.write(line + "\n")
        sys.stdout.flush()

    def json_line(self, value: object) -> None:
        """Print one line of a stream of JSON objects."""
        sys.stdout.write(json.dumps(to_json(value), ensure_ascii=False) + "\n")
        sys.stdout.flush()

    def say(self, text: str) -> None:
        """Tell a person something that is not the result."""
        if not (self.quiet or self.as_json):
            sys.stderr.write(text + "\n")
            sys.stderr.flush()

    def warn(self, error: TertuliaError) -> None:
        """Tell about an error that did not keep the command from its result; the exit code stays 0."""
        told = describe(error)
        if self.as_json:
            sys.stderr.write(json.dumps({"warning": told}, ensure_ascii=False) + "\n")
        else:
            sys.stderr.write(printable(f"{told['message']} {told['next']} [{told['code']}]") + "\n")

    def error(self, told: dict[str, str]) -> None:
        """Tell what went wrong: the only thing a run that fails prints."""
        if self.as_json:
            sys.stderr.write(json.dumps({"error": told}, ensure_ascii=False) + "\n")
            return
        lines = [told["message"], told["kept"], told["next"], f"[{told['code']}]"]
        lines += [told[name] for name in ("detail", "fault") if told.get(name)]
        sys.stderr.write("\n".join(printable(line) for line in lines if line) + "\n")


# --- JSON -----------------------------------------------------------------------------------------------------------


def to_json(value: object) -> Any:  # noqa: ANN401 - JSON is what it is
    """Return a result as JSON values: unknown fields absent, times RFC 3339 in UTC to the minute, errors described."""
    if is_dataclass(value) and not isinstance(value, type):
        unknown: frozenset[str] = getattr(value, "unknown_when_none", frozenset())
        pairs = ((field.name, getattr(value, field.name)) for field in fields(value))
        return {name: to_json(item) for name, item in pairs if item is not None or name not in unknown}
    if isinstance(value, dict):
        return {str(name): to_json(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    return _plain(value)


def _plain(value: object) -> object:
    if isinstance(value, TertuliaError):
        return describe(value)
    if isinstance(value, datetime):
        return rfc3339(value)
    return str(value) if isinstance(value, Path) else value


def rfc3339(moment: datetime) -> str:
    """Return a time in UTC to the minute."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:00Z")


# --- Text -----------------------------------------------------------------------------------------------------------


def printable(text: str, *, lines: bool = False) -> str:
    """Return text that cannot drive a terminal: control and turning characters are shown as U+FFFD.

    :param lines: newlines and tabs may stay.
    """
    kept = "\n\t" if lines else ""
    return "".join("\ufffd" if _is_unsafe(sign) and sign not in kept else sign for sign in text)


def _is_unsafe(sign: str) -> bool:
    return sign in _TURNING or unicodedata.category(sign) in _CONTROL


def isolated(text: str) -> str:
    """Return one line of somebody's text, on a terminal isolated so that its direction stays its own."""
    safe = printable(text)
    return f"{FSI}{safe}{PDI}" if safe and sys.stdout.isatty() else safe


def width(text: str) -> int:
    """Return how many columns a text takes."""
    return sum(_columns(sign) for sign in text)


def _columns(sign: str) -> int:
    if unicodedata.combining(sign) or unicodedata.category(sign) in {"Cf", "Mn", "Me"}:
        return 0
    return 2 if unicodedata.east_asian_width(sign) in "WF" else 1


def table(rows: Iterable[Sequence[str]]) -> str:
    """Return rows with their columns aligned, two spaces apart."""
    known = [[isolated(cell) for cell in row] for row in rows]
    if not known:
        return ""
    widths = [max(width(row[place]) for row in known) for place in range(len(known[0]))]
    return "\n".join(
        "  ".join(cell + " " * (wide - width(cell)) for cell, wide in zip(row, widths, strict=True)).rstrip()
        for row in known
    )


def local_time(moment: datetime) -> str:
    """Return a time as a person reads it: in the machine's zone, to the minute."""
    return moment.astimezone().strftime("%Y-%m-%d %H:%M")


def size(count: int) -> str:
    """Return a number of bytes in the unit that fits."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024 or unit == "GiB":
            break
        amount /= 1024
    return f"{count} B" if unit == "B" else f"{amount:.1f} {unit}"


def indented(text: str, depth: int) -> str:
    """Return lines of somebody's text, indented."""
    margin = "  " * depth
    return "\n".join(margin + isolated(line) for line in printable(text, lines=True).split("\n"))
