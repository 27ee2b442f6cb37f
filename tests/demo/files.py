"""The files that a person names in ``FILES=...``: read once, posted as they are."""

from __future__ import annotations

import shlex
import unicodedata
from dataclasses import dataclass
from pathlib import Path

MOST_BODY = 65536
"""Bytes of a post's text, as docs/protocol says."""


@dataclass(frozen=True, slots=True)
class RealFile:
    """A file to post. ``body``: its text, if it is text that fits into a post."""

    path: Path
    data: bytes
    body: str | None

    @property
    def title(self) -> str:
        """What its topic is called: its name, if that can be read."""
        name = unicodedata.normalize("NFC", " ".join(self.path.name.split()))
        return name[:200].strip() if name.isprintable() else "A file with an unusual name"


class FilesError(Exception):
    """A file in FILES cannot be used."""


def read_real_files(names: str) -> list[RealFile]:
    """Read the files named as in a shell. :raises FilesError: one is not there, or is no file."""
    try:
        return [_read(Path(name).absolute()) for name in shlex.split(names)]
    except OSError as error:
        raise FilesError(f"FILES: {error.filename}: {error.strerror}") from error
    except ValueError as error:
        raise FilesError(f"FILES: {error}") from error


def _read(path: Path) -> RealFile:
    data = path.read_bytes()
    return RealFile(path, data, body_of(data))


def body_of(data: bytes) -> str | None:
    """Return some bytes as the text of a post, as every reader must get it; None if they are none, or too many.

    Texts travel with one kind of line end and in Unicode's composed form (NFC).
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return None
    text = unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n"))
    plain = all(sign in "\n\t" or unicodedata.category(sign) not in {"Cc", "Cf"} for sign in text)
    return text if plain and text.strip() and len(text.encode()) <= MOST_BODY else None
