"""The four words: shown in a language, compared as they were heard."""

from __future__ import annotations

import pytest

from tertulia.errors import WordsDifferError
from tertulia.words import check_words, known_language, language_of, pack_numbers, unpack_numbers, word_list, words_of
from tertulia_protocol.circle.invitation import Language

NUMBERS = (0, 2047, 1023, 7)


@pytest.mark.parametrize("language", list(Language))
def test_every_list_has_a_word_for_each_number(language: Language):
    words = word_list(language)
    assert len(set(words)) == 2048
    assert words_of(NUMBERS, language)[1] == words[2047]


def test_the_words_of_four_numbers():
    assert words_of(NUMBERS, Language.ENGLISH) == ("abandon", "zoo", "lend", "abstract")


@pytest.mark.parametrize(
    "heard",
    [
        ("abandon", "zoo", "lend", "abstract"),
        ("ABANDON", " zoo", "Lend", "abstract "),
        ("0", "2047", "1023", "7"),
        ("0000", "2047", "1023", "0007"),
        ("abandon", "2047", "lend", "7"),
    ],
)
def test_what_was_heard_right(heard: tuple[str, ...]):
    check_words(heard, numbers=NUMBERS, language=Language.ENGLISH)


def test_accents_do_not_matter():
    numbers = (0, 2047, 1, 2)
    assert words_of(numbers, Language.SPANISH) == ("ábaco", "zurdo", "abdomen", "abeja")
    check_words(("abaco", "zurdo", "Abdomen", "abeja"), numbers=numbers, language=Language.SPANISH)


@pytest.mark.parametrize(
    "heard",
    [
        ("zoo", "abandon", "lend", "abstract"),
        ("abandon", "zoo", "lend", "abuse"),
        ("able", "zoo", "lend", "abstract"),
        ("abandon", "zoo", "lend"),
        ("abandon", "zoo", "lend", "abstract", "abstract"),
        (),
        ("", "", "", ""),
        ("0", "2047", "1023", "8"),
        ("aband", "zoo", "lend", "abst"),
    ],
)
def test_what_was_heard_wrong(heard: tuple[str, ...]):
    with pytest.raises(WordsDifferError) as raised:
        check_words(heard, numbers=NUMBERS, language=Language.ENGLISH)
    assert raised.value.code == "trust.words_differ"


def test_who_speaks_what_gets_which_list():
    assert [language_of(code) for code in ("fr", "fr_CA.UTF-8", "ES-mx", "ar", "en", "")] == [
        Language.FRENCH,
        Language.FRENCH,
        Language.SPANISH,
        Language.ENGLISH,
        Language.ENGLISH,
        Language.ENGLISH,
    ]
    assert known_language(2) is Language.SPANISH
    assert known_language(200) is Language.ENGLISH


def test_numbers_are_stored_and_read():
    assert unpack_numbers(pack_numbers(NUMBERS)) == NUMBERS
