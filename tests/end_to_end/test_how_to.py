"""The pages for people who are no engineers, followed to the letter: every command in them, in their order, by a shell.

``end huge hill inject`` in a page stands for the words that were shown.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.support.documents import blocks
from tests.support.person import Person
from tests.support.relay_process import RelayProcess

PAGES = Path(__file__).resolve().parents[2] / "docs" / "how-to"
STORY = ("found-a-circle.md", "join-a-circle.md", "remove-somebody.md")
EXAMPLE_WORDS = "end huge hill inject"
PROGRAMS = Path(sys.executable).parent
"""Where ``tertulia`` is installed beside the Python of the tests."""


class Reader:
    """Somebody who follows the pages, each person in a folder of their own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.words = ""
        self.shown: dict[str, str] = {}

    def folder(self, name: str) -> Path:
        """Return the folder in which somebody types."""
        folder = self.home / name
        folder.mkdir(exist_ok=True)
        return folder

    def type(self, name: str, command: str) -> None:
        """Type a command as the page shows it; it must succeed."""
        environment = Person(self.home / "profiles", name).environment()
        environment["PATH"] = f"{PROGRAMS}{os.pathsep}{environment['PATH']}"
        done = subprocess.run(
            ["/bin/sh", "-c", command.replace(EXAMPLE_WORDS, self.words)],
            cwd=self.folder(name),
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=90,
        )
        assert done.returncode == 0, (name, command, done)
        self.shown[f"{name}: {command}"] = done.stdout
        if command.startswith("tertulia join"):
            self.words = done.stdout.strip()

    def follow(self, page: str) -> int:
        """Type all that a page shows for a person; return how many commands."""
        count = 0
        for block in blocks((PAGES / page).read_text("utf-8")):
            for command in block.commands if block.person else ():
                self.type(block.person, command)
                count += 1
        return count


def test_the_pages_can_be_followed_to_the_letter(tmp_path: Path):
    (tmp_path / "profiles").mkdir(mode=0o700)
    reader = Reader(tmp_path)
    with RelayProcess(tmp_path / "relay") as relay:
        (reader.folder("Amina") / "code.txt").write_text(relay.enrolment() + "\n")
        counts = [reader.follow(STORY[0])]
        (reader.folder("Bakary") / "link.txt").write_bytes((reader.folder("Amina") / "link.txt").read_bytes())
        counts += [reader.follow(page) for page in STORY[1:]]
        reader.type("Bakary", "tertulia status")
    assert min(counts) >= 5, counts
    assert re.fullmatch(r"\w+( \w+){3}", reader.words)
    assert "We meet on Tuesday." in reader.shown["Bakary: tertulia read"]
    assert "I bring them." in reader.shown["Amina: tertulia read"]
    assert "Bakary" not in reader.shown["Amina: tertulia members"]
    assert "removed" in reader.shown["Bakary: tertulia status"]
