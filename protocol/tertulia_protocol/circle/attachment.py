"""Files as blobs: chunks of fixed size under a random key (docs/protocol, "Attachments").

The size of a file decides everything else about its blobs: how many there are, how long each is and whether the list
of their ids has to be stored in blobs itself. So a reference that claims anything else is refused before anything is
fetched, and a transfer can be resumed at any chunk, on either side, knowing only the file and its key. Nothing is ever
compressed. Padme (at most 12 % more) hides the exact number of chunks.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Self

from tertulia_protocol.circle.kdf import expand
from tertulia_protocol.circle.primitives import KEY_BYTES, TAG_BYTES, aead_open, aead_seal
from tertulia_protocol.codec import Reader, Writer
from tertulia_protocol.errors import AuthenticityError, DecodeError, RuleError, UsageError
from tertulia_protocol.relay_api.limits import BLOB_SIZES

ID_BYTES: Final = 32
MAX_DIRECT: Final = 64
"""The most chunks whose ids stand in the reference itself; those of more stand in a list that is stored in blobs."""

CHUNK_BYTES: Final = BLOB_SIZES[-1] - TAG_BYTES
"""How many bytes of a file a chunk of the largest class holds."""

MAX_CHUNKS: Final = MAX_DIRECT * (CHUNK_BYTES // ID_BYTES)
"""The most chunks that one list names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkPlan:
    """How ``size`` bytes are cut: ``count`` blobs, the padding included, of ``BLOB_SIZES[chunk_class]`` bytes each."""

    size: int
    chunk_class: int
    count: int

    @property
    def blob_size(self) -> int:
        """The length of each blob in bytes."""
        return BLOB_SIZES[self.chunk_class]

    @property
    def depth(self) -> int:
        """0: the ids stand in the reference; 1: in a list that is stored in blobs."""
        return 0 if self.count <= MAX_DIRECT else 1

    @property
    def list_plan(self) -> ChunkPlan:
        """How the list of ids is cut, where there is one."""
        return plan_chunks(self.count * ID_BYTES)

    def span(self, index: int) -> tuple[int, int]:
        """Return offset and length of the part of the file in chunk ``index``; the length of mere padding is 0."""
        room = self.blob_size - TAG_BYTES
        offset = min(index * room, self.size)
        return offset, min(room, self.size - offset)


def plan_chunks(size: int) -> ChunkPlan:
    """Return how a file of ``size`` bytes is cut. :raises UsageError: it is negative or too large for one list."""
    for chunk_class, blob_size in enumerate(BLOB_SIZES):
        if 0 <= size <= blob_size - TAG_BYTES:
            return ChunkPlan(size=size, chunk_class=chunk_class, count=1)
    count = padme(-(-size // CHUNK_BYTES)) if size > 0 else 0
    if not 0 < count <= MAX_CHUNKS:
        raise UsageError(f"a file of {size} bytes cannot be sent")
    return ChunkPlan(size=size, chunk_class=len(BLOB_SIZES) - 1, count=count)


def padme(length: int) -> int:
    """Round up so that only O(log log n) bits about ``length`` (at least 1) are left: at most 12 % more (Padme)."""
    exponent = length.bit_length() - 1
    if exponent < 1:
        return length
    low_bits = exponent - exponent.bit_length()
    mask = (1 << low_bits) - 1
    return (length + mask) & ~mask


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobRef:
    """Where a file is and its key: whoever has this can fetch and read it. ``ids`` are the ids of its blobs.

    Depth 0: of the chunks. Depth 1: of the blobs that hold the list of the chunks' ids.
    """

    key: bytes = field(repr=False)
    size: int
    chunk_class: int
    depth: int
    ids: tuple[bytes, ...] = field(repr=False)

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """:raises DecodeError: truncated, or it contradicts itself: claimed sizes are never believed."""
        key, size, chunk_class, depth = reader.raw(KEY_BYTES), reader.u64(), reader.u8(), reader.u8()
        ref = cls(key=key, size=size, chunk_class=chunk_class, depth=depth, ids=split_ids(reader.opaque()))
        check_plan(ref)
        return ref

    def encode(self, writer: Writer) -> None:
        """:raises ValueError: the key has not 32 bytes."""
        writer.fixed(self.key, KEY_BYTES)
        writer.u64(self.size)
        writer.u8(self.chunk_class)
        writer.u8(self.depth)
        writer.opaque(b"".join(self.ids))

    @property
    def plan(self) -> ChunkPlan:
        """How the file is cut."""
        return plan_chunks(self.size)


def split_ids(data: bytes) -> tuple[bytes, ...]:
    """Read ids one after the other, 32 bytes each. :raises DecodeError: the last one is cut off."""
    if len(data) % ID_BYTES:
        raise DecodeError("a list of blobs is cut off")
    return tuple(data[start : start + ID_BYTES] for start in range(0, len(data), ID_BYTES))


def check_plan(ref: BlobRef) -> None:
    """Check that class, depth and number of blobs are those of the size (a bomb claims others).

    :raises DecodeError: they are not, or no file can be so large.
    """
    try:
        plan = plan_chunks(ref.size)
    except UsageError as error:
        raise DecodeError("a file is said to be too large") from error
    blobs = plan.count if plan.depth == 0 else plan.list_plan.count
    if (ref.chunk_class, ref.depth, len(ref.ids)) != (plan.chunk_class, plan.depth, blobs):
        raise DecodeError("a reference to a file contradicts itself")


def check_limit(ref: BlobRef, *, most: int) -> None:
    """Check, before anything is fetched, that a file has at most ``most`` bytes. :raises RuleError: it has more."""
    if ref.size > most:
        raise RuleError(f"a file of {ref.size} bytes, where at most {most} are taken", rule="E17.limit")


@dataclass(frozen=True, slots=True)
class Chunk:
    """One blob as the relay stores it: its id (SHA-256, 32 bytes) and its bytes."""

    id: bytes
    data: bytes = field(repr=False)


def blob_id(data: bytes) -> bytes:
    """Return the 32-byte id under which a relay keeps these bytes."""
    return hashlib.sha256(data).digest()


def encrypt_chunk(key: bytes, plan: ChunkPlan, index: int, data: bytes) -> Chunk:
    """Return the blob of chunk ``index``. The same key, plan and file make the same blob.

    :param key: 32 random bytes that belong to this one file. :param data: the part ``plan.span(index)`` of the file.
    :raises UsageError: the part has another length.
    """
    if not 0 <= index < plan.count or len(data) != plan.span(index)[1]:
        raise UsageError("a part of a file has another length: was it changed?")
    plaintext = data.ljust(plan.blob_size - TAG_BYTES, b"\0")
    sealed = aead_seal(key, _nonce(plan, index), plaintext)
    return Chunk(blob_id(sealed), sealed)


def decrypt_chunk(key: bytes, plan: ChunkPlan, index: int, data: bytes, *, expected_id: bytes) -> bytes:
    """Return the part ``plan.span(index)`` of the file.

    :raises AuthenticityError: not the blob that was asked for, or not this chunk of this file.
    :raises DecodeError: it has another length, or the padding is not zero.
    """
    check_blob_id(data, expected_id)
    check_blob_size(data, plan)
    plaintext = aead_open(key, _nonce(plan, index), data)
    length = plan.span(index)[1]
    check_chunk_padding(plaintext, length)
    return plaintext[:length]


def check_blob_id(data: bytes, expected_id: bytes) -> None:
    """Check that these are the bytes with this id. :raises AuthenticityError: they are others."""
    if not hmac.compare_digest(blob_id(data), expected_id):
        raise AuthenticityError("the relay gave another blob than it was asked for")


def check_blob_size(data: bytes, plan: ChunkPlan) -> None:
    """Check that a blob has the length of its class. :raises DecodeError: it has another."""
    if len(data) != plan.blob_size:
        raise DecodeError("a blob has another length than its class")


def check_chunk_padding(plaintext: bytes, length: int) -> None:
    """Check that only zeros follow the part of the file. :raises DecodeError: another byte does."""
    if plaintext[length:].strip(b"\0"):
        raise DecodeError("the padding of a chunk is not zero", position=length)


def _nonce(plan: ChunkPlan, index: int) -> bytes:
    return index.to_bytes(8, "big") + bytes([index == plan.count - 1]) + bytes(15)


def list_key(key: bytes) -> bytes:
    """Return the key of the list of a file's ids: no key ever seals two files, not even a file and its list."""
    return expand(key, b"tl1 blob list")


def encrypt_list(key: bytes, ids: Sequence[bytes]) -> tuple[Chunk, ...]:
    """Return the blobs that hold the list of a file's chunk ids. :param key: the key of the file."""
    data = b"".join(ids)
    plan = plan_chunks(len(data))
    parts = (plan.span(index) for index in range(plan.count))
    return tuple(
        encrypt_chunk(list_key(key), plan, index, data[offset : offset + length])
        for index, (offset, length) in enumerate(parts)
    )


def decrypt_list(ref: BlobRef, blobs: Sequence[bytes]) -> tuple[bytes, ...]:
    """Return the ids of the chunks of a file of depth 1. :param blobs: those of ``ref.ids``, in their order.

    :raises InvalidMessageError: a blob is not one of the list's.
    """
    plan = ref.plan.list_plan
    parts = (
        decrypt_chunk(list_key(ref.key), plan, index, data, expected_id=expected)
        for index, (data, expected) in enumerate(zip(blobs, ref.ids, strict=True))
    )
    return split_ids(b"".join(parts))


def build_ref(key: bytes, size: int, ids: Sequence[bytes]) -> BlobRef:
    """Return the reference to a file. :param ids: of its chunks, or of the blobs of its list where depth is 1.

    :raises DecodeError: the number of ids is not what the size demands.
    """
    plan = plan_chunks(size)
    ref = BlobRef(key=key, size=size, chunk_class=plan.chunk_class, depth=plan.depth, ids=tuple(ids))
    check_plan(ref)
    return ref


def verify_file(digest: bytes, expected: bytes) -> None:
    """Check the SHA-256 of a whole file against its manifest. :raises AuthenticityError: it is another file."""
    if not hmac.compare_digest(digest, expected):
        raise AuthenticityError("a file is not the one that was announced")


def encrypt_bytes(key: bytes, data: bytes) -> tuple[BlobRef, tuple[Chunk, ...]]:
    """Return reference and blobs of something that is in memory: a tree, a history pack.

    :param key: 32 random bytes that belong to ``data`` alone. :raises UsageError: too large.
    """
    plan = plan_chunks(len(data))
    parts = (plan.span(index) for index in range(plan.count))
    chunks = tuple(
        encrypt_chunk(key, plan, index, data[offset : offset + length]) for index, (offset, length) in enumerate(parts)
    )
    ids = tuple(chunk.id for chunk in chunks)
    if plan.depth == 0:
        return build_ref(key, len(data), ids), chunks
    listed = encrypt_list(key, ids)
    return build_ref(key, len(data), [chunk.id for chunk in listed]), chunks + listed
