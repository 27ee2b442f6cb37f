"""What the demonstration prints: what people see on the left, what the relay got of it on the right."""

from __future__ import annotations

import sys

from tests.demo.commands import StepFailedError
from tests.demo.holdings import Holdings, Thing
from tests.demo.layout import LEFT, RIGHT, WIDTH, beside, heading, size, wrapped
from tests.demo.story import Cast

INTRODUCTION = """\
Four people and one relay on this machine; each command is a process of its own.
On the left is what people type and see, on the right all that the relay got of it:
sizes and first bytes, in hexadecimal digits. Every step is checked."""

MOST_LINES = 3
"""Of one text on the left."""
MOST_THINGS = 9
"""New things on the right that are listed one by one."""


class Page:
    """Standard output, in full or one line for each step."""

    def __init__(self, *, brief: bool) -> None:
        self._brief = brief
        if not brief:
            self._write(INTRODUCTION)

    def _write(self, *lines: str) -> None:
        sys.stdout.write("".join(f"{line}\n" for line in lines))
        sys.stdout.flush()

    def step(self, number: int, title: str, *, cast: Cast, before: Holdings, seconds: float) -> None:
        """Show a step that held."""
        if self._brief:
            self._write(f"ok {number:2} {title} ({seconds:.1f} s)")
            return
        now = cast.holdings()
        right = [f"The relay has {len(now.of('entry'))} entries, {len(now.of('blob'))} blobs", *_news(now, before)]
        self._write("", heading(f"{number}. {title}"), *beside(_people(cast), right))

    def failed(self, number: int, title: str, error: Exception) -> None:
        """Show the step that did not hold."""
        self._write(f"FAILED {number:2} {title}")
        if isinstance(error, StepFailedError):
            lines = [f"expected: {error.expected}", f"got: {error.got}"]
            lines += ["the command wrote:", *error.stderr.splitlines()] if error.stderr else []
        else:
            lines = str(error).splitlines()
        self._write(*(part for line in lines for part in wrapped(line, WIDTH, margin="    ")))

    def everything(self, cast: Cast) -> None:
        """Show all that the relay holds."""
        if self._brief:
            return
        now = cast.holdings()
        self._write("", heading("Everything that the relay holds"), "")
        self._write(*(f"  table {name:<16}{rows:>6} rows{size(held):>16}" for name, (rows, held) in now.tables.items()))
        self._write("", *(_line(thing) for thing in now.things.values()), "")
        files = sorted(file for file in cast.relay.directory.iterdir() if file.is_file())
        self._write(*(f"  file {file.name:<17}{size(file.stat().st_size):>27}" for file in files))
        log = cast.relay.log.read_text(encoding="utf-8").splitlines()
        self._write("", "  its whole log:", *(f"    {line}"[:WIDTH] for line in log or ["(empty)"]), "")
        self._write(heading("Every step held"))


def _line(thing: Thing) -> str:
    return f"  {thing.label:<28}{size(len(thing.data)):>12}   {thing.first} ..."


def _people(cast: Cast) -> list[str]:
    lines = [part for typed in cast.typed for part in wrapped(typed, LEFT, most=MOST_LINES)]
    for title, seen in cast.seen:
        lines += ["", f"{title}:"]
        for text in seen:
            margin = "  " + text[: len(text) - len(text.lstrip())]
            lines += wrapped(text.strip(), LEFT, margin=margin, most=MOST_LINES)
    return lines


def _news(now: Holdings, before: Holdings) -> list[str]:
    new = now.since(before)
    lines: list[str] = []
    for thing in new[:MOST_THINGS]:
        lines += [f"+ {thing.label}, {size(len(thing.data))}"[:RIGHT], f"  {thing.first[: RIGHT - 6]} ..."]
    rest = new[MOST_THINGS:]
    if rest:
        lines.append(f"+ {len(rest)} more, {size(sum(len(thing.data) for thing in rest))}")
    return lines or ["nothing new"]
