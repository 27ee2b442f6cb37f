"""The command ``tertulia-relay``."""


def main() -> None:
    """Run the command."""
