"""What a command does with its own memory, seen from outside."""

from __future__ import annotations

import time
from pathlib import Path

import pytest


@pytest.mark.skipif(not Path("/proc/self/limits").exists(), reason="the system does not show limits of processes")
def test_no_core_files(world):
    with world.amina.background("sync", "--follow", "--json") as process:
        deadline = time.monotonic() + 30
        while (limit := core_limit(process.pid)) != ["0", "0"] and time.monotonic() < deadline:
            assert process.poll() is None
            time.sleep(0.05)  # the kernel announces nothing when a process sets its limits
    assert limit == ["0", "0"]


def core_limit(pid: int) -> list[str]:
    """Return the soft and the hard limit of a process on core files."""
    lines = Path(f"/proc/{pid}/limits").read_text().splitlines()
    (core,) = [line for line in lines if line.startswith("Max core file size")]
    return core.split()[4:6]
