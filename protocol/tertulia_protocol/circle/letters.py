"""Letters: what is put into a mailbox for the holder of one key (docs/protocol, "Letters").

A request box, a reply box and a lobby hold letters and nothing else. A letter is HPKE with X-Wing, so that whoever
records it today cannot read it with a quantum computer later, and its length is one of the mailbox's few: it tells
neither what is said nor how much. ``info`` binds it to its use, so that no letter can be passed on as another.
"""

from __future__ import annotations

from typing import Final

from tertulia_protocol.circle.primitives import TAG_BYTES, XWING
from tertulia_protocol.codec import Reader, Writer
from tertulia_protocol.errors import DecodeError, UsageError
from tertulia_protocol.relay_api.limits import ENTRY_SIZES, MAILBOX_ENTRY_BYTES, check_size

ENC_BYTES: Final = XWING.kem.enc_length
PUBLIC_BYTES: Final = XWING.kem.public_length
SEAL_OVERHEAD: Final = ENC_BYTES + TAG_BYTES
LETTER_SIZES: Final = tuple(size for size in ENTRY_SIZES if SEAL_OVERHEAD < size <= MAILBOX_ENTRY_BYTES)
"""The lengths that a letter can have, in bytes: those of a mailbox's entries that hold an encapsulation."""

MAX_CONTENT: Final = LETTER_SIZES[-1] - SEAL_OVERHEAD - 2
"""The longest content of a letter in bytes (two bytes say how long it is)."""


def join_info(anchor: bytes) -> bytes:
    """Return the info of a join request. :param anchor: 32 bytes, names the invitation."""
    return b"tl1 join" + anchor


def reply_info(request_hash: bytes) -> bytes:
    """Return the info of the answer to the request with this hash (32 bytes)."""
    return b"tl1 reply" + request_hash


def lobby_info(lineage_id: bytes, segment_no: int) -> bytes:
    """Return the info of a letter to the coordinators in the lobby of a segment. :param lineage_id: 32 bytes."""
    return b"tl1 lobby" + lineage_id + segment_no.to_bytes(4, "big")


def lifeboat_info(lineage_id: bytes) -> bytes:
    """Return the info of a lifeboat, which is sealed inside of a message and not a letter (E16)."""
    return b"tl1 lifeboat" + lineage_id


def seal(public: bytes, info: bytes, plaintext: bytes) -> bytes:
    """Seal to an X-Wing key (1216 bytes), unpadded; the result is ``SEAL_OVERHEAD`` bytes longer.

    :raises DecodeError: ``public`` is no public key.
    """
    enc, ciphertext = XWING.seal(public, info, plaintext)
    return enc + ciphertext


def open_sealed(private: bytes, info: bytes, sealed: bytes) -> bytes:
    """Open what :func:`seal` made. :param private: the 32-byte seed.

    :raises DecodeError: too short. :raises AuthenticityError: not sealed to this key for this use, or changed.
    """
    return XWING.open(private, sealed[:ENC_BYTES], info, sealed[ENC_BYTES:])


def seal_letter(public: bytes, info: bytes, content: bytes) -> bytes:
    """Return a letter to an X-Wing key (1216 bytes); its length is the smallest of ``LETTER_SIZES`` that holds it.

    :raises UsageError: the content is longer than ``MAX_CONTENT``. :raises DecodeError: ``public`` is no public key.
    """
    size = letter_size(len(content))
    writer = Writer()
    writer.opaque(content)
    return seal(public, info, writer.getvalue().ljust(size - SEAL_OVERHEAD, b"\0"))


def letter_size(length: int) -> int:
    """Return how long a letter of ``length`` bytes of content is. :raises UsageError: no letter holds it."""
    if length > MAX_CONTENT:
        raise UsageError(f"a letter of {length} bytes is too long")
    writer = Writer()
    writer.varint(length)
    return next(size for size in LETTER_SIZES if size >= SEAL_OVERHEAD + len(writer) + length)


def open_letter(private: bytes, info: bytes, letter: bytes) -> bytes:
    """Return the content of a letter. :param private: the 32-byte seed of the key that it is sealed to.

    :raises DecodeError: it has another length than a letter, or the padding is not zero.
    :raises AuthenticityError: not sealed to this key for this use, or changed.
    """
    check_letter_size(letter)
    reader = Reader(open_sealed(private, info, letter))
    content = reader.opaque()
    check_letter_padding(reader)
    check_letter_smallest(letter, content)
    return content


def check_letter_size(letter: bytes) -> None:
    """Check that a letter has one of the fixed lengths. :raises DecodeError: it has another."""
    check_size(len(letter), LETTER_SIZES)


def check_letter_padding(reader: Reader) -> None:
    """Check that only zeros follow the content. :raises DecodeError: another byte does."""
    reader.expect_zeros()


def check_letter_smallest(letter: bytes, content: bytes) -> None:
    """Check that the letter is the shortest that holds its content. :raises DecodeError: it is longer."""
    if letter_size(len(content)) != len(letter):
        raise DecodeError("a letter is longer than its content needs")
