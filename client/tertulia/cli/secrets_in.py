"""Where secrets come from: a file, the environment, a person at a terminal; never from arguments.

What the environment holds is taken out of it at once (:func:`take_environment`), so that no child process gets it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import click

from tertulia.config import CODE_VARIABLE, LINK_VARIABLE, PASSPHRASE_VARIABLE, SECRET_VARIABLES
from tertulia.errors import CodeMissingError, FileError, LinkMissingError, PassphraseMissingError
from tertulia.i18n import _

STANDARD_INPUT = "-"
MOST = 1 << 16
"""The most bytes that are read of a secret."""


@dataclass(frozen=True, slots=True)
class Secrets:
    """What the environment held when the command started."""

    values: Mapping[str, str] = field(repr=False)


def take_environment() -> Secrets:
    """Take the secrets out of the environment of this process and return them."""
    return Secrets({name: value for name in SECRET_VARIABLES if (value := os.environ.pop(name, None))})


def has_person() -> bool:
    """Answer whether somebody is there to be asked: input and talk are both on a terminal."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def read_passphrase(secrets: Secrets, file: str | None) -> str:
    """Return the passphrase of a profile. :raises PassphraseMissingError: nobody gave it."""
    given = _given(secrets, file, PASSPHRASE_VARIABLE)
    if given is not None:
        return given
    if not has_person():
        raise PassphraseMissingError
    return str(click.prompt(_("Passphrase"), hide_input=True, err=True))


def given_passphrase(secrets: Secrets, file: str | None) -> str | None:
    """Return the passphrase for a new profile where a file or the environment gives it."""
    return _given(secrets, file, PASSPHRASE_VARIABLE)


def read_link(secrets: Secrets, file: str | None) -> str:
    """Return an invitation link. :raises LinkMissingError: nobody gave it."""
    given = _given(secrets, file, LINK_VARIABLE)
    if given is not None:
        return given
    if not has_person():
        raise LinkMissingError
    return str(click.prompt(_("Invitation link"), hide_input=True, err=True))


def read_code(secrets: Secrets, file: str | None) -> str:
    """Return an enrolment string. :raises CodeMissingError: nobody gave it."""
    given = _given(secrets, file, CODE_VARIABLE)
    if given is not None:
        return given
    if not has_person():
        raise CodeMissingError
    return str(click.prompt(_("Enrolment code"), hide_input=True, err=True))


def _given(secrets: Secrets, file: str | None, variable: str) -> str | None:
    return read_file(file) if file is not None else secrets.values.get(variable)


def read_file(name: str) -> str:
    """Return a secret from a file (``-``: standard input), without one line end. :raises FileError: it is not there."""
    data = _read_bytes(name)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise FileError(path=name, problem=_("not UTF-8 text")) from error
    return text.removesuffix("\n").removesuffix("\r")


def _read_bytes(name: str) -> bytes:
    if name == STANDARD_INPUT:
        return sys.stdin.buffer.read(MOST)
    try:
        with Path(name).open("rb") as file:
            return file.read(MOST)
    except OSError as error:
        raise FileError(path=name, problem=error.strerror or type(error).__name__) from error
