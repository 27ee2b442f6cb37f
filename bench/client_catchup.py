"""Catching up: a member who was away reads 10,000 posts of 200 characters, in a process of its own.

Everything that a member's device does: HTTP over loopback, both wraps, MLS, signatures, chains, the fold into boards,
the encrypted store. There is no peer. The peak of memory is that of the whole process once everything is read, beside
what it was with the profile just opened (opening it with the production cost of Argon2id takes 256 MiB for a moment;
here it costs nothing).
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from bench.common import Line, Param, benchmark
from bench.members import CHARACTERS, admit, found, opened, running_relay, runtime_of, write_many
from tertulia.sending import flush_outbox

POSTS = 10_000


def peak_mib() -> float:
    """Return the most memory this process ever had in RAM, in MiB."""
    # Not getrusage: there the peak of the parent at the time of the fork is part of it.
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


async def catch_up(profile: Path) -> dict[str, float]:
    """Read everything; return how long it took and how much memory."""
    async with opened(profile) as client:
        before, started = peak_mib(), time.perf_counter()
        report = await client.sync(timeout=280)
        seconds = time.perf_counter() - started
        (circle,) = report.circles
        if circle.error is not None or not circle.at_head:
            raise RuntimeError(f"not at the head: {circle}")
        posts = await client.read()
    return {"seconds": seconds, "posts": len(posts), "received": circle.received, "before": before, "peak": peak_mib()}


async def prepare(founder: Path, posts: int) -> None:
    """Let a founder write the posts and send them."""
    async with runtime_of(founder) as (runtime, circle_id):
        await write_many(runtime, circle_id, posts)
        if await flush_outbox(runtime, circle_id) != posts:
            raise RuntimeError("not everything was sent")


@benchmark("client.catchup")
async def run() -> AsyncIterator[Line]:
    """Yield posts per second, and the peak of memory."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        karim = folder / "karim"
        with running_relay(folder) as relay:
            await found(folder / "amina", relay)
            await admit(folder / "amina", karim)
            await prepare(folder / "amina", POSTS)
            result = measured(karim)
    if result["posts"] != POSTS:
        raise RuntimeError(f"{result['posts']} posts instead of {POSTS}")
    params: dict[str, Param] = {"posts": POSTS, "characters": CHARACTERS, "storage": "sqlite", "processes": 1}
    yield Line(params=params | {"what": "posts"}, value=POSTS / result["seconds"], unit="1/s")
    yield Line(params=params | {"what": "peak memory"}, value=result["peak"], unit="MiB")
    yield Line(params=params | {"what": "memory before"}, value=result["before"], unit="MiB")


def measured(profile: Path) -> dict[str, Any]:
    """Catch up in another process."""
    command = [sys.executable, "-m", "bench.client_catchup", str(profile)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=290)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


if __name__ == "__main__":
    json.dump(asyncio.run(catch_up(Path(sys.argv[1]))), sys.stdout)
