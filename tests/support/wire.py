"""A client of the relay that shares no code with ours: the wire format written down a second time.

What the relay says on its socket is checked against this, so a mistake that our encoder and our decoder share shows.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urlsplit

from nacl.signing import SigningKey, VerifyKey

_OPS = "INFO TOKENS CREATE APPEND SEAL UNSEAL FREEZE READ EXTEND DROP BLOB_PUT BLOB_GET BLOB_DEL"  # from 1
_STATUSES = "OK DUP CONFLICT SEALED FROZEN BUSY QUOTA GONE DENY TOOBIG PAY MALFORMED UNAVAILABLE"  # from 0
OPS = {name: number for number, name in enumerate(_OPS.split(), 1)}
STATUSES = _STATUSES.split()
Head = tuple[int, bytes, int]
"""Sequence number, chain value, state bits."""
Asked = tuple[bytes, bytes]
"""The nonce of a request and its frame."""
SIZES = (2048, 5120, 17408, 66560, 263168)


def vector(data: bytes) -> bytes:
    """``opaque<V>``."""
    length = len(data)
    if length < 1 << 6:
        return bytes((length,)) + data
    if length < 1 << 14:
        return (length | 1 << 14).to_bytes(2, "big") + data
    return (length | 1 << 31).to_bytes(4, "big") + data


def read_vector(data: bytes, at: int) -> tuple[bytes, int]:
    """Return the bytes of the ``opaque<V>`` at ``at``, and where it ends."""
    width = 1 << (data[at] >> 6)
    start = at + width
    length = int.from_bytes(data[at:start], "big") & ((1 << (8 * width - 2)) - 1)
    assert start + length <= len(data)
    return data[start : start + length], start + length


def u(value: int, width: int) -> bytes:
    return value.to_bytes(width, "big")


def pad(data: bytes) -> bytes:
    return data.ljust(next(size for size in SIZES if size >= len(data)), b"\0")


def unbase64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def parse_card(card: str) -> tuple[str, bytes]:
    """Return URI and key of a relay card."""
    uri, _, key = card.partition("#")
    return uri, unbase64(key)


def parse_enrolment(text: str) -> tuple[str, bytes, bytes]:
    """Return URI, key and code of an enrolment string."""
    data = unbase64(text.removeprefix("tertulia-relay:"))
    assert data[0] == 1
    uri, at = read_vector(data, 33)
    return uri.decode(), data[1:33], data[at:]


@dataclass
class Answer:
    """One answer, taken apart and checked."""

    status: str
    body: bytes
    head: Head | None = None
    raw: bytes = field(default=b"", repr=False)

    @property
    def seq(self) -> int:
        return int.from_bytes(self.body, "big")

    @property
    def entries(self) -> list[tuple[int, bytes]]:
        """(seq, bytes) of a READ."""
        data, end = read_vector(self.body, 0)
        assert end == len(self.body)
        entries, at = [], 0
        while at < len(data):
            seq = int.from_bytes(data[at : at + 8], "big")
            entry, at = read_vector(data, at + 8)
            entries.append((seq, entry))
        return entries


def parse_answer(frame: bytes, *, nonce: bytes, relay_pk: bytes, segment_id: bytes | None = None) -> Answer:
    """Take an answer apart; padding, nonce and the head's signature must hold."""
    assert len(frame) in SIZES or len(frame) % 65536 == 0
    assert frame[0] == 1
    assert frame[2:18] == nonce
    at, head = 19, None
    if frame[18]:
        signed, at = frame[19:96], 96
        VerifyKey(relay_pk).verify(b"tl1 head" + signed, frame[at : at + 64])
        at += 64
        assert signed[:32] == segment_id
        head = (int.from_bytes(signed[32:40], "big"), signed[40:72], signed[72])
    body, at = read_vector(frame, at)
    assert not frame[at:].strip(b"\0")
    return Answer(STATUSES[frame[1]], body, head, frame)


def chain_after(segment_id: bytes, entries: Sequence[bytes]) -> bytes:
    """Return the chain value after these entries from the start."""
    chain = hashlib.sha256(b"tl1 chain" + segment_id).digest()
    for seq, entry in enumerate(entries, 1):
        chain = hashlib.sha256(chain + u(seq, 8) + hashlib.sha256(entry).digest()).digest()
    return chain


class Segment:
    """A segment's keys and the requests about it, as bytes."""

    def __init__(self, relay_pk: bytes, *, segment_class: int = 2, ttl_class: int = 3) -> None:
        self.relay_pk = relay_pk
        self.append, self.read, self.admin = (SigningKey(secrets.token_bytes(32)) for _ in range(3))
        keys = b"".join(bytes(key.verify_key) for key in (self.append, self.read, self.admin))
        self.config = bytes((1, segment_class, ttl_class)) + keys
        self.id = hashlib.sha256(b"tl1 seg" + relay_pk + self.config).digest()

    def request(self, op: str, args: bytes = b"", payload: bytes = b"", key: SigningKey | None = None) -> Asked:
        """Return nonce and frame."""
        nonce = secrets.token_bytes(16)
        head = bytes((1, OPS[op]))
        hashes = hashlib.sha256(args).digest() + hashlib.sha256(payload).digest()
        signed = b"tl1 req" + self.relay_pk + head + self.id + nonce + hashes
        signature = key.sign(signed).signature if key else bytes(64)
        return nonce, pad(head + self.id + nonce + vector(args) + vector(payload) + signature)

    def create(self, code: bytes) -> Asked:
        return self.request("CREATE", self.config + b"\x01" + vector(code))

    def append_entry(self, entry: bytes) -> Asked:
        return self.request("APPEND", b"\0", entry, self.append)

    def read_after(self, seq: int, *, wait: int = 0, max_bytes: int = 1 << 20) -> Asked:
        return self.request("READ", u(seq, 8) + u(max_bytes, 4) + u(wait, 1), b"", self.read)

    def seal(self, entry: bytes, head: Head, *, days: int = 60) -> Asked:
        heir = SigningKey(secrets.token_bytes(32))
        args = u(head[0], 8) + head[1] + bytes(heir.verify_key) + u(days, 2)
        return self.request("SEAL", args, entry, self.admin)

    def freeze(self) -> Asked:
        return self.request("FREEZE", key=self.admin)

    def drop(self) -> Asked:
        return self.request("DROP", key=self.admin)

    def blob_put(self, chunk: bytes, delete_secret: bytes, code: bytes) -> Asked:
        """Paid by an enrolment code."""
        args = b"\x01" + vector(code) + hashlib.sha256(delete_secret).digest() + b"\x03"
        return self.request("BLOB_PUT", args, chunk)

    def blob_get(self, chunk: bytes) -> Asked:
        return self.request("BLOB_GET", hashlib.sha256(chunk).digest())

    def blob_del(self, chunk: bytes, delete_secret: bytes) -> Asked:
        return self.request("BLOB_DEL", hashlib.sha256(chunk).digest() + delete_secret)


class Line:
    """One connection to a relay; answers are checked and taken apart."""

    def __init__(self, card: str, *, timeout: float = 60) -> None:
        self.uri, self.relay_pk = parse_card(card)
        parts = urlsplit(self.uri)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._connection.close()

    def exchange(self, frame: bytes) -> tuple[int, dict[str, str], bytes]:
        """POST a frame; return HTTP status, header and body."""
        self._connection.request("POST", "/x", frame, {"Content-Type": "application/octet-stream"})
        response = self._connection.getresponse()
        return response.status, dict(response.getheaders()), response.read()

    def ask(self, request: Asked, segment_id: bytes | None = None) -> Answer:
        """Send what a method of :class:`Segment` made; return the :class:`Answer`."""
        nonce, frame = request
        status, _header, body = self.exchange(frame)
        assert status == 200
        return parse_answer(body, nonce=nonce, relay_pk=self.relay_pk, segment_id=segment_id)


def entry_of(text: str, size: int = 1024) -> bytes:
    """Return bytes of one of the entry sizes that begin with ``text``."""
    return text.encode().ljust(size, b"\xaa")
