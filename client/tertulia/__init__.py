"""The client: library and command line. What is public stands in ``__all__`` and in docs/reference/api.md.

Names are imported when they are used: a command that needs none of them starts without them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tertulia import errors, results
    from tertulia.client import Client

__all__ = ["Client", "errors", "results"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - as types differ
    if name == "Client":
        return import_module("tertulia.client").Client
    if name in __all__:
        return import_module(f"tertulia.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
