"""Finding what must not be there: canaries in every form in which they could leak.

A canary is looked for as it is (text: UTF-8, whatever its case, UTF-16 of both orders, with the escapes of JSON, URLs
and Python), in base64 at all three
alignments and of both alphabets, in hex of both cases, and again in whatever can be unfolded: zlib, gzip and zstd
streams that stand anywhere in the bytes, and runs of base64 and hex, which may hold such streams. It cannot see what
is encrypted, which is the point; :mod:`tests.scenarios.test_canaries` first shows that it sees everything else.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

if sys.version_info >= (3, 14):
    from compression.zstd import ZstdDecompressor, ZstdError
else:
    from backports.zstd import ZstdDecompressor, ZstdError

SHORTEST = 10
"""A canary has at least so many bytes: shorter ones would be found in random bytes."""
DEPTH = 3
"""How many foldings are undone, one inside the other (a zlib stream in base64 in a zstd frame)."""
MOST = 1 << 22
"""How much of one stream is decompressed, in bytes."""

_GZIP = b"\x1f\x8b\x08"
_ZSTD = b"\x28\xb5\x2f\xfd"
# CMF: deflate with a window of 256 bytes to 32 KiB (RFC 1950 section 2.2). FLG: checked below.
_ZLIB = re.compile(rb"[\x08\x18\x28\x38\x48\x58\x68\x78]")
_BASE64 = re.compile(rb"[A-Za-z0-9+/]{24,}")
_BASE64_URL = re.compile(rb"[A-Za-z0-9_-]{24,}")
_HEX = re.compile(rb"[0-9a-fA-F]{48,}")
_URL_TO_STANDARD = bytes.maketrans(b"-_", b"+/")
_STANDARD_TO_URL = bytes.maketrans(b"+/", b"-_")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """One canary that was found."""

    canary: str
    form: str
    where: str


@dataclass(frozen=True, slots=True)
class _Pattern:
    canary: str
    form: str
    needle: bytes
    """In lower case where ``any_case``."""
    any_case: bool


class Detector:
    """Knows the canaries. ``canaries``: what each is called, and the text or bytes that it is."""

    def __init__(self, canaries: Mapping[str, str | bytes]) -> None:
        self._patterns = tuple(pattern for name, value in canaries.items() for pattern in _patterns(name, value))

    def search(self, data: bytes, where: str) -> set[Sighting]:
        """Return what is seen in some bytes, and in what they unfold to."""
        return set(self._search(data, where, "", DEPTH))

    def search_all(self, parts: Iterable[tuple[str, bytes]]) -> set[Sighting]:
        """Return what is seen in any of the parts, each with its name; names may be canaries too."""
        found: set[Sighting] = set()
        for where, data in parts:
            found |= self.search(data, where)
            found |= self.search(where.encode("utf-8", "surrogateescape"), f"the name {where}")
        return found

    def _search(self, data: bytes, where: str, path: str, depth: int) -> Iterator[Sighting]:
        lower = data.lower()
        for pattern in self._patterns:
            if pattern.needle in (lower if pattern.any_case else data):
                yield Sighting(canary=pattern.canary, form=path + pattern.form, where=where)
        if depth:
            for name, inner in _unfold(data):
                yield from self._search(inner, where, f"{path}{name} > ", depth - 1)


# --- What a canary looks like ----------------------------------------------------------------------------------------


def _patterns(name: str, value: str | bytes) -> Iterator[_Pattern]:
    for form, raw in _raw_forms(value):
        if len(raw) < SHORTEST:
            raise ValueError(f"the canary {name} is too short")
        is_text = isinstance(value, str)
        yield _Pattern(name, form, raw.lower() if is_text else raw, is_text)
        yield _Pattern(name, f"{form} hex", raw.hex().encode(), any_case=True)
        for alignment in range(3):
            core = _base64_core(raw, alignment)
            yield _Pattern(name, f"{form} base64 +{alignment}", core, any_case=False)
            url = core.translate(_STANDARD_TO_URL)
            if url != core:
                yield _Pattern(name, f"{form} base64url +{alignment}", url, any_case=False)


def _raw_forms(value: str | bytes) -> Iterator[tuple[str, bytes]]:
    if isinstance(value, bytes):
        yield "bytes", value
        return
    yield "UTF-8", value.encode()
    yield "UTF-16LE", value.encode("utf-16-le")
    yield "UTF-16BE", value.encode("utf-16-be")
    escaped = {
        "JSON": json.dumps(value)[1:-1],
        "URL": quote(value),
        "bytes of Python": repr(value.encode())[2:-1],
    }
    yield from ((form, text.encode()) for form, text in escaped.items() if text != value)


def _base64_core(raw: bytes, alignment: int) -> bytes:
    """Return the characters that depend on ``raw`` alone where ``alignment`` bytes stand before it in its group."""
    encoded = base64.b64encode(bytes(alignment) + raw).rstrip(b"=")
    first = (0, 2, 3)[alignment]
    # The last character holds bits of what comes next unless the bytes end with a group.
    last = len(encoded) if (alignment + len(raw)) % 3 == 0 else len(encoded) - 1
    return encoded[first:last]


# --- What can be unfolded --------------------------------------------------------------------------------------------


def _unfold(data: bytes) -> Iterator[tuple[str, bytes]]:
    yield from _streams(data)
    for name, runs, decode in (
        ("base64", _BASE64, _decode_base64),
        ("base64url", _BASE64_URL, _decode_base64),
        ("hex", _HEX, _decode_hex),
    ):
        for run in runs.finditer(data):
            for inner in decode(run[0]):
                # Plain canaries in such a run are seen without decoding; only streams are hidden in it.
                yield from ((f"{name} > {stream}", text) for stream, text in _streams(inner))


def _decode_base64(run: bytes) -> Iterator[bytes]:
    """Decode from each of the four places where a group can begin."""
    run = run.translate(_URL_TO_STANDARD)
    for start in range(4):
        length = (len(run) - start) // 4 * 4
        yield binascii.a2b_base64(run[start : start + length])
        rest = run[start:]
        if len(rest) % 4 > 1:
            yield binascii.a2b_base64(rest + b"=" * (-len(rest) % 4))


def _decode_hex(run: bytes) -> Iterator[bytes]:
    for start in range(2):
        length = (len(run) - start) // 2 * 2
        yield bytes.fromhex(run[start : start + length].decode())


def _streams(data: bytes) -> Iterator[tuple[str, bytes]]:
    for match in _ZLIB.finditer(data):
        start = match.start()
        if int.from_bytes(data[start : start + 2], "big") % 31 == 0:
            yield from _inflated("zlib", data, start, zlib.MAX_WBITS)
    for start in _places(data, _GZIP):
        yield from _inflated("gzip", data, start, zlib.MAX_WBITS | 16)
    for start in _places(data, _ZSTD):
        yield from _decompressed("zstd", data, start, _zstd)


def _places(data: bytes, magic: bytes) -> Iterator[int]:
    start = data.find(magic)
    while start >= 0:
        yield start
        start = data.find(magic, start + 1)


def _inflated(name: str, data: bytes, start: int, window: int) -> Iterator[tuple[str, bytes]]:
    def inflate(part: bytes, most: int) -> bytes:
        return zlib.decompressobj(window).decompress(part, most)

    yield from _decompressed(name, data, start, inflate)


def _zstd(part: bytes, most: int) -> bytes:
    return ZstdDecompressor().decompress(part, most)


def _decompressed(
    name: str, data: bytes, start: int, decompress: Callable[[bytes, int], bytes]
) -> Iterator[tuple[str, bytes]]:
    # Random bytes look like the beginning of a stream now and then: a first look at little of them is enough.
    for length, most in ((512, 1024), (MOST, MOST)):
        try:
            text = decompress(data[start : start + length], most)
        except (zlib.error, ZstdError):
            return
    if len(text) >= SHORTEST:
        yield name, text


# --- Where to look ---------------------------------------------------------------------------------------------------


def files_under(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the name (relative to the folder's parent) and the content of all that is in a folder, links as names."""
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder.parent))
        if path.is_symlink():
            yield name, str(path.readlink()).encode()
        elif path.is_file():
            yield name, path.read_bytes()
        else:
            yield name, b""
