"""``make bench``: run the benchmarks, each in a process of its own, with nothing but JSON lines on standard output."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import redirect_stdout
from pathlib import Path

from bench.common import BENCHMARKS, Line, render

FOLDER = Path(__file__).parent
LIMIT_SECONDS = 300
"""What one benchmark may take; ``relay.soak`` is the exception."""


def load() -> None:
    """Import every module of this folder, which registers its benchmarks."""
    for path in sorted(FOLDER.glob("*.py")):
        if path.stem not in {"__init__", "common", "run"}:
            importlib.import_module(f"bench.{path.stem}")


def names(only: str) -> list[str]:
    """Return the registered names that are ``only`` or begin with it and a dot; all if it is empty."""
    return [name for name in BENCHMARKS if not only or name == only or name.startswith(f"{only}.")]


async def collect(lines: AsyncIterator[Line]) -> list[Line]:
    """Return everything that an async benchmark yields."""
    return [line async for line in lines]


def lines_of(name: str) -> Iterator[Line]:
    """Run one benchmark here. What it prints by itself goes to standard error."""
    with redirect_stdout(sys.stderr):
        result = BENCHMARKS[name]()
        yield from asyncio.run(collect(result)) if isinstance(result, AsyncIterator) else result


def run_here(name: str) -> int:
    """Run one benchmark in this process and print its lines as they come."""
    out = sys.stdout
    printed = 0
    for line in lines_of(name):
        out.write(render(name, line) + "\n")
        out.flush()
        printed += 1
    if not printed:
        sys.stderr.write(f"{name}: no line\n")
    return 0 if printed else 1


def run_apart(name: str) -> int:
    """Run one benchmark in a process of its own, so that no other one warms its caches or fills its memory."""
    started = time.monotonic()
    status = subprocess.run([sys.executable, "-m", "bench.run", "--here", name], check=False).returncode
    seconds = time.monotonic() - started
    late = f", over {LIMIT_SECONDS} s" if seconds > LIMIT_SECONDS else ""
    sys.stderr.write(f"{name}: {'done' if status == 0 else 'failed'} in {seconds:.1f} s{late}\n")
    return status


def main() -> int:
    """Return 0 if every benchmark ran."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--only", default="")
    parser.add_argument("--here", default="")
    options = parser.parse_args()
    load()
    if options.here:
        return run_here(options.here)
    chosen = names(options.only)
    if not chosen:
        sys.stderr.write(f"no benchmark is named {options.only or 'anything'}; there are: {', '.join(BENCHMARKS)}\n")
        return 2
    return max([run_apart(name) for name in chosen])


if __name__ == "__main__":
    sys.exit(main())
