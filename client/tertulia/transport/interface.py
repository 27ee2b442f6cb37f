"""What the client needs of a way to a relay; one suite of tests runs against every implementation."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

from tertulia.errors import BadAnswerError
from tertulia_protocol.errors import DecodeError
from tertulia_protocol.relay_api.addresses import RelayAddr
from tertulia_protocol.relay_api.requests import Request
from tertulia_protocol.relay_api.responses import Response, Status


class Purpose(StrEnum):
    """What a stream of requests is for: the first part of its name (:func:`stream_name`)."""

    INFO = "info"
    READ = "read"
    APPEND = "append"
    CREATE = "create"
    BLOB = "blob"
    INVITATION = "invitation"
    REPLY = "reply"
    LOBBY = "lobby"


def stream_name(purpose: Purpose, key: bytes = b"") -> str:
    """Return the name of a stream: what is for one purpose and one thing (a segment's id, say) shares it."""
    return f"{purpose.value}:{key.hex()}" if key else purpose.value


def check_nonce(response: Response, request: Request) -> None:
    """Check that an answer is to this request, not to an earlier one. :raises BadAnswerError: it is not."""
    if response.nonce != request.nonce and not is_rejected_unread(response):
        raise BadAnswerError("an answer to another request")


def is_rejected_unread(response: Response) -> bool:
    """Answer whether the relay says that it could not even read the nonce of the request."""
    return response.status is Status.MALFORMED and response.nonce == bytes(16)


def read_answer(frame: bytes, request: Request) -> Response:
    """Return the answer in an HTTP body. :raises BadAnswerError: a size, form or nonce that no answer to it has."""
    try:
        response = Response.from_frame(frame)
    except DecodeError as error:
        raise BadAnswerError("a malformed answer") from error
    check_nonce(response, request)
    return response


class Transport(Protocol):
    """Sends one request and returns its answer."""

    async def send(self, address: RelayAddr, request: Request, *, stream: str) -> Response:
        """Send ``request`` to the relay and return its answer, of the right size and with the request's nonce.

        ``stream`` names what the request belongs to: two streams never share a connection, so that a network that
        isolates connections (Tor) keeps them apart. Signatures are the caller's business.

        :raises UnreachableError: no connection, no answer in time. Whether the request arrived is unknown.
        :raises BadAnswerError: an answer that no relay of this protocol gives, or one to another request.
        """
        ...

    async def close(self) -> None:
        """Close all connections. Safe to call twice."""
        ...
