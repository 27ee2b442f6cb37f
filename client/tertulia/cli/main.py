"""The command ``tertulia``: arguments in, one result out, an exit code that programs can rely on.

Nothing is imported before a command needs it. This is the outermost loop: every error ends here, as a sentence and an
exit code (``tertulia help exit-codes``).
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tertulia.cli.options import check_no_secret, first_look, for_all, person_language
from tertulia.cli.output import Output
from tertulia.cli.secrets_in import take_environment
from tertulia.cli.session import RUN_KEY, Run
from tertulia.errors import EXIT_INTERRUPTED, EXIT_OK, DiskFullError, FileError, exit_code
from tertulia.i18n import _, describe, set_language
from tertulia.system import forbid_core_dumps
from tertulia_protocol.errors import InternalError, TertuliaError, UsageError

if TYPE_CHECKING:
    from tertulia.store.keyfile import Argon2Cost

PROGRAM = "tertulia"


class LazyGroup(click.Group):
    """A group that imports a command when it is used. ``lazy``: name to (module, attribute, help)."""

    def __init__(self, *arguments: Any, lazy: Mapping[str, tuple[str, str, str]], **settings: Any) -> None:  # noqa: ANN401 - click's own
        super().__init__(*arguments, **settings)
        self.lazy = lazy
        self.params = [*self.params, *for_all()]

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the table."""
        return [*self.lazy, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in self.lazy:
            return super().get_command(ctx, cmd_name)
        module, attribute, _help = self.lazy[cmd_name]
        found = getattr(import_module(f"tertulia.cli.{module}"), attribute)
        if not isinstance(found, click.Command):
            raise InternalError(f"{module}.{attribute} is no command")
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's own
        """List the commands without importing them."""
        with formatter.section(_("Commands")):
            formatter.write_dl([(name, text) for name, (_module, _attribute, text) in self.lazy.items() if text])


def build_cli() -> click.Group:
    """Return the command with its help in the language that was set."""

    @click.group(
        PROGRAM,
        cls=LazyGroup,
        lazy=_commands(),
        help=_("Closed circles that talk over a relay which cannot read them."),
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    @click.version_option(package_name="tertulia", message="%(version)s")
    def cli() -> None:
        """Take the options that stand before a command."""

    return cli


def _commands() -> dict[str, tuple[str, str, str]]:
    return {
        "init": ("profile", "init", _("Make a profile on this device.")),
        "status": ("profile", "status", _("Show the profile at a glance.")),
        "sync": ("syncing", "sync", _("Exchange with the relays what is new.")),
        "circle": ("circles", "circle", _("Found, list, show and name circles.")),
        "board": ("boards", "board", _("Open and list boards.")),
        "invite": ("inviting", "invite", _("Make an invitation for one person.")),
        "join": ("joining", "join", _("Ask to join a circle with an invitation.")),
        "request": ("inviting", "request", _("List requests to join.")),
        "requests": ("inviting", "request_list", ""),
        "approve": ("inviting", "approve", _("Let somebody in whose words are right.")),
        "decline": ("inviting", "decline", _("Refuse a request to join.")),
        "members": ("members", "members", _("List the members of a circle.")),
        "remove": ("members", "remove", _("Remove a member from a circle.")),
        "post": ("posts", "post", _("Open a topic on a board.")),
        "reply": ("posts", "reply", _("Answer a topic or a reply.")),
        "read": ("posts", "read", _("Show topics and replies.")),
        "attachment": ("attachments", "attachment", _("List and save the files of a post.")),
        "help": ("helping", "help_", _("Explain exit codes.")),
    }


# -- the outermost loop


def run(arguments: Sequence[str], *, cost: Argon2Cost | None = None) -> int:
    """Run the command with its arguments; return the exit code. ``cost``: for tests, of profiles that they make."""
    os.umask(0o077)
    look = first_look(arguments)
    set_language(look.lang)
    output = Output(as_json=look.as_json, quiet=look.quiet)
    language = person_language(look.lang, os.environ)
    run = Run(output=output, secrets=take_environment(), language=language, cost=cost)
    try:
        _invoke(run, arguments)
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except (click.Abort, KeyboardInterrupt):
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        return _reader_gone()
    except Exception as error:  # noqa: BLE001 - the outermost loop: nobody above could say anything better
        return _tell(output, error)
    return EXIT_OK


def _invoke(run: Run, arguments: Sequence[str]) -> None:
    check_no_secret(arguments)
    context = build_cli().make_context(PROGRAM, list(arguments))
    with context:
        context.meta[RUN_KEY] = run
        context.command.invoke(context)


def _tell(output: Output, error: Exception) -> int:
    """Tell what went wrong and return the exit code."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        sys.stderr.write(error.format_message() + "\n")
        return exit_code(UsageError())
    if isinstance(error, click.ClickException):
        output.error(_usage(error))
        return exit_code(UsageError())
    if isinstance(error, OSError):
        error = _from_system(error)
    if not isinstance(error, TertuliaError):
        output.error(describe(InternalError()) | {"fault": describe_fault(error)})
        return exit_code(InternalError())
    output.error(_told(error))
    return exit_code(error)


def _usage(error: click.ClickException) -> dict[str, str]:
    context = error.ctx if isinstance(error, click.UsageError) else None
    return {
        "code": UsageError.code,
        "message": error.format_message(),
        "kept": _(UsageError.kept),
        "next": _("See: {program} --help").format(program=context.command_path if context else PROGRAM),
    }


def _told(error: TertuliaError) -> dict[str, str]:
    told = describe(error)
    if error.detail:
        told["detail"] = error.detail
    return told | ({"fault": describe_fault(error)} if isinstance(error, InternalError) else {})


def _from_system(error: OSError) -> TertuliaError:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return DiskFullError()
    return FileError(path=error.filename or "", problem=error.strerror or type(error).__name__)


def _reader_gone() -> int:
    # Whoever read our output has stopped: say nothing more, and do not fail again when the stream is flushed.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return EXIT_OK


def describe_fault(fault: BaseException) -> str:
    """Return types and places of an exception and its causes, and no message: one can hold what somebody wrote."""
    parts: list[str] = []
    step: BaseException | None = fault
    while step is not None and len(parts) < 8:
        frames, trace = [], step.__traceback__
        while trace is not None:
            frames.append(f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}")
            trace = trace.tb_next
        parts.append(f"{type(step).__name__} at {' > '.join(frames[-4:])}")
        step = step.__cause__ or (None if step.__suppress_context__ else step.__context__)
    return "; from ".join(parts)


def main() -> None:
    """Run the command of this process."""
    forbid_core_dumps()
    sys.exit(run(sys.argv[1:]))
