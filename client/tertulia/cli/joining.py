"""``join``."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import click

from tertulia.cli import options
from tertulia.cli.output import local_time
from tertulia.cli.secrets_in import has_person, read_link
from tertulia.cli.session import Session, session
from tertulia.i18n import _

if TYPE_CHECKING:
    from tertulia.results import Invited, Joining


@options.command("join", help=_("Ask to join a circle with an invitation, and print the four words to read out."))
@click.option("--name", metavar="N", help=_("Who you are in this circle, if not as in the profile."))
@click.option("--link-file", metavar="F", help=_("Read the invitation link from here (-: standard input)."))
@options.yes
@options.wait
@session
async def join(run: Session, *, name: str | None, link_file: str | None, yes: bool, wait: float | None) -> None:
    """Join."""
    async with run.client() as client:
        link = read_link(run.secrets, link_file)
        if has_person() and not yes:
            _confirm(await client.invitation_show(link))
        asked = await client.join(link, name=name)
        if wait is not None:
            # Whoever waits reads the words out meanwhile.
            run.output.say(_words(asked))
            await client.wait_joined(asked.circle, timeout=wait)
            asked = dataclasses.replace(asked, state="joined")
    run.output.result(" ".join(asked.words), asked)
    if wait is None:
        run.output.say(_words(asked))
        run.output.say(_("Waiting for the inviter. Later: tertulia sync"))


def _confirm(invited: Invited) -> None:
    facts = (
        (_("circle"), invited.circle),
        (_("invited by"), invited.inviter),
        (_("relay"), invited.relay),
        (_("good until"), local_time(invited.expires_at)),
    )
    for name, value in facts:
        click.echo(f"{name}: {value}", err=True)
    click.confirm(_("Ask to join this circle?"), abort=True, err=True)


def _words(asked: Joining) -> str:
    text = _("Read these four words out to the person who invited you, by voice: {words} ({numbers})")
    return text.format(words=" ".join(asked.words), numbers=" ".join(asked.numbers))
