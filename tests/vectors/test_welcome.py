"""welcome.json: the Welcome opens, its GroupInfo is signed and confirmed; one of our own opens too."""

from __future__ import annotations

import pytest

from tertulia_protocol.codec import parse, serialize
from tertulia_protocol.mls.ciphersuite import SUITES
from tertulia_protocol.mls.key_package import KeyPackageBundle, key_package_ref, verify_key_package
from tertulia_protocol.mls.key_schedule import derive_epoch, verify_confirmation_tag
from tertulia_protocol.mls.mls_message import MLSMessage
from tertulia_protocol.mls.welcome import (
    NewMember,
    build_welcome,
    open_group_info,
    open_group_secrets,
    verify_group_info_signature,
)
from tests.support.vectors import load_vectors

CASES = 2
"""Of suites 1 and 3, one each."""


@pytest.fixture(scope="module")
def cases():
    return [case for case in load_vectors("welcome") if case["cipher_suite"] in SUITES]


def test_the_cases_of_our_suites_are_there(cases):
    assert [case["cipher_suite"] for case in cases] == [1, 3]
    assert len(cases) == CASES


def bundle_of(case) -> KeyPackageBundle:
    key_package = parse(MLSMessage, bytes.fromhex(case["key_package"])).body
    return KeyPackageBundle(
        key_package=key_package,
        init_private=bytes.fromhex(case["init_priv"]),
        encryption_private=b"",
        signature_private=b"",
    )


def open_welcome(case, welcome):
    suite, bundle = SUITES[case["cipher_suite"]], bundle_of(case)
    zero = bytes(suite.Nh)
    secrets = open_group_secrets(suite, welcome, bundle)
    info = open_group_info(suite, welcome, joiner_secret=secrets.joiner_secret, psk_secret=zero)
    verify_group_info_signature(suite, info, public_key=bytes.fromhex(case["signer_pub"]))
    epoch = derive_epoch(suite, joiner_secret=secrets.joiner_secret, psk_secret=zero, group_context=info.group_context)
    verify_confirmation_tag(
        suite,
        epoch.secrets.confirmation_key,
        info.group_context.confirmed_transcript_hash,
        info.confirmation_tag,
    )
    return secrets, info


def test_every_welcome_opens_and_is_confirmed(cases):
    for case in cases:
        welcome = parse(MLSMessage, bytes.fromhex(case["welcome"])).body
        secrets, _ = open_welcome(case, welcome)
        assert secrets.psks == ()
        verify_key_package(SUITES[case["cipher_suite"]], bundle_of(case).key_package, now=None)


def test_the_same_welcome_made_by_us_opens(cases):
    for case in cases:
        suite, bundle = SUITES[case["cipher_suite"]], bundle_of(case)
        secrets, info = open_welcome(case, parse(MLSMessage, bytes.fromhex(case["welcome"])).body)
        again = build_welcome(
            suite,
            group_info=info,
            joiner_secret=secrets.joiner_secret,
            psk_secret=bytes(suite.Nh),
            new_members=[NewMember(key_package=bundle.key_package, path_secret=secrets.path_secret)],
        )
        assert again.secrets[0].new_member == key_package_ref(suite, bundle.key_package)
        assert open_welcome(case, parse(type(again), serialize(again))) == (secrets, info)
