"""Responses: every body, frames of few sizes, and the relay's statement about itself (E2, E3)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tertulia_protocol.codec import parse, serialize
from tertulia_protocol.errors import AuthenticityError, DecodeError
from tertulia_protocol.relay_api import responses as r
from tertulia_protocol.relay_api.limits import PROTOCOL_VERSION
from tertulia_protocol.signing import Label
from tests.support.strategies import KEYS, fixed, heads, u8, u16, u32, u64

RELAY, OTHER = KEYS[:2]
entries = st.builds(r.Entry, u64, st.binary(max_size=100))
relay_limits = st.builds(
    r.RelayLimits,
    log_quota_bytes=u64,
    blob_quota_bytes=u64,
    mailbox_entries=u16,
    append_burst_units=u32,
    append_units_per_second=u32,
    read_max_bytes=u32,
    wait_max_s=u8,
)
STRUCTS = {
    r.Response: st.builds(
        r.Response,
        status=st.sampled_from(r.Status),
        nonce=fixed(16),
        head=st.none() | heads,
        body=st.binary(max_size=3000),
    ),
    r.AppendedBody: st.builds(r.AppendedBody, u64),
    r.BusyBody: st.builds(r.BusyBody, u16),
    r.EntriesBody: st.builds(r.EntriesBody, st.lists(entries, max_size=4).map(tuple)),
    r.RelayLimits: relay_limits,
    r.RelayInfo: st.builds(
        r.RelayInfo,
        relay_pk=fixed(32),
        protocol_min=u16,
        protocol_max=u16,
        utc_day=u32,
        limits=relay_limits,
        issuers=st.binary(max_size=40),
        signature=fixed(64),
    ),
}
RESPONSE = r.Response(status=r.Status.OK, nonce=bytes(range(16)), body=b"body")
INFO = r.RelayInfo(
    relay_pk=RELAY.public_key,
    protocol_min=PROTOCOL_VERSION,
    protocol_max=PROTOCOL_VERSION,
    utc_day=20_000,
    limits=r.RelayLimits(),
).sign(RELAY)


@pytest.mark.parametrize("kind", STRUCTS, ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_structs_read_back_and_cut_ones_are_refused(kind, data):
    value = data.draw(STRUCTS[kind])
    encoded = serialize(value)
    assert parse(kind, encoded) == value
    with pytest.raises(DecodeError):
        parse(kind, encoded[: data.draw(st.integers(0, len(encoded) - 1))])
    with pytest.raises(DecodeError):
        parse(kind, encoded + b"\0")


@pytest.mark.parametrize("kind", STRUCTS, ids=lambda kind: kind.__name__)
@given(data=st.binary(max_size=250))
def test_any_bytes_parse_or_are_refused(kind, data):
    try:
        value = parse(kind, data)
    except DecodeError:
        return
    assert serialize(value) == data


def test_statuses_have_the_numbers_of_the_protocol():
    names = "OK DUP CONFLICT SEALED FROZEN BUSY QUOTA GONE DENY TOOBIG PAY MALFORMED UNAVAILABLE"
    assert " ".join(status.name for status in r.Status) == names
    assert [status.value for status in r.Status] == list(range(13))


@pytest.mark.parametrize(
    ("place", "value", "word"), [(0, 0, "version"), (0, 2, "version"), (1, 13, "status"), (18, 2, "presence")]
)
def test_another_version_status_or_presence_is_refused(place, value, word):
    data = bytearray(serialize(RESPONSE))
    data[place] = value
    with pytest.raises(DecodeError, match=word):
        parse(r.Response, bytes(data))


@pytest.mark.parametrize(
    ("body", "size"), [(0, 2048), (2000, 2048), (2048, 5120), (262144, 263168), (263168, 327680), (400_000, 458752)]
)
def test_a_frame_takes_the_smallest_size(body, size):
    response = replace(RESPONSE, body=bytes(body))
    frame = response.to_frame()
    assert len(frame) == size
    assert r.Response.from_frame(frame) == response


@pytest.mark.parametrize("length", [0, 100, 2047, 2049, 65536, 263169, 327681])
def test_a_frame_of_another_size_is_refused(length):
    with pytest.raises(DecodeError, match="a response of"):
        r.Response.from_frame(serialize(RESPONSE).ljust(length, b"\0")[:length])


def test_a_frame_with_something_in_its_padding_is_refused():
    frame = bytearray(RESPONSE.to_frame())
    frame[-1] = 1
    with pytest.raises(DecodeError, match="padding") as caught:
        r.Response.from_frame(bytes(frame))
    assert caught.value.position == 2047


def test_a_relays_statement_holds_for_its_key_only():
    INFO.verify(RELAY.public_key)
    with pytest.raises(DecodeError, match="another key"):
        INFO.verify(OTHER.public_key)
    with pytest.raises(AuthenticityError):
        replace(INFO, relay_pk=OTHER.public_key).verify(OTHER.public_key)


@pytest.mark.parametrize(
    "changed",
    [
        {"protocol_min": 0},
        {"protocol_max": 0xFFFF},
        {"utc_day": 1},
        {"limits": r.RelayLimits(wait_max_s=1)},
        {"issuers": b"x"},
        {"signature": RELAY.sign(Label.HEAD, INFO._signed())},
    ],
    ids=["min", "max", "day", "limits", "issuers", "label"],
)
def test_a_changed_statement_does_not_hold(changed):
    with pytest.raises(AuthenticityError):
        replace(INFO, **changed).verify(RELAY.public_key)
