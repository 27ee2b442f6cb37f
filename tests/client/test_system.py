"""The machine behind its interfaces, and where a profile is."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from platformdirs import user_data_path

from tertulia import config
from tertulia.system import SystemClock, ThreadExecutor, system_rng


async def test_the_clock_is_the_machines():
    clock = SystemClock()
    assert abs(clock.now() - time.time()) < 2
    before = clock.monotonic()
    await clock.sleep(0.01)
    await clock.sleep(-1)
    assert clock.monotonic() - before >= 0.009


def test_random_bytes_differ_and_have_their_length():
    assert {len(system_rng(n)) for n in (0, 1, 32)} == {0, 1, 32}
    assert len({system_rng(16) for _ in range(100)}) == 100


async def test_work_runs_in_one_thread_in_order_and_its_errors_come_back():
    executor = ThreadExecutor()
    threads = await asyncio.gather(*(executor.run(threading.get_ident) for _ in range(5)))
    assert len(set(threads)) == 1
    assert threads[0] != threading.get_ident()

    def fail():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await executor.run(fail)
    await executor.close()
    with pytest.raises(RuntimeError):
        await executor.run(int)


def test_no_core_is_ever_written():
    code = "import resource as r, tertulia.system as s; s.forbid_core_dumps(); print(r.getrlimit(r.RLIMIT_CORE))"
    limits = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert limits.strip() == "(0, 0)"


def test_a_profile_is_where_it_was_said_to_be():
    environ = {"TERTULIA_PROFILE": "/from/environment"}
    assert config.profile_directory("/chosen", environ) == Path("/chosen")
    assert config.profile_directory(None, environ) == Path("/from/environment")
    for without in ({}, {"TERTULIA_PROFILE": ""}):
        assert config.profile_directory(None, without) == user_data_path("tertulia", appauthor=False)
