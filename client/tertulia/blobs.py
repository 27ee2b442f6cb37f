"""Blobs of a circle at its relay: put at the cost of the circle, fetched and opened, whole and in memory.

Files of people, which may be large, go through ``attachments`` and ``saving``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from tertulia.circle import Circle
from tertulia.relays import SegmentAddr
from tertulia.runtime import Runtime
from tertulia.store.tx import Tx
from tertulia_protocol.circle.attachment import BlobRef, Chunk, blob_id, check_limit, decrypt_chunk, decrypt_list
from tertulia_protocol.circle.kdf import expand
from tertulia_protocol.relay_api.addresses import RelayAddr
from tertulia_protocol.relay_api.requests import Payment, PaymentType
from tertulia_protocol.signing import SigningSeed

T = TypeVar("T")


async def work(runtime: Runtime, function: Callable[[], T]) -> T:
    """Run what blocks in the store's thread, so that the event loop goes on."""
    return await runtime.store.read(lambda _tx: function())


def delete_secret(member: SigningSeed, id_: bytes) -> bytes:
    """Return the 32 bytes that delete a blob of this member's. Nobody else can make them, and nothing stores them."""
    return expand(member.seed, b"tl1 blob delete" + id_)


@dataclass(frozen=True, slots=True, kw_only=True)
class Payer:
    """What a member pays with: the quota of the present segment, which its append key opens (E17, type 3)."""

    segment: SegmentAddr
    key: SigningSeed
    member: SigningSeed


def payer_of(tx: Tx, circle_id: bytes) -> Payer:
    """Return what pays for a blob now."""
    circle = Circle.load(tx, circle_id)
    return Payer(segment=circle.segment(), key=circle.access.relays[0].append_key, member=circle.member)


async def put_blob(runtime: Runtime, payer: Payer, data: bytes, *, ttl_class: int, stream_key: bytes) -> bytes:
    """Store a blob at the relay of a circle and at its cost; return its id. The same again is free and prolongs it.

    :raises SegmentSealedError: the circle has moved on: read the log, and pay with the next segment.
    """
    secret = delete_secret(payer.member, blob_id(data))
    return await runtime.relays.put_blob(
        payer.segment.relay,
        data,
        payment=Payment(PaymentType.SEGMENT_QUOTA),
        delete_hash=hashlib.sha256(secret).digest(),
        ttl_class=ttl_class,
        segment_id=payer.segment.segment_id,
        key=payer.key,
        stream_key=stream_key,
    )


async def put_blobs(runtime: Runtime, circle_id: bytes, chunks: Iterable[Chunk], *, ttl_class: int) -> None:
    """Store all blobs of something that is in memory."""
    payer = await runtime.store.read(lambda tx: payer_of(tx, circle_id))
    for chunk in chunks:
        await put_blob(runtime, payer, chunk.data, ttl_class=ttl_class, stream_key=chunk.id)


async def delete_blobs(runtime: Runtime, circle_id: bytes, ids: Iterable[bytes]) -> None:
    """Delete blobs that this member put there. Gone already: fine."""
    payer = await runtime.store.read(lambda tx: payer_of(tx, circle_id))
    for id_ in ids:
        secret = delete_secret(payer.member, id_)
        await runtime.relays.delete_blob(payer.segment.relay, id_, secret, stream_key=id_)


async def fetch_bytes(runtime: Runtime, relay: RelayAddr, ref: BlobRef, *, most: int, stream_key: bytes) -> bytes:
    """Fetch something small, whole, into memory. :param most: bytes; what claims to be longer is not even begun.

    :raises InvalidMessageError: too long, or not what the reference names. :raises RelayGoneError: it is gone.
    """
    check_limit(ref, most=most)
    ids = await chunk_ids(runtime, relay, ref, stream_key=stream_key)
    parts = []
    for index, id_ in enumerate(ids):
        data = await runtime.relays.get_blob(relay, id_, stream_key=stream_key)
        parts.append(decrypt_chunk(ref.key, ref.plan, index, data, expected_id=id_))
    return b"".join(parts)


async def chunk_ids(runtime: Runtime, relay: RelayAddr, ref: BlobRef, *, stream_key: bytes) -> tuple[bytes, ...]:
    """Return the ids of a file's chunks, fetching their list where there is one.

    :raises InvalidMessageError: not the list that the reference names. :raises RelayGoneError: it is gone.
    """
    if ref.depth == 0:
        return ref.ids
    blobs = [await runtime.relays.get_blob(relay, id_, stream_key=stream_key) for id_ in ref.ids]
    return decrypt_list(ref, blobs)
