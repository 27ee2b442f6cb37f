from __future__ import annotations

import pytest

from tertulia_protocol.circle import sas
from tertulia_protocol.circle.sas import first_numbers, sas_numbers


def test_the_numbers_are_those_of_the_protocol():
    """Computed once with another implementation of Argon2id (argon2-cffi 25.1.0), from the text of the protocol."""
    assert sas_numbers(b"a" * 32, b"a request") == (1406, 1891, 331, 451)


def test_44_bits_are_four_numbers_of_11():
    bits = "10000000001" + "00000000010" + "11111111111" + "00000000000" + "1111"
    digest = int(bits, 2).to_bytes(6, "big") + b"\xff" * 10
    assert first_numbers(digest) == (1025, 2, 2047, 0)
    assert first_numbers(bytes(16)) == (0, 0, 0, 0)


@pytest.mark.parametrize(("anchor", "sent"), [(b"b" * 32, b"a request"), (b"a" * 32, b"a reques"), (b"a" * 32, b"")])
def test_everything_that_was_sent_counts(monkeypatch: pytest.MonkeyPatch, anchor: bytes, sent: bytes):
    """With the hash made cheap, which changes the numbers but not what they depend on."""
    monkeypatch.setattr(sas, "MEMORY", 8192)
    assert sas_numbers(anchor, sent) != sas_numbers(b"a" * 32, b"a request")
