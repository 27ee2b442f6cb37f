"""Make a value again from its fields, so that nothing it remembers of its wire form is left."""

from __future__ import annotations

import dataclasses
from typing import TypeVar, cast

T = TypeVar("T")


def rebuild(value: T) -> T:
    """Return an equal value in which every struct, however deep, was made from its fields."""
    if isinstance(value, tuple):
        parts = [rebuild(part) for part in value]
        return cast("T", type(value)(*parts) if hasattr(value, "_fields") else tuple(parts))
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return value
    fields = dataclasses.fields(value)
    if not all(field.init for field in fields):
        return value
    return cast("T", type(value)(**{field.name: rebuild(getattr(value, field.name)) for field in fields}))
