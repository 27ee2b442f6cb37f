"""The command ``tertulia``."""


def main() -> None:
    """Run the command."""
