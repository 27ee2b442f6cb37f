"""How many durable 1 KiB appends a second the relay makes, in process: ``python -m tests.support.relay_bench``."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
from pathlib import Path

from tertulia_protocol.relay_api.responses import RelayLimits, Response, Status
from tertulia_relay.delivery.settings import Settings
from tests.support.relay_world import RelayWorld


async def measure(directory: Path, clients: int, seconds: float) -> dict[str, object]:
    limits = RelayLimits(append_burst_units=1 << 30, log_quota_bytes=1 << 40)
    async with RelayWorld(directory / f"{clients}.db", settings=Settings(limits=limits)) as world:
        segments = [await world.created(f"segment {number}") for number in range(min(clients, 32))]
        each = int(seconds * 12000 / clients)
        frames = [
            [world.append_request(segments[client % len(segments)], os.urandom(1024)).to_frame() for _ in range(each)]
            for client in range(clients)
        ]
        times: list[float] = []

        async def client(own: list[bytes]) -> None:
            for frame in own:
                start = time.perf_counter()
                answer = await world.relay.answer(frame)
                times.append(time.perf_counter() - start)
                if Response.from_frame(answer).status is not Status.OK:
                    raise RuntimeError("an append failed")

        commits, used, start = world.relay._writer.commits, time.process_time(), time.perf_counter()
        await asyncio.gather(*(client(own) for own in frames))
        spent, used = time.perf_counter() - start, time.process_time() - used
        commits = world.relay._writer.commits - commits
    times.sort()
    return {
        "clients": clients,
        "appends/s": round(len(times) / spent),
        "per_commit": round(len(times) / commits, 1),
        "cpu_us": round(1e6 * used / len(times)),
        "p50_ms": round(1000 * times[len(times) // 2], 2),
        "p99_ms": round(1000 * times[len(times) * 99 // 100], 2),
    }


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        for clients in [int(argument) for argument in sys.argv[1:]] or [1, 8, 64]:
            print(json.dumps(asyncio.run(measure(Path(directory), clients, 1))))  # noqa: T201 - its output


if __name__ == "__main__":
    main()
