"""``attachment list | save``."""

from __future__ import annotations

from pathlib import Path

import click

from tertulia.cli import options
from tertulia.cli.arguments import pick
from tertulia.cli.main import LazyGroup
from tertulia.cli.output import size, table
from tertulia.cli.progress import progress_of
from tertulia.cli.session import Network, Session, session
from tertulia.i18n import _

attachment = LazyGroup(
    "attachment",
    help=_("List and save the files of a post."),
    lazy={
        "list": ("attachments", "list_", _("List the files of a post.")),
        "save": ("attachments", "save", _("Save a file of a post.")),
    },
)


@options.command("list", help=_("List the files of a post."))
@options.words("[CIRCLE] POST")
@options.network
@session
async def list_(run: Session, arguments: tuple[str, ...], *, offline: bool, timeout: float) -> None:  # noqa: ASYNC109 - an option
    """List files."""
    async with run.client() as client:
        chosen, (post,) = await pick(client, arguments, needed=1)
        await run.freshen(client, chosen, Network(offline=offline, timeout=timeout))
        found = await client.attachment_list(chosen, post)
    run.output.result(
        table((str(one.number), one.name, size(one.size), one.type) for one in found), {"attachments": found}
    )


@options.command("save", help=_("Fetch a file of a post and save it. The name that its sender gave is never used."))
@options.words("[CIRCLE] POST [N]")
@click.option("--to", required=True, metavar="PATH", type=click.Path(path_type=Path), help=_("Where to save it."))
@click.option("--force", is_flag=True, help=_("Write over what is there."))
@options.network
@session
async def save(  # noqa: PLR0913 - the options
    run: Session,
    arguments: tuple[str, ...],
    *,
    to: Path,
    force: bool,
    offline: bool,
    timeout: float,  # noqa: ASYNC109 - an option
) -> None:
    """Save a file."""
    async with run.client() as client:
        chosen, (post, *rest) = await pick(client, arguments, needed=1, optional=1)
        number = read_number(rest[0]) if rest else None
        await run.freshen(client, chosen, Network(offline=offline, timeout=timeout))
        found = await client.attachment_save(chosen, post, number, to=to, force=force, progress=progress_of(run.output))
    run.output.result(str(found.path), found)


def read_number(text: str) -> int:
    """Return the number of a file. :raises click.BadParameter: it is none."""
    if not (text.isascii() and text.isdecimal() and len(text) <= 4):
        raise click.BadParameter(_("{text} is not the number of a file.").format(text=text))
    return int(text)
