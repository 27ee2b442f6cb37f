"""The X-Wing and hpke-pq vectors for ML-KEM-768 with X25519.

The library draws an encapsulation's randomness itself, so the vectors' own encapsulations are opened: the shared
secret that the vector states is run through the key schedule of HPKE here, what it encrypts must open.
"""

from __future__ import annotations

import hashlib
import hmac

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.hpke import AEAD, KDF, Suite

from tertulia_protocol.errors import AuthenticityError
from tertulia_protocol.mls.ciphersuite import HYBRID
from tertulia_protocol.mls.hpke import MLKEM768_X25519, Hpke
from tests.support.vectors import load_vectors

XWING_CASES = 3
HPKE_CASES = 2
ENCRYPTIONS = 20
PLAINTEXT = b"what an encapsulation of the vectors carries"


def key_schedule(shared: bytes, info: bytes, kdf: int, aead: int) -> tuple[bytes, bytes]:
    """RFC 9180 section 5.1 and draft-ietf-hpke-hpke (one-stage KDF) in base mode: key and base nonce."""
    length = 16 if aead == 1 else 32
    suite_id = b"HPKE" + b"".join(part.to_bytes(2, "big") for part in (MLKEM768_X25519.id, kdf, aead))
    if kdf == 1:

        def extract(salt: bytes, label: bytes, ikm: bytes) -> bytes:
            return hmac.digest(salt, b"HPKE-v1" + suite_id + label + ikm, "sha256")

        context = b"\0" + extract(b"", b"psk_id_hash", b"") + extract(b"", b"info_hash", info)
        secret = extract(shared, b"secret", b"")

        def expand(label: bytes, size: int) -> bytes:
            labeled = size.to_bytes(2, "big") + b"HPKE-v1" + suite_id + label + context
            return hmac.digest(secret, labeled + b"\x01", "sha256")[:size]

        return expand(b"key", length), expand(b"base_nonce", 12)

    def prefixed(data: bytes) -> bytes:
        return len(data).to_bytes(2, "big") + data

    secrets = prefixed(b"") + prefixed(shared)
    size = length + 12 + 64
    context = b"\0" + prefixed(b"") + prefixed(info)
    labeled = secrets + b"HPKE-v1" + suite_id + prefixed(b"secret") + size.to_bytes(2, "big") + context
    out = hashlib.shake_256(labeled).digest(size)
    return out[:length], out[length : length + 12]


def seal(aead: int, key: bytes, nonce: bytes, plaintext: bytes, aad: bytes = b"") -> bytes:
    return (AESGCM if aead == 1 else ChaCha20Poly1305)(key).encrypt(nonce, plaintext, aad)


def test_xwing():
    cases = load_vectors("xwing-test-vectors")
    assert len(cases) == XWING_CASES
    for case in cases:
        values = {name: bytes.fromhex(value) for name, value in case.items()}
        assert HYBRID.public_key(values["sk"]) == values["pk"]
        HYBRID.check_hpke_public_key(values["pk"])
        key, nonce = key_schedule(values["ss"], b"info", 1, 1)
        ciphertext = seal(1, key, nonce, PLAINTEXT)
        assert HYBRID.hpke_open(values["sk"], values["ct"], b"info", ciphertext) == PLAINTEXT
        with pytest.raises(AuthenticityError):
            HYBRID.hpke_open(values["sk"], values["ct"], b"another", ciphertext)


def test_hpke_pq():
    cases = [case for case in load_vectors("hpke-pq-test-vectors") if case["kem_id"] == MLKEM768_X25519.id]
    assert len(cases) == HPKE_CASES
    assert sum(len(case["encryptions"]) for case in cases) == ENCRYPTIONS
    for case in cases:
        values = {name: bytes.fromhex(value) for name, value in case.items() if isinstance(value, str)}
        pair = MLKEM768_X25519.derive_key_pair(values["ikmR"])
        assert (pair.private, pair.public) == (values["skRm"], values["pkRm"])

        key, base_nonce = key_schedule(values["shared_secret"], values["info"], case["kdf_id"], case["aead_id"])
        assert (key, base_nonce) == (values["key"], values["base_nonce"])
        check_encryptions(case, key, base_nonce)

        kdf = KDF.HKDF_SHA256 if case["kdf_id"] == 1 else KDF.SHAKE256
        hpke = Hpke(MLKEM768_X25519, Suite(MLKEM768_X25519.backend, kdf, AEAD.CHACHA20_POLY1305))
        ciphertext = seal(case["aead_id"], key, base_nonce, PLAINTEXT)
        assert hpke.open(pair.private, values["enc"], values["info"], ciphertext) == PLAINTEXT


def check_encryptions(case, key: bytes, base_nonce: bytes) -> None:
    """The vector's messages have associated data, which one-shot HPKE has not: only the keys under them are ours."""
    for sequence, message in enumerate(case["encryptions"]):
        values = {name: bytes.fromhex(value) for name, value in message.items()}
        nonce = (int.from_bytes(base_nonce, "big") ^ sequence).to_bytes(12, "big")
        assert nonce == values["nonce"]
        assert seal(case["aead_id"], key, nonce, values["pt"], values["aad"]) == values["ct"]
        with pytest.raises(InvalidTag):
            ChaCha20Poly1305(key).decrypt(nonce, values["ct"], b"")
