"""HTTP: the same few bytes from everybody, nothing believed that no relay would say, nothing without a bound."""

from __future__ import annotations

import asyncio
import datetime as dt
import socket
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tertulia.errors import BadAnswerError, NeedsTorError, UnreachableError
from tertulia.transport import http
from tertulia.transport.http import HttpTransport
from tertulia_protocol.errors import DecodeError
from tertulia_protocol.relay_api.addresses import RelayAddr
from tertulia_protocol.relay_api.requests import NoArgs, Op, ReadArgs, Request, build_request
from tertulia_protocol.relay_api.responses import Response, Status
from tests.support.lying_http import http_answer, lying

KEY = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
INFO = build_request(Op.INFO, args=NoArgs(), nonce=b"n" * 16)


def frame(**fields: object) -> bytes:
    return Response(**{"status": Status.OK, "nonce": b"n" * 16, **fields}).to_frame()


async def honest(body: bytes) -> bytes:
    return http_answer(frame(nonce=Request.from_frame(body).nonce))


def address(server) -> RelayAddr:
    return RelayAddr(relay_pk=KEY, uri=server.uri)


@pytest.fixture
async def transport():
    transport = HttpTransport(answer_seconds=5)
    yield transport
    await transport.close()


# --- What leaves ----------------------------------------------------------------------------------------------------


async def test_a_request_says_nothing_about_who_sends_it(transport, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with lying(honest) as server:
        assert (await transport.send(address(server), INFO, stream="info")).status is Status.OK
        head = server.heads[0].decode()
    assert head.split("\r\n") == [
        "POST /x HTTP/1.1",
        f"Host: 127.0.0.1:{server.port}",
        "Content-Type: application/octet-stream",
        "Content-Length: 2048",
        "",
        "",
    ]


async def test_a_relay_may_live_under_a_path(transport):
    async with lying(honest) as server:
        await transport.send(RelayAddr(relay_pk=KEY, uri=f"{server.uri}/relay/"), INFO, stream="info")
        assert server.heads[0].startswith(b"POST /relay/x HTTP/1.1\r\n")


async def test_cookies_are_not_kept(transport):
    async def set_cookie(_body):
        return http_answer(frame(), "Set-Cookie: id=1; Path=/")

    async with lying(set_cookie) as server:
        for stream in ("one", "one", "two"):
            await transport.send(address(server), INFO, stream=stream)
        assert not any(b"cookie" in head.lower() for head in server.heads)


async def test_streams_never_share_a_connection(transport):
    async with lying(honest) as server:
        for stream in ("one", "two", "one", "two", "three"):
            await transport.send(address(server), INFO, stream=stream)
        assert (len(server.heads), server.connections) == (5, 3)


async def test_old_streams_give_their_connections_up(transport):
    async with lying(honest) as server:
        for number in range(http.STREAMS + 8):
            await transport.send(address(server), INFO, stream=f"s{number}")
        async with asyncio.timeout(5):
            while server.open > http.STREAMS:  # noqa: ASYNC110 - the system closes them in its own time
                await asyncio.sleep(0.005)
        assert server.connections == http.STREAMS + 8


async def test_a_stream_in_use_is_not_closed(transport, monkeypatch):
    monkeypatch.setattr(http, "STREAMS", 1)
    go = asyncio.Event()

    async def slow(body):
        request = Request.from_frame(body)
        if request.op == Op.READ:
            await go.wait()
        return http_answer(frame(nonce=request.nonce))

    async with lying(slow) as server:
        read = build_request(Op.READ, args=ReadArgs(after_seq=0, max_bytes=1, wait_s=50), nonce=b"r" * 16)
        reading = asyncio.ensure_future(transport.send(address(server), read, stream="read"))
        for number in range(3):
            await transport.send(address(server), INFO, stream=f"s{number}")
        go.set()
        assert (await reading).nonce == b"r" * 16


@pytest.mark.parametrize("uri", ["http://relay.example", "ftp://127.0.0.1", "https://user@relay.example", "relay"])
async def test_an_address_that_does_not_protect_is_not_used(transport, uri):
    with pytest.raises(DecodeError):
        await transport.send(RelayAddr(relay_pk=KEY, uri=uri), INFO, stream="info")


async def test_the_name_of_an_onion_service_reaches_no_name_server(transport, monkeypatch):
    asked: list[object] = []
    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kw: asked.append(args[0]) or real(*args, **kw))
    with pytest.raises(NeedsTorError) as caught:
        await transport.send(RelayAddr(relay_pk=KEY, uri=f"http://{'a' * 56}.onion"), INFO, stream="info")
    assert caught.value.code == "relay.needs_tor"
    assert asked == []


# --- What comes back ------------------------------------------------------------------------------------------------


async def refused(transport, reply, kind):
    async with lying(reply) as server:
        with pytest.raises(kind) as caught:
            await transport.send(address(server), INFO, stream="info")
        assert len(server.heads) == 1
    return caught.value.code


def always(answer: bytes):
    async def reply(_body: bytes) -> bytes:
        return answer

    return reply


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Again", "308 Permanent"])
async def test_redirects_are_not_followed(transport, status):
    async with lying(honest) as elsewhere:
        answer = http_answer(b"", f"Location: {elsewhere.uri}/x", status=status)
        assert await refused(transport, always(answer), UnreachableError) == "relay.unreachable"
        assert elsewhere.connections == 0


@pytest.mark.parametrize("status", ["404 Not Found", "500 Fault", "502 Bad Gateway", "204 Nothing", "206 Part"])
async def test_another_status_is_no_answer(transport, status):
    body = b"" if status.startswith("204") else frame()
    assert await refused(transport, always(http_answer(body, status=status)), UnreachableError) == "relay.unreachable"


async def test_an_encoded_body_is_refused(transport):
    for encoding in ("gzip", "deflate", "identity"):
        answer = http_answer(frame(), f"Content-Encoding: {encoding}")
        assert await refused(transport, always(answer), BadAnswerError) == "relay.bad_answer"


async def test_an_answer_that_says_it_is_too_long_is_refused_at_once(transport):
    answer = http_answer(b"", length=http.MAX_ANSWER + 1)
    assert await refused(transport, always(answer), BadAnswerError) == "relay.bad_answer"


async def test_an_answer_without_end_is_refused_once_it_is_too_long(transport):
    chunk = b"10000\r\n" + bytes(65536) + b"\r\n"
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk * (http.MAX_ANSWER // 65536 + 2)
    assert await refused(transport, always(answer), BadAnswerError) == "relay.bad_answer"


async def test_the_longest_answer_is_taken(transport):
    body = frame(body=bytes(http.MAX_ANSWER - 200))
    assert len(body) == http.MAX_ANSWER
    async with lying(always(http_answer(body))) as server:
        assert len((await transport.send(address(server), INFO, stream="info")).body) == http.MAX_ANSWER - 200


@pytest.mark.parametrize(
    "body",
    [b"", b"\0", frame()[:-1], frame() + b"\0", frame()[:-1] + b"\1", b"\2" + frame()[1:], bytes(2048), b"<html>"],
    ids=["empty", "one", "short", "long", "padding", "version", "zeros", "html"],
)
async def test_what_is_no_frame_is_refused(transport, body):
    assert await refused(transport, always(http_answer(body)), BadAnswerError) == "relay.bad_answer"


@pytest.mark.parametrize(
    "fields", [{"nonce": b"m" * 16}, {"nonce": bytes(16)}, {"nonce": bytes(16), "status": Status.GONE}]
)
async def test_an_answer_to_another_request_is_refused(transport, fields):
    assert await refused(transport, always(http_answer(frame(**fields))), BadAnswerError) == "relay.bad_answer"


async def test_a_relay_may_say_that_it_could_not_read_a_request(transport):
    async with lying(always(http_answer(frame(nonce=bytes(16), status=Status.MALFORMED)))) as server:
        assert (await transport.send(address(server), INFO, stream="info")).status is Status.MALFORMED


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 2048\r\n\r\nhalf", b"220 smtp\r\n\r\n"])
async def test_a_connection_that_breaks_is_told_as_such(answer):
    transport = HttpTransport(answer_seconds=0.2)
    try:
        assert await refused(transport, always(answer), UnreachableError) == "relay.unreachable"
    finally:
        await transport.close()


async def test_a_relay_that_says_nothing_is_not_waited_for_for_ever():
    transport = HttpTransport(answer_seconds=0)

    async def never(_body: bytes) -> bytes:
        await asyncio.sleep(60)
        return b""

    try:
        async with asyncio.timeout(20):
            assert await refused(transport, never, UnreachableError) == "relay.unreachable"
    finally:
        await transport.close()


def test_a_read_is_given_the_time_it_asks_for():
    read = build_request(Op.READ, args=ReadArgs(after_seq=0, max_bytes=1, wait_s=37), nonce=b"r" * 16)
    assert (http.wait_seconds(read), http.wait_seconds(INFO)) == (37, 0)


async def test_giving_up_the_wait_leaves_the_transport_usable(transport):
    go = asyncio.Event()

    async def slow(body: bytes) -> bytes:
        await go.wait()
        return await honest(body)

    async with lying(slow) as server:
        sending = asyncio.ensure_future(transport.send(address(server), INFO, stream="info"))
        async with asyncio.timeout(5):
            while not server.heads:  # noqa: ASYNC110 - until the request is there
                await asyncio.sleep(0.005)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        go.set()
        assert (await transport.send(address(server), INFO, stream="info")).status is Status.OK


# --- TLS ------------------------------------------------------------------------------------------------------------


async def test_a_certificate_that_nobody_we_trust_made_is_refused(transport, tmp_path):
    trusted, server_side = certificate(tmp_path)
    served: list[object] = []

    async def serve(reader, writer):
        served.append(await reader.read(10))
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server_side)
    uri = f"https://localhost:{listener.sockets[0].getsockname()[1]}"
    try:
        with pytest.raises(UnreachableError) as caught:
            await transport.send(RelayAddr(relay_pk=KEY, uri=uri), INFO, stream="info")
        assert caught.value.code == "relay.unreachable"
        assert b"POST" not in b"".join(served)
        knowing = HttpTransport(tls=trusted, answer_seconds=5)
        with pytest.raises(UnreachableError):
            await knowing.send(RelayAddr(relay_pk=KEY, uri=uri), INFO, stream="info")
        await knowing.close()
        assert served[-1].startswith(b"POST")
    finally:
        listener.close()
        await listener.wait_closed()


def certificate(directory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return who trusts a certificate for ``localhost`` and who has it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (directory / "both.pem").write_bytes(pem + private)
    trusted = ssl.create_default_context(cadata=pem.decode())
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(directory / "both.pem")
    return trusted, server_side
