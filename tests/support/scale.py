"""How large a test is: small in ``make test``, large in ``make soak``, chosen by ``RUNS=`` and ``SEED=``."""

from __future__ import annotations

import os

PROFILE = os.environ.get("TERTULIA_PROFILE", "check")
"""``check``, ``soak`` or ``teeth``."""


def runs(check: int, *, soak: int) -> int:
    """Return how often to do something: ``check`` times, ``soak`` times in ``make soak``, or what RUNS says there.

    A test that asks belongs to ``make soak`` when it is marked with ``pytest.mark.soak``.
    """
    if PROFILE != "soak":
        return check
    return int(os.environ.get("TERTULIA_RUNS") or soak)


def seed(default: int = 1) -> int:
    """Return the seed for a test's own pseudo-random choices; SEED sets it. A test prints the one it used."""
    return int(os.environ.get("TERTULIA_SEED") or default)
