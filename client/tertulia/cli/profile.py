"""``init`` and ``status``."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from tertulia.cli import options
from tertulia.cli.output import local_time, table
from tertulia.cli.secrets_in import given_passphrase, has_person
from tertulia.cli.session import Network, Session, session
from tertulia.errors import FileError, PassphraseMissingError, PhraseFileMissingError, WeakPassphraseError
from tertulia.i18n import _, ngettext

TRIES = 3
ASKED = 2
"""How many of the recovery words are asked for."""
OTHER_SCREEN, FIRST_SCREEN = "\x1b[?1049h\x1b[H", "\x1b[?1049l"
"""To another screen of the terminal and back: what stood there is not scrolled back to."""


@options.command("init", help=_("Make a profile on this device, protected by a passphrase."))
@click.option("--name", required=True, metavar="NAME", help=_("What others are shown by default."))
@click.option(
    "--phrase-file", metavar="FILE", type=click.Path(path_type=Path), help=_("Write the recovery words here.")
)
@session
async def init(run: Session, name: str, phrase_file: Path | None) -> None:
    """Make a profile."""
    from tertulia import identity
    from tertulia.client import Client
    from tertulia.system import system_rng

    check_new_profile(run.profile)
    check_words_have_a_place(phrase_file)
    passphrase = _new_passphrase(run, identity.suggest_passphrase(system_rng, run.language))
    identity.check_new_passphrase(passphrase)
    root = identity.new_root(system_rng)
    words = identity.phrase_of(root, run.language)
    if phrase_file is None:
        _show_words(words)
    else:
        _write_words(phrase_file, words)
    with _taken_back(phrase_file):
        made = await Client.init(
            run.profile, name=name, passphrase=passphrase, root=root, language=run.language, cost=run.cost
        )
    run.output.result(str(made.directory), made)
    run.output.say(_("Nobody can reset the passphrase. Keep the recovery words safe; no command uses them yet."))


@contextlib.contextmanager
def _taken_back(phrase_file: Path | None) -> Iterator[None]:
    """Delete the words again if no profile came of them: they would belong to nothing."""
    try:
        yield
    except BaseException:
        if phrase_file is not None:
            phrase_file.unlink(missing_ok=True)
        raise


def check_new_profile(directory: Path) -> None:
    """Check that there is no profile before anybody is asked for anything. :raises ProfileExistsError: there is one."""
    from tertulia.errors import ProfileExistsError
    from tertulia.store.database import KEY_NAME

    if (directory / KEY_NAME).exists():
        raise ProfileExistsError(path=directory)


def check_words_have_a_place(phrase_file: Path | None) -> None:
    """Check that the recovery words will reach a person. :raises PhraseFileMissingError: neither terminal nor file."""
    if phrase_file is None and not has_person():
        raise PhraseFileMissingError


def _new_passphrase(run: Session, suggestion: str) -> str:
    given = given_passphrase(run.secrets, run.settings.passphrase_file)
    if given is not None:
        return given
    if not has_person():
        raise PassphraseMissingError
    from tertulia.identity import check_new_passphrase

    click.echo(_("Choose a passphrase: at least 12 characters or six words. For example, just drawn:"), err=True)
    click.echo(f"\n    {suggestion}\n", err=True)
    for _try in range(TRIES):
        chosen = click.prompt(
            _("Passphrase"), hide_input=True, confirmation_prompt=_("The same again"), err=True, type=str
        )
        try:
            check_new_passphrase(chosen)
        except WeakPassphraseError as error:
            run.output.warn(error)
        else:
            return str(chosen)
    raise WeakPassphraseError


def _show_words(words: tuple[str, ...]) -> None:
    from tertulia.system import system_rng

    for _try in range(TRIES):
        _display(words)
        places = _two_places(system_rng(8), len(words))
        if all(_knows(words, place) for place in places):
            return
        click.echo(_("That is another word. The words are shown once more."), err=True)
    raise click.Abort


def _display(words: tuple[str, ...]) -> None:
    lines = [f"{place:2}. {word}" for place, word in enumerate(words, start=1)]
    rows = [(lines[row], lines[row + 8], lines[row + 16]) for row in range(8)]
    sys.stderr.write(OTHER_SCREEN + _("Your recovery words. Write them on paper, in this order:") + "\n\n")
    sys.stderr.write(table(rows) + "\n\n")
    click.prompt(_("Press Enter when they are written down"), default="", show_default=False, err=True)
    sys.stderr.write(FIRST_SCREEN)


def _two_places(drawn: bytes, count: int) -> list[int]:
    first = int.from_bytes(drawn[:4], "big") % count
    second = (first + 1 + int.from_bytes(drawn[4:], "big") % (count - 1)) % count
    return sorted((first, second))[:ASKED]


def _knows(words: tuple[str, ...], place: int) -> bool:
    from tertulia.resolve import same_name

    typed = click.prompt(_("Word {number}").format(number=place + 1), err=True, type=str)
    return same_name(typed.strip()) == same_name(words[place])


def _write_words(path: Path, words: tuple[str, ...]) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(" ".join(words) + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise FileError(path=path, problem=error.strerror or type(error).__name__) from error


@options.command("status", help=_("Show the profile at a glance."))
@options.network
@session
async def status(run: Session, *, offline: bool, timeout: float) -> None:  # noqa: ASYNC109 - an option
    """Show the profile."""
    async with run.client() as client:
        await run.freshen(client, None, Network(offline=offline, timeout=timeout))
        found = await client.status()
    rows = [(one.id, one.alias, one.state, unread(one.unread), waits(one.waiting)) for one in found.circles]
    asked = [(one.circle, _("asked to join"), one.state, local_time(one.expires_at), "") for one in found.joins]
    run.output.result("\n".join(part for part in (found.name, table(rows + asked)) if part), found)


def unread(count: int) -> str:
    """Return how many posts are unread, in words; nothing for none."""
    return ngettext("{count} unread", "{count} unread", count).format(count=count) if count else ""


def waits(count: int) -> str:
    """Return how many posts wait to be sent, in words; nothing for none."""
    return (
        ngettext("{count} waiting to be sent", "{count} waiting to be sent", count).format(count=count) if count else ""
    )
