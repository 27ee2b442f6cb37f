"""``help exit-codes``."""

from __future__ import annotations

import click

from tertulia.cli import options
from tertulia.cli.main import LazyGroup
from tertulia.cli.output import table
from tertulia.cli.session import Session
from tertulia.i18n import _

help_ = LazyGroup(
    "help",
    help=_("Explain exit codes."),
    lazy={"exit-codes": ("helping", "exit_codes", _("List the exit codes."))},
)


def explained() -> dict[int, str]:
    """Return what each exit code means."""
    return {
        0: _("done, or kept on this device to be sent later"),
        1: _("a fault in Tertulia itself"),
        2: _("the command or an argument is wrong, or nothing or too much fits it"),
        3: _("a person must decide: words differ, two histories, stuck, cut off"),
        4: _("what came from outside is bad, expired or used: a link, a code, a file, a message"),
        5: _("the relay cannot be reached or did not do its part in time"),
        6: _("the profile is in use, damaged or of a newer version, or the disk is full"),
        7: _("the passphrase is missing or wrong"),
        8: _("not allowed in this circle"),
        130: _("interrupted"),
    }


@options.command("exit-codes", help=_("List the exit codes."))
@click.pass_context
def exit_codes(ctx: click.Context) -> None:
    """List exit codes."""
    codes = explained()
    Session(ctx).output.result(
        table((str(code), text) for code, text in codes.items()),
        {"exit_codes": [{"code": code, "meaning": text} for code, text in codes.items()]},
    )
