"""The relay without HTTP and without SQL: one body in, one body out (docs/protocol, "The relay")."""

from __future__ import annotations

from collections.abc import Callable

from tertulia_protocol.errors import StorageError
from tertulia_protocol.signing import SigningSeed
from tertulia_relay.delivery.clock import Clock
from tertulia_relay.delivery.settings import Settings
from tertulia_relay.storage.interface import Storage
from tertulia_relay.wakeup.interface import Wakeup


class Relay:
    """Answers requests by the rules of the protocol."""

    def __init__(
        self,
        *,
        key: SigningSeed,
        settings: Settings,
        storage: Storage,
        wakeup: Wakeup,
        clock: Clock,
        rng: Callable[[int], bytes],
        on_storage_error: Callable[[StorageError], None] | None = None,
    ) -> None:
        """Take the parts; nothing is opened before :meth:`start`.

        :param on_storage_error: called without any content of requests, once per outage (again only after a write
            has succeeded in between), when the database cannot be written.
        """
        raise NotImplementedError

    async def start(self) -> None:
        """Open the storage (migrating it) and start the writer.

        :raises StorageError: it cannot be opened; ``SchemaTooNewError``: a newer version made it.
        """
        raise NotImplementedError

    async def close(self) -> None:
        """Finish the writes that were accepted, answer waiting READs, close the storage. Safe to call twice."""
        raise NotImplementedError

    async def answer(self, frame: bytes) -> bytes:
        """Answer one HTTP body with one HTTP body; whatever the bytes are, this raises nothing.

        A frame that is no request at all gets MALFORMED with a zero nonce. Cancelling this call (the client hung up)
        frees a waiting READ; a write that was accepted still happens.
        """
        raise NotImplementedError

    async def nightly(self) -> None:
        """Delete what has expired, give the space back, and truncate the log of the database. Call once a UTC day.

        :raises StorageError: the database cannot be written.
        """
        raise NotImplementedError

    async def checkpoint(self) -> None:
        """Truncate the database's log, which keeps the order of recent writes. Call at least hourly.

        :raises StorageError: the database cannot be written.
        """
        raise NotImplementedError

    async def add_code(self, *, budget: int, days: int) -> bytes:
        """Make a 16-byte enrolment code worth ``budget`` units for ``days`` days; only its hash is stored.

        :raises ValueError: a number is not positive. :raises StorageError: the database cannot be written.
        """
        raise NotImplementedError
