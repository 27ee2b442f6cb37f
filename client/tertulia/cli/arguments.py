"""Which positional argument is which: CIRCLE may be left out where the profile has exactly one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from tertulia.i18n import _

if TYPE_CHECKING:
    from tertulia.client import Client
    from tertulia.results import CircleSummary


async def pick(
    client: Client, arguments: Sequence[str], *, needed: int = 0, optional: int = 0
) -> tuple[str | None, list[str]]:
    """Return the circle, if it was named, and the other arguments: ``needed`` ones, then up to ``optional`` more."""
    count = len(arguments)
    check_count(count, least=needed, most=1 + needed + optional)
    if count == needed:
        return None, list(arguments)
    if count == 1 + needed + optional or not optional:
        return arguments[0], list(arguments[1:])
    # One less than all: either the circle was left out or the last one.
    if names_circle(arguments[0], await client.circle_list()):
        return arguments[0], list(arguments[1:])
    return None, list(arguments)


def check_count(count: int, *, least: int, most: int) -> None:
    """Check the number of positional arguments. :raises click.UsageError: too few or too many."""
    if count < least:
        raise click.UsageError(_("Something is missing after the name of the command."))
    if count > most:
        raise click.UsageError(_("There are too many arguments."))


def names_circle(text: str, circles: Sequence[CircleSummary]) -> bool:
    """Answer whether an argument is the name, the identifier or the beginning of the identifier of a circle."""
    from tertulia.identifiers import Kind, is_beginning
    from tertulia.resolve import same_name

    starts = is_beginning(Kind.CIRCLE, text)
    return any((starts and one.id.startswith(text)) or same_name(one.alias) == same_name(text) for one in circles)


def read_date(text: str | None) -> datetime | None:
    """Return a date or time as it was typed: RFC 3339, or a day, of UTC where no zone stands.

    :raises click.BadParameter: neither.
    """
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise click.BadParameter(
            _("{text} is no date: write 2026-11-21 or 2026-11-21T19:30Z.").format(text=text)
        ) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
