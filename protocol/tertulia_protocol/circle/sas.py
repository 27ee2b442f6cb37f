"""The four words that inviter and joiner compare by voice (docs/protocol, "The four words").

They are 44 bits of a slow hash of everything that the joiner sent: whoever wants to put another request in its place
has to find one with the same four numbers, at 256 MiB and three passes for each try, and the real request is sealed to
the inviter. Both sides show the words of the language that the card names, and the numbers beside them.
"""

from __future__ import annotations

import hashlib
from typing import Final

from tertulia_protocol.circle.primitives import argon2id_hash

PASSES: Final = 3
MEMORY: Final = 256 * 1024 * 1024

Sas = tuple[int, int, int, int]


def sas_numbers(anchor: bytes, request: bytes) -> Sas:
    """Return the four numbers for a join request. Takes 256 MiB and, on a small machine, about a second.

    :param anchor: of the invitation, 32 bytes. :param request: the JoinRequest as it was sent.
    """
    digest = argon2id_hash(
        hashlib.sha256(b"tl1 sas" + anchor + request).digest(),
        salt=hashlib.sha256(b"tl1 sas salt").digest()[:16],
        length=16,
        passes=PASSES,
        memory=MEMORY,
    )
    return first_numbers(digest)


def first_numbers(digest: bytes) -> Sas:
    """Return the first 44 bits (of at least 6 bytes) as four numbers of 11 bits."""
    bits = int.from_bytes(digest[:6], "big") >> 4
    return bits >> 33 & 2047, bits >> 22 & 2047, bits >> 11 & 2047, bits & 2047
