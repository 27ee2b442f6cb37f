"""Nothing that a client sends is in any output or file of the relay, but for ciphertext in the database."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.client
import socket

import pytest

from tests.support.relay_process import RelayProcess
from tests.support.wire import Line, Segment, entry_of, parse_enrolment

CANARY = "canary-9b2e6c"


def forms(data):
    """Return ``data`` in the forms in which a log or a file might hold it."""
    encoded = {base64.b64encode(bytes(skip) + data)[4 if skip else 0 : -4] for skip in range(3)}
    return {data, data.hex().encode(), data.hex().upper().encode(), repr(data).encode()[2:-1], *encoded}


def holds(haystack, needles):
    """Answer which of the needles lie in the haystack in any form."""
    return {name for name, data in needles.items() for form in forms(data) if form in haystack}


@pytest.mark.parametrize(
    "form",
    [
        lambda data: data,
        lambda data: data.hex().encode(),
        lambda data: data.hex().upper().encode(),
        lambda data: repr(data).encode(),
        base64.b64encode,
        lambda data: base64.b64encode(b"1" + data),
        lambda data: base64.b64encode(b"12" + data),
    ],
)
def test_the_detector_finds_what_is_planted(form):
    for planted in (CANARY.encode(), b"\x00\xff\n" + CANARY.encode() + b"\x7f"):
        assert holds(b"before " + form(b"<" + planted + b">") + b" after", {"it": planted}) == {"it"}
        assert holds(b"before " + form(b"nothing of it") + b" after", {"it": planted}) == set()


def speak(relay, segment, code):
    """Use every operation, rightly and wrongly, with the canary wherever bytes of a client's choice may stand."""
    mark, secret = CANARY.encode(), (CANARY * 3)[:32].encode()
    entry, chunk = entry_of(CANARY), entry_of(CANARY, 4096)
    seen = []
    with Line(relay.card) as line:

        def ask(request):
            seen.append(line.ask(request, segment.id).status)

        for request in (
            segment.request("INFO"),
            segment.request("TOKENS", mark),
            segment.create(mark + b"!!!"),
            segment.create(code),
            segment.append_entry(entry),
            segment.append_entry(entry),
            segment.append_entry(mark),
            segment.request("APPEND", b"\0", entry),
            segment.read_after(0),
            segment.request("READ", mark, mark, segment.read),
            segment.blob_put(chunk, secret, code),
            segment.blob_get(chunk),
            segment.blob_del(chunk, secret),
            segment.freeze(),
            segment.append_entry(entry_of("frozen " + CANARY)),
            segment.drop(),
            segment.request("EXTEND", b"\x01\x10" + mark + b"!!!" + b"\0\1\0\0\0\1"),
            segment.request("UNSEAL", mark, mark),
        ):
            ask(request)
        head = line.ask(segment.read_after(0), segment.id).head
        ask(segment.seal(entry_of("hop " + CANARY), head))
        for frame in (mark, mark.ljust(2048, b"!"), b"\x01\x04" + mark.ljust(2046, b"\0")):
            assert line.exchange(frame)[0] == 200
    return seen


def speak_badly(relay):
    """Send what is not the protocol, and what is not HTTP."""
    host, port = relay.listen.split(":")
    mark = CANARY.encode()
    for data in (
        mark + b"\r\n\r\n",
        b"GET /%s?%s HTTP/1.1\r\nHost: %s\r\nCookie: %s\r\nUser-Agent: %s\r\n\r\n" % ((mark,) * 5),
        b"POST /x HTTP/1.1\r\nHost: a\r\n%s\0: b\r\n\r\n" % mark,
        b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Type: application/octet-stream\r\nContent-Length: 2048\r\n\r\n" + mark,
        b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + mark,
        b"\x16\x03\x01" + mark,
    ):
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            connection.settimeout(5)
            with contextlib.suppress(OSError):
                connection.recv(4096)
    broken = http.client.HTTPConnection(host, int(port), timeout=5)
    broken.request("PUT", "/" + CANARY, CANARY, {"X-Forwarded-For": CANARY})
    assert broken.getresponse().status == 404
    broken.close()


@pytest.fixture(scope="module")
def spoken(tmp_path_factory):
    """Everything that a relay wrote after it heard the canary in every way, and what it must not have written."""
    relay = RelayProcess(tmp_path_factory.mktemp("silence") / "relay")
    _, relay_pk, code = parse_enrolment(relay.enrolment())
    segment = Segment(relay_pk)
    with relay:
        before = {path.name: path.read_bytes() for path in relay.directory.iterdir()}
        statuses = speak(relay, segment, code)
        speak_badly(relay)
        during = {path.name: path.read_bytes() for path in relay.directory.iterdir()}
        relay.stop()
        after = {path.name: path.read_bytes() for path in relay.directory.iterdir()}
        output = relay.log.read_bytes() + b"".join(relay.output.encode().splitlines()[1:])
    return {"statuses": statuses, "files": (before, during, after), "output": output, "code": code, "segment": segment}


def test_every_operation_was_really_used(spoken):
    assert {"OK", "DUP", "PAY", "DENY", "TOOBIG", "MALFORMED", "UNAVAILABLE", "FROZEN"} <= set(spoken["statuses"])


def test_the_output_holds_nothing_at_all(spoken):
    assert spoken["output"] == b""


def test_the_content_lies_in_the_database_only(spoken):
    for files in spoken["files"]:
        for name, data in files.items():
            if not name.startswith("relay.db"):
                assert holds(data, {"canary": CANARY.encode()}) == set(), name
    _, during, _ = spoken["files"]
    # As it was sent, because here the canary is the ciphertext: so the search above could have found it.
    assert any(CANARY.encode() in data for name, data in during.items() if name.startswith("relay.db"))


def test_codes_secrets_and_private_keys_lie_nowhere(spoken):
    segment = spoken["segment"]
    secret = (CANARY * 3)[:32].encode()
    secrets_of_clients = {
        "code": spoken["code"],
        "delete secret": secret,
        **{name: bytes(getattr(segment, name)) for name in ("append", "read", "admin")},
    }
    for files in spoken["files"]:
        for name, data in files.items():
            assert holds(data, secrets_of_clients) == set(), name


def test_the_relay_s_own_key_lies_in_its_file_only(spoken):
    _, during, _ = spoken["files"]
    seed = bytes.fromhex(during["relay.key"].decode())
    assert [name for name, data in during.items() if holds(data, {"seed": seed})] == ["relay.key"]


def test_the_database_s_log_is_gone_after_a_stop(spoken):
    _, during, after = spoken["files"]
    assert during["relay.db-wal"]
    assert not after.get("relay.db-wal")


def test_a_code_is_stored_as_its_hash(spoken):
    _, _, after = spoken["files"]
    assert hashlib.sha256(spoken["code"]).digest() in after["relay.db"]
