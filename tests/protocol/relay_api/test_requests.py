"""Requests: every operation's arguments, what a signature covers, and frames of few sizes (E2, E3)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tertulia_protocol.codec import parse, serialize
from tertulia_protocol.errors import AuthenticityError, DecodeError
from tertulia_protocol.relay_api import requests as r
from tertulia_protocol.relay_api.limits import REQUEST_SIZES
from tests.support.strategies import KEYS, configs, fixed, positions, u8, u16, u32, u64

RELAY, MEMBER, OTHER = KEYS[:3]
payments = st.builds(r.Payment, u8, st.binary(max_size=40))
ARGS = {
    r.NoArgs: st.builds(r.NoArgs),
    r.CreateArgs: st.builds(r.CreateArgs, config=configs, payment=payments),
    r.AppendArgs: st.builds(r.AppendArgs, admin=st.booleans(), if_head=st.none() | positions),
    r.SealArgs: st.builds(r.SealArgs, if_head=positions, heir_vk=fixed(32), retire_days=u16),
    r.UnsealArgs: st.builds(r.UnsealArgs, if_head=positions),
    r.ReadArgs: st.builds(r.ReadArgs, after_seq=u64, max_bytes=u32, wait_s=u8),
    r.ExtendArgs: st.builds(r.ExtendArgs, payment=payments, days=u16, units=u32),
    r.BlobPutArgs: st.builds(r.BlobPutArgs, payment=payments, delete_hash=fixed(32), ttl_class=u8),
    r.BlobGetArgs: st.builds(r.BlobGetArgs, blob_id=fixed(32)),
    r.BlobDelArgs: st.builds(r.BlobDelArgs, blob_id=fixed(32), delete_secret=fixed(32)),
}
requests = st.builds(
    r.Request,
    op=u8,
    segment_id=fixed(32),
    nonce=fixed(16),
    args=st.binary(max_size=200),
    payload=st.binary(max_size=3000),
    signature=fixed(64),
)
REQUEST = r.build_request(
    r.Op.APPEND, args=r.AppendArgs(), nonce=bytes(range(16)), segment_id=bytes(range(32)), payload=b"entry"
)


def test_every_operation_but_tokens_has_arguments():
    assert set(r.ARGS) == set(r.Op) - {r.Op.TOKENS}
    assert set(r.ARGS.values()) == set(ARGS)
    assert [op.value for op in r.Op] == list(range(1, 14))


@pytest.mark.parametrize("kind", ARGS, ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_arguments_read_back_and_cut_ones_are_refused(kind, data):
    args = data.draw(ARGS[kind])
    encoded = serialize(args)
    assert parse(kind, encoded) == args
    with pytest.raises(DecodeError):
        parse(kind, encoded + b"\0")
    if encoded:
        with pytest.raises(DecodeError):
            parse(kind, encoded[: data.draw(st.integers(0, len(encoded) - 1))])


@pytest.mark.parametrize("kind", [*ARGS, r.Payment, r.Request], ids=lambda kind: kind.__name__)
@given(data=st.binary(max_size=250))
def test_any_bytes_parse_or_are_refused(kind, data):
    try:
        value = parse(kind, data)
    except DecodeError:
        return
    assert serialize(value) == data


@pytest.mark.parametrize(
    ("args", "encoded"),
    [
        (r.AppendArgs(), "00"),
        (r.AppendArgs(admin=True), "01"),
        (r.AppendArgs(if_head=r.Position(1, bytes(32))), "02" + "00" * 7 + "01" + "00" * 32),
        (r.AppendArgs(admin=True, if_head=r.Position(1, bytes(32))), "03" + "00" * 7 + "01" + "00" * 32),
        (r.ReadArgs(after_seq=7, max_bytes=65536, wait_s=50), "00" * 7 + "07" + "00010000" + "32"),
        (r.Payment(3), "0300"),
        (r.Payment(1, b"code"), "0104" + b"code".hex()),
    ],
)
def test_the_wire_form_is_that_of_the_protocol(args, encoded):
    assert serialize(args).hex() == encoded


@pytest.mark.parametrize("flags", [4, 8, 255])
def test_unknown_append_flags_are_refused(flags):
    with pytest.raises(DecodeError, match="flags"):
        parse(r.AppendArgs, bytes([flags]) + bytes(40))


@given(requests)
def test_a_request_reads_back_from_a_frame_of_a_fixed_size(request):
    frame = request.to_frame()
    assert len(frame) in REQUEST_SIZES
    assert len(frame) == min(size for size in REQUEST_SIZES if size >= len(serialize(request)))
    assert r.Request.from_frame(frame) == request


def test_the_largest_entry_fits_into_the_largest_frame():
    largest = replace(REQUEST, args=serialize(r.AppendArgs(if_head=r.Position(1, bytes(32)))), payload=bytes(262144))
    assert len(largest.to_frame()) == 263168
    with pytest.raises(ValueError, match="too long"):
        replace(REQUEST, payload=bytes(263168)).to_frame()


@pytest.mark.parametrize("length", [0, 1, 200, 2047, 2049, 5119, 263167, 263169])
def test_a_frame_of_another_size_is_refused(length):
    frame = serialize(REQUEST).ljust(length, b"\0")[:length]
    with pytest.raises(DecodeError, match="fixed sizes"):
        r.Request.from_frame(frame)


@pytest.mark.parametrize("place", [len(serialize(REQUEST)), 1000, 2047])
def test_a_frame_with_something_in_its_padding_is_refused(place):
    frame = bytearray(REQUEST.to_frame())
    frame[place] = 1
    with pytest.raises(DecodeError) as caught:
        r.Request.from_frame(bytes(frame))
    assert caught.value.position == place


@pytest.mark.parametrize("version", [0, 2, 255])
def test_another_version_is_refused(version):
    with pytest.raises(DecodeError, match="version"):
        parse(r.Request, bytes([version]) + serialize(REQUEST)[1:])


@pytest.mark.parametrize("changed", [{"segment_id": bytes(31)}, {"nonce": bytes(17)}, {"signature": b""}], ids=str)
def test_a_request_with_a_field_of_another_length_is_not_written(changed):
    with pytest.raises(ValueError, match="belong"):
        serialize(replace(REQUEST, **changed))


def test_a_signature_is_over_relay_operation_segment_nonce_arguments_and_payload():
    signed = REQUEST.sign(MEMBER, relay_pk=RELAY.public_key)
    signed.verify(MEMBER.public_key, relay_pk=RELAY.public_key)
    assert replace(signed, signature=r.NO_SIGNATURE) == REQUEST
    with pytest.raises(AuthenticityError):
        signed.verify(OTHER.public_key, relay_pk=RELAY.public_key)
    with pytest.raises(AuthenticityError):
        signed.verify(MEMBER.public_key, relay_pk=OTHER.public_key)


@pytest.mark.parametrize(
    "changed",
    [
        {"version": 2},
        {"op": r.Op.SEAL},
        {"segment_id": bytes(32)},
        {"nonce": bytes(16)},
        {"args": b"\1"},
        {"payload": b"Entry"},
        {"args": b"", "payload": b"\0entry"},
        {"signature": r.NO_SIGNATURE},
    ],
    ids=str,
)
def test_a_changed_request_does_not_hold(changed):
    signed = REQUEST.sign(MEMBER, relay_pk=RELAY.public_key)
    with pytest.raises(AuthenticityError):
        replace(signed, **changed).verify(MEMBER.public_key, relay_pk=RELAY.public_key)


def test_repr_shows_neither_codes_nor_secrets_nor_content():
    secret = b"correct horse ba"
    payment = r.Payment(r.PaymentType.ENROLMENT_CODE, secret)
    deletion = r.BlobDelArgs(blob_id=bytes(32), delete_secret=secret * 2)
    shown = [
        payment,
        r.ExtendArgs(payment=payment, days=1, units=1),
        deletion,
        r.build_request(r.Op.EXTEND, args=r.ExtendArgs(payment=payment, days=1, units=1), nonce=bytes(16)),
        r.build_request(r.Op.BLOB_DEL, args=deletion, nonce=bytes(16)),
        r.build_request(r.Op.BLOB_PUT, args=r.NoArgs(), nonce=bytes(16), payload=secret),
    ]
    for value in shown:
        assert "correct" not in repr(value)
        assert secret.hex() not in repr(value)
