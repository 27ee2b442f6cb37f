"""What text may hold: names that cannot pose as others, bodies that cannot drive a terminal, file names, languages.

A ``check_`` function runs on both sides and depends on fixed ranges of code points only, never on the Unicode tables
of this Python: members with different versions must agree on what counts. For the same reason normalisation (NFC) is
done when sending, by the ``clean_`` functions, and is not demanded on receipt.
"""

from __future__ import annotations

import re
import unicodedata

from tertulia_protocol.errors import RuleError

# With the halves of surrogate pairs, which no encoding of text has but a command line can bring.
_CONTROLS = "\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff"
_BIDI = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
# Soft hyphen, zero-width space, joiners of words, line and paragraph separators, byte order mark, annotations, tags.
# U+200C and U+200D stay: Persian, Indic scripts and emoji need them.
_INVISIBLE = (
    "\u00ad\u034f\u2800\u115f\u1160\u17b4\u17b5\u180e\u200b\u2028\u2029\u2060-\u2065\u206a-\u206f\u3164\ufeff"
    "\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0080-\U000e00ff\U000e01f0-\U000e0fff"
)
_TAGS = "\U000e0000-\U000e007f"
_IN_NAME = re.compile(f"[{_CONTROLS}\t\n{_BIDI}{_INVISIBLE}{_TAGS}]")
# Overrides turn the order of what follows around and never occur in ordinary writing; isolates and marks do.
_IN_BODY = re.compile(f"[{_CONTROLS}\u202d\u202e{_TAGS}]")

_EDGES = " \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000\u200c\u200d"

_NOT_IN_FILE_NAMES = re.compile(r'[/\\:*?"<>|]')
_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?")
_MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,62}/[a-z0-9][a-z0-9!#$&^_.+-]{0,62}")
_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,7}")

MAX_FILE_NAME = 255
"""Bytes in UTF-8: what common file systems take."""


def utf8_length(text: str) -> int:
    """Return the length in bytes of UTF-8, for any text."""
    return len(text.encode("utf-8", "surrogatepass"))


def check_length(text: str, *, least: int, most: int) -> None:
    """Check the length in code points. :raises RuleError: C9."""
    if not least <= len(text) <= most:
        raise RuleError(f"a text of {len(text)} characters where {least} to {most} belong", rule="C9")


def check_name(text: str) -> None:
    """Check that a name or title is one visible line that reads in the order in which it is written.

    :raises RuleError: C10, for control, bidirectional and invisible characters, and for spaces at the ends.
    """
    if _IN_NAME.search(text) or text != text.strip(_EDGES):
        raise RuleError("a name has characters that cannot be seen", rule="C10")


def check_body(text: str) -> None:
    """Check that a body holds text, tabs and newlines only. :raises RuleError: C11."""
    if _IN_BODY.search(text):
        raise RuleError("a text has control characters", rule="C11")


def check_file_name(name: str) -> None:
    """Check that a file name is a name and not a path, on every system. :raises RuleError: C12."""
    bad = (
        not 1 <= utf8_length(name) <= MAX_FILE_NAME
        or _IN_NAME.search(name)
        or _NOT_IN_FILE_NAMES.search(name)
        or _RESERVED.fullmatch(name)
        or name.startswith((".", " "))
        or name.endswith((".", " "))
    )
    if bad:
        raise RuleError("a file name is not a plain name", rule="C12")


def check_media_type(text: str) -> None:
    """Check ``type/subtype`` in small letters (RFC 6838 section 4.2). :raises RuleError: C8."""
    if not _MEDIA_TYPE.fullmatch(text):
        raise RuleError("not a media type", rule="C8")


def check_language(tag: str) -> None:
    """Check the form of a language tag (BCP 47). :raises RuleError: C8."""
    if not _LANGUAGE.fullmatch(tag):
        raise RuleError("not a language tag", rule="C8")


def clean_name(text: str) -> str:
    """Return ``text`` as a name that :func:`check_name` accepts: NFC, one line, nothing invisible. May be empty."""
    visible = _IN_NAME.sub("", re.sub(r"\s", " ", text))
    return unicodedata.normalize("NFC", re.sub(" +", " ", visible)).strip(_EDGES)


def clean_body(text: str) -> str:
    """Return ``text`` as a body that :func:`check_body` accepts: NFC, newlines only, no control characters."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    return unicodedata.normalize("NFC", _IN_BODY.sub("", lines))


def clean_file_name(name: str) -> str:
    """Return the last part of ``name`` as a file name that :func:`check_file_name` accepts.

    The extension is kept where the name must be cut; where nothing is left the name is ``file``.
    """
    last = clean_name(re.split(r"[/\\]", name)[-1])
    plain = _NOT_IN_FILE_NAMES.sub("_", last).lstrip(". ").rstrip(". ")
    if _RESERVED.fullmatch(plain):
        plain = f"_{plain}"
    stem, dot, extension = plain.rpartition(".")
    if not stem or len(extension) > 16:
        stem, dot, extension = plain, "", ""
    room = MAX_FILE_NAME - len((dot + extension).encode())
    stem = stem.encode()[:room].decode(errors="ignore").rstrip(". ")
    return stem + dot + extension if stem else "file"
