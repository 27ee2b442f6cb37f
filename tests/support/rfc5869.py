"""HKDF-SHA256 as RFC 5869 writes it, with nothing of ours: what known answers of derivations are computed by."""

from __future__ import annotations

import hashlib
import hmac


def extract(salt: bytes, ikm: bytes) -> bytes:
    """RFC 5869 section 2.2."""
    return hmac.new(salt or bytes(32), ikm, hashlib.sha256).digest()


def expand(prk: bytes, info: bytes, length: int) -> bytes:
    """RFC 5869 section 2.3."""
    blocks = [b""]
    while len(b"".join(blocks)) < length:
        blocks.append(hmac.new(prk, blocks[-1] + info + bytes([len(blocks)]), hashlib.sha256).digest())
    return b"".join(blocks)[:length]
