"""``make demo``: the main job on this machine, told and checked. It asks nothing and waits for no key.

``FILES="a b"`` posts these files too; ``CHECK=1`` prints one line for each step. The exit status is 0 only if every
step held, 2 if FILES cannot be used.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

from tests.demo import texts
from tests.demo.commands import RELAY, Person, StepFailedError
from tests.demo.files import FilesError, RealFile, read_real_files
from tests.demo.page import Page
from tests.demo.secrecy import check_nothing_readable, relay_files
from tests.demo.story import STEPS, Action, Cast, post_files
from tests.support.relay_process import RelayFailedError, RelayProcess

LANGUAGES = {"amina": "en", "bakary": "fr", "leila": "ar", "diego": "es"}


def steps(cast: Cast) -> list[tuple[str, Action]]:
    """Return all steps: those of the story, the files that were named, and the search."""
    *story, last = STEPS
    background: dict[str, bytes] = relay_files(cast)
    count = len(cast.files)
    real = [(f"Amina posts {count} real file{'s' * (count > 1)}; others read and save", post_files)] if count else []
    search = ("Nothing of all this can be read at the relay", lambda cast: check_nothing_readable(cast, background))
    return [*story, *real, last, search]


def play(cast: Cast, page: Page) -> bool:
    """Run the story to its end or to the first step that does not hold; return whether all held."""
    for number, (title, action) in enumerate(steps(cast), 1):
        started, before = time.monotonic(), cast.holdings()
        cast.seen.clear()
        cast.typed.clear()
        try:
            action(cast)
        except (StepFailedError, RelayFailedError) as error:
            page.failed(number, title, error)
            return False
        page.step(number, title, cast=cast, before=before, seconds=time.monotonic() - started)
    page.everything(cast)
    return True


def run(folder: Path, files: list[RealFile], page: Page) -> bool:
    """Start everything in ``folder``, play, and end everything."""
    typed: list[str] = []
    with ExitStack() as stack:
        people = [
            stack.enter_context(
                Person(
                    folder / "people" / short,
                    name=getattr(texts, short.upper()),
                    lang=lang,
                    passphrase=texts.PASSPHRASES[short],
                    typed=typed,
                )
            )
            for short, lang in LANGUAGES.items()
        ]
        relay = stack.enter_context(RelayProcess(folder / "relay", command=(RELAY,)))
        amina, bakary, leila, diego = people
        cast = Cast(relay=relay, amina=amina, bakary=bakary, leila=leila, diego=diego, files=files, typed=typed)
        return play(cast, page)


def main() -> int:
    """Run the demonstration; return the exit status."""
    signal.signal(signal.SIGTERM, _leave)
    brief = os.environ.pop("CHECK", "") not in {"", "0"}
    try:
        files = read_real_files(os.environ.pop("FILES", ""))
    except FilesError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    page = Page(brief=brief)
    folder = Path(tempfile.mkdtemp(prefix="tertulia-demo-"))
    held = False
    try:
        held = run(folder, files, page)
    finally:
        if held or brief:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            sys.stdout.write(f"Everything was kept for you to look at: {folder}\n")
    return 0 if held else 1


def _leave(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
