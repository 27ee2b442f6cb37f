"""Making changes to send: an object, an edit of it, its retraction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from tertulia_protocol.content.cbor import decode_cbor, encode_cbor
from tertulia_protocol.content.change import ContentObject
from tertulia_protocol.content.envelope import Envelope, Op
from tertulia_protocol.content.kinds import Content, Kind


def build_create(kind: Kind, content: Content, *, member_pk: bytes, post_id: bytes) -> Envelope:
    """Return the envelope that creates an object.

    :param member_pk: the author, 32 bytes. :param post_id: of the payload that will carry it, 16 random bytes.
    """
    return Envelope(
        type=kind.name,
        version=kind.version,
        object_id=kind.object_id(member_pk=member_pk, post_id=post_id),
        op=Op.PUT,
        fields=_plain(content),
    )


def build_edit(kind: Kind, existing: ContentObject, fields: Mapping[str, Any]) -> Envelope:
    """Return the envelope that changes some fields of an object and leaves the others as they are."""
    plain = {name: _plain(value) for name, value in fields.items()}
    return Envelope(type=kind.name, version=kind.version, object_id=existing.object_id, op=Op.PUT, fields=plain)


def build_retract(existing: ContentObject) -> Envelope:
    """Return the envelope that retracts an object for good."""
    return Envelope(type=existing.type, version=existing.version, object_id=existing.object_id, op=Op.RETRACT)


def _plain(value: Any) -> Any:  # noqa: ANN401 - a field can have any type
    """Return a value as whoever receives it will read it. :raises ValueError: it has no encoding."""
    return decode_cbor(encode_cbor(msgspec.to_builtins(value, builtin_types=(bytes,))))
