"""One run: how it speaks, what it was told, and the client that it opens."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from tertulia.cli.options import Settings, settings_of
from tertulia.cli.output import Output
from tertulia.cli.secrets_in import Secrets, read_passphrase
from tertulia.config import profile_directory
from tertulia_protocol.errors import TertuliaError, TransportError

if TYPE_CHECKING:
    from tertulia.client import Client
    from tertulia.results import SyncReport
    from tertulia.store.keyfile import Argon2Cost

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What the outermost loop knows of a run."""

    output: Output
    secrets: Secrets
    language: str
    """Of the person, such as ``fr``: for word lists."""
    cost: Argon2Cost | None = None
    """What one guess at a passphrase costs; None: what it should. No argument leads here: it is for tests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """What ``--offline`` and ``--timeout`` say."""

    offline: bool
    timeout: float


class Session:
    """A run of one command."""

    def __init__(self, ctx: click.Context) -> None:
        run = ctx.find_root().meta[RUN_KEY]
        self.output: Output = run.output
        self.secrets: Secrets = run.secrets
        self.language: str = run.language
        self._cost = run.cost
        self.settings: Settings = settings_of(ctx)

    @property
    def profile(self) -> Path:
        """The directory of the profile."""
        return profile_directory(self.settings.profile, os.environ)

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        """Open the profile."""
        from tertulia.client import Client

        check_profile(self.profile)
        passphrase = read_passphrase(self.secrets, self.settings.passphrase_file)
        async with Client.open(
            self.profile, passphrase=passphrase, lock_wait=self.settings.lock_wait, floor=self.cost
        ) as client:
            yield client

    @property
    def cost(self) -> Argon2Cost:
        """What one guess at the passphrase costs."""
        from tertulia.store.keyfile import PRODUCTION

        return self._cost or PRODUCTION

    async def freshen(self, client: Client, circle: str | None, network: Network) -> None:
        """Sync what a command is about; what keeps it from an end is said, not raised."""
        if not network.offline:
            self.tell(await client.sync(circle, timeout=network.timeout))

    def tell(self, report: SyncReport) -> None:
        """Say what kept a sync from its end, and what a person must know of a circle; once for each kind of reason."""
        told: set[str] = set()
        for error in (one.error for one in report.circles):
            if error is not None and error.code not in told:
                told.add(error.code)
                self.output.warn(error)


RUN_KEY = "tertulia.run"


def check_profile(directory: Path) -> None:
    """Check that there is a profile before anybody is asked for its passphrase. :raises NoProfileError: none."""
    from tertulia.errors import NoProfileError

    if not directory.is_dir():
        raise NoProfileError(path=directory)


def is_unreachable(error: TertuliaError | None) -> bool:
    """Answer whether an error says that a relay did not do its part."""
    return isinstance(error, TransportError)


def session(function: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Make a command's function of one that takes a :class:`Session` first and runs in an event loop."""

    def run(ctx: click.Context, /, **values: object) -> None:
        import asyncio

        asyncio.run(_as_coroutine(function(Session(ctx), **values)))

    run.__doc__ = function.__doc__
    return click.pass_context(run)


async def _as_coroutine(awaitable: Awaitable[None]) -> None:
    await awaitable
