"""What the rules need from a database, and nothing about how it does it.

Writing is by batches: inside one write transaction the rules ask for all rows they may touch (:class:`Wanted`), get
them (:class:`Found`, locked where several processes share a database), decide in memory, and hand back everything
that changed (:class:`Changes`), which is applied and committed at once, durably. A transaction that is left by an
error leaves the database as it was.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentRow:
    """A segment. ``config`` is its 99 bytes; ``quota`` counts bytes of entries in a log and entries in a mailbox.

    ``frozen`` is 0 or the random 63-bit number of the freeze; ``heir`` is the 32-byte key that may unseal, None
    until the first SEAL. The segment lives through ``expires_day``.
    """

    id: bytes
    config: bytes
    head: int
    chain: bytes
    sealed: bool
    frozen: int
    used: int
    quota: int
    blob_used: int
    blob_quota: int
    expires_day: int
    heir: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEntry:
    """An entry to store: its segment, place, SHA-256 and bytes."""

    segment_id: bytes
    seq: int
    hash: bytes
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobRow:
    """A blob without its bytes: the SHA-256 of them, the hash of the secret that deletes it, its last day."""

    id: bytes
    delete_hash: bytes
    expires_day: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeRow:
    """An enrolment code: its SHA-256, the units left, its last day."""

    hash: bytes
    left: int
    expires_day: int


@dataclass(slots=True)
class Wanted:
    """The keys of the rows that a batch may touch. ``entries`` are (segment id, SHA-256 of the entry)."""

    segments: set[bytes] = field(default_factory=set)
    entries: set[tuple[bytes, bytes]] = field(default_factory=set)
    blobs: set[bytes] = field(default_factory=set)
    codes: set[bytes] = field(default_factory=set)


@dataclass(slots=True)
class Found:
    """The rows that exist, by key; for an entry its place."""

    segments: dict[bytes, SegmentRow] = field(default_factory=dict)
    entries: dict[tuple[bytes, bytes], int] = field(default_factory=dict)
    blobs: dict[bytes, BlobRow] = field(default_factory=dict)
    codes: dict[bytes, CodeRow] = field(default_factory=dict)


@dataclass(slots=True)
class Changes:
    """What a batch changes. Applied in this order: dropped, new, changed."""

    dropped_segments: set[bytes] = field(default_factory=set)
    dropped_blobs: set[bytes] = field(default_factory=set)
    new_segments: list[SegmentRow] = field(default_factory=list)
    new_entries: list[NewEntry] = field(default_factory=list)
    new_blobs: list[tuple[BlobRow, bytes]] = field(default_factory=list)
    new_codes: list[CodeRow] = field(default_factory=list)
    segments: list[SegmentRow] = field(default_factory=list)
    blobs: list[BlobRow] = field(default_factory=list)
    codes: list[CodeRow] = field(default_factory=list)

    def __bool__(self) -> bool:
        return any(getattr(self, name) for name in self.__slots__)


class Transaction(ABC):
    """One write transaction. Leaving its context commits; an error in it undoes everything."""

    @abstractmethod
    async def find(self, wanted: Wanted) -> Found:
        """Read rows and keep them from changing until the end. :raises DatabaseError: it cannot be read."""

    @abstractmethod
    async def apply(self, changes: Changes) -> None:
        """Write. :raises DiskFullError: no space. :raises DatabaseError: it cannot be written."""


class Storage(ABC):
    """Where segments, entries, blobs and codes are kept."""

    @abstractmethod
    async def open(self) -> None:
        """Open and migrate. :raises SchemaTooNewError: a newer version wrote it. :raises DatabaseError: no access."""

    @abstractmethod
    async def close(self) -> None:
        """Close. Safe to call twice."""

    @abstractmethod
    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """Begin a write transaction; the commit at its end is durable. One at a time per process."""

    @abstractmethod
    async def segment(self, segment_id: bytes) -> SegmentRow | None:
        """Return a segment as last committed. :raises DatabaseError: it cannot be read."""

    @abstractmethod
    async def entries(self, segment_id: bytes, *, after_seq: int, max_bytes: int) -> list[tuple[int, bytes]]:
        """Return (seq, bytes) after ``after_seq`` in order: whole entries up to ``max_bytes``, but at least one.

        :raises DatabaseError: it cannot be read.
        """

    @abstractmethod
    async def blob(self, blob_id: bytes, *, utc_day: int) -> bytes | None:
        """Return the bytes of a blob that lives on ``utc_day``. :raises DatabaseError: it cannot be read."""

    @abstractmethod
    async def expire(self, *, utc_day: int, limit: int) -> int:
        """Delete at most about ``limit`` rows whose last day is before ``utc_day``; return how many it were.

        Zero means that nothing expired is left. :raises DatabaseError: it cannot be written.
        """

    @abstractmethod
    async def compact(self) -> None:
        """Give free space back to the disk. :raises DatabaseError: it cannot be written."""

    @abstractmethod
    async def checkpoint(self) -> None:
        """Truncate the log that keeps the order of recent writes. :raises DatabaseError: it cannot be written."""
