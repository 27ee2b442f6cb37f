"""The way over HTTP: one POST for each request, and nothing in it that tells one client from another.

No cookies, redirects, compression, proxies of the environment or headers of the library; TLS verified as the system
does; answers bounded before they are read and checked in size, form and nonce. Each stream has connections of its own.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from tertulia.errors import BadAnswerError, NeedsTorError, UnreachableError
from tertulia.transport.interface import read_answer
from tertulia_protocol.codec import parse
from tertulia_protocol.relay_api.addresses import RelayAddr, check_uri
from tertulia_protocol.relay_api.limits import READ_MAX_BYTES, response_size
from tertulia_protocol.relay_api.requests import Op, ReadArgs, Request
from tertulia_protocol.relay_api.responses import Response

if TYPE_CHECKING:
    import ssl

    import aiohttp

PATH: Final = "/x"
CONTENT_TYPE: Final = "application/octet-stream"
CONNECT_SECONDS: Final = 20.0
ANSWER_SECONDS: Final = 30.0
"""How long a relay may think, beside the time a READ waits and the time the bytes need."""
SLOWEST: Final = 2048
"""Bytes per second of the slowest line that is waited for."""
MAX_ANSWER: Final = response_size(READ_MAX_BYTES + READ_MAX_BYTES // 64)
"""The longest answer: a READ of the most we ever ask for, with 12 bytes around each entry of at least 1024."""
STREAM_CONNECTIONS: Final = 4
STREAMS: Final = 32
"""How many streams keep connections; the one that was not used for longest gives its up."""
CHUNK: Final = 65536


class HttpTransport:
    """A :class:`~tertulia.transport.interface.Transport` over aiohttp."""

    def __init__(self, *, tls: ssl.SSLContext | None = None, answer_seconds: float = ANSWER_SECONDS) -> None:
        """:param tls: whom to trust, None for the system's authorities. :param answer_seconds: less, for tests."""
        self._tls = tls
        self._answer_seconds = answer_seconds
        self._sessions: OrderedDict[tuple[str, str], aiohttp.ClientSession] = OrderedDict()
        self._users: dict[tuple[str, str], int] = {}

    async def send(self, address: RelayAddr, request: Request, *, stream: str) -> Response:
        """Send one request (see ``interface``). :raises NeedsTorError: an onion service. Nothing is sent then."""
        check_address(address)
        check_no_onion(address.uri)
        key = (address.uri, stream)
        session = self._session(key)
        self._users[key] = self._users.get(key, 0) + 1
        try:
            frame = await self._exchange(session, address.uri, request)
        finally:
            self._users[key] -= 1
            await self._tidy()
        return read_answer(frame, request)

    async def _exchange(self, session: aiohttp.ClientSession, uri: str, request: Request) -> bytes:
        from aiohttp import ClientError, ClientTimeout  # noqa: PLC0415 - 140 ms that not every command needs

        frame = request.to_frame()
        waiting = self._answer_seconds + wait_seconds(request) + len(frame) / SLOWEST
        timeout = ClientTimeout(total=waiting + MAX_ANSWER / SLOWEST, sock_connect=CONNECT_SECONDS, sock_read=waiting)
        try:
            async with session.post(
                uri.rstrip("/") + PATH, data=frame, timeout=timeout, allow_redirects=False, compress=False
            ) as response:
                check_http_status(response.status)
                check_encoding(response.headers.get("Content-Encoding"))
                return await _read_bounded(response)
        except (ClientError, TimeoutError, OSError) as error:
            raise UnreachableError(type(error).__name__) from error

    def _session(self, key: tuple[str, str]) -> aiohttp.ClientSession:
        session = self._sessions.get(key)
        if session is None:
            session = self._sessions[key] = self._new_session()
        self._sessions.move_to_end(key)
        return session

    def _new_session(self) -> aiohttp.ClientSession:
        import aiohttp  # noqa: PLC0415 - 140 ms that not every command needs

        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=STREAM_CONNECTIONS, ssl=True if self._tls is None else self._tls),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Content-Type": CONTENT_TYPE},
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"),
            auto_decompress=False,
            trust_env=False,
        )

    async def _tidy(self) -> None:
        idle = [key for key in self._sessions if not self._users.get(key)]
        for key in idle[: max(0, len(self._sessions) - STREAMS)]:
            self._users.pop(key, None)
            await self._sessions.pop(key).close()

    async def close(self) -> None:
        """Close all connections. Safe to call twice."""
        while self._sessions:
            _, session = self._sessions.popitem()
            await session.close()
        self._users.clear()


def wait_seconds(request: Request) -> int:
    """Return how long a request asks the relay to wait."""
    return parse(ReadArgs, request.args).wait_s if request.op == Op.READ else 0


def check_address(address: RelayAddr) -> None:
    """Check that what is sent there is protected on its way (E26). :raises DecodeError: it is not."""
    check_uri(address.uri)


def check_no_onion(uri: str) -> None:
    """Check that a name can be looked up: the name of an onion service must never reach a name server.

    :raises NeedsTorError: it is one.
    """
    if (urlsplit(uri).hostname or "").endswith(".onion"):
        raise NeedsTorError


def check_http_status(status: int) -> None:
    """Check that a relay answered, not something before it (E2: always 200). :raises UnreachableError: it did not."""
    if status != 200:
        raise UnreachableError(f"HTTP status {status}")


def check_encoding(encoding: str | None) -> None:
    """Check that nothing is compressed. :raises BadAnswerError: the body has an encoding."""
    if encoding is not None:
        raise BadAnswerError("an encoded body")


def check_length(length: int) -> None:
    """Check that an answer is not longer than any we can have asked for. :raises BadAnswerError: it is."""
    if length > MAX_ANSWER:
        raise BadAnswerError("an answer that is too long")


async def _read_bounded(response: aiohttp.ClientResponse) -> bytes:
    check_length(response.content_length or 0)
    body = bytearray()
    async for chunk in response.content.iter_chunked(CHUNK):
        body += chunk
        check_length(len(body))
    return bytes(body)
