"""The tables behind ``make teeth``: the rules that exist (docs/protocol/rules*.md) and the rows that prove them."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

DEFAULT_TIMEOUT = 60.0
"""Seconds that one test may take, with its check on or off."""

_RULE = re.compile(r"^\|\s*`([^`]+)`\s*\|")
_TARGET = re.compile(r"^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*$")
_TABLE_KEYS = {"argument", "bytes", "name"}


class TableError(Exception):
    """A table is not written as docs/protocol/rules.md says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One proof: with ``off`` switched off, ``test`` must fail."""

    rule: str
    off: tuple[str, ...]
    test: str
    returns: object = None
    timeout: float = DEFAULT_TIMEOUT
    timeout_ok: bool = False
    crash_ok: str = ""
    source: str = ""

    @property
    def path(self) -> str:
        """Return the file part of the test's node id."""
        return self.test.partition("::")[0]


def read_registry(folder: Path) -> tuple[str, ...]:
    """Return the rule ids of the tables in ``rules*.md`` of a folder: each row's first column, in backticks.

    :raises TableError: a rule stands there twice.
    """
    lines = [line for path in sorted(folder.glob("rules*.md")) for line in path.read_text("utf-8").splitlines()]
    found = tuple(match[1] for line in lines if (match := _RULE.match(line)))
    twice = sorted(rule for rule, count in Counter(found).items() if count > 1)
    if twice:
        raise TableError(f"{folder}: more than once: {', '.join(twice)}")
    return found


def read_rows(folder: Path) -> tuple[Row, ...]:
    """Return the rows of every ``*.toml`` in ``folder``, in order of file name. :raises TableError: a bad row."""
    rows: list[Row] = []
    for path in sorted(folder.glob("*.toml")):
        with path.open("rb") as file:
            try:
                table = tomllib.load(file)
            except tomllib.TOMLDecodeError as error:
                raise TableError(f"{path.name}: {error}") from error
        if set(table) - {"row"} or not isinstance(table.get("row", []), list):
            raise TableError(f"{path.name}: only [[row]] tables belong here")
        rows.extend(_row(entry, f"{path.name} row {number}") for number, entry in enumerate(table.get("row", []), 1))
    _check_unique(rows)
    return tuple(rows)


def missing_rows(registry: Iterable[str], rows: Iterable[Row]) -> list[str]:
    """Return one sentence for each rule without a row and each row without a rule."""
    rules = set(registry)
    proven = {row.rule for row in rows}
    return [
        *(f"{rule}: no row in tests/teeth proves this rule" for rule in registry if rule not in proven),
        *(f"{row.rule}: not in the registry ({row.source})" for row in rows if row.rule not in rules),
    ]


def _row(entry: Mapping[str, object], source: str) -> Row:
    unknown = set(entry) - {"rule", "off", "test", "returns", "timeout", "timeout_ok", "crash_ok"}
    if unknown:
        raise TableError(f"{source}: unknown {', '.join(sorted(unknown))}")
    for key in ("rule", "off", "test"):
        if not entry.get(key):
            raise TableError(f"{source}: {key} is missing")
    off = entry["off"]
    targets = tuple(str(target) for target in off) if isinstance(off, list) else (str(off),)
    for target in targets:
        if not _TARGET.match(target):
            raise TableError(f"{source}: off = {target!r} is not module:function or module:Class.method")
    if "::" not in str(entry["test"]):
        raise TableError(f"{source}: test = {entry['test']!r} is not a pytest node id")
    returns = entry.get("returns")
    if isinstance(returns, dict) and (len(returns) != 1 or not set(returns) <= _TABLE_KEYS):
        raise TableError(f"{source}: returns takes one of {', '.join(sorted(_TABLE_KEYS))}")
    return Row(
        rule=str(entry["rule"]),
        off=targets,
        test=str(entry["test"]),
        returns=returns,
        timeout=float(str(entry.get("timeout", DEFAULT_TIMEOUT))),
        timeout_ok=entry.get("timeout_ok") is True,
        crash_ok=str(entry.get("crash_ok", "")),
        source=source,
    )


def _check_unique(rows: Iterable[Row]) -> None:
    for (rule, off, test), count in Counter((row.rule, row.off, row.test) for row in rows).items():
        if count > 1:
            raise TableError(f"{rule}: the row {'+'.join(off)} / {test} stands there {count} times")
