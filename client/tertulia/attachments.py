"""Files with posts: sent before the post, fetched when a person asks, both in chunks that a break does not lose.

docs/protocol, "Attachments". A file is read twice: once to make its manifest (:func:`prepare`), once chunk by chunk as
it is sent (:func:`send_files`); its post waits in the outbox until the relay has all of it. To fetch one: ``saving``.
"""

from __future__ import annotations

import hashlib
import mimetypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from tertulia import files, outgoing
from tertulia.blobs import payer_of, put_blob, work
from tertulia.circle import Circle
from tertulia.clock import Rng
from tertulia.errors import FileChangedError
from tertulia.runtime import Runtime
from tertulia.store import events, transfers
from tertulia.store.transfers import ChunkRow, TransferRow
from tertulia.store.tx import Tx
from tertulia_protocol.circle.attachment import Chunk, ChunkPlan, build_ref, encrypt_chunk, encrypt_list, plan_chunks
from tertulia_protocol.codec import serialize
from tertulia_protocol.content.text import clean_file_name
from tertulia_protocol.content.types import Attachment

UP: Final = "up"
OPEN: Final = "open"
"""States of a transfer: under way, at its end, or unable to go on as it is (the file was changed or is gone)."""
DONE: Final = "done"
FAILED: Final = "failed"

KEY_BYTES: Final = 32
TRANSFER_ID_BYTES: Final = 16
TTL_CLASS: Final = 3
"""The life class of attachments: 400 days (E17)."""

HASH_BATCH: Final = 16
"""How many chunks are read and hashed in one piece of work of the store's thread."""

MEDIA_TYPES: Final = mimetypes.MimeTypes()
"""Python's own table alone, not the machine's: what a post says must not depend on what is installed."""

UNKNOWN_MEDIA: Final = "application/octet-stream"

Progress = Callable[[int, int], None]
"""Called with the bytes of files done and of files in all."""


def no_progress(done: int, total: int) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedFile:
    """A file that is ready to be sent with a post: its manifest, and what :func:`queue` stores."""

    manifest: Attachment
    path: Path
    key: bytes = field(repr=False)
    blob_ids: tuple[bytes, ...] = field(repr=False)
    """Of all blobs: the chunks, then those of the list where there is one."""


async def prepare(runtime: Runtime, path: Path, *, progress: Progress = no_progress) -> PreparedFile:
    """Read a file once and make its manifest. Nothing is stored or sent.

    :raises FileError: it cannot be read. :raises UsageError: it is too large. :raises FileChangedError: while reading.
    """
    path, size = await work(runtime, lambda: (path.absolute(), files.size_of(path)))
    key, plan = runtime.rng(KEY_BYTES), plan_chunks(size)
    digest = hashlib.sha256()
    ids: list[bytes] = []
    for start in range(0, plan.count, HASH_BATCH):
        batch = range(start, min(start + HASH_BATCH, plan.count))
        ids += await work(runtime, partial(_hash_chunks, path, key, plan, batch, digest.update))
        progress(sum(plan.span(batch[-1])), size)
    listed = tuple(chunk.id for chunk in encrypt_list(key, ids)) if plan.depth else ()
    ref = build_ref(key, size, listed or ids)
    manifest = Attachment(
        name=clean_file_name(path.name),
        type=MEDIA_TYPES.guess_type(path.name)[0] or UNKNOWN_MEDIA,
        size=size,
        sha256=digest.digest(),
        ref=serialize(ref),
    )
    return PreparedFile(manifest=manifest, path=path, key=key, blob_ids=(*ids, *listed))


def _hash_chunks(
    path: Path, key: bytes, plan: ChunkPlan, batch: Sequence[int], update: Callable[[bytes], None]
) -> list[bytes]:
    ids = []
    for index in batch:
        data = files.read_part(path, *plan.span(index))
        update(data)
        ids.append(encrypt_chunk(key, plan, index, data).id)
    return ids


def queue(  # noqa: PLR0913 - what the rows are made of
    tx: Tx, circle_id: bytes, *, post_id: bytes, prepared: Sequence[PreparedFile], now: int, rng: Rng
) -> None:
    """Store the files of a post that was put into the outbox with ``uploading=True``, in the same transaction.

    :param post_id: of the outbox item, 16 bytes (``creating.post_id_of``).
    """
    for file in prepared:
        plan = plan_chunks(file.manifest.size)
        transfer_id = rng(TRANSFER_ID_BYTES)
        transfers.put(
            tx,
            TransferRow(
                id=transfer_id,
                circle=circle_id,
                direction=UP,
                state=OPEN,
                post_id=post_id,
                path=str(file.path),
                name=file.manifest.name,
                key=file.key,
                size=file.manifest.size,
                sha256=file.manifest.sha256,
                chunk_class=plan.chunk_class,
                chunks=plan.count,
                ref=file.manifest.ref,
                created_at=now,
            ),
        )
        transfers.put_chunks(
            tx, (ChunkRow(transfer=transfer_id, number=n, blob_id=id_) for n, id_ in enumerate(file.blob_ids))
        )


async def send_files(runtime: Runtime, circle_id: bytes, *, progress: Progress = no_progress) -> int:
    """Send what is missing of all files of a circle, then let their posts go; return how many posts. For every sync.

    A file that was changed or is gone keeps its post back: event ``file.failed``, once; the other posts go. Each sync
    looks whether it is back as it was.

    :raises TransportError: the relay cannot be reached, or its space for files is used up; what is sent stays sent.
    """
    released = 0
    for transfer in await runtime.store.read(lambda tx: _open_uploads(tx, circle_id)):
        try:
            await _send_file(runtime, transfer, progress)
        except FileChangedError:
            await runtime.store.run(partial(_fail, transfer=transfer, now=runtime.clock.now()))
            continue
        released += await runtime.store.run(partial(_finish_upload, transfer=transfer, now=runtime.clock.now()))
    return released


# --- Sending -------------------------------------------------------------------------------------------------------


async def _send_file(runtime: Runtime, transfer: TransferRow, progress: Progress) -> None:
    plan = plan_chunks(transfer.size)
    payer = await runtime.store.read(lambda tx: payer_of(tx, transfer.circle))
    ids = [row.blob_id for row in await runtime.store.read(lambda tx: transfers.list_chunks(tx, transfer.id))]
    for row in await runtime.store.read(lambda tx: transfers.list_chunks(tx, transfer.id, done=False)):
        chunk = await work(runtime, partial(_make_blob, transfer, plan, ids[: plan.count], row.number))
        check_unchanged(chunk, row.blob_id, transfer.path)
        await put_blob(runtime, payer, chunk.data, ttl_class=TTL_CLASS, stream_key=transfer.id)
        await runtime.store.run(partial(transfers.mark_done, transfer=transfer.id, number=row.number))
        progress(sum(plan.span(min(row.number, plan.count - 1))), transfer.size)


def _make_blob(transfer: TransferRow, plan: ChunkPlan, ids: Sequence[bytes], number: int) -> Chunk:
    if number >= plan.count:
        return encrypt_list(transfer.key, ids)[number - plan.count]
    return encrypt_chunk(transfer.key, plan, number, files.read_part(Path(transfer.path), *plan.span(number)))


def check_unchanged(chunk: Chunk, expected: bytes, path: str) -> None:
    """Check that a file still is what its manifest says. :raises FileChangedError: it is not."""
    if chunk.id != expected:
        raise FileChangedError(path=path)


def _open_uploads(tx: Tx, circle_id: bytes) -> list[TransferRow]:
    return [row for row in transfers.list_of(tx, circle_id) if row.direction == UP and row.state in {OPEN, FAILED}]


def _uploads_of(tx: Tx, circle_id: bytes, post_id: bytes) -> list[TransferRow]:
    return [row for row in transfers.list_of(tx, circle_id, post_id) if row.direction == UP]


def _fail(tx: Tx, *, transfer: TransferRow, now: int) -> None:
    if transfer.state == FAILED:
        return
    transfers.change(tx, transfer.id, state=FAILED)
    events.add(tx, "file.failed", circle=transfer.circle, at=now, post=transfer.post_id)


def _finish_upload(tx: Tx, *, transfer: TransferRow, now: int) -> int:
    """Let the post go if this was the last of its files; return how many posts went."""
    transfers.change(tx, transfer.id, state=DONE)
    rows = _uploads_of(tx, transfer.circle, transfer.post_id)
    if any(row.state != DONE for row in rows):
        return 0
    outgoing.release(tx, Circle.load(tx, transfer.circle), transfer.post_id, now=now)
    for row in rows:
        transfers.remove(tx, row.id)
    return 1
