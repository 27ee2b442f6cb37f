"""Saving an attachment where a person asked for it: the only plaintext of a circle that ever lies outside the store."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

from tertulia import files
from tertulia.attachments import OPEN, Progress, no_progress
from tertulia.blobs import chunk_ids, work
from tertulia.circle import Circle
from tertulia.runtime import Runtime
from tertulia.store import transfers
from tertulia.store.transfers import ChunkRow, TransferRow
from tertulia.store.tx import Tx
from tertulia_protocol.circle.attachment import BlobRef, decrypt_chunk, plan_chunks, verify_file
from tertulia_protocol.codec import parse, serialize
from tertulia_protocol.content.types import Attachment
from tertulia_protocol.errors import AuthenticityError, RuleError
from tertulia_protocol.relay_api.addresses import RelayAddr

DOWN: Final = "down"
ID_BYTES: Final = 16


async def save(  # noqa: PLR0913 - what a person chooses
    runtime: Runtime,
    circle_id: bytes,
    attachment: Attachment,
    *,
    target: Path,
    force: bool = False,
    progress: Progress = no_progress,
) -> Path:
    """Fetch a file, check it, and save it as ``target``; asked again after a break, it goes on where it stopped.

    The name that the sender gave is never looked at. :raises TargetExistsError, FileError: see ``files``.
    :raises RelayGoneError: the relay does not have it any more. :raises InvalidMessageError: not the file it should be.
    """
    ref = read_ref(attachment)
    await work(runtime, lambda: files.check_target(target, force=force))
    relay = await runtime.store.read(lambda tx: Circle.load(tx, circle_id).segment().relay)
    transfer = await _begin(runtime, circle_id, attachment=attachment, target=target, relay=relay)
    await _fetch_missing(runtime, transfer, ref, relay=relay, progress=progress)
    unfinished = Path(transfer.path)
    try:
        verify_file(await work(runtime, lambda: files.hash_file(unfinished, ref.size)), attachment.sha256)
    except AuthenticityError:
        await runtime.store.run(lambda tx: _discard(tx, transfer))
        raise
    await work(runtime, lambda: files.finish(unfinished, target, force=force))
    await runtime.store.run(lambda tx: transfers.remove(tx, transfer.id))
    return target


def read_ref(attachment: Attachment) -> BlobRef:
    """Return where an attachment is. :raises InvalidMessageError: its manifest is malformed or contradicts itself."""
    ref = parse(BlobRef, attachment.ref)
    check_manifest(attachment, ref)
    return ref


def check_manifest(attachment: Attachment, ref: BlobRef) -> None:
    """Check that the size a person is shown is the size that is fetched. :raises RuleError: it is not."""
    if attachment.size != ref.size:
        raise RuleError("a file has another size than its manifest says", rule="E17.manifest")


def download_id(circle_id: bytes, ref: BlobRef, target: Path) -> bytes:
    """Return the id (16 bytes) under which a broken download of this file to this place is found again."""
    place = str(target.absolute()).encode(errors="surrogateescape")
    return hashlib.sha256(circle_id + serialize(ref) + place).digest()[:ID_BYTES]


async def _begin(
    runtime: Runtime, circle_id: bytes, *, attachment: Attachment, target: Path, relay: RelayAddr
) -> TransferRow:
    """Return the transfer that was broken off, or a new one with its unfinished file."""
    ref = read_ref(attachment)
    transfer_id = download_id(circle_id, ref, target)
    found = await runtime.store.run(lambda tx: _resumable(tx, transfer_id))
    if found is not None:
        return found
    ids = await chunk_ids(runtime, relay, ref, stream_key=transfer_id)
    unfinished = await work(runtime, lambda: files.create_unfinished(target, runtime.rng))
    row = TransferRow(
        id=transfer_id,
        circle=circle_id,
        direction=DOWN,
        state=OPEN,
        post_id=b"",
        path=str(unfinished),
        name=attachment.name,
        key=ref.key,
        size=ref.size,
        sha256=attachment.sha256,
        chunk_class=ref.chunk_class,
        chunks=len(ids),
        ref=attachment.ref,
        created_at=runtime.clock.now(),
    )
    await runtime.store.run(lambda tx: _add_download(tx, row, ids))
    return row


def _add_download(tx: Tx, row: TransferRow, ids: Sequence[bytes]) -> None:
    transfers.put(tx, row)
    transfers.put_chunks(tx, (ChunkRow(transfer=row.id, number=n, blob_id=id_) for n, id_ in enumerate(ids)))


def _resumable(tx: Tx, transfer_id: bytes) -> TransferRow | None:
    row = transfers.get(tx, transfer_id)
    if row is None:
        return None
    plan = plan_chunks(row.size)
    done = [chunk.number for chunk in transfers.list_chunks(tx, transfer_id, done=True)]
    if files.is_unfinished(Path(row.path), at_least=max((sum(plan.span(n)) for n in done), default=0)):
        return row
    _discard(tx, row)
    return None


def _discard(tx: Tx, transfer: TransferRow) -> None:
    files.discard(Path(transfer.path))
    transfers.remove(tx, transfer.id)


async def _fetch_missing(
    runtime: Runtime, transfer: TransferRow, ref: BlobRef, *, relay: RelayAddr, progress: Progress
) -> None:
    for row in await runtime.store.read(lambda tx: transfers.list_chunks(tx, transfer.id, done=False)):
        data = await runtime.relays.get_blob(relay, row.blob_id, stream_key=transfer.id)
        await runtime.store.run(partial(_keep, transfer=transfer, ref=ref, row=row, data=data))
        progress(sum(ref.plan.span(row.number)), ref.size)


def _keep(tx: Tx, *, transfer: TransferRow, ref: BlobRef, row: ChunkRow, data: bytes) -> None:
    """Write a chunk to the disk, then note that it is there: never the other way round."""
    part = decrypt_chunk(ref.key, ref.plan, row.number, data, expected_id=row.blob_id)
    files.write_part(Path(transfer.path), ref.plan.span(row.number)[0], part)
    transfers.mark_done(tx, transfer.id, row.number)
