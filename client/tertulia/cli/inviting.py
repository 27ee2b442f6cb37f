"""``invite``, ``request list``, ``approve`` and ``decline``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from tertulia.cli import options
from tertulia.cli.arguments import pick
from tertulia.cli.main import LazyGroup
from tertulia.cli.output import isolated, local_time, table
from tertulia.cli.secrets_in import has_person
from tertulia.cli.session import Network, Session, session
from tertulia.errors import WordsMissingError
from tertulia.i18n import _, ngettext

if TYPE_CHECKING:
    from tertulia.client import History
    from tertulia.results import Request

WORDS = 4

request = LazyGroup(
    "request",
    help=_("List requests to join."),
    lazy={"list": ("inviting", "request_list", _("List the requests that wait for a decision."))},
)


@options.command("invite", help=_("Make an invitation for one person and print its link. The link is a secret."))
@options.words("[CIRCLE]")
@click.option(
    "--days", type=click.IntRange(1, 28), default=7, show_default=True, metavar="N", help=_("Days it is good.")
)
@click.option("--qr", is_flag=True, help=_("Draw the link as a QR code on the terminal too."))
@options.network
@session
async def invite(  # noqa: PLR0913 - the options
    run: Session,
    arguments: tuple[str, ...],
    *,
    days: int,
    qr: bool,
    offline: bool,
    timeout: float,  # noqa: ASYNC109 - an option
) -> None:
    """Invite."""
    async with run.client() as client:
        chosen, _none = await pick(client, arguments)
        await run.freshen(client, chosen, Network(offline=offline, timeout=timeout))
        made = await client.invite(chosen, days=days, language=run.language)
    run.output.result(made.link, made)
    run.output.say(
        _("For one person, until {day}. Hand it over in a way that nobody else reads.").format(
            day=local_time(made.expires_at)
        )
    )
    if qr and not run.output.as_json:
        _draw(made.link)


def _draw(link: str) -> None:
    import segno

    # On standard error: the link stays alone on standard output.
    segno.make(link, error="m", micro=False).terminal(out=sys.stderr, compact=True)
    sys.stderr.flush()


@options.command("list", help=_("List the requests to join a circle that wait for a decision."))
@options.words("[CIRCLE]")
@options.network
@session
async def request_list(run: Session, arguments: tuple[str, ...], *, offline: bool, timeout: float) -> None:  # noqa: ASYNC109 - an option
    """List requests."""
    async with run.client() as client:
        chosen, _none = await pick(client, arguments)
        await run.freshen(client, chosen, Network(offline=offline, timeout=timeout))
        found = await client.request_list(chosen)
    run.output.result(
        table((one.id, one.name, local_time(one.received_at), _others(one)) for one in found), {"requests": found}
    )


def _others(one: Request) -> str:
    if not one.others:
        return ""
    text = ngettext(
        "{count} other request with the same link: somebody else has it",
        "{count} other requests with the same link: others have it",
        one.others,
    )
    return text.format(count=one.others)


@options.command("approve", help=_("Let somebody in, once the four words that they read out to you were compared."))
@options.words("[CIRCLE] REQUEST")
@click.option("--words", "heard", metavar="W", help=_("The four words, or numbers, as you heard them."))
@click.option(
    "--history",
    metavar="none|all|DAYS",
    default="none",
    show_default=True,
    help=_("What the new member may read of the time before."),
)
@options.network
@session
async def approve(  # noqa: PLR0913 - the options
    run: Session,
    arguments: tuple[str, ...],
    *,
    heard: str | None,
    history: str,
    offline: bool,
    timeout: float,  # noqa: ASYNC109 - an option
) -> None:
    """Approve."""
    given = read_history(history)
    async with run.client() as client:
        chosen, (named,) = await pick(client, arguments, needed=1)
        await run.freshen(client, chosen, Network(offline=offline, timeout=timeout))
        found = await client.approve(chosen, named, words=_heard(heard), history=given)
    run.output.result(found.member, found)


def _heard(words: str | None) -> list[str]:
    if words is not None:
        return words.split()
    if not has_person():
        raise WordsMissingError
    click.echo(_("Ask the person who wants to join, by voice, for the four words on their screen."), err=True)
    return str(click.prompt(_("The four words"), err=True)).split()


def read_history(text: str) -> History:
    """Return what ``--history`` says. :raises click.BadParameter: neither none, all nor a number of days."""
    if text == "none":
        return "none"
    if text == "all":
        return "all"
    if text.isascii() and text.isdecimal() and int(text) > 0:
        return int(text)
    raise click.BadParameter(_("Say none, all, or a number of days."), param_hint="--history")


@options.command("decline", help=_("Refuse a request to join. Nothing is sent."))
@options.words("[CIRCLE] REQUEST")
@options.network
@session
async def decline(run: Session, arguments: tuple[str, ...], *, offline: bool, timeout: float) -> None:  # noqa: ASYNC109 - an option
    """Decline."""
    async with run.client() as client:
        chosen, (named,) = await pick(client, arguments, needed=1)
        await run.freshen(client, chosen, Network(offline=offline, timeout=timeout))
        found = await client.decline(chosen, named)
    run.output.result(isolated(found.id), found)
