"""What is fuzzed: every struct of the protocol, found by itself, and every function that takes a whole frame.

The invariant is one: bytes are parsed or refused with :class:`InvalidMessageError`, never anything else, and what was
parsed writes itself, field by field, as the very same bytes.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeGuard

import tertulia_protocol
from tertulia_protocol.codec import Struct, parse, serialize
from tertulia_protocol.errors import DecodeError, InvalidMessageError
from tertulia_protocol.relay_api.requests import Request
from tertulia_protocol.relay_api.responses import Response
from tests.support.rebuild import rebuild

Target = Callable[[bytes], bool]
"""Takes any bytes and answers whether they were accepted; anything raised is a finding."""

CORPUS = Path(__file__).parent / "corpus"


class FindingError(AssertionError):
    """A value does not write itself as the bytes that it was read from."""


def find_structs() -> dict[str, type[Struct]]:
    """Return every class of the protocol that has ``decode(reader)`` and ``encode(writer)``, by module and name."""
    found = {}
    for module in pkgutil.walk_packages(tertulia_protocol.__path__, "tertulia_protocol."):
        for name, kind in vars(importlib.import_module(module.name)).items():
            if inspect.isclass(kind) and kind.__module__ == module.name and _is_struct(kind):
                found[f"{module.name.removeprefix('tertulia_protocol.')}.{name}"] = kind
    return found


def _is_struct(kind: type) -> TypeGuard[type[Struct]]:
    if getattr(kind, "_is_protocol", False) or not hasattr(kind, "decode") or not hasattr(kind, "encode"):
        return False
    return list(inspect.signature(kind.decode).parameters) == ["reader"]


def struct_target(kind: type[Struct]) -> Target:
    """Return the target of one struct."""

    def target(data: bytes) -> bool:
        try:
            value = parse(kind, data)
        except InvalidMessageError:
            return False
        if serialize(rebuild(value)) != data:
            raise FindingError(f"{kind.__name__}: {data.hex()} became {serialize(rebuild(value)).hex()}")
        return True

    return target


def _frame_target(kind: type[Request | Response]) -> Target:
    def target(data: bytes) -> bool:
        try:
            value = kind.from_frame(data)
        except DecodeError:
            return False
        if value.to_frame() != data:
            raise FindingError(f"{kind.__name__}: the frame {data.hex()} became another")
        return True

    return target


def find_targets() -> dict[str, Target]:
    """Return all targets by name."""
    targets = {name: struct_target(kind) for name, kind in sorted(find_structs().items())}
    targets["frame.request"] = _frame_target(Request)
    targets["frame.response"] = _frame_target(Response)
    return targets


def read_corpus(name: str) -> list[bytes]:
    """Return the committed inputs of a target: one line of hexadecimal digits each."""
    path = CORPUS / f"{name}.txt"
    return [bytes.fromhex(line) for line in path.read_text("ascii").splitlines()] if path.exists() else []


def write_corpus(name: str, inputs: set[bytes]) -> None:
    """Replace the committed inputs of a target, shortest first."""
    CORPUS.mkdir(exist_ok=True)
    lines = [data.hex() for data in sorted(inputs, key=lambda data: (len(data), data))]
    (CORPUS / f"{name}.txt").write_text("".join(f"{line}\n" for line in lines), "ascii")
