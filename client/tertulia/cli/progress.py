"""Progress of long work, on a terminal only."""

from __future__ import annotations

import sys
from collections.abc import Callable

from tertulia.cli.output import Output, size
from tertulia.i18n import _


def progress_of(output: Output) -> Callable[[int, int], None]:
    """Return what shows how many bytes of how many are done, in one line that is written over."""
    if not output.draws:
        return _nothing
    return _draw


def _nothing(done: int, total: int) -> None:
    del done, total


def _draw(done: int, total: int) -> None:
    text = _("{done} of {total}").format(done=size(done), total=size(total))
    sys.stderr.write(f"\r{text}\x1b[K" + ("\n" if done >= total else ""))
    sys.stderr.flush()
