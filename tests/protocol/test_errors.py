"""The error tree: codes that programs compare and sentences that people read."""

from __future__ import annotations

import string

import pytest

from tertulia_protocol import errors
from tertulia_protocol.errors import DecodeError, RuleError, TertuliaError, UsageError


def tree(kind=TertuliaError):
    return [kind, *(each for child in kind.__subclasses__() for each in tree(child))]


CLASSES = [kind for kind in tree() if kind.__module__ == errors.__name__]


def test_the_tree_is_the_one_that_the_module_draws():
    drawn = errors.__doc__ or ""
    names = [kind.__name__ for kind in CLASSES]
    assert len(names) == 13
    assert all(f"{name} " in drawn.replace("\n", " ") for name in names)
    for kind in CLASSES:
        assert kind.code.startswith("message.") == issubclass(kind, errors.InvalidMessageError)


def test_every_class_has_a_code_of_its_own():
    codes = [vars(kind)["code"] for kind in CLASSES]
    assert len(set(codes)) == len(codes)
    assert all(set(code) <= set(string.ascii_lowercase + "._") for code in codes)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_class_says_what_happened_what_was_kept_and_what_to_do(kind):
    for sentence in (kind.message_id(), kind.kept, kind.next):
        assert sentence.endswith(".")
        assert len(sentence) > 10
        assert "  " not in sentence
        assert "\n" not in sentence
    assert ":param" not in kind.message_id()
    assert kind.__doc__ is not None
    assert kind.message_id() not in {other.message_id() for other in CLASSES if other is not kind}


def test_values_fill_the_places_of_the_message():
    class PlaceError(UsageError):
        """There is no board called {name}."""

        code = "usage.test_place"

    assert str(PlaceError(name="Field {notes}")) == "There is no board called Field {notes}."
    assert str(PlaceError("looked in 3", name="x")) == "There is no board called x. (looked in 3)"


def test_the_message_is_the_first_paragraph_on_one_line():
    class LongError(UsageError):
        """This sentence goes
        over two lines.

        This is for programmers.
        """

        code = "usage.test_long"

    assert LongError.message_id() == "This sentence goes over two lines."
    assert str(LongError()) == "This sentence goes over two lines."


def test_a_position_is_kept_and_told():
    error = DecodeError("the padding is not zero", position=7)
    assert error.position == 7
    assert error.detail == "the padding is not zero at byte 7"
    assert DecodeError("cut").position is None


def test_a_rule_is_kept_and_told():
    error = RuleError("a topic belongs to a board", rule="C12")
    assert (error.rule, error.code) == ("C12", "message.rule")
    assert error.detail == "C12: a topic belongs to a board"
    assert RuleError("plain").detail == "plain"


def test_text_and_repr_hold_nothing_but_what_was_given():
    error = RuleError("short", rule="C1")
    assert str(error) == "Something that came from outside breaks a rule of this circle. (C1: short)"
    assert repr(error) == "RuleError('C1: short')"
