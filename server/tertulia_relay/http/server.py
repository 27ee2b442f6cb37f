"""The HTTP server: reads one frame within the limits, gives it to the relay, sends the answer within the limits."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from http import HTTPStatus
from typing import cast

from aiohttp import web

from tertulia_protocol.relay_api.limits import WAIT_MAX_SECONDS
from tertulia_relay.config import HttpConfig, join_listen
from tertulia_relay.errors import AddressError, PortInUseError
from tertulia_relay.http.connections import Phase, Register
from tertulia_relay.http.limits import (
    Budget,
    Hold,
    RefusedError,
    check_content_type,
    check_encoding,
    check_length,
    check_received,
    check_target,
    check_upgrade,
)
from tertulia_relay.http.protocol import CLOSE_SECONDS, RelayConnection, build_answer, build_refusal

logger = logging.getLogger(__name__)

Answer = Callable[[bytes], Awaitable[bytes]]

ANSWER_SECONDS = WAIT_MAX_SECONDS + 30.0
"""Longer than any long poll and the write of a batch; a relay that takes longer is stuck."""
BACKLOG = 256


class RelayServer(web.Server):
    """Speaks HTTP on one address and hands frames to ``answer``."""

    def __init__(self, answer: Answer, config: HttpConfig) -> None:
        """:param answer: takes a request frame, returns a response frame, raises nothing."""
        # The request of a client that hung up is cancelled: otherwise a READ that nobody hears waits its full time.
        super().__init__(self._handle, handler_cancellation=True)
        self.config = config
        self.register = Register(config.connections)
        self.incoming = Budget(config.incoming_mib << 20)
        self.outgoing = Budget(config.outgoing_mib << 20)
        self._answer = answer
        self._listener: asyncio.Server | None = None

    def __call__(self) -> RelayConnection:
        """Make the protocol of a new connection."""
        return RelayConnection(self, loop=self._loop)

    async def listen(self, host: str, port: int) -> str:
        """Listen; return ``HOST:PORT`` with the real port.

        :raises PortInUseError: somebody else does. :raises AddressError: this machine does not have that address.
        """
        try:
            # Our own socket: with reuse_port or several addresses a second process could share the port unnoticed.
            self._listener = await self._loop.create_server(self, host, port, backlog=BACKLOG, reuse_port=False)
        except (OSError, UnicodeError) as error:
            address = join_listen(host, port)
            if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
                raise PortInUseError(address=address) from error
            raise AddressError(address=address, problem="this machine cannot listen on it") from error
        return join_listen(host, _port(self._listener))

    def stop_listening(self) -> None:
        """Take no new connections."""
        if self._listener is not None:
            self._listener.close()

    async def close(self, *, grace: float) -> None:
        """Let answers that are ready leave for ``grace`` seconds, then drop every connection."""
        self.stop_listening()
        self.pre_shutdown()
        with suppress(TimeoutError):
            async with asyncio.timeout(grace):
                while self.busy():  # noqa: ASYNC110 - once, at the end; an event would cost every request something
                    await asyncio.sleep(0.02)
        for connection in self.connections:
            cast("RelayConnection", connection).abort()
        await self.shutdown(0.1)

    def busy(self) -> bool:
        """Answer whether an answer is still on its way to somebody."""
        return any(cast("RelayConnection", connection).phase is Phase.REQUEST for connection in self.connections)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = cast("RelayConnection", request.protocol)
        try:
            check_request(request)
            response = await self._exchange(request, connection)
        except RefusedError as refusal:
            return self._refuse(connection, refusal.status)
        except ConnectionError:
            raise
        except Exception:  # the outermost loop of one request; aiohttp would log values
            logger.exception("a request failed")
            return self._refuse(connection, HTTPStatus.INTERNAL_SERVER_ERROR)
        if response.keep_alive:
            connection.rest()
        else:
            connection.enter(Phase.REQUEST, CLOSE_SECONDS)
        return response

    def _refuse(self, connection: RelayConnection, status: HTTPStatus) -> web.Response:
        connection.enter(Phase.REQUEST, CLOSE_SECONDS)
        return build_refusal(status)

    async def _exchange(self, request: web.BaseRequest, connection: RelayConnection) -> web.Response:
        with self.incoming.hold() as incoming, self.outgoing.hold() as outgoing:
            connection.enter(Phase.BODY, self._transfer_seconds(request.content_length))
            frame = await _read_body(request, incoming)
            connection.enter(Phase.REQUEST, ANSWER_SECONDS)
            answer = await self._answer(frame)
            outgoing.cover(len(answer))
            connection.enter(Phase.REQUEST, self.config.write_seconds + len(answer) / self.config.min_bytes_per_second)
            response = build_answer(answer)
            await response.prepare(request)
            await response.write_eof()
            return response

    def _transfer_seconds(self, length: int | None) -> float:
        # Chunked bodies get the time of the shortest: our clients state a length.
        return self.config.body_seconds + (length or 0) / self.config.min_bytes_per_second


def check_request(request: web.BaseRequest) -> None:
    """Check everything that the header says. :raises RefusedError: something is not as it must be."""
    check_target(request.method, request.raw_path)
    check_upgrade(request.headers)
    check_encoding(request.headers)
    check_content_type(request.content_type)
    check_length(request.content_length)


async def _read_body(request: web.BaseRequest, hold: Hold) -> bytes:
    body = bytearray()
    while chunk := await request.content.readany():
        hold.cover(len(body) + len(chunk))
        body += chunk
        check_received(len(body))
    return bytes(body)


def _port(listener: asyncio.Server) -> int:
    listening: socket.socket = listener.sockets[0]
    return int(listening.getsockname()[1])
