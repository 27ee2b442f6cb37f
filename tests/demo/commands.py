"""The two commands as processes of their own, each member with a folder of their own; what a step expects of them."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

BIN = Path(sys.executable).parent
TERTULIA = str(BIN / "tertulia")
RELAY = str(BIN / "tertulia-relay")

SECONDS = 120.0
"""No command may take longer; none is expected to take more than a few."""


class StepFailedError(AssertionError):
    """A step did not hold."""

    def __init__(self, expected: str, got: object, stderr: str = "") -> None:
        super().__init__(f"expected {expected}, got {got}")
        self.expected = expected
        self.got = got
        self.stderr = stderr


def check(holds: object, expected: str, got: object = "something else", stderr: str = "") -> None:
    """Check what a step promises. :raises StepFailedError: it does not hold."""
    if not holds:
        raise StepFailedError(expected, got, stderr)


class Running:
    """A command that was started."""

    def __init__(self, person: Person, arguments: tuple[str, ...], given: str | None) -> None:
        self._arguments = arguments
        self._given = given
        self._person = person
        self.process = subprocess.Popen(
            [TERTULIA, *arguments],
            stdin=subprocess.DEVNULL if given is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=person.environment,
            cwd=person.folder,
            text=True,
            encoding="utf-8",
        )

    def answer(self, expect: int = 0) -> dict[str, Any]:
        """Wait for the end; return the JSON it printed (with exit code ``expect`` above 0: the error's).

        :raises StepFailedError: another exit code, or no JSON.
        """
        try:
            output, errors = self.process.communicate(self._given, timeout=SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            output, errors = self.process.communicate()
            raise StepFailedError(f"{self} to end within {SECONDS:g} s", "it is still there", errors) from None
        self._person.heard += output + errors
        code = self.process.returncode
        check(code == expect, f"exit code {expect} of {self}", f"exit code {code}", errors)
        try:
            found = json.loads(errors.splitlines()[-1])["error"] if expect else json.loads(output)
        except (ValueError, LookupError):
            raise StepFailedError(f"one JSON object of {self}", (output + errors)[-400:], errors) from None
        return dict(found)

    def __str__(self) -> str:
        return f"{self._person.folder.name}$ tertulia {shlex.join(self._arguments)}"


class Person:
    """A member: a folder with a profile, a language, and a passphrase that only this person's processes get."""

    def __init__(self, folder: Path, *, name: str, lang: str, passphrase: str, typed: list[str]) -> None:
        """:param typed: takes the commands as they are shown, in the order in which everybody types them."""
        folder.mkdir(parents=True, mode=0o700)
        self.folder = folder
        self.name = name
        self.lang = lang
        self.profile = folder / "profile"
        self.phrase = folder / "recovery-words"
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        self.heard = ""
        """All that this person's commands have printed."""
        self._typed = typed
        self.running: list[Running] = []
        self.environment = {
            "PATH": os.environ.get("PATH", ""),
            "HOME": str(folder),
            "TMPDIR": str(self.temporary),
            "LC_ALL": "C.UTF-8",
            "TERTULIA_PROFILE": str(self.profile),
            "TERTULIA_PASSPHRASE": passphrase,
        }

    @property
    def short(self) -> str:
        """The first name, as the folder is called."""
        return self.folder.name.capitalize()

    def start(self, *arguments: str, given: str | None = None, lang: str | None = None) -> Running:
        """Start a command. :param given: its standard input. :param lang: instead of the person's own."""
        self._typed.append(f"{self.folder.name}$ tertulia {' '.join(map(_quoted, arguments))}")
        running = Running(self, ("--json", "--lang", lang or self.lang, *arguments), given)
        self.running.append(running)
        return running

    def __call__(
        self, *arguments: str, given: str | None = None, lang: str | None = None, expect: int = 0
    ) -> dict[str, Any]:
        """Run a command to its end and return what it printed."""
        return self.start(*arguments, given=given, lang=lang).answer(expect)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        """End what is still running: only after a failure is there any."""
        for running in self.running:
            if running.process.poll() is None:
                running.process.kill()
                running.process.communicate()


def _quoted(argument: str) -> str:
    return f'"{argument}"' if set(argument) & set(" '\"·;") else argument


def together(*started: Running) -> list[dict[str, Any]]:
    """Wait for commands of several people that run at once."""
    return [running.answer() for running in started]
