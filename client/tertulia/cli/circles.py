"""``circle create | list | show | alias``."""

from __future__ import annotations

import click

from tertulia.cli import options
from tertulia.cli.arguments import check_count, pick
from tertulia.cli.main import LazyGroup
from tertulia.cli.output import isolated, local_time, table
from tertulia.cli.profile import unread, waits
from tertulia.cli.secrets_in import read_code
from tertulia.cli.session import Network, Session, session
from tertulia.i18n import _, ngettext

circle = LazyGroup(
    "circle",
    help=_("Found, list, show and name circles."),
    lazy={
        "create": ("circles", "create", _("Found a circle on a relay.")),
        "list": ("circles", "list_", _("List the circles of this profile.")),
        "show": ("circles", "show", _("Show all about one circle.")),
        "alias": ("circles", "alias", _("Call a circle by another name in this profile.")),
    },
)


@options.command("create", help=_("Found a circle on a relay, with an enrolment code of its operator."))
@click.argument("name", metavar="NAME")
@click.option("--code-file", metavar="F", help=_("Read the enrolment code from here (-: standard input)."))
@click.option("--name", "display_name", metavar="NAME", help=_("Who you are in this circle, if not as in the profile."))
@session
async def create(run: Session, name: str, code_file: str | None, display_name: str | None) -> None:
    """Found a circle."""
    async with run.client() as client:
        code = read_code(run.secrets, code_file)
        made = await client.circle_create(name, enrolment=code, display_name=display_name)
    run.output.result(made.id, made)


@options.command("list", help=_("List the circles of this profile."))
@options.network
@session
async def list_(run: Session, *, offline: bool, timeout: float) -> None:  # noqa: ASYNC109 - an option
    """List circles."""
    async with run.client() as client:
        await run.freshen(client, None, Network(offline=offline, timeout=timeout))
        found = await client.circle_list()
    rows = [(one.id, one.alias, one.state, unread(one.unread), waits(one.waiting)) for one in found]
    run.output.result(table(rows), {"circles": found})


@options.command("show", help=_("Show all about one circle."))
@options.words("[CIRCLE]")
@options.network
@session
async def show(run: Session, arguments: tuple[str, ...], *, offline: bool, timeout: float) -> None:  # noqa: ASYNC109 - an option
    """Show a circle."""
    async with run.client() as client:
        chosen, _none = await pick(client, arguments)
        await run.freshen(client, chosen, Network(offline=offline, timeout=timeout))
        found = await client.circle_show(chosen)
    members = found.members
    rows = [
        (_("circle"), found.id),
        (_("called here"), found.alias),
        (_("its name"), found.name or ""),
        (_("state"), found.state),
        (_("you"), found.me + (" " + _("(coordinator)") if found.coordinator else "")),
        (_("members"), "" if members is None else ngettext("{count}", "{count}", members).format(count=members)),
        *((_("relay"), relay.card) for relay in found.relays),
        (_("last synced"), local_time(found.synced_at) if found.synced_at else _("never")),
        (_("authenticator"), found.authenticator or ""),
    ]
    run.output.result(table(row for row in rows if row[1]), found)


@options.command("alias", help=_("Call a circle by another name in this profile; nobody else sees it."))
@options.words("[CIRCLE] NAME")
@session
async def alias(run: Session, arguments: tuple[str, ...]) -> None:
    """Name a circle."""
    check_count(len(arguments), least=1, most=2)
    async with run.client() as client:
        chosen, (name,) = await pick(client, arguments, needed=1)
        found = await client.circle_alias(chosen, name)
    run.output.result(isolated(found.alias), found)
