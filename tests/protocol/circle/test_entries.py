from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, replace

import pytest
from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_encrypt

from tertulia_protocol.circle.entries import (
    HEADER_BYTES,
    MAX_BODY,
    OVERHEAD,
    REPAIR,
    SEALED_ENTRY_BYTES,
    InnerHeader,
    Kind,
    branch_tag,
    build_inner,
    check_epoch,
    check_place,
    log_id,
    parse_inner,
    repair_of,
    unwrap,
    wrap,
)
from tertulia_protocol.codec import parse, serialize
from tertulia_protocol.errors import (
    AuthenticityError,
    DecodeError,
    InvalidMessageError,
    RuleError,
    UsageError,
    WrongEpochError,
)
from tertulia_protocol.relay_api.limits import ENTRY_SIZES
from tertulia_protocol.relay_api.records import Position

SEGMENT = b"s" * 32


@dataclass(frozen=True, slots=True)
class Keys:
    wrap_key: bytes = b"w" * 32
    siv_key: bytes = b"v" * 32


KEYS = Keys()
HEADER = InnerHeader(
    kind=Kind.MLS,
    segment_no=3,
    epoch=7,
    branch_tag=b"b" * 16,
    parent=Position(4, b"p" * 32),
    body_len=0,
    log_id=log_id(SEGMENT),
)
HIDDEN = replace(HEADER, kind=Kind.SEALED, parent=Position.start(SEGMENT))


def seal(data: bytes, *, nonce: bytes | None = None) -> bytes:
    """Wrap whatever one likes, with the nonce it would have or with another."""
    if nonce is None:
        nonce = hmac.digest(KEYS.siv_key, data, "sha256")[:24]
    return nonce + crypto_aead_xchacha20poly1305_ietf_encrypt(data, SEGMENT, nonce, KEYS.wrap_key)


def open_entry(entry: bytes):
    return unwrap(entry, keys=KEYS, segment_id=SEGMENT)


def refuse(error: type[InvalidMessageError], entry: bytes, match: str | None = None) -> None:
    with pytest.raises(error, match=match) as raised:
        open_entry(entry)
    assert raised.value.code == error.code


def test_the_header_has_96_bytes():
    assert len(serialize(HEADER)) == HEADER_BYTES
    assert parse(InnerHeader, serialize(HEADER)) == HEADER


def test_the_hash_of_the_header_leaves_the_length_of_the_body_out():
    assert HEADER.hash() == replace(HEADER, body_len=99).hash() == hashlib.sha256(serialize(HEADER)).digest()
    assert HEADER.hash() != replace(HEADER, epoch=8).hash()


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("length", [0, 1, 1024 - 136, 1024 - 135, 4096 - 136, 4096 - 135, 20000, MAX_BODY])
def test_an_entry_is_one_of_the_fixed_sizes_and_opens(kind: Kind, length: int):
    if kind is Kind.SEALED and length > SEALED_ENTRY_BYTES - 136:
        return
    inner = build_inner(replace(HEADER, kind=kind), b"x" * length)
    entry = wrap(inner, keys=KEYS, segment_id=SEGMENT)
    assert len(entry) in ENTRY_SIZES
    if kind is Kind.SEALED:
        assert len(entry) == SEALED_ENTRY_BYTES
    else:
        assert len(entry) == min(size for size in ENTRY_SIZES if size >= length + HEADER_BYTES + OVERHEAD)
    assert open_entry(entry) == inner
    assert inner.header.body_len == length
    assert inner.hash == hashlib.sha256(inner.data).digest()


def test_the_same_content_makes_the_same_entry_and_each_relay_another():
    inner = build_inner(HEADER, b"a body")
    assert wrap(inner, keys=KEYS, segment_id=SEGMENT) == wrap(inner, keys=Keys(), segment_id=SEGMENT)
    other = wrap(inner, keys=Keys(b"W" * 32, b"V" * 32), segment_id=b"t" * 32)
    assert len({other, wrap(inner, keys=KEYS, segment_id=SEGMENT)}) == 2
    assert unwrap(other, keys=Keys(b"W" * 32, b"V" * 32), segment_id=b"t" * 32) == inner


@pytest.mark.parametrize(("kind", "length"), [(Kind.MLS, MAX_BODY + 1), (Kind.SEALED, SEALED_ENTRY_BYTES - 135)])
def test_what_no_entry_holds_is_not_built(kind: Kind, length: int):
    with pytest.raises(UsageError):
        build_inner(replace(HEADER, kind=kind), bytes(length))


def test_another_key_segment_or_byte_does_not_open():
    entry = wrap(build_inner(HEADER, b"a body"), keys=KEYS, segment_id=SEGMENT)
    for changed in (entry[:-1], entry[:30], b"", entry + b"\0", entry[:-1] + bytes([entry[-1] ^ 1])):
        refuse(AuthenticityError, changed)
    for keys, segment in ((Keys(wrap_key=bytes(32)), SEGMENT), (KEYS, bytes(32))):
        with pytest.raises(AuthenticityError):
            unwrap(entry, keys=keys, segment_id=segment)


def test_the_same_content_under_another_nonce_is_ignored():
    inner = build_inner(HEADER, b"a body")
    again = seal(inner.data, nonce=b"n" * 24)
    assert again != wrap(inner, keys=KEYS, segment_id=SEGMENT)
    refuse(AuthenticityError, again, "nonce")


def test_padding_that_is_not_zero_is_refused():
    data = build_inner(HEADER, b"a body").data
    refuse(DecodeError, seal(data[:-1] + b"\1"), "padding")


def test_a_longer_entry_than_needed_is_refused():
    data = build_inner(HEADER, b"a body").data
    refuse(DecodeError, seal(data.ljust(4096 - OVERHEAD, b"\0")), "longer")
    refuse(DecodeError, seal(data[:-1]), "longer")


def test_kind_2_has_one_size():
    data = build_inner(HIDDEN, b"a body").data
    refuse(DecodeError, seal(data[: 1024 - OVERHEAD]))
    large = replace(HIDDEN, body_len=5000)
    refuse(DecodeError, seal((serialize(large) + bytes(5000)).ljust(16384 - OVERHEAD, b"\0")), "kind 2")


def test_a_body_longer_than_the_entry_is_refused():
    data = build_inner(HEADER, b"a body").data
    header = replace(HEADER, body_len=2**32 - 1)
    refuse(DecodeError, seal(serialize(header) + data[HEADER_BYTES:]))


def refuse_header(rule: str, header: InnerHeader) -> None:
    before = serialize(header)
    with pytest.raises(RuleError) as raised:
        check_place(header, segment_no=3, primary_segment_id=SEGMENT)
    assert raised.value.code == "message.rule"
    assert raised.value.rule == rule
    assert serialize(header) == before


def test_headers_that_fit_are_taken():
    for header in (HEADER, HIDDEN, replace(HEADER, flags=REPAIR, rsv=repair_of(b"an entry"))):
        check_place(header, segment_no=3, primary_segment_id=SEGMENT)


@pytest.mark.parametrize("changes", [{"version": 2}, {"version": 0}, {"kind": 0}, {"kind": 3}])
def test_unknown_versions_and_kinds_do_not_count(changes):
    refuse_header("E22.version", replace(HEADER, **changes))


def test_an_entry_of_another_segment_does_not_count():
    refuse_header("E22.segment", replace(HEADER, segment_no=2))


def test_an_entry_of_another_log_does_not_count():
    refuse_header("E22.log", replace(HEADER, log_id=b"t" * 8))


@pytest.mark.parametrize(
    "changes", [{"flags": 2}, {"flags": REPAIR}, {"rsv": b"r" * 12}, {"flags": 3, "rsv": b"r" * 12}]
)
def test_flags_have_one_use(changes):
    refuse_header("E4.flags", replace(HEADER, **changes))


def test_only_a_message_of_mls_can_repair():
    refuse_header("E4.flags", replace(HIDDEN, flags=REPAIR, rsv=b"r" * 12))


def test_an_entry_of_kind_2_names_the_same_parent_for_everybody():
    refuse_header("E12.parent", replace(HIDDEN, parent=Position(4, b"p" * 32)))


def test_an_entry_of_another_epoch_does_not_count():
    for epoch in (6, 8):
        with pytest.raises(WrongEpochError) as raised:
            check_epoch(HEADER, epoch=epoch)
        assert raised.value.code == "message.epoch"
    check_epoch(HEADER, epoch=7)


def test_tags_differ_between_branches_and_epochs():
    tag = branch_tag(b"k" * 32, epoch=1, epoch_authenticator=b"a")
    assert tag == hmac.new(b"k" * 32, b"tl1 branch" + b"\0" * 7 + b"\1a", hashlib.sha256).digest()[:16]
    assert (
        len(
            {
                tag,
                branch_tag(b"k" * 32, epoch=1, epoch_authenticator=b"b"),
                branch_tag(b"j" * 32, epoch=1, epoch_authenticator=b"a"),
            }
        )
        == 3
    )


def test_what_a_repair_names():
    assert repair_of(b"an entry") == hashlib.sha256(b"an entry").digest()[:12]


def test_nothing_inside_an_entry_shows_in_its_repr():
    inner = build_inner(HEADER, b"a secret body")
    assert "secret" not in repr(inner)
    with pytest.raises(DecodeError):
        parse_inner(inner.data[:50])
