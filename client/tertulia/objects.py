"""Objects, made of the changes that were counted: the fold of ``tertulia_protocol.content.merge`` kept in rows.

A row can be made again at any time from the changes, which are kept as they came; so a newer version that knows more
types shows what an older one kept (:func:`bring_up_to_date`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from tertulia.store import circles, content, meta
from tertulia.store.content import ChangeRow, ObjectRow
from tertulia.store.tx import Tx
from tertulia_protocol.circle.payload import Payload
from tertulia_protocol.codec import parse, serialize
from tertulia_protocol.content.change import Change, ContentObject
from tertulia_protocol.content.envelope import Envelope
from tertulia_protocol.content.kinds import Content, Kinds, Unknown, post_object_id
from tertulia_protocol.content.merge import container_id, erase, merge
from tertulia_protocol.content.permissions import known_fields
from tertulia_protocol.content.types import KINDS


class StoredObject(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What a row holds of a merged object beside its columns. It is local: never sent, made again at will."""

    version: int
    fields: dict[str, Any]
    last_lamport: int
    edited: bool
    retracted_by: bytes | None
    waiting: bool
    stub: bool
    forwarded_by: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedObject:
    """An object with what only this device knows of it."""

    object: ContentObject
    parent: bytes
    minute: int
    unread: bool
    forwarded_by: bytes | None


def to_change(row: ChangeRow) -> Change:
    """Return a stored change as the merge takes it."""
    return Change(
        envelope=Envelope.decode(row.body),
        member_pk=row.member_pk,
        post_id=row.post_id,
        lamport=row.lamport,
        by_coordinator=bool(row.by_coordinator),
    )


def change_row(  # noqa: PLR0913 - what the log says of a payload
    circle_id: bytes,
    payload: Payload,
    envelope: Envelope,
    *,
    member_pk: bytes,
    device_id: bytes,
    by_coordinator: bool,
    segment_no: int,
    seq: int,
    forwarded_by: bytes | None = None,
) -> ChangeRow:
    """Return the row of a payload that carries ``envelope``."""
    return ChangeRow(
        circle=circle_id,
        member_pk=member_pk,
        post_id=payload.post_id,
        object_type=envelope.type,
        object_id=envelope.object_id,
        lamport=payload.lamport,
        minute=payload.minute,
        type=payload.type,
        body=payload.body,
        segment_no=segment_no,
        seq=seq,
        by_coordinator=int(by_coordinator),
        forwarded_by=forwarded_by,
        device_id=device_id,
        payload=serialize(payload),
    )


def fold(tx: Tx, circle_id: bytes, object_id: bytes, *, unread: bool = False, kinds: Kinds = KINDS) -> bool:
    """Make an object's row from its changes, and those of what was waiting for it; answer whether it was new here.

    :param unread: for an object that is new here.
    """
    before = content.get_object(tx, circle_id, object_id)
    rows = content.changes_of(tx, circle_id, object_id)
    changes = [to_change(row) for row in rows]
    parent = _parent_of(changes, kinds)
    container = None if not parent else load(tx, circle_id, parent, kinds=kinds)
    merged = merge(changes, container=None if container is None else container.object, kinds=kinds)
    if merged is None:
        if before is not None:
            content.remove_object(tx, circle_id, object_id)
        return before is None
    is_unread = unread if before is None else bool(before.unread)
    content.put_object(tx, _row(circle_id, merged, parent, rows, unread=is_unread and not merged.retracted))
    if merged.retracted:
        _erase(tx, rows, changes, kinds)
    if before is None:
        for child in content.children_of(tx, circle_id, object_id):
            fold(tx, circle_id, child.id, kinds=kinds)
    return before is None


def _own(change: Change) -> bool:
    return change.envelope.object_id == post_object_id(member_pk=change.member_pk, post_id=change.post_id)


def _parent_of(changes: list[Change], kinds: Kinds) -> bytes:
    """Return the id of what an object belongs to, as the post says that its id is made from; else empty."""
    for change in changes:
        if _own(change):
            return container_id(change, kinds=kinds) or b""
    return b""


def _row(circle_id: bytes, merged: ContentObject, parent: bytes, rows: list[ChangeRow], *, unread: bool) -> ObjectRow:
    founding = next((row for row in rows if row.lamport == merged.first_lamport), rows[0])
    state = StoredObject(
        version=merged.version,
        fields=dict(merged.fields),
        last_lamport=merged.last_lamport,
        edited=merged.edited,
        retracted_by=merged.retracted_by,
        waiting=merged.waiting,
        stub=merged.is_stub,
        forwarded_by=founding.forwarded_by,
    )
    return ObjectRow(
        circle=circle_id,
        type=merged.type,
        id=merged.object_id,
        parent=parent,
        author=merged.creator or b"",
        lamport=merged.first_lamport,
        minute=founding.minute,
        retracted=int(merged.retracted),
        unread=int(unread),
        state=msgspec.msgpack.encode(state),
    )


def _erase(tx: Tx, rows: list[ChangeRow], changes: list[Change], kinds: Kinds) -> None:
    """Leave nothing of what was written in a retracted object: it may be on disk for a reason to retract it."""
    for row, change in zip(rows, changes, strict=True):
        body = erase(change, kinds=kinds).envelope.encode()
        if body != row.body:
            payload = replace(parse(Payload, row.payload), body=body)
            content.put_change(tx, replace(row, body=body, payload=serialize(payload)))


def load(tx: Tx, circle_id: bytes, object_id: bytes, *, kinds: Kinds = KINDS) -> LoadedObject | None:
    """Return an object by its 16-byte id."""
    row = content.get_object(tx, circle_id, object_id)
    return None if row is None else from_row(row, kinds=kinds)


def from_row(row: ObjectRow, *, kinds: Kinds = KINDS) -> LoadedObject:
    """Return the object of a row."""
    state = msgspec.msgpack.decode(row.state, type=StoredObject)
    return LoadedObject(
        object=ContentObject(
            type=row.type,
            version=state.version,
            object_id=row.id,
            creator=row.author or None,
            content=None if row.retracted else _content(row.type, state, kinds),
            fields=state.fields,
            first_lamport=row.lamport,
            last_lamport=state.last_lamport,
            edited=state.edited,
            retracted_by=state.retracted_by,
            waiting=state.waiting,
        ),
        parent=row.parent,
        minute=row.minute,
        unread=bool(row.unread),
        forwarded_by=state.forwarded_by,
    )


def _content(name: str, state: StoredObject, kinds: Kinds) -> Content:
    kind = kinds.get(name)
    if kind is None or state.stub:
        return Unknown(type=name, version=state.version)
    fields: Mapping[str, Any] = known_fields(kind, state.fields)
    return msgspec.convert(fields, kind.content)


def bring_up_to_date(tx: Tx, *, kinds: Kinds = KINDS) -> bool:
    """Judge what is kept again if another version, which knew other types, judged it; answer whether. At each opening.

    All circles at once: a profile is never half of one version and half of another.
    """
    known = " ".join(f"{name}.{kinds[name].version}" for name in sorted(kinds.names())).encode()
    if meta.get(tx, meta.CONTENT_TYPES) == known:
        return False
    for circle in circles.list_all(tx):
        _rebuild(tx, circle.id, kinds)
    meta.set_value(tx, meta.CONTENT_TYPES, known)
    return True


def _rebuild(tx: Tx, circle_id: bytes, kinds: Kinds) -> None:
    """Make all objects again from the changes; what was read stays read."""
    unread = {row.id for row in content.all_objects(tx, circle_id) if row.unread}
    content.clear_objects(tx, circle_id)
    for object_id in dict.fromkeys(row.object_id for row in content.all_changes(tx, circle_id)):
        fold(tx, circle_id, object_id, unread=object_id in unread, kinds=kinds)
