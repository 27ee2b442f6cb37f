"""Run single tests in forked children of one pytest process that has collected them all.

The parent collects and runs nothing, so that it has neither an event loop nor a thread when it forks. Each child
switches its checks off, runs its test through pytest's own protocol, fixtures and all, writes what happened into a
pipe and ends.
"""

from __future__ import annotations

import gc
import json
import os
import selectors
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import pytest

from tests.support.teeth_switch import Switch, SwitchError

CRASHES = ("AttributeError", "NameError", "TypeError", "UnboundLocalError")
"""What a test dies of when a stub's answer does not fit: it shows that code broke, not that a check was missed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Tests to run with some checks off (none: the control run)."""

    name: str
    off: tuple[str, ...] = ()
    returns: object = None
    timeout: float
    items: tuple[pytest.Item, ...]


@dataclass(slots=True)
class Outcome:
    """What became of a job."""

    seconds: float = 0.0
    passed: int = 0
    failed: list[str] = field(default_factory=list)
    """Kinds of the exceptions that ended a test's own code."""
    broken: list[str] = field(default_factory=list)
    """Everything that proves nothing: skipped, failed in a fixture, died."""
    unreached: list[str] = field(default_factory=list)
    timed_out: bool = False
    output: str = ""


def run_jobs(jobs: Sequence[Job], *, parallel: int, done: Callable[[Job, Outcome], None]) -> None:
    """Run every job in a child of its own, at most ``parallel`` at once, and call ``done`` as each ends."""
    if threading.active_count() != 1:
        names = ", ".join(thread.name for thread in threading.enumerate())
        raise RuntimeError(f"importing the tests started threads, a fork would be unsafe: {names}")
    gc.freeze()
    waiting = list(reversed(jobs))
    running: dict[int, _Child] = {}
    with selectors.DefaultSelector() as selector:
        while waiting or running:
            while waiting and len(running) < parallel:
                child = _Child(waiting.pop())
                running[child.pipe] = child
                selector.register(child.pipe, selectors.EVENT_READ)
            patience = max(0.0, min(child.deadline for child in running.values()) - time.monotonic())
            ready = {key.fd for key, _ in selector.select(patience)}
            for pipe, child in list(running.items()):
                if (pipe in ready and child.read()) or child.deadline <= time.monotonic():
                    selector.unregister(pipe)
                    del running[pipe]
                    done(child.job, child.finish())


class _Child:
    """A forked process that runs one job."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.started = time.monotonic()
        self.deadline = self.started + job.timeout
        self.ended = False
        self._data = bytearray()
        self._folder = Path(tempfile.mkdtemp(prefix="teeth-"))
        sys.stdout.flush()
        sys.stderr.flush()
        self.pipe, write = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            _child(job, write, self._folder)
        os.close(write)

    def read(self) -> bool:
        """Take what is in the pipe; answer whether it has ended."""
        chunk = os.read(self.pipe, 65536)
        self._data += chunk
        self.ended = not chunk
        return self.ended

    def finish(self) -> Outcome:
        """End the child and everything it started, and return what it reported."""
        # The group first: a process that the test left behind must not outlive it.
        with _ignoring_absence():
            os.killpg(self._pid, signal.SIGKILL)
        with _ignoring_absence():
            os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        os.close(self.pipe)
        outcome = self._outcome()
        outcome.seconds = time.monotonic() - self.started
        shutil.rmtree(self._folder, ignore_errors=True)
        return outcome

    def _outcome(self) -> Outcome:
        output = (self._folder / "output").read_text("utf-8", "replace") if (self._folder / "output").exists() else ""
        if not self.ended:
            return Outcome(timed_out=True, output=output)
        try:
            return Outcome(output=output, **json.loads(self._data))
        except ValueError:
            return Outcome(broken=["the process died"], output=output)


class _ignoring_absence:  # noqa: N801 - reads as a statement
    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        return kind is not None and issubclass(kind, ProcessLookupError)


def _child(job: Job, pipe: int, folder: Path) -> NoReturn:
    status = 1
    try:
        os.setpgid(0, 0)
        _detach(folder)
        report = _run(job)
        payload = json.dumps(report).encode()
        while payload:
            payload = payload[os.write(pipe, payload) :]
        status = 0
    finally:
        # Neither the parent's atexit handlers nor its buffers are ours to run.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _detach(folder: Path) -> None:
    """Give the child its own output, no input, and its own temporary folder."""
    null = os.open(os.devnull, os.O_RDONLY)
    output = os.open(folder / "output", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(null, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    temporary = folder / "tmp"
    temporary.mkdir()
    os.environ["TMPDIR"] = os.environ["PYTEST_DEBUG_TEMPROOT"] = str(temporary)
    tempfile.tempdir = None


def _run(job: Job) -> dict[str, object]:
    try:
        switches = [Switch(target, job.returns) for target in job.off]
    except SwitchError as error:
        return {"broken": [str(error)]}
    watch = _Watch()
    manager = job.items[0].config.pluginmanager
    manager.register(watch, "teeth-watch")
    for item, following in zip(job.items, [*job.items[1:], None], strict=True):
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
    return {
        "passed": watch.passed,
        "failed": watch.failed,
        "broken": watch.broken,
        "unreached": [switch.target for switch in switches if not switch.calls],
    }


class _Watch:
    """Listens to the reports of the tests."""

    def __init__(self) -> None:
        self.passed = 0
        self.failed: list[str] = []
        self.broken: list[str] = []

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        self._note(report, call)
        if report.failed:
            sys.stdout.write(f"{item.nodeid} ({report.when})\n{report.longreprtext}\n")
        return report

    def _note(self, report: pytest.TestReport, call: pytest.CallInfo[None]) -> None:
        if report.skipped:
            self.broken.append(f"skipped: {report.nodeid}")
        elif report.failed and report.when == "call":
            self.failed.append(type(call.excinfo.value).__name__ if call.excinfo else "strict xfail")
        elif report.failed:
            self.broken.append(f"failed in {report.when}: {report.nodeid}")
        elif report.when == "call":
            self.passed += 1
