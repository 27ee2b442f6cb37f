from __future__ import annotations

import pytest

from tertulia_protocol.circle.letters import (
    ENC_BYTES,
    LETTER_SIZES,
    MAX_CONTENT,
    PUBLIC_BYTES,
    SEAL_OVERHEAD,
    join_info,
    lifeboat_info,
    lobby_info,
    open_letter,
    open_sealed,
    reply_info,
    seal,
    seal_letter,
)
from tertulia_protocol.circle.primitives import XWING
from tertulia_protocol.errors import AuthenticityError, DecodeError, InvalidMessageError, UsageError

PRIVATE = b"k" * 32
PUBLIC = XWING.kem.key_pair(PRIVATE).public
INFO = join_info(b"a" * 32)


def refuse(error: type[InvalidMessageError], letter: bytes, match: str | None = None) -> None:
    with pytest.raises(error, match=match) as raised:
        open_letter(PRIVATE, INFO, letter)
    assert raised.value.code == error.code


def test_lengths():
    assert (len(PUBLIC), ENC_BYTES, SEAL_OVERHEAD) == (PUBLIC_BYTES, 1120, 1136) == (1216, 1120, 1136)
    assert LETTER_SIZES == (4096, 16384)


@pytest.mark.parametrize(
    ("length", "size"),
    [
        (0, 4096),
        (63, 4096),
        (64, 4096),
        (4096 - 1136 - 2, 4096),
        (4096 - 1136 - 1, 16384),
        (MAX_CONTENT, 16384),
    ],
)
def test_a_letter_is_the_smallest_that_holds_it(length: int, size: int):
    letter = seal_letter(PUBLIC, INFO, b"x" * length)
    assert len(letter) == size
    assert open_letter(PRIVATE, INFO, letter) == b"x" * length


def test_what_no_letter_holds_is_not_sealed():
    with pytest.raises(UsageError):
        seal_letter(PUBLIC, INFO, bytes(MAX_CONTENT + 1))


def test_the_same_content_is_another_letter_each_time():
    assert seal_letter(PUBLIC, INFO, b"x") != seal_letter(PUBLIC, INFO, b"x")


def test_a_letter_of_another_length_is_refused():
    letter = seal_letter(PUBLIC, INFO, b"x")
    for changed in (letter[:-1], letter + b"\0", b"", letter[:1024]):
        refuse(DecodeError, changed, "fixed sizes")


def test_padding_that_is_not_zero_is_refused():
    refuse(DecodeError, seal(PUBLIC, INFO, b"\1x".ljust(4096 - 1136 - 1, b"\0") + b"\1"), "padding")


def test_a_letter_that_is_longer_than_it_must_be_is_refused():
    refuse(DecodeError, seal(PUBLIC, INFO, b"\1x".ljust(16384 - 1136, b"\0")), "longer")


@pytest.mark.parametrize("place", [0, 1100, 1119, 1120, 4095])
def test_a_changed_letter_does_not_open(place: int):
    letter = bytearray(seal_letter(PUBLIC, INFO, b"x"))
    letter[place] ^= 1
    refuse(AuthenticityError, bytes(letter))


def test_a_letter_for_another_use_does_not_open():
    uses = [
        join_info(b"a" * 32),
        join_info(b"b" * 32),
        reply_info(b"a" * 32),
        lobby_info(b"a" * 32, 0),
        lobby_info(b"a" * 32, 1),
        lifeboat_info(b"a" * 32),
    ]
    assert len(set(uses)) == len(uses)
    for use in uses[1:]:
        refuse(AuthenticityError, seal_letter(PUBLIC, use, b"x"))


def test_a_letter_to_somebody_else_does_not_open():
    refuse(AuthenticityError, seal_letter(XWING.kem.key_pair(b"o" * 32).public, INFO, b"x"))


def test_a_lifeboat_is_sealed_without_padding():
    sealed = seal(PUBLIC, lifeboat_info(b"l" * 32), b"a lifeboat")
    assert len(sealed) == SEAL_OVERHEAD + len(b"a lifeboat")
    assert open_sealed(PRIVATE, lifeboat_info(b"l" * 32), sealed) == b"a lifeboat"
    with pytest.raises(DecodeError):
        open_sealed(PRIVATE, INFO, sealed[:100])


def test_what_is_no_key_gets_no_letter():
    for key in (b"", PUBLIC[:-1], b"\xff" * 1216):
        with pytest.raises(DecodeError):
            seal_letter(key, INFO, b"x")
