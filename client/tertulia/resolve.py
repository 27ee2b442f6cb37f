"""From what a person typed to one object: an identifier, a beginning of one, or a name.

Names can be forged and repeated. Two that fit are never decided between: the answer is an error that lists both.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from tertulia.errors import AmbiguousError, NotFoundError
from tertulia.identifiers import Kind, is_beginning, public_id

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Candidate(Generic[T]):
    """An object that could be meant: the bytes of its identifier, its name (None: it has none), itself."""

    raw: bytes
    name: str | None
    value: T


def same_name(text: str) -> str:
    """Return the form in which names are compared: NFC and casefolded."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


def matches(kind: Kind, text: str, candidates: Iterable[Candidate[T]]) -> list[Candidate[T]]:
    """Return what ``text`` can mean: by identifier where it has the form of one and fits any, else by name."""
    known = list(candidates)
    if is_beginning(kind, text):
        found = [one for one in known if public_id(kind, one.raw).startswith(text)]
        if found:
            return found
    wanted = same_name(text)
    return [one for one in known if one.name is not None and same_name(one.name) == wanted]


def resolve(
    kind: Kind,
    text: str,
    candidates: Iterable[Candidate[T]],
    *,
    missing: type[NotFoundError],
) -> T:
    """Return the one object that ``text`` means.

    :raises NotFoundError: the class ``missing``: none. :raises AmbiguousError: more than one.
    """
    found = matches(kind, text, candidates)
    check_found(text, found, missing=missing)
    check_unique(kind, text, found)
    return found[0].value


def check_found(text: str, found: list[Candidate[T]], *, missing: type[NotFoundError]) -> None:
    """Check that something fits. :raises NotFoundError: the class ``missing``."""
    if not found:
        raise missing(name=f"“{text}”" if text else "")


def check_unique(kind: Kind, text: str, found: list[Candidate[T]]) -> None:
    """Check that not more than one thing fits. :raises AmbiguousError: it does; ``candidates`` lists them."""
    if len(found) > 1:
        shown = sorted(_shown(kind, one) for one in found)
        raise AmbiguousError(name=f"“{text}”" if text else "", candidates=", ".join(shown))


def _shown(kind: Kind, candidate: Candidate[T]) -> str:
    identifier = public_id(kind, candidate.raw)
    return f"{identifier} ({candidate.name})" if candidate.name else identifier
