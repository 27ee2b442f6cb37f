"""``sync``, once or for as long as it runs."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

import click

from tertulia.cli import options
from tertulia.cli.output import table
from tertulia.cli.profile import waits
from tertulia.cli.session import Session, is_unreachable, session
from tertulia.errors import UnreachableError
from tertulia.i18n import _, ngettext
from tertulia_protocol.errors import TrustError

if TYPE_CHECKING:
    from tertulia.client import Client
    from tertulia.results import CircleSync, SyncReport


@options.command("sync", help=_("Exchange with the relays what is new, for all circles and open requests."))
@click.option("--follow", is_flag=True, help=_("Go on until interrupted; print events as JSON lines."))
@click.option("--after", type=click.IntRange(min=0), metavar="TOKEN", help=_("With --follow: resume after this event."))
@click.option(
    "--timeout", metavar="SECONDS", type=click.FloatRange(0, 86400), default=None, help=_("At most this long.")
)
@options.wait
@session
async def sync(
    run: Session,
    *,
    follow: bool,
    after: int | None,
    timeout: float | None,  # noqa: ASYNC109 - an option
    wait: float | None,
) -> None:
    """Sync."""
    async with run.client() as client:
        if follow:
            await _follow(run, client, after)
            return
        seconds = timeout if timeout is not None else wait if wait is not None else options.DEFAULT_TIMEOUT
        report = await client.sync(timeout=seconds)
        if wait is not None:
            check_reached(report)
    check_no_decision(report)
    run.tell(report)
    run.output.result(table(_row(one) for one in report.circles), report)


def check_reached(report: SyncReport) -> None:
    """Check that every relay did its part. :raises TransportError: the first that did not."""
    for one in report.circles:
        if one.error is not None and is_unreachable(one.error):
            raise one.error
    if any(one.state == "prepared" for one in report.joins):
        raise UnreachableError


def check_no_decision(report: SyncReport) -> None:
    """Check that no circle waits for the decision of a person. :raises TrustError: the first that does."""
    for one in report.circles:
        if isinstance(one.error, TrustError):
            raise one.error


def _row(one: CircleSync) -> tuple[str, ...]:
    received = ngettext("{count} entry received", "{count} entries received", one.received).format(count=one.received)
    return (one.id, one.alias, one.state, received, waits(one.waiting))


async def _follow(run: Session, client: Client, after: int | None) -> None:
    """Follow until SIGINT or SIGTERM. The events of before come first where ``--after`` says so."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    tasks = [
        loop.create_task(client.follow()),
        loop.create_task(_print_events(run, client, after)),
        loop.create_task(stop.wait()),
    ]
    done, others = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    for task in done:
        task.result()
    raise click.Abort


async def _print_events(run: Session, client: Client, after: int | None) -> None:
    async for event in client.events(after):
        run.output.json_line(event)
