"""From the event log to events as programs read them: public identifiers in the place of raw ones."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Any

from tertulia import results
from tertulia.circle import Circle
from tertulia.identifiers import board_id, circle_id, member_id, post_id, request_id
from tertulia.store import circles, content
from tertulia.store.events import Event
from tertulia.store.tx import Tx
from tertulia.views import moment

IDENTIFIERS: MappingProxyType[str, Callable[[bytes], str]] = MappingProxyType(
    {"member": member_id, "by": member_id, "request": request_id}
)
"""Fields that hold an identifier of one kind, whatever the event."""

OBJECTS: MappingProxyType[str, tuple[str, Callable[[bytes], str]]] = MappingProxyType(
    {"board": ("board", board_id), "topic": ("post", post_id), "reply": ("post", post_id)}
)
"""Types of content that have an identifier: the name of the field, and what makes it."""


def event(tx: Tx, stored: Event) -> results.Event:
    """Return an event. What has no public identifier is left out."""
    return results.Event(
        event=stored.kind,
        token=stored.number,
        circle=circle_id(stored.circle) if stored.circle else None,
        at=moment(stored.at),
        data=_data(tx, stored),
    )


def _data(tx: Tx, stored: Event) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for name, value in stored.data.items():
        if name in IDENTIFIERS:
            shown[name] = IDENTIFIERS[name](bytes.fromhex(value))
        elif name == "object":
            shown |= _object(str(stored.data.get("type")), bytes.fromhex(value))
        elif name == "post":
            shown |= _own_post(tx, stored.circle, bytes.fromhex(value))
        else:
            shown[name] = value
    return shown


def _object(type_: str, raw: bytes) -> dict[str, str]:
    if type_ not in OBJECTS:
        return {}
    name, kind = OBJECTS[type_]
    return {name: kind(raw)}


def _own_post(tx: Tx, circle: bytes, raw: bytes) -> dict[str, str]:
    """Return the object that a payload of ours (16 bytes) is about."""
    if circles.get(tx, circle) is None:
        return {}
    change = content.get_change(tx, circle, Circle.load(tx, circle).member_pk, raw)
    return {} if change is None else _object(change.object_type, change.object_id)
