"""Addresses, cards and enrolment strings (E14, E26)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tertulia_protocol.codec import parse, serialize
from tertulia_protocol.errors import DecodeError
from tertulia_protocol.relay_api.addresses import (
    Enrolment,
    RelayAddr,
    check_uri,
    from_base64url,
    to_base64url,
)
from tests.support.strategies import KEYS, public_keys

ONION = "pg6mmjiyjmcrsslvykfwnntlaru7p5svn6y2ymmju6nubxndf4pscryd.onion"
ALLOWED = [
    "https://relay.example.org",
    "https://relay.example.org:8443/x",
    "https://192.0.2.7",
    "https://[2001:db8::7]:443",
    f"http://{ONION}",
    f"http://{ONION}:8080/x",
    f"https://{ONION}",
    "http://127.0.0.1:8080",
    "http://127.8.9.1",
    "http://[::1]:8080",
    "http://localhost:8080",
]
REFUSED = [
    "",
    "relay.example.org",
    "https://",
    "https:///x",
    "http://relay.example.org",
    "http://192.168.0.7",
    "http://0.0.0.0",
    "http://127.0.0.1.example.org",
    "http://localhost.example.org",
    f"http://{ONION}.example.org",
    f"http://example.org/{ONION}",
    "ftp://relay.example.org",
    "file:///etc/passwd",
    "javascript://relay.example.org",
    "HTTP://relay.example.org",
    "https://user@relay.example.org",
    "https://user:secret@relay.example.org",
    "https://@relay.example.org",
    "https://relay.example.org?a=b",
    "https://relay.example.org?",
    "https://relay.example.org#key",
    "https://relay.example.org#",
    "https://relay.example.org:99999",
    "https://relay.example.org:port",
    "https://[::1",
    " https://relay.example.org",
    "https://relay.example.org\n",
    "https://relay.exam\nple.org",
    "https://relay.exam\tple.org",
    "https://relay example.org",
    "https://relay.example.org\x00",
    "https://relay.example.org\\.example.net",
    "http://127.0.0.1\\@relay.example.org",
    "https://reläy.example.org",
    "https://relay.example.org/" + "a" * 255,
]
ADDRESS = RelayAddr(relay_pk=KEYS[0].public_key, uri="https://relay.example.org")
ENROLMENT = Enrolment(relay=ADDRESS, code=bytes(range(16)))


@pytest.mark.parametrize("uri", ALLOWED)
def test_uris_that_protect_their_bytes_are_allowed(uri):
    check_uri(uri)
    address = RelayAddr(relay_pk=KEYS[0].public_key, uri=uri)
    assert parse(RelayAddr, serialize(address)) == address
    assert RelayAddr.from_card(address.card()) == address


@pytest.mark.parametrize("uri", REFUSED)
def test_other_uris_are_refused_wherever_they_come_from(uri):
    with pytest.raises(DecodeError) as caught:
        check_uri(uri)
    assert caught.value.code == "message.malformed"
    with pytest.raises(DecodeError):
        RelayAddr.from_card(f"{uri}#{to_base64url(KEYS[0].public_key)}")
    raw = uri.encode()
    head = bytes([len(raw)]) if len(raw) < 64 else (len(raw) | 0x4000).to_bytes(2, "big")
    with pytest.raises(DecodeError):
        parse(RelayAddr, KEYS[0].public_key + head + raw)


@given(st.text(max_size=40).map("https://h".__add__) | st.text(max_size=60))
def test_any_text_is_an_address_or_refused(uri):
    try:
        check_uri(uri)
    except DecodeError:
        return
    assert uri.startswith(("https://", "http://"))
    assert uri.isprintable()
    assert not set(uri) & set("@#?\\ ")


def test_a_card_is_the_address_and_the_key():
    card = ADDRESS.card()
    assert card == f"https://relay.example.org#{to_base64url(KEYS[0].public_key)}"
    assert RelayAddr.from_card(card) == ADDRESS


@pytest.mark.parametrize(
    "card",
    [
        "https://relay.example.org",
        "https://relay.example.org#",
        "https://relay.example.org#" + to_base64url(bytes(32)),
        "https://relay.example.org#" + to_base64url(b"\1" + bytes(31)),
        "https://relay.example.org#" + to_base64url(KEYS[0].public_key[:31]),
        "https://relay.example.org#" + to_base64url(KEYS[0].public_key) + "=",
        "https://relay.example.org##" + to_base64url(KEYS[0].public_key),
    ],
)
def test_a_card_without_a_valid_key_is_refused(card):
    with pytest.raises(DecodeError):
        RelayAddr.from_card(card)


@given(public_keys, st.binary(min_size=16, max_size=16))
def test_an_enrolment_string_reads_back(key, code):
    enrolment = Enrolment(relay=RelayAddr(relay_pk=key, uri=f"http://{ONION}"), code=code)
    text = enrolment.to_string()
    assert text.isascii()
    assert text.startswith("tertulia-relay:")
    assert Enrolment.from_string(f"  {text}\n") == enrolment


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tertulia-relay:",
        "tertulia:" + ENROLMENT.to_string().partition(":")[2],
        ENROLMENT.to_string()[:-4],
        ENROLMENT.to_string() + "AAAA",
        ENROLMENT.to_string() + "=",
        ENROLMENT.to_string().replace(":", ": "),
        "tertulia-relay:" + to_base64url(b"\2" + serialize(ENROLMENT)[1:]),
        "tertulia-relay:" + to_base64url(serialize(ENROLMENT)).replace("A", "+"),
    ],
)
def test_another_enrolment_string_is_refused(text):
    with pytest.raises(DecodeError):
        Enrolment.from_string(text)


def test_an_enrolment_shows_its_code_to_nobody():
    assert repr(ENROLMENT.code) not in repr(ENROLMENT)
    assert ENROLMENT.code.hex() not in repr(ENROLMENT)
    assert "relay.example.org" in repr(ENROLMENT)


def test_an_enrolment_with_a_short_code_is_not_written():
    with pytest.raises(ValueError, match="15 bytes"):
        Enrolment(relay=ADDRESS, code=bytes(15)).to_string()


@given(st.binary(max_size=50))
def test_base64url_reads_back(data):
    assert from_base64url(to_base64url(data)) == data


@pytest.mark.parametrize(
    "text", ["A", "AB", "AB==", "A B", "AA+A", "AA/A", "AAA=", "AAB", "AAAA\n", "ÄÄÄÄ", "=", "===="]
)
def test_base64url_has_one_form(text):
    with pytest.raises(DecodeError):
        from_base64url(text)


@given(st.text(max_size=12))
def test_any_text_is_base64url_or_refused(text):
    try:
        data = from_base64url(text)
    except DecodeError:
        return
    assert to_base64url(data) == text
