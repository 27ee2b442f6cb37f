"""The committed corpus of the fuzzers, replayed without one."""

from __future__ import annotations

import pytest

from tertulia_protocol.codec import Reader, Writer
from tests.fuzz.targets import CORPUS, FindingError, find_structs, find_targets, read_corpus, struct_target

TARGETS = find_targets()


@pytest.mark.parametrize("name", TARGETS)
def test_replay(name: str):
    target = TARGETS[name]
    target(b"")
    corpus = read_corpus(name)
    accepted = [data for data in corpus if target(data)]
    for data in accepted:
        if name.startswith("frame."):
            assert not target(data + b"\0")
        else:
            # Every prefix must be refused cleanly or be a value of its own; bytes that follow never are part of one.
            for end in range(len(data)):
                target(data[:end])
            assert not (target(data + b"\0") and target(data + b"\1") and target(data + b"\xff"))


def test_every_struct_of_the_relay_contract_is_found():
    names = find_structs().keys()
    assert {"relay_api.requests.Request", "relay_api.responses.Response", "relay_api.records.SignedHead"} <= names
    assert "codec.Struct" not in names


def test_every_file_of_the_corpus_has_a_target_and_an_accepted_input():
    for path in CORPUS.glob("*.txt"):
        assert path.stem in TARGETS
        assert any(TARGETS[path.stem](data) for data in read_corpus(path.stem)), path


class Lax:
    """A struct that accepts two encodings of one value."""

    @classmethod
    def decode(cls, reader: Reader) -> Lax:
        reader.u8()
        return cls()

    def encode(self, writer: Writer) -> None:
        writer.u8(0)


class Crashing:
    @classmethod
    def decode(cls, reader: Reader) -> Crashing:
        return {0: cls}[reader.u8()]()

    def encode(self, writer: Writer) -> None:
        writer.u8(0)


def test_a_second_encoding_is_a_finding():
    assert struct_target(Lax)(b"\0")
    with pytest.raises(FindingError):
        struct_target(Lax)(b"\1")


def test_another_exception_is_a_finding():
    with pytest.raises(KeyError):
        struct_target(Crashing)(b"\1")
