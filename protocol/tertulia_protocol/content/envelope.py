"""The envelope around all content: ``{"t": type, "v": version, "id": 16 bytes, "op": operation, "f": fields}``.

Whatever an envelope holds that this version does not know (a type, a version, a field, a key beside the five) is kept
as it is: because the encoding is deterministic, ``decode(data).encode() == data`` for all data that decodes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Annotated, Any, Self

import msgspec

from tertulia_protocol.content.cbor import Value, decode_cbor, encode_cbor
from tertulia_protocol.errors import DecodeError

OBJECT_ID_LENGTH = 16
_KEYS = frozenset(("t", "v", "id", "op", "f"))


class Op(Enum):
    """What a change does to its object. New operations come as new types, never as new values here."""

    PUT = "put"
    RETRACT = "retract"


class _Shape(msgspec.Struct, frozen=True):
    """What the five keys must be."""

    t: Annotated[str, msgspec.Meta(pattern=r"\A[a-z][a-z0-9_.-]{0,31}\Z")]
    v: Annotated[int, msgspec.Meta(ge=1, le=65535)]
    id: Annotated[bytes, msgspec.Meta(min_length=OBJECT_ID_LENGTH, max_length=OBJECT_ID_LENGTH)]
    op: Op
    f: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """One change of one object, as its author wrote it. ``repr`` shows nothing of what was written."""

    type: str
    version: int
    object_id: bytes
    op: Op
    fields: Mapping[str, Value] = field(default_factory=dict, repr=False)
    extra: Mapping[str, Value] = field(default_factory=dict, repr=False)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read the ``body`` of a payload. :raises DecodeError: not an envelope, or not deterministic CBOR."""
        try:
            value = msgspec.convert(decode_cbor(data), dict[str, Any])
            shape = msgspec.convert(value, _Shape)
        except msgspec.ValidationError as error:
            # The original names the path, but may repeat what was written.
            raise DecodeError("not an envelope of content") from error
        return cls(
            type=shape.t,
            version=shape.v,
            object_id=shape.id,
            op=shape.op,
            fields=shape.f,
            extra={key: item for key, item in value.items() if key not in _KEYS},
        )

    def encode(self) -> bytes:
        """Return the ``body`` of a payload. :raises ValueError: too long, or a field has no encoding."""
        return encode_cbor(
            {
                **self.extra,
                "t": self.type,
                "v": self.version,
                "id": self.object_id,
                "op": self.op.value,
                "f": self.fields,
            }
        )
