"""Writing: a board, a topic or a reply with its files goes into the outbox in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from tertulia import attachments, creating
from tertulia.alarms import check_no_alarm
from tertulia.attachments import PreparedFile, Progress, no_progress
from tertulia.circle import Circle
from tertulia.errors import EmptyPostError, NotAcceptedError
from tertulia.runtime import Runtime
from tertulia.store.tx import Tx
from tertulia_protocol.content.text import clean_body, clean_name
from tertulia_protocol.content.types import Attachment, check_name
from tertulia_protocol.errors import InternalError, RuleError

Create = Callable[[Tx, Circle, tuple[Attachment, ...]], bytes]
"""Puts a post with these files into the outbox and returns its object id; with files it must wait for them."""


async def write_board(runtime: Runtime, circle_id: bytes, *, name: str, description: str, announce_only: bool) -> bytes:
    """Open a board; return its object id (16 bytes). :raises UsageError, TrustError: not possible."""

    def write(tx: Tx) -> bytes:
        return creating.create_board(
            tx,
            writable(tx, circle_id),
            name=clean_name(name),
            description=clean_body(description),
            announce_only=announce_only,
            now=runtime.clock.now(),
            rng=runtime.rng,
        )

    return await runtime.store.run(write)


async def write_topic(  # noqa: PLR0913 - what a topic is made of
    runtime: Runtime,
    circle_id: bytes,
    *,
    board_id: bytes,
    title: str,
    body: str,
    lang: str | None = None,
    paths: Sequence[Path] = (),
    progress: Progress = no_progress,
) -> bytes:
    """Open a topic; return its object id (16 bytes). :raises UsageError, TrustError: not possible."""

    def create(tx: Tx, circle: Circle, files: tuple[Attachment, ...]) -> bytes:
        return creating.create_topic(
            tx,
            circle,
            board_id=board_id,
            title=clean_name(title),
            body=clean_body(body),
            lang=lang,
            attachments=files,
            uploading=bool(files),
            now=runtime.clock.now(),
            rng=runtime.rng,
        )

    return await _write(runtime, circle_id, create, paths=paths, progress=progress)


async def write_reply(  # noqa: PLR0913 - what a reply is made of
    runtime: Runtime,
    circle_id: bytes,
    *,
    to: bytes,
    body: str,
    lang: str | None = None,
    paths: Sequence[Path] = (),
    progress: Progress = no_progress,
) -> bytes:
    """Answer a topic or a reply; return the object id (16 bytes). :raises UsageError, TrustError: no."""
    text = clean_body(body)
    check_not_empty(text, paths)

    def create(tx: Tx, circle: Circle, files: tuple[Attachment, ...]) -> bytes:
        return creating.create_reply(
            tx,
            circle,
            to=to,
            body=text,
            lang=lang,
            attachments=files,
            uploading=bool(files),
            now=runtime.clock.now(),
            rng=runtime.rng,
        )

    return await _write(runtime, circle_id, create, paths=paths, progress=progress)


def checked_name(name: str) -> str:
    """Return a name as it is sent. :raises NotAcceptedError: nothing of it is left, or it is too long."""
    shown = clean_name(name)
    try:
        check_name(shown)
    except RuleError as error:
        raise NotAcceptedError(error.detail) from error
    return shown


def check_not_empty(body: str, paths: Sequence[Path]) -> None:
    """Check that a reply says something. :raises EmptyPostError: neither a text nor a file."""
    if not body.strip() and not paths:
        raise EmptyPostError


def writable(tx: Tx, circle_id: bytes) -> Circle:
    """Return a circle that something may be written in. :raises TrustError, NotAllowedError: it cannot go on."""
    circle = Circle.load(tx, circle_id)
    check_no_alarm(circle.state)
    return circle


async def _write(
    runtime: Runtime, circle_id: bytes, create: Create, *, paths: Sequence[Path], progress: Progress
) -> bytes:
    # Nobody waits for large files to be read only to be told that nothing may be written.
    await runtime.store.read(lambda tx: writable(tx, circle_id) and None)
    prepared = [await attachments.prepare(runtime, path, progress=progress) for path in paths]
    return await runtime.store.run(lambda tx: _create_with_files(tx, circle_id, create, prepared, runtime))


def _create_with_files(
    tx: Tx, circle_id: bytes, create: Create, prepared: Sequence[PreparedFile], runtime: Runtime
) -> bytes:
    circle = writable(tx, circle_id)
    object_id = create(tx, circle, tuple(file.manifest for file in prepared))
    if prepared:
        post_id = creating.post_id_of(tx, circle_id, object_id)
        if post_id is None:
            raise InternalError("a post with files that is not in the outbox")
        attachments.queue(tx, circle_id, post_id=post_id, prepared=prepared, now=runtime.clock.now(), rng=runtime.rng)
    return object_id
