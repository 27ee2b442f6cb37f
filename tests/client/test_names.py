"""What a person typed, and what it means: identifiers, beginnings of them, names."""

from __future__ import annotations

import unicodedata

import pytest

from tertulia.errors import AmbiguousError, BoardNotFoundError
from tertulia.identifiers import Kind, is_beginning, public_id
from tertulia.resolve import Candidate, check_found, check_unique, matches, resolve, same_name

ONE, TWO = bytes(range(32)), bytes([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 255]) + bytes(21)
FAR = bytes([255] * 32)


def board(raw, name):
    return Candidate(raw, name, (raw, name))


def test_an_identifier_is_the_first_ten_bytes_in_base32():
    assert public_id(Kind.BOARD, ONE) == "b_aaaqeayeaudaocaj"
    assert public_id(Kind.BOARD, ONE) == public_id(Kind.BOARD, TWO)
    assert public_id(Kind.POST, bytes(16)) == "p_aaaaaaaaaaaaaaaa"


@pytest.mark.parametrize("text", ["b_aaaq", "b_aaaqeayeaudaocaj", "b_2345"])
def test_four_characters_are_enough(text):
    assert is_beginning(Kind.BOARD, text)


@pytest.mark.parametrize(
    "text", ["b_aaa", "b_", "aaaq", "c_aaaq", "b_AAAQ", "b_aaa1", "b_aaaqeayeaudaocaja", "b aaaq", "", "b_aaa\n"]
)
def test_what_is_no_identifier_is_a_name(text):
    assert not is_beginning(Kind.BOARD, text)


def test_a_beginning_means_the_one_thing_that_begins_so():
    found = resolve(Kind.BOARD, "b_aaaqea", [board(ONE, "x"), board(FAR, "y")], missing=BoardNotFoundError)
    assert found == (ONE, "x")


def test_a_name_is_compared_composed_and_without_case():
    decomposed = unicodedata.normalize("NFD", "Général")
    assert resolve(Kind.BOARD, decomposed.upper(), [board(ONE, "général")], missing=BoardNotFoundError) == (
        ONE,
        "général",
    )
    assert same_name("Straße") == same_name("STRASSE")
    assert same_name("Paris") != same_name("P\u0430ris")  # a Cyrillic letter


def test_an_identifier_stands_above_a_name_that_looks_like_one():
    thief = board(FAR, "b_aaaqeayeaudaocaj")
    assert resolve(Kind.BOARD, "b_aaaqeayeaudaocaj", [thief, board(ONE, "x")], missing=BoardNotFoundError) == (ONE, "x")
    assert matches(Kind.BOARD, "b_aaaqeayeaudaocaj", [thief]) == [thief]


def test_nothing_is_not_found():
    with pytest.raises(BoardNotFoundError) as caught:
        resolve(Kind.BOARD, "nowhere", [board(ONE, "x"), board(FAR, None)], missing=BoardNotFoundError)
    assert caught.value.code == "board.not_found"
    assert "nowhere" in str(caught.value)
    with pytest.raises(BoardNotFoundError):
        check_found("x", [], missing=BoardNotFoundError)


def test_two_of_a_name_are_never_chosen_between():
    with pytest.raises(AmbiguousError) as caught:
        resolve(Kind.BOARD, "X", [board(ONE, "x"), board(FAR, "X")], missing=BoardNotFoundError)
    assert caught.value.code == "ambiguous"
    assert "b_aaaqeayeaudaocaj (x), b_7777777777777777 (X)" in str(caught.value) or (
        "b_7777777777777777 (X), b_aaaqeayeaudaocaj (x)" in str(caught.value)
    )


def test_two_of_one_beginning_are_never_chosen_between():
    with pytest.raises(AmbiguousError) as caught:
        resolve(Kind.BOARD, "b_aaaq", [board(ONE, "x"), board(TWO, "y")], missing=BoardNotFoundError)
    assert caught.value.code == "ambiguous"
    with pytest.raises(AmbiguousError):
        check_unique(Kind.BOARD, "b_aaaq", [board(ONE, "x"), board(TWO, "y")])
