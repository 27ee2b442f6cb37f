"""The relay put together: the one place that names implementations and decides what runs beside what.

    settings, key  ->  storage, wakeup, clock, rng  ->  Relay  ->  RelayServer  ->  ready

and back in the opposite order. What runs in the background is one sweep over the connections and the upkeep of the
database; if either ends by itself, the process stops and says so: a relay that quietly keeps what it promised to
delete is worse than one that is down.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tertulia_protocol.errors import StorageError
from tertulia_protocol.relay_api.addresses import Enrolment, RelayAddr
from tertulia_relay.config import (
    Config,
    HttpConfig,
    check_addresses,
    load_config,
    public_uri,
    render_config,
    split_listen,
)
from tertulia_relay.delivery.clock import Clock
from tertulia_relay.delivery.relay import Relay
from tertulia_relay.delivery.settings import Settings
from tertulia_relay.directory import RelayDirectory, check_mode, write_new
from tertulia_relay.errors import AddressError, ConfigError, LowDiskError, NoAddressError, StoppedError
from tertulia_relay.log import report_loop_fault
from tertulia_relay.storage.sql import SqlStorage
from tertulia_relay.wakeup.in_process import InProcessWakeup

if TYPE_CHECKING:
    from tertulia_relay.http.server import RelayServer

logger = logging.getLogger(__name__)

CHECKPOINT_SECONDS = 3600
CLOSE_SECONDS = 2.5
"""For the writes that were accepted, and to answer waiting readers."""
GRACE_SECONDS = 1.0
"""For answers on their way; with the above it stays under the five seconds that a stop may take."""
SPARE_DESCRIPTORS = 64
POLL_SHARE = 4
"""One connection in so many is never held by a waiting reader: whoever has one mailbox could hold all of them."""
LOW_DISK_BYTES = 256 << 20


class SystemClock:
    """The machine's clock."""

    def utc_day(self) -> int:
        """Return whole days since 1970-01-01 UTC."""
        return int(time.time()) // 86400

    def monotonic(self) -> float:
        """Return seconds from an arbitrary start."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Return after ``seconds``."""
        await asyncio.sleep(seconds)


@dataclass(frozen=True, slots=True)
class Ready:
    """What the first line of ``serve`` says: where the relay listens, and its card."""

    listen: str
    card: str


def make_relay(directory: RelayDirectory, config: Config, clock: Clock) -> Relay:
    """Put a relay together, not started. :raises KeyFileError: :raises PermissionsError: see :meth:`load_key`."""
    max_bytes = config.storage.max_mib << 20
    return Relay(
        key=directory.load_key(),
        settings=Settings(limits=config.quota.limits(), long_polls=most_long_polls(config.http)),
        storage=SqlStorage(directory.database, rng=secrets.token_bytes, max_bytes=max_bytes or None),
        wakeup=InProcessWakeup(),
        clock=clock,
        rng=secrets.token_bytes,
        on_storage_error=report_storage_fault,
    )


def most_long_polls(http: HttpConfig) -> int:
    """Return how many READs may wait at once: some connections stay free for everybody else."""
    return http.connections - max(1, http.connections // POLL_SHARE)


def report_storage_fault(error: StorageError) -> None:
    """Tell the operator, once per outage, that nothing can be stored."""
    logger.error("the database cannot be written: %s", error.code)


@asynccontextmanager
async def started(relay: Relay) -> AsyncIterator[Relay]:
    """Start a relay and close it in the end."""
    await relay.start()
    try:
        yield relay
    finally:
        await relay.close()


# -- serve


async def serve(
    directory: RelayDirectory, *, listen: str | None, on_ready: Callable[[Ready], None], stop: asyncio.Event
) -> None:
    """Run the relay until ``stop`` is set.

    :param listen: ``HOST:PORT`` in the place of the configured one; port 0 takes a free one.
    :raises TertuliaError: it cannot start, or a part of it stopped by itself.
    """
    # The other commands open no socket and start without aiohttp.
    from tertulia_relay.http.server import RelayServer  # noqa: PLC0415 - loaded when needed

    asyncio.get_running_loop().set_exception_handler(report_loop_fault)
    directory.check_exists()
    directory.check_owner()
    directory.check_private()
    config = load_config(directory.config)
    check_descriptors(directory.config, config.http)
    host, port = split_listen(listen or config.listen)
    clock = SystemClock()
    relay = make_relay(directory, config, clock)
    with directory.locked():
        server = RelayServer(relay.answer, config.http)
        await relay.start()
        try:
            address = await server.listen(host, port)
            with directory.listening(address):
                on_ready(Ready(address, card(directory, public_uri(config, address))))
                await run_until(stop, {"upkeep": upkeep(relay, clock), "sweep": server.register.keep_sweeping()})
        finally:
            await shut_down(relay, server)


def card(directory: RelayDirectory, uri: str) -> str:
    """Return the relay card. :raises KeyFileError: :raises PermissionsError: the key cannot be read."""
    return RelayAddr(relay_pk=directory.load_key().public_key, uri=uri).card()


async def run_until(stop: asyncio.Event, parts: dict[str, Coroutine[Any, Any, None]]) -> None:
    """Run background parts (name: coroutine) until ``stop``. :raises StoppedError: a part ended by itself."""
    tasks = {asyncio.create_task(part): name for name, part in parts.items()}
    stopping: asyncio.Task[Any] = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait([stopping, *tasks], return_when=asyncio.FIRST_COMPLETED)
        check_parts(tasks)
    finally:
        for task in (stopping, *tasks):
            task.cancel()
        await asyncio.gather(stopping, *tasks, return_exceptions=True)


def check_parts(tasks: dict[asyncio.Task[None], str]) -> None:
    """Check that every background part still runs. :raises StoppedError: one has ended."""
    for task, name in tasks.items():
        if task.done():
            raise StoppedError(part=name) from task.exception()


async def upkeep(relay: Relay, clock: Clock) -> None:
    """Every hour truncate the database's log, every new day (and at the start) delete what has expired."""
    day = None
    while True:
        # A full or busy disk passes; what was due is done an hour later. Anything else is a fault and ends the process.
        try:
            if (today := clock.utc_day()) != day:
                await relay.nightly()
                day = today
            else:
                await relay.checkpoint()
        except StorageError as error:
            logger.error("the upkeep of the database failed: %s", error.code)  # noqa: TRY400 - no values of statements
        await clock.sleep(CHECKPOINT_SECONDS)


async def shut_down(relay: Relay, server: RelayServer) -> None:
    """Stop in the order that loses nothing: no new clients, accepted writes, waiting readers, answers on their way."""
    server.stop_listening()
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await relay.close()
    except TimeoutError:
        logger.error("the database did not close in time; what was acknowledged is stored")  # noqa: TRY400 - no values
    await server.close(grace=GRACE_SECONDS)


def check_descriptors(path: Path, http: HttpConfig) -> None:
    """Make room for the configured connections. :raises ConfigError: the system allows too few open files."""
    needed = http.connections + SPARE_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < needed:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
            return
        problem = f"http.connections: {needed} open files are needed, the system allows {hard}"
        raise ConfigError(path=path, key="http.connections", problem=problem)


def forbid_core_dumps() -> None:
    """Keep the key and what is in memory out of core files."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


# -- init, code, check


async def init(directory: RelayDirectory, *, uri: str, listen: str) -> str:
    """Make a relay: directory, settings, key, empty database; all or nothing. Return its card.

    :raises ExistsError: there is one. :raises ConfigError: ``uri`` or ``listen`` cannot be used.
    """
    config = Config(uri=uri, listen=listen)
    check_addresses(directory.config, config)
    address = public_uri(config, listen)
    directory.create()
    # The key first: its file cannot be made twice, so of two at once only one goes on (and cleans up after itself).
    directory.write_key(secrets.token_bytes(32))
    try:
        write_new(directory.config, render_config(uri=uri, listen=listen).encode())
        async with started(make_relay(directory, load_config(directory.config), SystemClock())):
            pass
        return card(directory, address)
    except BaseException:
        directory.remove_files()
        raise


async def add_code(directory: RelayDirectory, *, budget: int, days: int, uri: str | None) -> str:
    """Make an enrolment code and return its one-line form, a secret. Works beside a running relay.

    :param uri: the address in it, None: the configured one, or where the relay listens.
    :raises NoAddressError: none of these is known.
    """
    directory.check_exists()
    directory.check_owner()
    directory.check_private()
    config = load_config(directory.config)
    address = uri or known_uri(directory, config)
    relay_pk = directory.load_key().public_key
    check_uri_given(address)
    async with started(make_relay(directory, config, SystemClock())) as relay:
        code = await relay.add_code(budget=budget, days=days)
    return Enrolment(relay=RelayAddr(relay_pk=relay_pk, uri=address), code=code).to_string()


def check_uri_given(uri: str) -> None:
    """Check the address before anything is stored. :raises AddressError: people could not use it."""
    public_uri(Config(uri=uri), "")


def known_uri(directory: RelayDirectory, config: Config) -> str:
    """Return the address people use. :raises NoAddressError: it is not known."""
    if config.uri:
        return config.uri
    listen = directory.listening_address() or config.listen
    if listen.endswith(":0"):
        raise NoAddressError
    return public_uri(config, listen)


@dataclass(frozen=True, slots=True)
class Report:
    """What ``check`` found: its card (None: the address is not known yet), the schema, MiB free on the volume."""

    card: str | None
    schema: str
    free_mib: int


def check(directory: RelayDirectory) -> Report:
    """Look at everything without changing anything. :raises TertuliaError: the first thing that is wrong."""
    # Imported here: `serve` has no use for it.
    from tertulia_relay.storage.inspection import inspect_database  # noqa: PLC0415 - loaded when needed

    directory.check_exists()
    directory.check_owner()
    directory.check_private()
    config = load_config(directory.config)
    directory.load_key()
    schema = inspect_database(directory.database)
    for file in sorted(directory.path.iterdir()):
        check_mode(file)
    free = shutil.disk_usage(directory.path).free
    check_free_disk(free)
    try:
        found = card(directory, known_uri(directory, config))
    except (NoAddressError, AddressError):
        found = None
    return Report(card=found, schema=schema, free_mib=free >> 20)


def check_free_disk(free: int) -> None:
    """Check that so many free bytes are enough for a while. :raises LowDiskError: they are not."""
    if free < LOW_DISK_BYTES:
        raise LowDiskError(free=free >> 20)
