"""The key under the passphrase: it opens with that passphrase alone, and the file cannot be bent."""

from __future__ import annotations

import json

import pytest

from tertulia.errors import DamagedStoreError, NewerStoreError, WrongPassphraseError
from tertulia.store import keyfile
from tertulia.store.keyfile import HIGHEST, PRODUCTION, Argon2Cost, KeyFile
from tests.support.stores import CHEAP
from tests.support.virtual_clock import SeededRng

DATA_KEY = bytes(range(32))
PASSPHRASE = "six words are easy to remember"  # noqa: S105 - of tests


def made(passphrase: str = PASSPHRASE, cost: Argon2Cost = CHEAP) -> KeyFile:
    return KeyFile.build(DATA_KEY, passphrase=passphrase, cost=cost, rng=SeededRng("key file"))


def changed(**fields: object) -> bytes:
    return json.dumps({**json.loads(made().to_json()), **fields}).encode()


def test_a_passphrase_opens_what_it_wrapped():
    assert KeyFile.from_json(made().to_json()).open(PASSPHRASE, floor=CHEAP) == DATA_KEY


def test_production_costs_are_those_of_the_paper():
    assert Argon2Cost(memory_kib=256 * 1024, passes=3) == PRODUCTION
    assert made(cost=PRODUCTION).open(PASSPHRASE, floor=PRODUCTION) == DATA_KEY


@pytest.mark.parametrize("wrong", ["", PASSPHRASE + " ", PASSPHRASE.upper(), PASSPHRASE[:-1]])
def test_another_passphrase_does_not(wrong):
    with pytest.raises(WrongPassphraseError) as caught:
        made().open(wrong, floor=CHEAP)
    assert caught.value.code == "passphrase.wrong"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("caf\u00e9 au lait", "cafe\u0301 au lait"),
        ("mot de\u00a0passe", "mot de passe"),
        ("\u0623\u0628", "\u0627\u0654\u0628"),
    ],
)
def test_every_keyboard_writes_the_same_passphrase(one, other):
    assert made(one).open(other, floor=CHEAP) == DATA_KEY


def test_two_files_of_one_key_and_passphrase_share_nothing():
    one = KeyFile.build(DATA_KEY, passphrase=PASSPHRASE, cost=CHEAP, rng=SeededRng(1))
    two = KeyFile.build(DATA_KEY, passphrase=PASSPHRASE, cost=CHEAP, rng=SeededRng(2))
    assert one.salt != two.salt
    assert one.wrap != two.wrap


@pytest.mark.parametrize(
    "cost", [Argon2Cost(memory_kib=PRODUCTION.memory_kib - 1, passes=3), Argon2Cost(memory_kib=1 << 18, passes=2)]
)
def test_a_file_with_weaker_costs_is_refused(cost):
    """Else whoever can write the file could have a later change of the passphrase protect nothing."""
    weak = KeyFile(cost=cost, salt=bytes(16), wrap=bytes(keyfile.WRAP_LENGTH))
    with pytest.raises(DamagedStoreError) as caught:
        weak.open(PASSPHRASE, floor=PRODUCTION)
    assert caught.value.code == "store.damaged"


@pytest.mark.parametrize(
    "cost",
    [Argon2Cost(memory_kib=HIGHEST.memory_kib + 1, passes=1), Argon2Cost(memory_kib=8, passes=HIGHEST.passes + 1)],
)
def test_a_file_that_asks_for_too_much_is_refused_before_anything_is_computed(cost, monkeypatch):
    monkeypatch.setattr(keyfile.argon2id, "kdf", lambda *_args, **_options: pytest.fail("computed"))
    bomb = KeyFile(cost=cost, salt=bytes(16), wrap=bytes(keyfile.WRAP_LENGTH))
    with pytest.raises(DamagedStoreError) as caught:
        bomb.open(PASSPHRASE, floor=CHEAP)
    assert caught.value.code == "store.damaged"


def test_the_costs_are_part_of_the_key(monkeypatch):
    """A file whose costs were changed does not open, even if the slow function gave the same."""
    monkeypatch.setattr(keyfile.argon2id, "kdf", lambda *_args, **_options: bytes(32))
    file = KeyFile.from_json(made().to_json())
    assert file.open(PASSPHRASE, floor=CHEAP) == DATA_KEY
    with pytest.raises(WrongPassphraseError):
        KeyFile(cost=Argon2Cost(memory_kib=9, passes=1), salt=file.salt, wrap=file.wrap).open(PASSPHRASE, floor=CHEAP)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b"[" * 4000,
        b"{}",
        changed(format="other"),
        changed(version=0),
        changed(version="1"),
        changed(version=True),
        changed(kdf="pbkdf2"),
        changed(memory_kib=0),
        changed(memory_kib=-1),
        changed(memory_kib=1 << 40),
        changed(memory_kib=8.0),
        changed(memory_kib="8"),
        changed(passes=None),
        changed(salt="AAAA"),
        changed(salt=1),
        changed(salt="!"),
        changed(wrap="AAAA"),
        changed(wrap="\u00e9"),
    ],
    ids=range(22),
)
def test_a_damaged_file_is_told_as_such(data):
    with pytest.raises(DamagedStoreError) as caught:
        KeyFile.from_json(data)
    assert caught.value.code == "store.damaged"


@pytest.mark.parametrize("name", ["memory_kib", "passes", "salt", "wrap", "kdf", "format", "version"])
def test_no_field_can_be_left_out(name):
    content = json.loads(made().to_json())
    del content[name]
    with pytest.raises(DamagedStoreError):
        KeyFile.from_json(json.dumps(content).encode())


def test_a_later_version_is_told_as_such():
    with pytest.raises(NewerStoreError) as caught:
        KeyFile.from_json(changed(version=2))
    assert caught.value.code == "store.newer"


def test_nothing_secret_is_shown():
    file = made()
    assert file.wrap.hex() not in repr(file)
    assert repr(file.wrap) not in repr(file)
