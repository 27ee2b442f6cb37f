"""Where a profile is, and what the environment says. The environment is an argument: tests give their own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from platformdirs import user_data_path

PROFILE_VARIABLE: Final = "TERTULIA_PROFILE"
PASSPHRASE_VARIABLE: Final = "TERTULIA_PASSPHRASE"  # noqa: S105 - the name of a variable
LINK_VARIABLE: Final = "TERTULIA_LINK"
CODE_VARIABLE: Final = "TERTULIA_CODE"
SECRET_VARIABLES: Final = (PASSPHRASE_VARIABLE, LINK_VARIABLE, CODE_VARIABLE)
"""What must not reach child processes."""

APPLICATION: Final = "tertulia"


def profile_directory(chosen: Path | str | None, environ: Mapping[str, str]) -> Path:
    """Return the directory of the profile: as chosen, else as ``TERTULIA_PROFILE`` says, else in the data folder."""
    if chosen is not None:
        return Path(chosen)
    variable = environ.get(PROFILE_VARIABLE)
    return Path(variable) if variable else user_data_path(APPLICATION, appauthor=False)
