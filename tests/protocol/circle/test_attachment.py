from __future__ import annotations

import hashlib
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_encrypt

from tertulia_protocol.circle import attachment
from tertulia_protocol.circle.attachment import (
    CHUNK_BYTES,
    MAX_CHUNKS,
    MAX_DIRECT,
    BlobRef,
    build_ref,
    check_limit,
    decrypt_chunk,
    decrypt_list,
    encrypt_bytes,
    encrypt_chunk,
    encrypt_list,
    list_key,
    padme,
    plan_chunks,
    split_ids,
    verify_file,
)
from tertulia_protocol.codec import Writer, parse, serialize
from tertulia_protocol.errors import AuthenticityError, DecodeError, InvalidMessageError, RuleError, UsageError
from tertulia_protocol.relay_api.limits import BLOB_SIZES

KEY = b"k" * 32
LARGEST = MAX_CHUNKS * CHUNK_BYTES


def refuse(error: type[InvalidMessageError], step, match: str | None = None) -> None:
    with pytest.raises(error, match=match) as raised:
        step()
    assert type(raised.value) is error
    assert raised.value.code == error.code


@pytest.mark.parametrize(
    ("size", "chunk_class", "count"),
    [
        (0, 0, 1),
        (1, 0, 1),
        (4080, 0, 1),
        (4081, 1, 1),
        (16368, 1, 1),
        (16369, 2, 1),
        (65520, 2, 1),
        (65521, 3, 1),
        (CHUNK_BYTES, 3, 1),
        (CHUNK_BYTES + 1, 3, 2),
        (8 * CHUNK_BYTES + 1, 3, 10),
        (64 * CHUNK_BYTES, 3, 64),
    ],
)
def test_the_size_decides_how_a_file_is_cut(size: int, chunk_class: int, count: int):
    plan = plan_chunks(size)
    assert (plan.chunk_class, plan.count) == (chunk_class, count)
    assert plan.blob_size == BLOB_SIZES[chunk_class]


def textbook_padme(length: int) -> int:
    """Padme as its authors write it (Nikitin et al., PURBs, section 4)."""
    if length < 2:
        return length
    exponent = math.floor(math.log2(length))
    size = math.floor(math.log2(exponent)) + 1 if exponent else 1
    mask = (1 << (exponent - size)) - 1 if exponent > size else 0
    return (length + mask) & ~mask


@given(st.integers(1, MAX_CHUNKS))
def test_padme(length: int):
    padded = padme(length)
    assert length <= padded <= length * 1.12
    assert padded == textbook_padme(length)
    assert padme(padded) == padded


@given(st.integers(0, 100 * CHUNK_BYTES))
def test_the_parts_are_the_file(size: int):
    plan = plan_chunks(size)
    spans = [plan.span(index) for index in range(plan.count)]
    position = 0
    for offset, length in spans:
        assert offset == position
        assert 0 <= length <= plan.blob_size - 16
        position += length
    assert position == size


def test_files_without_end_are_not_sent():
    assert plan_chunks(LARGEST // 2).depth == 1
    for size in (-1, LARGEST + 1, 1 << 40, 1 << 64):
        with pytest.raises(UsageError):
            plan_chunks(size)


@pytest.mark.parametrize("size", [0, 1, 4080, 5000, CHUNK_BYTES, CHUNK_BYTES + 1, 9 * CHUNK_BYTES])
def test_a_file_comes_back(size: int):
    data = (b"0123456789" * (size // 10 + 1))[:size]
    ref, chunks = encrypt_bytes(KEY, data)
    assert all(chunk.id == hashlib.sha256(chunk.data).digest() for chunk in chunks)
    assert {len(chunk.data) for chunk in chunks} == {BLOB_SIZES[ref.chunk_class]}
    assert parse(BlobRef, serialize(ref)) == ref
    parts = [
        decrypt_chunk(ref.key, ref.plan, index, chunk.data, expected_id=ref.ids[index])
        for index, chunk in enumerate(chunks)
    ]
    assert b"".join(parts) == data
    verify_file(hashlib.sha256(data).digest(), hashlib.sha256(b"".join(parts)).digest())


def test_a_chunk_is_what_the_protocol_says():
    plan = plan_chunks(CHUNK_BYTES + 5)
    first, last = (encrypt_chunk(KEY, plan, 0, b"x" * CHUNK_BYTES), encrypt_chunk(KEY, plan, 1, b"y" * 5))

    def sealed(nonce: bytes, plaintext: bytes) -> bytes:
        return crypto_aead_xchacha20poly1305_ietf_encrypt(plaintext, b"", nonce, KEY)

    assert first.data == sealed(bytes(24), b"x" * CHUNK_BYTES)
    assert last.data == sealed(b"\0" * 7 + b"\1\1" + bytes(15), b"y" * 5 + bytes(CHUNK_BYTES - 5))
    assert encrypt_chunk(KEY, plan, 0, b"x" * CHUNK_BYTES) == first


def test_a_transfer_goes_on_at_any_chunk():
    data = bytes(range(256)) * 3000
    plan = plan_chunks(len(data))
    ref, chunks = encrypt_bytes(KEY, data)
    for index in reversed(range(plan.count)):
        offset, length = plan.span(index)
        again = encrypt_chunk(KEY, plan, index, data[offset : offset + length])
        assert again == chunks[index]
        assert decrypt_chunk(KEY, plan, index, again.data, expected_id=ref.ids[index]) == data[offset : offset + length]


def test_a_file_that_changed_meanwhile_is_noticed():
    plan = plan_chunks(CHUNK_BYTES + 5)
    for index, data in ((0, b"short"), (1, b"longer than 5"), (2, b""), (-1, b"")):
        with pytest.raises(UsageError):
            encrypt_chunk(KEY, plan, index, data)


# --- the list of a large file --------------------------------------------------------------------------------------


def test_a_large_file_has_a_list():
    size = 70 * CHUNK_BYTES
    plan = plan_chunks(size)
    assert (plan.count, plan.depth) == (72, 1)
    ids = [hashlib.sha256(bytes([number])).digest() for number in range(plan.count)]
    blobs = encrypt_list(KEY, ids)
    assert [len(blob.data) for blob in blobs] == [BLOB_SIZES[0]]
    ref = build_ref(KEY, size, [blob.id for blob in blobs])
    assert len(serialize(ref)) < 128
    assert decrypt_list(parse(BlobRef, serialize(ref)), [blob.data for blob in blobs]) == tuple(ids)
    other = encrypt_list(b"o" * 32, ids)
    refuse(AuthenticityError, lambda: decrypt_list(ref, [blob.data for blob in other]))


def test_a_list_has_a_key_of_its_own():
    """Chunk 0 of the file and blob 0 of its list would share key and nonce."""
    assert list_key(KEY) != KEY
    ids = [bytes(32)] * 72
    plan = plan_chunks(72 * 32)
    assert encrypt_list(KEY, ids)[0] == encrypt_chunk(list_key(KEY), plan, 0, bytes(32 * 72))


def test_something_large_in_memory_has_its_list_too(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(attachment, "MAX_DIRECT", 2)
    data = bytes(3 * CHUNK_BYTES)
    ref, chunks = encrypt_bytes(KEY, data)
    assert ref.depth == 1
    blobs = {chunk.id: chunk.data for chunk in chunks}
    ids = decrypt_list(ref, [blobs[each] for each in ref.ids])
    parts = [decrypt_chunk(KEY, ref.plan, index, blobs[each], expected_id=each) for index, each in enumerate(ids)]
    assert b"".join(parts) == data
    assert len(chunks) == len(ids) + len(ref.ids)


# --- what is refused -----------------------------------------------------------------------------------------------


def claim(**changes) -> bytes:
    values = {"key": KEY, "size": 5000, "chunk_class": 1, "depth": 0, "ids": (bytes(32),)}
    return serialize(BlobRef(**(values | changes)))


@pytest.mark.parametrize(
    "changes",
    [
        {"size": 4080},
        {"size": 20000},
        {"size": CHUNK_BYTES + 1, "chunk_class": 3},
        {"chunk_class": 0},
        {"chunk_class": 4},
        {"depth": 1},
        {"depth": 2},
        {"ids": ()},
        {"ids": (bytes(32),) * 2},
        {"size": 1, "chunk_class": 3, "ids": (bytes(32),) * 64},
        {"size": 65 * CHUNK_BYTES, "chunk_class": 3, "ids": (bytes(32),) * 68},
        {"size": 1 << 40, "chunk_class": 3, "depth": 1, "ids": (bytes(32),) * 64},
        {"size": (1 << 64) - 1, "chunk_class": 3, "depth": 1},
    ],
)
def test_a_bomb_is_refused_before_anything_is_fetched(changes):
    refuse(DecodeError, lambda: parse(BlobRef, claim(**changes)))


def test_the_largest_reference_is_small():
    size = LARGEST // 2
    plan = plan_chunks(size)
    ref = build_ref(KEY, size, [bytes(32)] * plan.list_plan.count)
    assert len(ref.ids) <= MAX_DIRECT
    assert len(serialize(ref)) < 4096


def test_ids_that_are_cut_off_are_refused():
    writer = Writer()
    writer.raw(claim()[:42])
    writer.opaque(bytes(31))
    refuse(DecodeError, lambda: parse(BlobRef, writer.getvalue()), "cut off")
    refuse(DecodeError, lambda: split_ids(bytes(33)), "cut off")


def test_more_than_one_takes_is_refused_before_anything_is_fetched():
    ref = parse(BlobRef, claim())
    check_limit(ref, most=5000)
    with pytest.raises(RuleError) as raised:
        check_limit(ref, most=4999)
    assert (raised.value.code, raised.value.rule) == ("message.rule", "E17.limit")


@pytest.fixture(scope="module")
def two():
    """A file of two chunks."""
    return encrypt_bytes(KEY, bytes(CHUNK_BYTES) + b"end")


def test_another_blob_than_asked_for_is_refused(two):
    ref, chunks = two
    data = chunks[0].data
    for changed in (chunks[1].data, data[:-1], data[:-1] + bytes([data[-1] ^ 1])):
        refuse(
            AuthenticityError,
            lambda changed=changed: decrypt_chunk(KEY, ref.plan, 0, changed, expected_id=ref.ids[0]),
            "another blob",
        )


def test_a_chunk_of_another_place_file_or_length_is_refused(two):
    ref, chunks = two
    longer = plan_chunks(4 * CHUNK_BYTES)
    for key, plan, index, chunk in (
        (KEY, ref.plan, 1, chunks[0]),
        (b"o" * 32, ref.plan, 0, chunks[0]),
        (KEY, longer, 1, chunks[1]),
    ):
        refuse(
            AuthenticityError,
            lambda key=key, plan=plan, index=index, chunk=chunk: decrypt_chunk(
                key, plan, index, chunk.data, expected_id=chunk.id
            ),
        )


def test_a_blob_of_another_class_is_refused():
    plan = plan_chunks(5)
    sealed = crypto_aead_xchacha20poly1305_ietf_encrypt(
        b"hello".ljust(100, b"\0"), b"", bytes(8) + b"\1" + bytes(15), KEY
    )
    refuse(
        DecodeError,
        lambda: decrypt_chunk(KEY, plan, 0, sealed, expected_id=hashlib.sha256(sealed).digest()),
        "length",
    )


def test_a_chunk_with_something_behind_its_part_is_refused():
    plan = plan_chunks(5)
    plaintext = b"hello" + b"\0" * (4096 - 16 - 6) + b"\1"
    sealed = crypto_aead_xchacha20poly1305_ietf_encrypt(plaintext, b"", bytes(8) + b"\1" + bytes(15), KEY)
    refuse(
        DecodeError,
        lambda: decrypt_chunk(KEY, plan, 0, sealed, expected_id=hashlib.sha256(sealed).digest()),
        "padding",
    )


def test_another_file_than_announced_is_refused():
    refuse(AuthenticityError, lambda: verify_file(hashlib.sha256(b"a").digest(), hashlib.sha256(b"b").digest()))


def test_a_reference_hides_its_key(two):
    ref = replace(two[0], key=b"\x7f" * 32)
    assert repr(ref.key) not in repr(ref)
