"""The command ``tertulia-relay``: arguments in, one result out, an exit code that programs can rely on.

Nothing is imported before a command needs it, and no question is ever asked. The result alone goes to standard
output; talk and errors go to standard error.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tertulia_protocol.errors import (
    InternalError,
    InvalidMessageError,
    StorageError,
    TertuliaError,
    TransportError,
    UsageError,
)
from tertulia_relay.i18n import _, describe, set_language

if TYPE_CHECKING:
    from tertulia_relay.app import Ready

DONE, FAULT, USAGE, BAD_INPUT, NOT_REACHABLE, STORE, INTERRUPTED = 0, 1, 2, 4, 5, 6, 130

_EXIT_CODES: tuple[tuple[type[TertuliaError], int], ...] = (
    (UsageError, USAGE),
    (InvalidMessageError, BAD_INPUT),
    (TransportError, NOT_REACHABLE),
    (StorageError, STORE),
    (InternalError, FAULT),
)


class Output:
    """How this run speaks."""

    def __init__(self, arguments: Sequence[str]) -> None:
        """:param arguments: of the command; the options for all commands are read before any can be wrong."""
        known = list(arguments)[: list(arguments).index("--") if "--" in arguments else None]
        self.json = "--json" in known
        self.quiet = "--quiet" in known

    def result(self, text: str, **fields: object) -> None:
        """Print the one result: ``text``, or ``fields`` as JSON."""
        sys.stdout.write((json.dumps(fields, ensure_ascii=False) if self.json else text) + "\n")
        sys.stdout.flush()

    def say(self, text: str) -> None:
        """Tell a person something that is not the result."""
        if not (self.quiet or self.json):
            sys.stderr.write(text + "\n")

    def error(self, told: dict[str, str]) -> None:
        """Tell what went wrong."""
        if self.json:
            sys.stderr.write(json.dumps({"error": told}, ensure_ascii=False) + "\n")
        else:
            lines = [told["message"], told["kept"], told["next"], f"[{told['code']}]"]
            if "fault" in told:
                lines.append(told["fault"])
            sys.stderr.write("\n".join(lines) + "\n")


def _for_all(command: Callable[..., Any]) -> Callable[..., Any]:
    # They may stand before or after the command's name; Output and main have read them already.
    for name, text in (("--json", _("Print one JSON object.")), ("--quiet", _("Print the result and faults only."))):
        command = click.option(name, is_flag=True, expose_value=False, help=text)(command)
    return click.option("--lang", metavar="CODE", expose_value=False, help=_("Language of the text."))(command)


_DIR = click.argument("directory", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))


def build_cli(output: Output) -> click.Group:
    """Return the command with its help in the language that was set."""

    @click.group(help=_("Run a relay for Tertulia circles: it keeps ciphertext in order and cannot read it."))
    @click.version_option(package_name="tertulia", message="%(version)s")
    @_for_all
    def cli() -> None:
        """Take the options that stand before a command."""

    _add_init(cli, output)
    _add_serve(cli, output)
    _add_code(cli, output)
    _add_check(cli, output)
    return cli


def _add_init(cli: click.Group, output: Output) -> None:
    @cli.command(help=_("Make a relay in DIR and print its card."))
    @_DIR
    @click.option("--uri", default="", help=_("Where people reach it: https://..., or http://... of an onion service."))
    @click.option("--listen", default="127.0.0.1:8440", show_default=True, help=_("HOST:PORT to listen on."))
    @_for_all
    def init(directory: Path, uri: str, listen: str) -> None:
        import asyncio

        from tertulia_relay import app
        from tertulia_relay.directory import RelayDirectory

        home = RelayDirectory(directory.absolute())
        card = asyncio.run(app.init(home, uri=uri, listen=listen))
        output.result(card, relay=card, directory=str(home.path))
        output.say(
            _("Keep a copy of {key} in a safe place: with another key it is another relay.").format(key=home.key)
        )


def _add_serve(cli: click.Group, output: Output) -> None:
    @cli.command(help=_("Serve the relay in DIR until it is told to stop."))
    @_DIR
    @click.option("--listen", default=None, help=_("HOST:PORT in the place of the configured one; port 0: any."))
    @_for_all
    def serve(directory: Path, listen: str | None) -> None:
        import asyncio

        from tertulia_relay import app, log

        app.forbid_core_dumps()
        log.start_logging(quiet=output.quiet)
        asyncio.run(_serve(directory.absolute(), listen))


async def _serve(directory: Path, listen: str | None) -> None:
    import asyncio
    import signal

    from tertulia_relay import app
    from tertulia_relay.directory import RelayDirectory

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await app.serve(RelayDirectory(directory), listen=listen, on_ready=_print_ready, stop=stop)


def _print_ready(ready: Ready) -> None:
    # Always JSON: it is for the program that started us.
    sys.stdout.write(json.dumps({"ready": True, "listen": ready.listen, "relay": ready.card}) + "\n")
    sys.stdout.flush()


def _add_code(cli: click.Group, output: Output) -> None:
    @cli.command(help=_("Print one enrolment string for a coordinator. It is a secret and works until it is used up."))
    @_DIR
    @click.option("--budget", type=click.IntRange(1, 2**31 - 1), default=500, show_default=True, help=_("Units."))
    @click.option("--days", type=click.IntRange(1, 3650), default=30, show_default=True, help=_("Days it is valid."))
    @click.option("--uri", default=None, help=_("Where people reach the relay, if not as configured."))
    @_for_all
    def code(directory: Path, budget: int, days: int, uri: str | None) -> None:
        import asyncio

        from tertulia_relay import app
        from tertulia_relay.directory import RelayDirectory

        home = RelayDirectory(directory.absolute())
        enrolment = asyncio.run(app.add_code(home, budget=budget, days=days, uri=uri))
        output.result(enrolment, enrolment=enrolment, budget=budget, days=days)


def _add_check(cli: click.Group, output: Output) -> None:
    @cli.command(help=_("Check settings, key, permissions, database and disk, changing nothing."))
    @_DIR
    @_for_all
    def check(directory: Path) -> None:
        from tertulia_relay import app
        from tertulia_relay.directory import RelayDirectory

        report = app.check(RelayDirectory(directory.absolute()))
        output.result("ok", ok=True, relay=report.card, schema=report.schema, free_mib=report.free_mib)


# -- the outermost loop


def _language(arguments: Sequence[str]) -> str | None:
    for place, argument in enumerate(arguments):
        if argument.startswith("--lang="):
            return argument.removeprefix("--lang=")
        if argument == "--lang" and place + 1 < len(arguments):
            return arguments[place + 1]
    return None


def exit_code(error: TertuliaError) -> int:
    """Return the exit code for an error of the tree."""
    return next((code for kind, code in _EXIT_CODES if isinstance(error, kind)), FAULT)


def _usage(error: click.ClickException) -> dict[str, str]:
    return {
        "code": UsageError.code,
        "message": error.format_message(),
        "kept": _(UsageError.kept),
        "next": _("See: tertulia-relay --help"),
    }


def _from_system(error: OSError) -> TertuliaError:
    import errno

    from tertulia_relay.errors import FilesError
    from tertulia_relay.storage.errors import DiskFullError

    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFullError()
    where = f"{error.filename}: " if error.filename else ""
    return FilesError(problem=where + (error.strerror or type(error).__name__))


def run(arguments: Sequence[str]) -> int:
    """Run the command with its arguments; return the exit code."""
    os.umask(0o077)
    output = Output(arguments)
    set_language(_language(arguments))
    try:
        build_cli(output).main(args=list(arguments), prog_name="tertulia-relay", standalone_mode=False)
    except click.ClickException as error:
        output.error(_usage(error))
        return USAGE
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except TertuliaError as error:
        output.error(describe(error) | (_fault(error) if isinstance(error, InternalError) else {}))
        return exit_code(error)
    except OSError as error:
        translated = _from_system(error)
        output.error(describe(translated))
        return exit_code(translated)
    except Exception as fault:  # noqa: BLE001 - the outermost loop: nobody above could say anything better
        output.error(describe(InternalError()) | _fault(fault))
        return FAULT
    return DONE


def _fault(fault: BaseException) -> dict[str, str]:
    # Types and places only: a message can hold the content of a request.
    from tertulia_relay.log import describe_fault

    return {"fault": describe_fault(fault)}


def main() -> None:
    """Run the command of this process."""
    sys.exit(run(sys.argv[1:]))
