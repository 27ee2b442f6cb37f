"""Somebody at a machine: a profile, and the installed command in processes of its own. Nothing of ours is imported."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

COMMAND = (sys.executable, "-c", "from tertulia.cli import main; main()")
"""The installed script would do the same; this one needs no PATH."""

PASSPHRASE = "amber cedar drum ember fable grove"  # noqa: S105 - of tests
SECONDS = 90.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def line(self) -> str:
        """The one line of the result."""
        assert self.code == 0, self
        (line,) = self.out.splitlines()
        return line

    @property
    def json(self) -> Any:
        """The one JSON object of the result."""
        return json.loads(self.line)

    @property
    def error(self) -> dict[str, str]:
        """The error, in JSON: the only thing that was printed."""
        assert self.code != 0, self
        assert self.out == "", self
        (line,) = self.err.splitlines()
        error: dict[str, str] = json.loads(line)["error"]
        return error


class Person:
    """A person with a profile in ``directory / name``."""

    def __init__(self, directory: Path, name: str, *, passphrase: str = PASSPHRASE) -> None:
        self.name = name
        self.profile = directory / name
        self.passphrase = passphrase
        self.phrase_file = directory / f"{name}.words"

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return the environment of a command: nothing of the machine's that Tertulia reads."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("TERTULIA_", "LC_", "LANG"))}
        return kept | {"TERTULIA_PROFILE": str(self.profile), "TERTULIA_PASSPHRASE": self.passphrase} | dict(more or {})

    def run(self, *arguments: object, text: str = "", env: Mapping[str, str] | None = None) -> Ran:
        """Run the command to its end, without a terminal; ``text`` is its standard input."""
        done = subprocess.run(
            [*COMMAND, *map(str, arguments)],
            input=text,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
            env={name: value for name, value in self.environment(env).items() if value},
        )
        return Ran(code=done.returncode, out=done.stdout, err=done.stderr)

    def do(self, *arguments: object, text: str = "", env: Mapping[str, str] | None = None) -> str:
        """Run a command that must succeed; return its result without the line end."""
        ran = self.run(*arguments, text=text, env=env)
        assert ran.code == 0, (arguments, ran)
        return ran.out.rstrip("\n")

    def ask(self, *arguments: object, text: str = "", env: Mapping[str, str] | None = None) -> Any:
        """Run a command that must succeed, with ``--json``; return its object."""
        return json.loads(self.do(*arguments, "--json", text=text, env=env))

    def init(self) -> Self:
        """Make the profile."""
        self.do("init", "--name", self.name, "--phrase-file", self.phrase_file)
        return self

    @contextmanager
    def background(self, *arguments: object) -> Iterator[subprocess.Popen[str]]:
        """Run a command that does not end by itself; it is killed at the end if it still runs."""
        process = subprocess.Popen(
            [*COMMAND, *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment({"PYTHONUNBUFFERED": "1"}),
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.communicate()

    def terminal(self, *arguments: object, env: Mapping[str, str] | None = None) -> Terminal:
        """Start a command on a terminal of its own."""
        environment = {name: value for name, value in self.environment(env).items() if value}
        return Terminal([*COMMAND, *map(str, arguments)], environment)


class Terminal:
    """A command on a terminal: what it shows, and a person who types."""

    def __init__(self, command: list[str], environment: Mapping[str, str]) -> None:
        self.shown = ""
        self._place = 0
        self._pid, self._terminal = pty.fork()
        if self._pid == 0:
            os.execve(command[0], command, dict(environment))  # noqa: S606 - our own command

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
        os.close(self._terminal)

    def expect(self, text: str) -> str:
        """Wait until ``text`` is shown after what was expected before; return what came before it."""
        deadline = time.monotonic() + SECONDS
        while text not in self.shown[self._place :]:
            assert self._read(deadline), f"{text!r} was not shown: {self.shown!r}"
        start = self._place
        end = self.shown.index(text, start)
        self._place = end + len(text)
        return self.shown[start:end]

    def type(self, text: str) -> None:
        """Type a line."""
        os.write(self._terminal, text.encode() + b"\n")

    def end(self) -> int:
        """Wait for the end of the command; return its exit code."""
        deadline = time.monotonic() + SECONDS
        while self._read(deadline):
            pass
        _, status = os.waitpid(self._pid, 0)
        self._pid = 0
        return os.waitstatus_to_exitcode(status)

    def _read(self, deadline: float) -> bool:
        ready, _, _ = select.select([self._terminal], [], [], max(0.0, deadline - time.monotonic()))
        assert ready, f"nothing more was shown after {self.shown!r}"
        try:
            data = os.read(self._terminal, 65536)
        except OSError:  # the other side is closed
            return False
        self.shown += data.decode()
        return bool(data)
