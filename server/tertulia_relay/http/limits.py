"""What one request, one connection and all of them together may take (docs/protocol, "HTTP").

Every rule here works before the first byte of a request is parsed, and each is one function or method, so that each
can be switched off alone to see its test fail.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus

from tertulia_protocol.relay_api.limits import MAX_REQUEST

ENDPOINT = "/x"
CONTENT_TYPE = "application/octet-stream"

MAX_LINE_BYTES = 1024
MAX_FIELD_BYTES = 2048
MAX_FIELDS = 48
MAX_HEADER_BYTES = 16 * 1024
"""Bytes of a request's header that may arrive before it is complete."""

READ_BUFFER_BYTES = 16 * 1024
"""Bytes that a connection buffers unread; the transport pauses at twice as many."""

FREE_BYTES = 17408
"""So much of each body and each answer is not charged to the budget of all: the number of connections bounds it, and
whoever uses up the budget (for the first of these no key is needed) stops long transfers only."""

PIPELINED_REQUESTS = 2
"""Requests that may wait behind the one being answered. Our clients send none; a proxy at most the next one."""


class RefusedError(Exception):
    """The request is answered with a bare HTTP status and the connection is closed."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(int(status))
        self.status = status


def check_target(method: str, target: str) -> None:
    """Check that the request is ``POST /x``, without a query. :raises RefusedError: 404, whatever is wrong."""
    if method != "POST" or target != ENDPOINT:
        raise RefusedError(HTTPStatus.NOT_FOUND)


def check_content_type(content_type: str) -> None:
    """Check the media type. A page in a browser cannot send this one elsewhere unasked. :raises RefusedError: 415."""
    if content_type != CONTENT_TYPE:
        raise RefusedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE)


def check_encoding(headers: Mapping[str, str]) -> None:
    """Check that the body is not compressed: a few bytes could stand for many. :raises RefusedError: 415."""
    if "Content-Encoding" in headers:
        raise RefusedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE)


def check_upgrade(headers: Mapping[str, str]) -> None:
    """Check that no other protocol is asked for on this connection. :raises RefusedError: 400."""
    if "Upgrade" in headers:
        raise RefusedError(HTTPStatus.BAD_REQUEST)


def check_length(declared: int | None) -> None:
    """Check ``Content-Length`` (None: chunked) before any of the body is read. :raises RefusedError: 413."""
    if declared is not None and declared > MAX_REQUEST:
        raise RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)


def check_received(received: int) -> None:
    """Check how many bytes of a body have arrived, whatever was declared. :raises RefusedError: 413."""
    if received > MAX_REQUEST:
        raise RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)


def is_header_too_long(received: int) -> bool:
    """Answer whether so many bytes of an incomplete header are too many."""
    return received > MAX_HEADER_BYTES


def is_pipelined_too_deep(waiting: int) -> bool:
    """Answer whether so many complete requests waiting behind the current one are too many."""
    return waiting > PIPELINED_REQUESTS


def is_overdue(deadline: float, now: float) -> bool:
    """Answer whether a connection had its time (both in seconds of the monotonic clock)."""
    return now >= deadline


def charged(length: int) -> int:
    """Return how many of ``length`` bytes are charged to the budget of all connections."""
    return max(0, length - FREE_BYTES)


class Budget:
    """Bytes that all connections together may hold in memory at once, beside ``FREE_BYTES`` of each."""

    __slots__ = ("held", "limit")

    def __init__(self, limit: int) -> None:
        """:param limit: bytes."""
        self.limit = limit
        self.held = 0

    def check(self, more: int) -> None:
        """Check that ``more`` bytes fit. :raises RefusedError: 503."""
        if self.held + more > self.limit:
            raise RefusedError(HTTPStatus.SERVICE_UNAVAILABLE)

    @contextmanager
    def hold(self) -> Iterator[Hold]:
        """Hold bytes for one request; all are given back at the end."""
        hold = Hold(self)
        try:
            yield hold
        finally:
            self.held -= hold.taken


class Hold:
    """What one request has taken of a budget."""

    __slots__ = ("budget", "taken")

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.taken = 0

    def take(self, more: int) -> None:
        """Take ``more`` bytes. :raises RefusedError: 503, the budget is used up."""
        if more:
            self.budget.check(more)
            self.budget.held += more
            self.taken += more

    def cover(self, length: int) -> None:
        """Take what ``length`` bytes in all are charged beyond what was taken. :raises RefusedError: 503."""
        self.take(charged(length) - self.taken)
