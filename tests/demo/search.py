"""Looks for what people wrote in what the relay holds: as it is, in other encodings, in pieces, and compressed.

A long haystack is cut into blocks of 8 bytes once; a needle of 15 bytes or more contains at least one whole block of
any place where it could lie, so that thousands of needles cost little. What the blocks let through is looked up.
"""

from __future__ import annotations

import base64
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

PIECE = 16
"""Characters of a piece of a long text: a leak of a part is a leak."""
SHORTEST = 6
"""Bytes: anything shorter is found in random bytes by chance."""
SHORTEST_BASE64 = 10
SAMPLES = 64
"""How many pieces of a file that is no text are looked for."""

_BLOCK = 8
_SURE = 2 * _BLOCK - 1
_STREAM = re.compile(rb"\x78[\x01\x5e\x9c\xda]|\x1f\x8b\x08")
_STREAM_READ = 1 << 20


@dataclass(frozen=True, slots=True)
class Needle:
    """Some bytes to look for: what they stand for, and in which form."""

    what: str
    form: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Found:
    """A needle and the file that holds it."""

    needle: Needle
    place: str

    def __str__(self) -> str:
        return f"{self.needle.what!r} as {self.needle.form} in {self.place}"


def text_needles(what: str, text: str) -> list[Needle]:
    """Return a text in every form, and its pieces in those that programs store text in."""
    needles = [
        *data_needles(what, text.encode(), form="UTF-8"),
        *data_needles(what, text.encode("utf-16-le"), form="UTF-16LE"),
        *data_needles(what, text.encode("utf-16-be"), form="UTF-16BE"),
    ]
    for start in range(0, max(0, len(text) - PIECE + 1), PIECE // 2):
        piece = text[start : start + PIECE]
        needles.append(Needle(what, "a piece in UTF-8", piece.encode()))
        needles.append(Needle(what, "a piece in UTF-16LE", piece.encode("utf-16-le")))
    return [needle for needle in needles if len(needle.data) >= SHORTEST]


def data_needles(what: str, data: bytes, *, form: str = "bytes") -> list[Needle]:
    """Return some bytes as they are, in hexadecimal digits, in base64 at its three alignments, and deflated."""
    needles = [Needle(what, form, data)]
    needles += [Needle(what, f"{form} in hex", digits) for digits in (data.hex().encode(), data.hex().upper().encode())]
    for core in base64_cores(data):
        for text in {core, core.translate(bytes.maketrans(b"+/", b"-_"))}:
            if len(text) >= SHORTEST_BASE64:
                needles.append(Needle(what, f"{form} in base64", text))
    deflated = zlib.compress(data)[2:-4]
    if len(deflated) >= SHORTEST_BASE64:
        needles.append(Needle(what, f"{form} in zlib", deflated))
    return [needle for needle in needles if len(needle.data) >= SHORTEST]


def file_needles(what: str, data: bytes, *, samples: int = SAMPLES, length: int = 32) -> list[Needle]:
    """Return pieces from all over a file, in every form."""
    starts = range(0, max(1, len(data) - length + 1), max(1, len(data) // samples))
    pieces = (data[start : start + length] for start in starts)
    return [needle for piece in pieces for needle in data_needles(what, piece, form="a piece of the file")]


def base64_cores(data: bytes) -> Iterator[bytes]:
    """Yield what base64 makes of ``data`` wherever it begins, without the digits that depend on its neighbours."""
    for before in range(3):
        text = base64.b64encode(bytes(before) + data).rstrip(b"=")
        first = -(-before * 8 // 6)
        last = (before + len(data)) * 8 // 6
        yield text[first:last]


def streams(data: bytes) -> Iterator[bytes]:
    """Yield what any zlib or gzip stream in ``data`` holds, as far as it can be read."""
    for place in _STREAM.finditer(data):
        reader, read = zlib.decompressobj(wbits=47), bytearray()
        for start in range(place.start(), len(data), 256):
            try:
                read += reader.decompress(data[start : start + 256])
            except zlib.error:
                break
            if reader.eof or len(read) > _STREAM_READ:
                break
        if len(read) >= SHORTEST:
            yield bytes(read)


def search(files: Mapping[str, bytes], needles: Sequence[Needle]) -> list[Found]:
    """Look for all needles in all files, and in what compressed streams in them hold."""
    found: list[Found] = []
    for place, data in files.items():
        found += _search_one(data, needles, place)
        unpacked = b"\0".join(streams(data))
        found += _search_one(unpacked, needles, f"a compressed stream in {place}")
    return found


def _search_one(data: bytes, needles: Iterable[Needle], place: str) -> Iterator[Found]:
    blocks = frozenset(memoryview(data[: len(data) // _BLOCK * _BLOCK]).cast("Q"))
    for needle in needles:
        if _may_hold(blocks, needle.data) and needle.data in data:
            yield Found(needle, place)


def _may_hold(blocks: frozenset[int], needle: bytes) -> bool:
    if len(needle) < _SURE:
        return True
    windows = (needle[start : start + _BLOCK] for start in range(_BLOCK))
    return any(memoryview(window).cast("Q")[0] in blocks for window in windows)


def planted(text: str) -> dict[str, bytes]:
    """Return a leak of ``text`` in every form, as a careless program would make it: the proof that a search finds."""
    data = text.encode()
    wide = text.encode("utf-16-le")
    noise = bytes(range(256))
    shown = {
        "UTF-8": data,
        "UTF-16LE": wide,
        "UTF-16BE": text.encode("utf-16-be"),
        "hex": data.hex().encode(),
        "capital hex": data.hex().upper().encode(),
        "hex of UTF-16": wide.hex().encode(),
        "zlib": zlib.compress(b"before " + data + b" after"),
        "zlib of UTF-16": zlib.compress(wide),
        "half of it": data[: len(data) * 2 // 3],
    }
    for before in range(3):
        shown[f"base64 at {before}"] = base64.b64encode(b"x" * before + data + b"rest")
        shown[f"base64url at {before}"] = base64.urlsafe_b64encode(b"x" * before + data + b"rest")
    return {form: noise + leak + noise for form, leak in shown.items()}
