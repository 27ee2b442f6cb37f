"""One seed is one story: two whole clients on a virtual clock, in processes that share nothing but the seed."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from tests.support.traced_story import POSTS

ROOT = Path(__file__).resolve().parents[2]


async def play(seed: str, folder: Path, *, hashes: int) -> list[list[Any]]:
    """Play the story in a process of its own. :param hashes: the seed of Python's hashes, which order its sets."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.support.traced_story",
        seed,
        str(folder),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": str(hashes)},
    )
    output, faults = await process.communicate()
    assert (process.returncode, faults.decode()) == (0, "")
    return [json.loads(line) for line in output.splitlines()]


async def test_one_seed_is_one_trace(tmp_path: Path):
    once, again, another = await asyncio.gather(
        play("first", tmp_path / "1", hashes=1),
        play("first", tmp_path / "2", hashes=2),
        play("second", tmp_path / "3", hashes=1),
    )
    for line, same in zip(once, again, strict=False):
        assert line == same
    assert once == again
    assert [line[:4] for line in once] != [line[:4] for line in another]
    for trace in (once, another):
        check_that_something_happened(trace)


def check_that_something_happened(trace: list[list[Any]]) -> None:
    """Check that the story is one that could have gone otherwise, and ends as it must."""
    found = {(who, what) for _, who, what, *_ in trace}
    for who in ("Amina", "Bruno"):
        assert {(who, what) for what in ("request", "answer", "sleep", "event", "wrote", "reads")} <= found
        for what in ("request", "answer"):
            assert any(line[1:3] == [who, what] and line[-1] for line in trace), "nothing got lost"
    read = {line[1]: [title for _, title, *_ in line[3]] for line in trace if line[2] == "reads"}
    both = sorted(f"{who} {number}" for who in ("Amina", "Bruno") for number in range(POSTS))
    assert sorted(read["Bruno"]) == both
    assert sorted(read["Amina"]) == sorted([*both, "Amina 0"])
    ends = {line[1]: line[3:] for line in trace if line[2] == "circle"}
    assert ends == {"Amina": ["active", 2, 1, 1], "Bruno": ["removed", None, 0, None]}
