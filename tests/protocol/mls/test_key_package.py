"""Key packages and every rule of RFC 9420 section 10.1."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tertulia_protocol.codec import parse, serialize
from tertulia_protocol.errors import AuthenticityError, DecodeError, InvalidMessageError, RuleError, UnsupportedError
from tertulia_protocol.mls.ciphersuite import SUITES, X25519_AES128, X25519_CHACHA20
from tertulia_protocol.mls.extensions import Extension
from tertulia_protocol.mls.key_package import KeyPackage, KeyPackageBundle, key_package_ref, verify_key_package
from tertulia_protocol.mls.leaf_node import LeafNodeSource, Lifetime
from tests.support.mls import LIFETIME, NOW, capabilities, make_bundle
from tests.support.rebuild import rebuild

SUITE = X25519_AES128
BUNDLE = make_bundle(SUITE, "ada")
GOOD = BUNDLE.key_package
SEED = BUNDLE.signature_private


def signed(**changes) -> KeyPackage:
    """A key package that was changed by its own owner."""
    return replace(GOOD, **changes).sign(SUITE, SEED)


def with_leaf(**changes) -> KeyPackage:
    return signed(leaf_node=replace(GOOD.leaf_node, **changes).sign(SUITE, SEED))


def refuse(key_package: KeyPackage, error: type[InvalidMessageError] = RuleError, now: int | None = NOW):
    before = serialize(key_package)
    with pytest.raises(error) as caught:
        verify_key_package(SUITE, key_package, now=now)
    assert serialize(key_package) == before
    return caught.value


@pytest.mark.parametrize("suite", SUITES.values(), ids=lambda suite: suite.name)
def test_a_good_key_package_is_read_again_and_accepted(suite):
    bundle = make_bundle(suite, "ada")
    again = parse(KeyPackageBundle, serialize(bundle))
    assert again == bundle
    assert serialize(rebuild(again)) == serialize(bundle)
    verify_key_package(suite, again.key_package, now=NOW)
    verify_key_package(suite, again.key_package, now=None)
    assert suite.public_key(again.init_private) == again.key_package.init_key
    assert suite.public_key(again.encryption_private) == again.key_package.leaf_node.encryption_key


def test_a_reference_names_one_key_package():
    assert len(key_package_ref(SUITE, GOOD)) == SUITE.Nh
    assert key_package_ref(SUITE, GOOD) == key_package_ref(SUITE, rebuild(GOOD))
    assert key_package_ref(SUITE, GOOD) != key_package_ref(SUITE, signed(extensions=(Extension(1, b""),)))


def test_another_cipher_suite_is_refused():
    assert refuse(signed(cipher_suite=X25519_CHACHA20.id)).rule == "RFC9420-10.1"


def test_another_version_cannot_be_read():
    with pytest.raises(UnsupportedError):
        parse(KeyPackage, b"\x00\x02" + serialize(GOOD)[2:])


def test_an_init_key_that_is_no_key_is_refused():
    refuse(signed(init_key=bytes(31)), DecodeError)
    refuse(signed(init_key=b""), DecodeError)


def test_an_init_key_that_is_also_the_leafs_is_refused():
    assert refuse(signed(init_key=GOOD.leaf_node.encryption_key)).rule == "RFC9420-10.1"


def test_an_extension_that_the_leaf_does_not_list_is_refused():
    assert refuse(signed(extensions=(Extension(0xFA11, b""),))).rule == "RFC9420-13.4"
    able = make_bundle(
        SUITE,
        "ada",
        extensions=(Extension(0xFA11, b""),),
        supports=capabilities(SUITE, extensions=(0xFA11,)),
    )
    verify_key_package(SUITE, able.key_package, now=NOW)


def test_an_extension_twice_cannot_be_read_or_signed():
    twice = (Extension(1, b""), Extension(1, b""))
    with pytest.raises(RuleError):
        parse(KeyPackage, serialize(replace(GOOD, extensions=twice)))
    with pytest.raises(RuleError):
        signed(extensions=twice)


def test_a_changed_key_package_is_refused():
    other = make_bundle(SUITE, "eve").key_package
    refuse(replace(GOOD, init_key=other.init_key), AuthenticityError)
    refuse(replace(GOOD, signature=other.signature), AuthenticityError)
    refuse(replace(GOOD, signature=b""), AuthenticityError)


def test_a_leaf_that_is_not_its_own_is_refused():
    forged = replace(GOOD.leaf_node, credential=make_bundle(SUITE, "eve").key_package.leaf_node.credential)
    refuse(signed(leaf_node=forged), AuthenticityError)


def test_a_leaf_of_another_source_is_refused():
    leaf = replace(GOOD.leaf_node, source=LeafNodeSource.UPDATE, lifetime=None)
    assert refuse(signed(leaf_node=leaf), now=None).rule == "RFC9420-7.3"


def test_a_leaf_that_is_not_consistent_is_refused():
    refuse(with_leaf(capabilities=capabilities(X25519_CHACHA20)))
    refuse(with_leaf(extensions=(Extension(0xFA11, b""),)))


def test_a_lifetime_counts_only_when_a_key_package_is_received():
    late = LIFETIME.not_after + 1
    assert refuse(GOOD, now=late).rule == "RFC9420-7.3"
    verify_key_package(SUITE, GOOD, now=None)
    assert refuse(with_leaf(lifetime=Lifetime(not_before=0, not_after=2**64 - 1))).rule == "RFC9420-7.2"
    assert refuse(with_leaf(lifetime=Lifetime(not_before=NOW + 1, not_after=NOW - 1))).rule == "RFC9420-7.3"


def test_nobody_makes_a_key_package_that_others_refuse():
    with pytest.raises(RuleError):
        make_bundle(SUITE, "ada", leaf_extensions=(Extension(0xFA11, b""),))
    with pytest.raises(RuleError):
        make_bundle(SUITE, "ada", supports=capabilities(X25519_CHACHA20))
