"""The key of the database under the passphrase: a small JSON file beside it (docs/decisions/0005-the-store.md).

The database has a random 32-byte key. Argon2id turns the passphrase into a key that wraps it (XSalsa20-Poly1305), so
that changing the passphrase rewrites this file only. What the file says about Argon2id goes into the wrapping key:
nobody can change a word of it and have it still open. Bounds on the costs are checked *before* Argon2id runs: the
file cannot make this device spend more than :data:`HIGHEST`, nor be one that was made with less than the floor.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import unicodedata
from dataclasses import dataclass, field
from typing import Any, Self

from nacl.exceptions import CryptoError
from nacl.pwhash import argon2id
from nacl.secret import SecretBox

from tertulia.clock import Rng
from tertulia.errors import DamagedStoreError, NewerStoreError, WrongPassphraseError

FORMAT = "tertulia profile"
VERSION = 1
KEY_LENGTH = 32
SALT_LENGTH = 16
NONCE_LENGTH = 24
WRAP_LENGTH = NONCE_LENGTH + KEY_LENGTH + 16
MAX_FILE = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Argon2Cost:
    """What one guess at the passphrase costs."""

    memory_kib: int
    passes: int


PRODUCTION = Argon2Cost(memory_kib=256 * 1024, passes=3)
"""What profiles are made with, and the least that one is opened with unless a test says otherwise."""

HIGHEST = Argon2Cost(memory_kib=1024 * 1024, passes=10)
"""The most that a file can ask of this device."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFile:
    """The file's content. It holds no secret that the passphrase does not protect."""

    cost: Argon2Cost
    salt: bytes
    wrap: bytes = field(repr=False)

    @classmethod
    def build(cls, data_key: bytes, *, passphrase: str, cost: Argon2Cost, rng: Rng) -> Self:
        """Wrap ``data_key`` (32 bytes) under a passphrase. Takes as long as ``cost`` says."""
        salt = rng(SALT_LENGTH)
        box = SecretBox(_wrapping_key(passphrase, cost=cost, salt=salt))
        return cls(cost=cost, salt=salt, wrap=bytes(box.encrypt(data_key, rng(NONCE_LENGTH))))

    def open(self, passphrase: str, *, floor: Argon2Cost) -> bytes:
        """Return the data key (32 bytes).

        :raises DamagedStoreError: the costs are out of bounds. :raises WrongPassphraseError: it does not open.
        """
        check_floor(self.cost, floor)
        check_ceiling(self.cost)
        try:
            return bytes(SecretBox(_wrapping_key(passphrase, cost=self.cost, salt=self.salt)).decrypt(self.wrap))
        except CryptoError as error:
            raise WrongPassphraseError from error

    def to_json(self) -> bytes:
        """Return the file's bytes."""
        content = {
            "format": FORMAT,
            "version": VERSION,
            "kdf": "argon2id",
            "memory_kib": self.cost.memory_kib,
            "passes": self.cost.passes,
            "salt": base64.b64encode(self.salt).decode("ascii"),
            "wrap": base64.b64encode(self.wrap).decode("ascii"),
        }
        return json.dumps(content, indent=1).encode("ascii") + b"\n"

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Read the file's bytes. :raises DamagedStoreError: malformed. :raises NewerStoreError: a later version."""
        content = _load(data)
        check_version(content)
        try:
            return cls(
                cost=Argon2Cost(
                    memory_kib=_number(content["memory_kib"]),
                    passes=_number(content["passes"]),
                ),
                salt=_octets(content["salt"], SALT_LENGTH),
                wrap=_octets(content["wrap"], WRAP_LENGTH),
            )
        except (KeyError, TypeError, ValueError, binascii.Error) as error:
            raise DamagedStoreError("the key file has a field that is missing or malformed") from error


def check_floor(cost: Argon2Cost, floor: Argon2Cost) -> None:
    """Check that a file asks for no less than ``floor``. :raises DamagedStoreError: it does."""
    if cost.memory_kib < floor.memory_kib or cost.passes < floor.passes:
        raise DamagedStoreError("the key file asks for a weaker protection than this version allows")


def check_ceiling(cost: Argon2Cost) -> None:
    """Check that a file asks for no more than :data:`HIGHEST`. :raises DamagedStoreError: it does."""
    if cost.memory_kib > HIGHEST.memory_kib or cost.passes > HIGHEST.passes:
        raise DamagedStoreError("the key file asks for more memory or time than this version allows")


def check_version(content: dict[str, Any]) -> None:
    """Check that this version can read the file.

    :raises NewerStoreError: a later version made it. :raises DamagedStoreError: it is something else.
    """
    version = content.get("version")
    if content.get("format") != FORMAT or type(version) is not int or version < 1:
        raise DamagedStoreError("this is not the key file of a profile")
    if version > VERSION:
        raise NewerStoreError(f"key file version {version}")
    if content.get("kdf") != "argon2id":
        raise DamagedStoreError("the key file names another function than argon2id")


def prepared(passphrase: str) -> bytes:
    """Return a passphrase in bytes, the same from every keyboard (RFC 8265, OpaqueString: NFC, one kind of space)."""
    spaced = "".join(" " if unicodedata.category(sign) == "Zs" else sign for sign in passphrase)
    return unicodedata.normalize("NFC", spaced).encode("utf-8", "surrogatepass")


def _wrapping_key(passphrase: str, *, cost: Argon2Cost, salt: bytes) -> bytes:
    stretched = argon2id.kdf(
        KEY_LENGTH, prepared(passphrase), salt, opslimit=cost.passes, memlimit=cost.memory_kib * 1024
    )
    statement = f"{FORMAT}/{VERSION}/argon2id/{cost.memory_kib}/{cost.passes}".encode("ascii")
    return hashlib.blake2b(statement, key=stretched, digest_size=KEY_LENGTH, person=b"tl1 store wrap").digest()


def _load(data: bytes) -> dict[str, Any]:
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DamagedStoreError("the key file is not JSON") from error
    if not isinstance(content, dict):
        raise DamagedStoreError("the key file is not a JSON object")
    return content


def _number(value: object) -> int:
    if type(value) is not int or not 1 <= value < 1 << 32:
        raise ValueError("not a number in range")
    return value


def _octets(value: object, length: int) -> bytes:
    if not isinstance(value, str):
        raise TypeError("not a string")
    data = base64.b64decode(value, validate=True)
    if len(data) != length:
        raise ValueError("another length")
    return data
