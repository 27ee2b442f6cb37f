"""aiohttp's connection with the limits that it lacks: deadlines per phase, header bytes, pipelining, silence.

aiohttp bounds single header lines and its read buffer. It has no deadline for an unfinished header shorter than its
keep-alive time, none for a body or for an answer that nobody reads, no bound on the number of connections, it tells
its version and the time of the machine, and it logs addresses and parts of malformed requests.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import MutableMapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Never, cast

from aiohttp import hdrs, web
from aiohttp.web_protocol import RequestHandler

from tertulia_relay.http.connections import Phase
from tertulia_relay.http.limits import (
    CONTENT_TYPE,
    MAX_FIELD_BYTES,
    MAX_FIELDS,
    MAX_LINE_BYTES,
    READ_BUFFER_BYTES,
    is_header_too_long,
    is_pipelined_too_deep,
)

if TYPE_CHECKING:
    from tertulia_relay.http.server import RelayServer

CLOSE_SECONDS = 5.0
"""How long a connection that was refused may still read its answer."""
LINGER_SECONDS = 1.0
"""How long the rest of a refused body is read and dropped, so that the answer is not lost in a reset."""

SILENT = logging.getLogger("tertulia_relay.http.silent")
SILENT.disabled = True
"""In the place of aiohttp's loggers: they would write addresses and bytes of requests."""


class RelayConnection(RequestHandler):
    """One connection."""

    __slots__ = ("_header_bytes", "_line_transport", "_server", "deadline", "phase")

    def __init__(self, server: RelayServer, *, loop: asyncio.AbstractEventLoop) -> None:
        """:param server: who keeps the register and the settings."""
        super().__init__(
            server,
            loop=loop,
            keepalive_timeout=server.config.idle_seconds,
            logger=SILENT,
            access_log=cast("logging.Logger", None),  # aiohttp takes None for no access log
            max_line_size=MAX_LINE_BYTES,
            max_field_size=MAX_FIELD_BYTES,
            max_headers=MAX_FIELDS,
            lingering_time=LINGER_SECONDS,
            read_bufsize=READ_BUFFER_BYTES,
            auto_decompress=False,
        )
        self._server = server
        self._line_transport: asyncio.Transport | None = None
        self._header_bytes = 0
        self.phase = Phase.HEADER
        self.deadline = loop.time() + server.config.header_seconds

    def enter(self, phase: Phase, seconds: float) -> None:
        """Begin a phase that may last ``seconds``."""
        self.phase = phase
        self.deadline = self._loop.time() + seconds

    def rest(self) -> None:
        """Begin to wait for the next request, unless it is here already."""
        if self._messages:
            self.enter(Phase.BODY, self._server.config.body_seconds)
        else:
            self.enter(Phase.IDLE, self._server.config.idle_seconds)

    def abort(self) -> None:
        """Drop the connection now, with whatever it still had to send."""
        if self._line_transport is not None:
            self._line_transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Admit the connection, or drop it."""
        self._line_transport = cast("asyncio.Transport", transport)
        if not self._server.register.add(self):
            self.abort()
            return
        # Nothing may wait in our memory unseen: draining means that the system has taken everything.
        self._line_transport.set_write_buffer_limits(high=0)
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget the connection."""
        self._server.register.remove(self)
        self._line_transport = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what arrived, within the limits on unfinished headers and on waiting requests."""
        before = self._request_count
        super().data_received(data)
        if self._request_count != before:
            # At once, not when its handler runs: until then more of the body may come, and it is no header.
            self._header_bytes = 0
            if self.phase is not Phase.REQUEST:
                self.enter(Phase.BODY, self._server.config.body_seconds)
            if is_pipelined_too_deep(len(self._messages)):
                self.abort()
        elif data and self.phase in (Phase.IDLE, Phase.HEADER):
            self._header_received(len(data))

    def _header_received(self, length: int) -> None:
        if self.phase is Phase.IDLE:
            self.enter(Phase.HEADER, self._server.config.header_seconds)
        self._header_bytes += length
        if is_header_too_long(self._header_bytes):
            self.abort()

    def handle_error(
        self,
        request: web.BaseRequest,  # noqa: ARG002 - aiohttp's signature
        status: int = 500,  # noqa: ARG002 - its signature
        exc: BaseException | None = None,  # noqa: ARG002 - its signature
        message: str | None = None,  # noqa: ARG002 - its signature
    ) -> Never:
        """End the connection without a word: what is not HTTP gets no answer, and nothing of it is logged."""
        raise ConnectionError

    def log_exception(self, *args: object, **kw: object) -> None:
        """Write nothing: the server reports its own faults, without their values."""


class BareResponse(web.Response):
    """An answer that tells nothing about the software or the clock of the machine.

    Without ``Date`` (RFC 9110 section 6.6.1 wants one from whoever has a clock): the skew of a clock can be measured
    and recognised, which has been used to find the machine behind an onion service.
    """

    async def _prepare_headers(self) -> None:
        await super()._prepare_headers()
        hide_machine(self.headers)


def hide_machine(headers: MutableMapping[str, str]) -> None:
    """Take out what tells about the machine."""
    for name in (hdrs.SERVER, hdrs.DATE):
        headers.pop(name, None)


def build_answer(frame: bytes) -> web.Response:
    """Return the HTTP answer that carries a frame of the protocol."""
    return BareResponse(body=frame, headers={hdrs.CONTENT_TYPE: CONTENT_TYPE})


def build_refusal(status: HTTPStatus) -> web.Response:
    """Return a bare status; the connection ends with it."""
    response = BareResponse(status=status, reason="")
    response.force_close()
    return response
