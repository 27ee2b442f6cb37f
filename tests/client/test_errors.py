"""The client's errors: drawn in full, told in full, each with its exit code."""

from __future__ import annotations

import ast
import inspect
import re
import string
from pathlib import Path

import click
import pytest

from tertulia import errors, i18n
from tertulia.cli.main import build_cli
from tertulia.errors import exit_code
from tertulia_protocol import errors as protocol_errors
from tertulia_protocol.circle import errors as circle_errors
from tertulia_protocol.errors import TertuliaError
from tertulia_protocol.mls import errors as mls_errors

CLIENT = Path(errors.__file__).parent
CLASSES = [
    kind
    for kind in vars(errors).values()
    if inspect.isclass(kind) and issubclass(kind, TertuliaError) and kind.__module__ == errors.__name__
]
PROTOCOL = [
    kind for kind in vars(protocol_errors).values() if inspect.isclass(kind) and issubclass(kind, TertuliaError)
]
LEAVES = [
    kind
    for module in (circle_errors, mls_errors)
    for kind in vars(module).values()
    if inspect.isclass(kind) and kind.__module__ == module.__name__
]


def places(kind) -> set[str]:
    texts = (kind.message_id(), kind.kept, kind.next)
    return {name for text in texts for _, name, _, _ in string.Formatter().parse(text) if name}


def test_every_command_that_is_named_exists():
    """Whoever is told what to type can type it."""
    named = [
        (kind, words.split())
        for kind in (*CLASSES, *PROTOCOL, *LEAVES)
        for words in re.findall(r"tertulia ((?:[a-z]+ ?)+)", f"{kind.kept} {kind.next}")
    ]
    assert len(named) > 8
    for kind, words in named:
        command = build_cli()
        for word in words:
            if not isinstance(command, click.Group):
                break
            context = click.Context(command)
            found = command.get_command(context, word)
            assert found is not None, (kind, words)
            command = found


def test_nobody_is_promised_what_no_command_does():
    """No command uses the recovery words; who was removed is banned, so that only a new profile comes back."""
    texts = {kind: f"{kind.message_id()} {kind.kept} {kind.next}" for kind in (*CLASSES, *PROTOCOL, *LEAVES)}
    assert not [kind for kind, text in texts.items() if "with your recovery words" in text or "with the rec" in text]
    for kind in (errors.RemovedFromCircleError, errors.StuckError, errors.CopiedError):
        assert "new profile" in texts[kind]


def test_every_class_has_a_code_of_its_own():
    codes = [vars(kind)["code"] for kind in (*CLASSES, *PROTOCOL, *LEAVES)]
    assert len(set(codes)) == len(codes)
    assert all(set(code) <= set(string.ascii_lowercase + "._-") for code in codes)


def test_the_tree_is_drawn_with_every_class_and_its_code():
    """Leaves of NotFoundError and of FileError are named there by their parent."""
    drawn = errors.__doc__ or ""
    for kind in CLASSES:
        if kind.__base__ not in {errors.NotFoundError, errors.FileError, errors.CircleNotFoundError}:
            assert f"{kind.__name__} " in drawn
            assert kind.code in drawn


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_class_says_what_happened_what_was_kept_and_what_to_do(kind):
    for sentence in (kind.message_id(), kind.kept, kind.next):
        assert len(sentence) > 10
        assert "  " not in sentence
        assert "\n" not in sentence
    assert ":param" not in kind.message_id()


def raised():
    """Find every place where the client makes an error: file and line, class, the values it gives."""
    known = {kind.__name__: kind for kind in CLASSES}
    for path in sorted(CLIENT.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Raise) and node.exc is not None:
                made = node.exc if isinstance(node.exc, ast.Call) else ast.Call(func=node.exc, args=[], keywords=[])
                name = made.func.id if isinstance(made.func, ast.Name) else ""
                if name in known and all(keyword.arg for keyword in made.keywords):
                    where = f"{path.relative_to(CLIENT)}:{node.lineno}"
                    yield where, known[name], {keyword.arg for keyword in made.keywords}


def test_every_place_of_a_message_is_filled_where_the_error_is_made():
    found = list(raised())
    assert len(found) > 20
    assert [f"{where} {kind.__name__}" for where, kind, given in found if not places(kind) <= given] == []


EXIT = {
    errors.NoProfileError: 2,
    errors.CircleNotFoundError: 2,
    errors.AmbiguousError: 2,
    errors.WordsDifferError: 3,
    errors.ForkError: 3,
    errors.StuckError: 3,
    errors.CutOffError: 3,
    errors.WrongRelayError: 3,
    errors.LinkError: 4,
    errors.UsedLinkError: 4,
    errors.PaymentError: 4,
    protocol_errors.DecodeError: 4,
    protocol_errors.AuthenticityError: 4,
    errors.UnreachableError: 5,
    errors.RelayTooNewError: 5,
    errors.LockedError: 6,
    errors.NewerStoreError: 6,
    errors.DamagedStoreError: 6,
    errors.DiskFullError: 6,
    errors.PassphraseMissingError: 7,
    errors.WrongPassphraseError: 7,
    errors.NotAllowedError: 8,
    protocol_errors.InternalError: 1,
}


@pytest.mark.parametrize(("kind", "code"), EXIT.items(), ids=lambda value: getattr(value, "__name__", str(value)))
def test_exit_codes(kind, code):
    assert exit_code(kind()) == code


@pytest.mark.parametrize("kind", [*CLASSES, *PROTOCOL], ids=lambda kind: kind.__name__)
def test_every_error_has_an_exit_code_of_the_table(kind):
    options = {"retry_after": 1} if kind is errors.RelayBusyError else {}
    assert exit_code(kind(**options)) in {1, 2, 3, 4, 5, 6, 7, 8}


@pytest.mark.parametrize("error", [ValueError(), KeyError("x"), KeyboardInterrupt()])
def test_what_is_no_error_of_ours_is_our_fault(error):
    assert exit_code(error) == 1


def test_an_error_is_described_for_people_and_programs():
    assert i18n.describe(errors.NoProfileError(path="/p/{x}")) == {
        "code": "profile.not_found",
        "message": "There is no profile in /p/{x}.",
        "kept": "Nothing was changed.",
        "next": "Make one with: tertulia init --name NAME",
    }


def test_another_language_that_is_not_there_is_english():
    i18n.set_language("xx")
    try:
        assert i18n.describe(errors.StuckError())["code"] == "circle.stuck"
        assert i18n.ngettext("one", "many", 1) == "one"
        assert i18n.ngettext("one", "many", 2) == "many"
    finally:
        i18n.set_language("en")
