"""crypto-basics: everything that is labelled, for suites 1 and 3; the ways in which the library cannot be fed wrong."""

from __future__ import annotations

import pytest

from tertulia_protocol.mls.ciphersuite import SUITES, CipherSuite
from tertulia_protocol.mls.labeled import (
    HPKECiphertext,
    decrypt_with_label,
    derive_secret,
    derive_tree_secret,
    encrypt_with_label,
    expand_with_label,
    ref_hash,
    sign_with_label,
    verify_with_label,
)
from tests.support.vectors import load_vectors

CASES = 2


def unhex(fields: dict[str, str | int]) -> dict[str, bytes]:
    return {name: bytes.fromhex(value) for name, value in fields.items() if name != "label" and isinstance(value, str)}


@pytest.fixture(scope="module")
def cases():
    return [
        (SUITES[case["cipher_suite"]], case) for case in load_vectors("crypto-basics") if case["cipher_suite"] in SUITES
    ]


def test_the_number_of_cases(cases):
    assert len(cases) == CASES


def test_ref_hash(cases):
    for suite, case in cases:
        fields = unhex(case["ref_hash"])
        assert ref_hash(suite, case["ref_hash"]["label"].encode(), fields["value"]) == fields["out"]


def test_expand_with_label(cases):
    for suite, case in cases:
        fields, given = unhex(case["expand_with_label"]), case["expand_with_label"]
        out = expand_with_label(suite, fields["secret"], given["label"], fields["context"], given["length"])
        assert out == fields["out"]


def test_derive_secret(cases):
    for suite, case in cases:
        fields = unhex(case["derive_secret"])
        assert derive_secret(suite, fields["secret"], case["derive_secret"]["label"]) == fields["out"]


def test_derive_tree_secret(cases):
    for suite, case in cases:
        fields, given = unhex(case["derive_tree_secret"]), case["derive_tree_secret"]
        out = derive_tree_secret(suite, fields["secret"], given["label"], given["generation"], given["length"])
        assert out == fields["out"]


def test_sign_with_label(cases):
    for suite, case in cases:
        fields, label = unhex(case["sign_with_label"]), case["sign_with_label"]["label"]
        assert suite.signature_public_key(fields["priv"]) == fields["pub"]
        verify_with_label(suite, fields["pub"], label, fields["content"], fields["signature"])
        assert sign_with_label(suite, fields["priv"], label, fields["content"]) == fields["signature"]


def test_encrypt_with_label(cases):
    for suite, case in cases:
        fields, label = unhex(case["encrypt_with_label"]), case["encrypt_with_label"]["label"]
        assert suite.public_key(fields["priv"]) == fields["pub"]
        known = HPKECiphertext(fields["kem_output"], fields["ciphertext"])
        opened = decrypt_with_label(suite, fields["priv"], label, fields["context"], known)
        assert opened == fields["plaintext"]
        ours = encrypt_with_label(suite, fields["pub"], label, fields["context"], fields["plaintext"])
        assert ours != known
        assert decrypt_with_label(suite, fields["priv"], label, fields["context"], ours) == fields["plaintext"]


def test_suites_are_told_apart(cases):
    one, other = (suite for suite, _ in cases)
    assert isinstance(one, CipherSuite)
    assert (one.aead.key_length, other.aead.key_length) == (16, 32)
