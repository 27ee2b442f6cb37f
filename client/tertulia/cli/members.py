"""``members`` and ``remove``."""

from __future__ import annotations

import click

from tertulia.cli import options
from tertulia.cli.arguments import pick
from tertulia.cli.output import isolated, table
from tertulia.cli.secrets_in import has_person
from tertulia.cli.session import Network, Session, session
from tertulia.errors import YesMissingError
from tertulia.i18n import _


@options.command("members", help=_("List the members of a circle."))
@options.words("[CIRCLE]")
@options.network
@session
async def members(run: Session, arguments: tuple[str, ...], *, offline: bool, timeout: float) -> None:  # noqa: ASYNC109 - an option
    """List members."""
    async with run.client() as client:
        chosen, _none = await pick(client, arguments)
        await run.freshen(client, chosen, Network(offline=offline, timeout=timeout))
        found = await client.members(chosen)
    rows = [
        (
            one.id,
            one.name or "",
            one.organisation,
            _("coordinator") if one.coordinator else "",
            _("you") if one.me else "",
        )
        for one in found
    ]
    run.output.result(table(rows), {"members": found})


@options.command("remove", help=_("Remove a member from a circle: from then on it can read nothing new."))
@options.words("[CIRCLE] MEMBER")
@options.yes
@options.network
@session
async def remove(
    run: Session,
    arguments: tuple[str, ...],
    *,
    yes: bool,
    offline: bool,
    timeout: float,  # noqa: ASYNC109 - an option
) -> None:
    """Remove a member."""
    async with run.client() as client:
        chosen, (named,) = await pick(client, arguments, needed=1)
        await run.freshen(client, chosen, Network(offline=offline, timeout=timeout))
        if not yes:
            shown = await client.member_show(chosen, named)
            check_person()
            question = _("Remove {name} ({member})?").format(name=isolated(shown.name or ""), member=shown.id)
            click.confirm(question, abort=True, err=True)
        found = await client.remove(chosen, named)
    run.output.result(found.id, found)


def check_person() -> None:
    """Check that somebody can confirm what cannot be undone. :raises YesMissingError: nobody is there."""
    if not has_person():
        raise YesMissingError
