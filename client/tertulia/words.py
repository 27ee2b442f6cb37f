"""The four words as people read and say them: from numbers, and compared with what was heard.

Words of a list that the card names, the numbers beside them for everybody who does not speak that language (for people
who read Arabic: numbers and English words).
"""

from __future__ import annotations

import hmac
import unicodedata
from collections.abc import Sequence
from functools import cache
from types import MappingProxyType

from mnemonic import Mnemonic

from tertulia.errors import WordsDifferError
from tertulia_protocol.circle.invitation import Language
from tertulia_protocol.circle.sas import Sas

LISTS: MappingProxyType[Language, str] = MappingProxyType(
    {
        Language.ENGLISH: "english",
        Language.FRENCH: "french",
        Language.SPANISH: "spanish",
        Language.PORTUGUESE: "portuguese",
        Language.ITALIAN: "italian",
        Language.CZECH: "czech",
    }
)

BY_CODE: MappingProxyType[str, Language] = MappingProxyType(
    {
        "en": Language.ENGLISH,
        "fr": Language.FRENCH,
        "es": Language.SPANISH,
        "pt": Language.PORTUGUESE,
        "it": Language.ITALIAN,
        "cs": Language.CZECH,
    }
)


CODES: MappingProxyType[Language, str] = MappingProxyType({language: code for code, language in BY_CODE.items()})


def language_of(code: str) -> Language:
    """Return the list for a person's language (``fr``, ``fr-CA``, ...): English where there is none."""
    return BY_CODE.get(code.replace("_", "-").partition("-")[0].lower(), Language.ENGLISH)


def known_language(number: int) -> Language:
    """Return the list that a card names: English for one that a newer version knows."""
    return Language(number) if number in tuple(Language) else Language.ENGLISH


@cache
def word_list(language: Language) -> tuple[str, ...]:
    """Return the 2048 words of a list."""
    return tuple(Mnemonic(LISTS[language]).wordlist)


def words_of(numbers: Sas, language: Language) -> tuple[str, str, str, str]:
    """Return the words of four numbers."""
    words = word_list(language)
    first, second, third, fourth = (unicodedata.normalize("NFC", words[number]) for number in numbers)
    return first, second, third, fourth


def check_words(heard: Sequence[str], *, numbers: Sas, language: Language) -> None:
    """Check that what was heard are the four words, or their numbers. :raises WordsDifferError: one differs.

    Capitals and accents do not matter: no two words of a list differ in them alone.
    """
    pairs = zip(words_of(numbers, language), numbers, strict=True)
    allowed = [(_plain(word), str(number)) for word, number in pairs]
    said = [_plain(word) for word in heard]
    # All four are compared, whatever the first ones are.
    same = [_is_one_of(word, forms) for word, forms in zip(said, allowed, strict=False)]
    if len(said) != len(allowed) or not all(same):
        raise WordsDifferError


def _is_one_of(word: str, forms: tuple[str, ...]) -> bool:
    return sum(hmac.compare_digest(word.encode(), form.encode()) for form in forms) > 0


def _plain(word: str) -> str:
    letters = unicodedata.normalize("NFKD", word.strip().casefold())
    plain = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return plain.lstrip("0") or "0" if plain.isdecimal() else plain


def pack_numbers(numbers: Sas) -> bytes:
    """Return four numbers as they are stored, 8 bytes."""
    return b"".join(number.to_bytes(2, "big") for number in numbers)


def unpack_numbers(data: bytes) -> Sas:
    """Return four numbers that were stored."""
    first, second, third, fourth = (int.from_bytes(data[i : i + 2], "big") for i in range(0, 8, 2))
    return first, second, third, fourth
