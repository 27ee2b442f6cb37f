"""``board create | list``."""

from __future__ import annotations

import click

from tertulia.cli import options
from tertulia.cli.arguments import pick
from tertulia.cli.main import LazyGroup
from tertulia.cli.output import table
from tertulia.cli.posts import settle
from tertulia.cli.profile import unread
from tertulia.cli.session import Network, Session, session
from tertulia.i18n import _, ngettext

board = LazyGroup(
    "board",
    help=_("Open and list boards."),
    lazy={
        "create": ("boards", "create", _("Open a board.")),
        "list": ("boards", "list_", _("List the boards of a circle.")),
    },
)


@options.command("create", help=_("Open a board."))
@options.words("[CIRCLE] NAME")
@click.option("--description", default="", metavar="TEXT", help=_("What the board is for."))
@click.option("--announce-only", is_flag=True, help=_("Only coordinators open topics; everybody may reply."))
@options.wait
@options.network
@session
async def create(  # noqa: PLR0913 - the options
    run: Session,
    arguments: tuple[str, ...],
    *,
    description: str,
    announce_only: bool,
    wait: float | None,
    offline: bool,
    timeout: float,  # noqa: ASYNC109 - an option
) -> None:
    """Open a board."""
    async with run.client() as client:
        chosen, (name,) = await pick(client, arguments, needed=1)
        made = await client.board_create(chosen, name, description=description, announce_only=announce_only)
        made = await settle(run, client, made, network=Network(offline=offline, timeout=timeout), wait=wait)
    run.output.result(made.id, made)


@options.command("list", help=_("List the boards of a circle."))
@options.words("[CIRCLE]")
@options.network
@session
async def list_(run: Session, arguments: tuple[str, ...], *, offline: bool, timeout: float) -> None:  # noqa: ASYNC109 - an option
    """List boards."""
    async with run.client() as client:
        chosen, _none = await pick(client, arguments)
        await run.freshen(client, chosen, Network(offline=offline, timeout=timeout))
        found = await client.board_list(chosen)
    rows = [(one.id, one.name, _topics(one.topics), unread(one.unread), one.last_line) for one in found]
    run.output.result(table(rows), {"boards": found})


def _topics(count: int) -> str:
    return ngettext("{count} topic", "{count} topics", count).format(count=count)
