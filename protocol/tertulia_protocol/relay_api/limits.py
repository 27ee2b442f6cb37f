"""Sizes and numbers that client and relay share (docs/protocol, "Requests" and "Segments")."""

from __future__ import annotations

from collections.abc import Sequence

from tertulia_protocol.errors import DecodeError

PROTOCOL_VERSION = 0x0100
"""The protocol this package speaks: major version in the high octet, minor in the low one."""

ENTRY_SIZES = (1024, 4096, 16384, 65536, 262144)
"""The only lengths an entry of a segment can have, in bytes."""

BLOB_SIZES = (4096, 16384, 65536, 262144)
"""The only lengths a blob can have, in bytes; the index is ``chunk_class`` of a BlobRef."""

REQUEST_SIZES = (2048, 5120, 17408, 66560, 263168)
"""The only lengths of a request body: an entry size and 1024 bytes for the request around it."""

RESPONSE_STEP = 65536
"""Above the largest request size a response body is a multiple of this."""

MAX_REQUEST = REQUEST_SIZES[-1]
UNIT = 4096
"""One unit of the append rate in bytes: an APPEND costs ceil(length / UNIT) units."""

MAILBOX_ENTRIES = 64
MAILBOX_ENTRY_BYTES = 16384
LOG_QUOTA_BYTES = 64 * 1024 * 1024
BLOB_QUOTA_BYTES = 256 * 1024 * 1024
ADMIN_RESERVE_PERCENT = 20
APPEND_BURST_UNITS = 1024
APPEND_UNITS_PER_SECOND = 8
READ_MAX_BYTES = 1024 * 1024
WAIT_MAX_SECONDS = 50
FREEZE_MAX_SECONDS = 120
FREEZES_PER_HOUR = 10
SEAL_MIN_DAYS = 30
SEAL_DEFAULT_DAYS = 60

TTL_DAYS = (7, 30, 60, 400)
"""Days of life by ``ttl_class``."""

COST_MAILBOX = 1
COST_LOG = 64
COST_BLOB_STEP = 65536
"""A blob costs one unit of an enrolment code per started 64 KiB, a mailbox ``COST_MAILBOX``, a log ``COST_LOG``."""


def request_size(length: int) -> int:
    """Return the request body size that holds ``length`` bytes. :raises ValueError: none does."""
    for size in REQUEST_SIZES:
        if length <= size:
            return size
    raise ValueError(f"a request of {length} bytes is too long")


def response_size(length: int) -> int:
    """Return the response body size that holds ``length`` bytes."""
    for size in REQUEST_SIZES:
        if length <= size:
            return size
    return -(-length // RESPONSE_STEP) * RESPONSE_STEP


def check_response_size(length: int) -> None:
    """Check that a response body of ``length`` bytes has an allowed size. :raises DecodeError: it has another."""
    if response_size(length) != length:
        raise DecodeError(f"a response of {length} bytes")


def check_size(length: int, sizes: Sequence[int]) -> None:
    """Check that ``length`` is one of ``sizes``. :raises DecodeError: it is not."""
    if length not in sizes:
        raise DecodeError(f"a length of {length} bytes is not one of the fixed sizes")
