"""Who the person is: 24 recovery words, the seed that comes from them, and the key in each circle.

The words are the 32 bytes of ``root`` (BIP-39's lists, not its key stretching). They are shown once and not stored;
the profile keeps the seed of the person, from which the keys in circles come.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import Final

from mnemonic import Mnemonic

from tertulia.clock import Rng
from tertulia.errors import PhraseError, WeakPassphraseError
from tertulia.store import meta
from tertulia.store.tx import Tx
from tertulia_protocol.circle import identity
from tertulia_protocol.errors import InternalError
from tertulia_protocol.signing import SigningSeed

ROOT_LENGTH: Final = 32
PHRASE_WORDS: Final = 24
PASSPHRASE_WORDS: Final = 6
PASSPHRASE_CHARACTERS: Final = 12
FIRST_PERSONA: Final = 0

WORD_LISTS: Final = {"en": "english", "fr": "french", "es": "spanish"}
"""The lists by language; there is none for Arabic, whose readers get the English one (and numbers where they help)."""
DEFAULT_LANGUAGE: Final = "en"


@cache
def word_list(language: str) -> tuple[str, ...]:
    """Return the 2048 words for a language (its main part counts: ``fr_CH`` is ``fr``), English where there is none."""
    name = WORD_LISTS.get(language[:2].lower(), WORD_LISTS[DEFAULT_LANGUAGE])
    return tuple(unicodedata.normalize("NFC", word) for word in Mnemonic(name).wordlist)


# --- Recovery words ------------------------------------------------------------------------------------------------


def new_root(rng: Rng) -> bytes:
    """Return new entropy for a person, 32 bytes, secret."""
    return rng(ROOT_LENGTH)


def phrase_of(root: bytes, language: str = DEFAULT_LANGUAGE) -> tuple[str, ...]:
    """Return the 24 words for ``root`` (32 bytes). They are the secret."""
    if len(root) != ROOT_LENGTH:
        raise ValueError(f"a root has {ROOT_LENGTH} bytes, this one {len(root)}")
    english = Mnemonic(WORD_LISTS[DEFAULT_LANGUAGE])
    numbers = [english.wordlist.index(word) for word in english.to_mnemonic(root).split()]
    words = word_list(language)
    return tuple(words[number] for number in numbers)


def root_of(phrase: str) -> bytes:
    """Return the 32 bytes that a phrase of 24 words in any of the lists stands for.

    Capitals, accents and the spaces between do not count. :raises PhraseError: it is no phrase of ours.
    """
    words = [_plain(word) for word in phrase.split()]
    if len(words) != PHRASE_WORDS:
        raise PhraseError(f"{len(words)} words instead of {PHRASE_WORDS}")
    for language in WORD_LISTS:
        root = _read(words, language)
        if root is not None:
            return root
    raise PhraseError("a word that is in no list, or the last word does not fit the others")


def _read(words: Sequence[str], language: str) -> bytes | None:
    places = _places(language)
    if not all(word in places for word in words):
        return None
    english = Mnemonic(WORD_LISTS[DEFAULT_LANGUAGE])
    try:
        return bytes(english.to_entropy([english.wordlist[places[word]] for word in words]))
    except ValueError:
        return None


@cache
def _places(language: str) -> dict[str, int]:
    return {_plain(word): place for place, word in enumerate(word_list(language))}


def _plain(word: str) -> str:
    parts = unicodedata.normalize("NFKD", word.casefold())
    return "".join(sign for sign in parts if not unicodedata.combining(sign))


# --- Passphrases ---------------------------------------------------------------------------------------------------


def check_new_passphrase(passphrase: str) -> None:
    """Check that a new passphrase is long enough. :raises WeakPassphraseError: it is not."""
    if len(passphrase) < PASSPHRASE_CHARACTERS and len(passphrase.split()) < PASSPHRASE_WORDS:
        raise WeakPassphraseError


def suggest_passphrase(rng: Rng, language: str = DEFAULT_LANGUAGE) -> str:
    """Return six random words (66 bits), to offer for a passphrase."""
    words = word_list(language)
    numbers = (int.from_bytes(rng(2), "big") % len(words) for _ in range(PASSPHRASE_WORDS))
    return " ".join(words[number] for number in numbers)


# --- The profile ---------------------------------------------------------------------------------------------------


def write_profile(tx: Tx, *, root: bytes, name: str, language: str = DEFAULT_LANGUAGE) -> None:
    """Write what a new profile keeps of a person. ``root`` itself is not stored.

    :param root: 32 bytes. :param name: what others are shown by default.
    """
    meta.set_value(tx, meta.PERSON_SEED, identity.person_seed(root, FIRST_PERSONA))
    meta.set_value(tx, meta.NAME, name.encode())
    meta.set_value(tx, meta.LANGUAGE, language.encode())


def profile_name(tx: Tx) -> str:
    """Return the name that others are shown by default."""
    return (meta.get(tx, meta.NAME) or b"").decode()


def profile_language(tx: Tx) -> str:
    """Return the language that was chosen when the profile was made."""
    return (meta.get(tx, meta.LANGUAGE) or DEFAULT_LANGUAGE.encode()).decode()


def member_key(tx: Tx, lineage_id: bytes) -> SigningSeed:
    """Return the person's key in a circle (``lineage_id``: 32 bytes)."""
    seed = meta.get(tx, meta.PERSON_SEED)
    if seed is None:
        raise InternalError("a profile without a person")
    return identity.member_key(seed, lineage_id)
