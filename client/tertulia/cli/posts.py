"""``post``, ``reply`` and ``read``."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from tertulia.cli import options
from tertulia.cli.arguments import pick, read_date
from tertulia.cli.output import indented, isolated, local_time, size
from tertulia.cli.progress import progress_of
from tertulia.cli.session import Network, Session, session
from tertulia.errors import FileError, NotFoundError
from tertulia.i18n import _

if TYPE_CHECKING:
    from tertulia.client import Client
    from tertulia.results import NewBoard, NewPost, Post

    Written = TypeVar("Written", NewBoard, NewPost)
else:
    Written = TypeVar("Written")

F = TypeVar("F", bound=Callable[..., object])

MOST_BODY = 1 << 20
"""The most bytes that are read of a text; the limit of a post is smaller, and its error says so."""


def _written(function: F) -> F:
    for option in (
        click.option("--attach", metavar="F", multiple=True, type=click.Path(path_type=Path), help=_("Attach a file.")),
        click.option("--body-file", metavar="F", help=_("Read the text from here (-: standard input).")),
        click.option("--language", "text_lang", metavar="CODE", help=_("Language of the text, for readers' programs.")),
        options.wait,
        options.network,
    ):
        function = option(function)
    return function


@options.command("post", help=_("Open a topic on a board."))
@options.words("[CIRCLE] [BODY]")
@click.option("--board", required=True, metavar="B", help=_("The board: identifier or name."))
@click.option("--title", required=True, metavar="T", help=_("In one sentence, what is it about?"))
@_written
@session
async def post(  # noqa: PLR0913 - the options
    run: Session,
    arguments: tuple[str, ...],
    *,
    board: str,
    title: str,
    attach: tuple[Path, ...],
    body_file: str | None,
    text_lang: str | None,
    wait: float | None,
    offline: bool,
    timeout: float,  # noqa: ASYNC109 - an option
) -> None:
    """Open a topic."""
    network = Network(offline=offline, timeout=timeout)
    async with run.client() as client:
        chosen, rest = await pick(client, arguments, optional=0 if body_file is not None else 1)
        body = _body(rest[0] if rest else None, body_file)

        async def write() -> NewPost:
            progress = progress_of(run.output)
            return await client.post(
                chosen, board=board, title=title, body=body, lang=text_lang, attachments=attach, progress=progress
            )

        made = await _write_known(run, client, chosen, network, write)
        made = await settle(run, client, made, network=network, wait=wait)
    run.output.result(made.id, made)


@options.command("reply", help=_("Answer a topic or a reply."))
@options.words("[CIRCLE] POST [BODY]")
@_written
@session
async def reply(  # noqa: PLR0913 - the options
    run: Session,
    arguments: tuple[str, ...],
    *,
    attach: tuple[Path, ...],
    body_file: str | None,
    text_lang: str | None,
    wait: float | None,
    offline: bool,
    timeout: float,  # noqa: ASYNC109 - an option
) -> None:
    """Answer a post."""
    network = Network(offline=offline, timeout=timeout)
    async with run.client() as client:
        chosen, (target, *rest) = await pick(client, arguments, needed=1, optional=0 if body_file is not None else 1)
        body = _body(rest[0] if rest else None, body_file)

        async def write() -> NewPost:
            progress = progress_of(run.output)
            return await client.reply(chosen, target, body=body, lang=text_lang, attachments=attach, progress=progress)

        made = await _write_known(run, client, chosen, network, write)
        made = await settle(run, client, made, network=network, wait=wait)
    run.output.result(made.id, made)


def _body(argument: str | None, file: str | None) -> str:
    if file is None:
        return argument or ""
    try:
        data = sys.stdin.buffer.read(MOST_BODY) if file == "-" else _read(Path(file))
        return data.decode("utf-8")
    except OSError as error:
        raise FileError(path=file, problem=error.strerror or type(error).__name__) from error
    except UnicodeDecodeError as error:
        raise FileError(path=file, problem=_("not UTF-8 text")) from error


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MOST_BODY)


async def _write_known(
    run: Session, client: Client, circle: str | None, network: Network, write: Callable[[], Awaitable[NewPost]]
) -> NewPost:
    """Write at once what answers something known; else look at the relay first whether it has it."""
    try:
        return await write()
    except NotFoundError:
        if network.offline:
            raise
        await run.freshen(client, circle, network)
        return await write()


async def settle(run: Session, client: Client, made: Written, *, network: Network, wait: float | None) -> Written:
    """Send what was written: for the time of ``--timeout`` at most, or until it is read back with ``--wait``.

    It is durable before. :raises NotInTimeError: with ``wait``, it was not read back in time.
    """
    if wait is not None:
        state = await client.wait_sent(made.circle, made.id, timeout=wait)
    elif network.offline:
        return made
    else:
        await run.freshen(client, made.circle, network)
        state = await client.delivery(made.circle, made.id)
    return dataclasses.replace(made, state=state)


# --- Reading --------------------------------------------------------------------------------------------------------


@options.command("read", help=_("Show topics and replies. Marks nothing as read by itself."))
@options.words("[CIRCLE]")
@click.option("--board", metavar="B", help=_("Of this board only."))
@click.option("--topic", metavar="P", help=_("This topic with its replies only."))
@click.option("--unread", is_flag=True, help=_("What is unread only."))
@click.option("--since", metavar="DATE", help=_("What was written since this day or time only."))
@click.option("--limit", metavar="N", type=click.IntRange(min=1), help=_("The newest so many only."))
@click.option("--mark-read", is_flag=True, help=_("Mark as read what is shown."))
@options.network
@session
async def read(  # noqa: PLR0913 - the options
    run: Session,
    arguments: tuple[str, ...],
    *,
    board: str | None,
    topic: str | None,
    unread: bool,
    since: str | None,
    limit: int | None,
    mark_read: bool,
    offline: bool,
    timeout: float,  # noqa: ASYNC109 - an option
) -> None:
    """Show posts."""
    moment = read_date(since)
    async with run.client() as client:
        chosen, _none = await pick(client, arguments)
        await run.freshen(client, chosen, Network(offline=offline, timeout=timeout))
        found = await client.read(
            chosen, board=board, topic=topic, unread=unread, since=moment, limit=limit, mark_read=mark_read
        )
    run.output.result("\n\n".join(_shown(one) for one in found), {"posts": found})


def _shown(post: Post) -> str:
    depth = 0 if post.type == "topic" else 1
    lines = [indented(post.title, depth)] if post.title else []
    lines.append("  " * depth + "  ".join(_line(post)))
    if post.stub:
        lines.append(indented(_("This needs a newer version of Tertulia to be shown."), depth + 1))
    elif post.retracted:
        lines.append(indented(_("Taken back by its author."), depth + 1))
    elif post.body:
        lines.append(indented(post.body, depth + 1))
    lines += [
        "  " * (depth + 1) + f"[{file.number}] {isolated(file.name)}  {size(file.size)}" for file in post.attachments
    ]
    return "\n".join(lines)


def _line(post: Post) -> list[str]:
    # The identifier stands before the name: names are chosen freely, and another member's can be the same.
    parts = [post.id, post.author, *([isolated(post.author_name)] if post.author_name else []), local_time(post.at)]
    notes = (
        (post.edited, _("edited")),
        (post.unread, _("unread")),
        (post.forwarded_by is not None, _("forwarded by {member}").format(member=post.forwarded_by)),
        (post.state != "sent", _("waiting to be sent")),
    )
    return parts + [text for holds, text in notes if holds]
