"""Options and arguments that many commands share.

The options for all commands (``--json``, ``--profile``, ...) may stand before or after the command's name. What decides
how errors are shown is read from the arguments before anything can go wrong (:func:`first_look`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from tertulia.errors import SecretInArgumentError
from tertulia.i18n import _

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_TIMEOUT = 10.0
DEFAULT_WAIT = 60.0

SECRET_PREFIXES = ("tertulia:", "tertulia-relay:")

_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?")


@dataclass(slots=True, kw_only=True)
class Settings:
    """What the options for all commands say."""

    profile: Path | None = None
    passphrase_file: str | None = None
    lock_wait: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstLook:
    """What must be known before arguments are parsed."""

    as_json: bool
    quiet: bool
    lang: str | None


def first_look(arguments: Sequence[str]) -> FirstLook:
    """Read the options that decide how a run speaks, wherever they stand (but not after ``--``)."""
    known = list(arguments)
    if "--" in known:
        known = known[: known.index("--")]
    return FirstLook(as_json="--json" in known, quiet="--quiet" in known, lang=_language(known))


def _language(arguments: Sequence[str]) -> str | None:
    for place, argument in enumerate(arguments):
        if argument.startswith("--lang="):
            return argument.removeprefix("--lang=")
        if argument == "--lang" and place + 1 < len(arguments):
            return arguments[place + 1]
    return None


def person_language(lang: str | None, environ: Mapping[str, str]) -> str:
    """Return the language of the person, such as ``fr``: as ``--lang`` or the environment says, else English."""
    said = lang or environ.get("LC_ALL") or environ.get("LC_MESSAGES") or environ.get("LANG") or ""
    code = said.replace("-", "_").partition(".")[0].partition("_")[0].lower()
    return code if code.isalpha() and len(code) in {2, 3} else "en"


def check_no_secret(arguments: Sequence[str]) -> None:
    """Check that no argument is a link or a code: other users of the machine can read arguments.

    :raises SecretInArgumentError: one is. The error does not repeat it.
    """
    for argument in arguments:
        value = argument.partition("=")[2] if argument.startswith("--") else argument
        if value.strip().lower().startswith(SECRET_PREFIXES):
            raise SecretInArgumentError


# --- For all commands -----------------------------------------------------------------------------------------------


def settings_of(ctx: click.Context) -> Settings:
    """Return the settings of this run."""
    return ctx.find_root().ensure_object(Settings)


def _keep(name: str) -> Callable[[click.Context, click.Parameter, Any], Any]:
    def keep(ctx: click.Context, _parameter: click.Parameter, value: object) -> None:
        if value is not None:
            setattr(settings_of(ctx), name, value)

    return keep


def for_all() -> list[click.Parameter]:
    """Return the options that every command and every group takes."""
    return [
        click.Option(
            ["--profile"],
            metavar="DIR",
            type=click.Path(path_type=Path, file_okay=False),
            expose_value=False,
            callback=_keep("profile"),
            help=_("The profile's directory. Default: $TERTULIA_PROFILE, or the platform's folder for data."),
        ),
        click.Option(
            ["--passphrase-file"],
            metavar="PATH",
            expose_value=False,
            callback=_keep("passphrase_file"),
            help=_("Read the passphrase from here (/dev/fd/3 works)."),
        ),
        click.Option(
            ["--lock-wait"],
            metavar="SECONDS",
            type=click.FloatRange(0, 86400),
            expose_value=False,
            callback=_keep("lock_wait"),
            help=_("Wait this long for another Tertulia that uses the profile."),
        ),
        click.Option(["--json"], is_flag=True, expose_value=False, help=_("Print one JSON object.")),
        click.Option(["--quiet"], is_flag=True, expose_value=False, help=_("Print the result and faults only.")),
        click.Option(["--lang"], metavar="CODE", expose_value=False, help=_("Language of the text.")),
    ]


class TertuliaCommand(click.Command):
    """A command with the options for all; ``--wait`` may stand without a number."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:  # noqa: ANN401 - click's own
        super().__init__(*arguments, **settings)
        self.params = [*self.params, *for_all()]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Give ``--wait`` its default where no number follows."""
        return super().parse_args(ctx, _filled_wait(args))


def _filled_wait(arguments: Sequence[str]) -> list[str]:
    filled: list[str] = []
    for place, argument in enumerate(arguments):
        follower = arguments[place + 1] if place + 1 < len(arguments) else ""
        bare = argument == "--wait" and "--" not in arguments[:place] and not _NUMBER.fullmatch(follower)
        filled.append(f"--wait={DEFAULT_WAIT:g}" if bare else argument)
    return filled


def command(name: str, help: str) -> Callable[[Callable[..., Any]], TertuliaCommand]:  # noqa: A002 - click's own word
    """Make a command of a function."""
    return click.command(name, cls=TertuliaCommand, help=help)


# --- For some -------------------------------------------------------------------------------------------------------


def network(function: F) -> F:
    """Add ``--offline`` and ``--timeout``."""
    for option in (
        click.option("--offline", is_flag=True, help=_("Do not talk to any relay.")),
        click.option(
            "--timeout",
            metavar="SECONDS",
            type=click.FloatRange(0, 86400),
            default=DEFAULT_TIMEOUT,
            show_default=True,
            help=_("Talk to relays for at most this long first."),
        ),
    ):
        function = option(function)
    return function


def wait(function: F) -> F:
    """Add ``--wait [SECONDS]``."""
    return click.option(
        "--wait",
        metavar="[SECONDS]",
        type=click.FloatRange(0, 86400 * 30),
        default=None,
        help=_("Wait until it is done, at most this long (60 seconds if no number follows)."),
    )(function)


def yes(function: F) -> F:
    """Add ``--yes``."""
    return click.option("--yes", is_flag=True, help=_("Do not ask. Needed where there is no terminal."))(function)


def words(metavar: str) -> Callable[[F], F]:
    """Add the positional arguments; which is which is decided when the circles are known (``circles.pick``)."""
    return click.argument("arguments", nargs=-1, metavar=metavar)
