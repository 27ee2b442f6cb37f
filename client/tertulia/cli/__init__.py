"""The command ``tertulia``."""

from __future__ import annotations


def main() -> None:
    """Run the command of this process."""
    from tertulia.cli.main import main as run_process

    run_process()
