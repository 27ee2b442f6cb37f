"""Leaf nodes and every rule of RFC 9420 section 7.3 that one leaf can break."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from tertulia_protocol.codec import parse, serialize
from tertulia_protocol.errors import AuthenticityError, DecodeError, RuleError, UnsupportedError
from tertulia_protocol.mls.ciphersuite import HYBRID, SUITES, X25519_AES128
from tertulia_protocol.mls.credential import BASIC, X509, Credential, basic_credential
from tertulia_protocol.mls.extensions import Capabilities, Extension, RequiredCapabilities
from tertulia_protocol.mls.leaf_node import (
    MAX_LIFETIME,
    LeafNode,
    LeafNodeSource,
    Lifetime,
    check_credential_understood,
    check_credentials_in_use,
    check_leaf,
    check_leaf_source,
    check_lifetime,
    check_lifetime_length,
    verify_leaf_signature,
)
from tertulia_protocol.mls.tree_math import LeafIndex
from tests.support.mls import LIFETIME, NOW, capabilities, make_bundle, seeded_rng
from tests.support.rebuild import rebuild

SUITE = X25519_AES128
SEED = seeded_rng("leaf")(32)
GROUP = b"a group"
INDEX = LeafIndex(7)
SOURCES = list(LeafNodeSource)


def make_leaf(source: LeafNodeSource = LeafNodeSource.KEY_PACKAGE, suite=SUITE, **changes) -> LeafNode:
    """A signed leaf; ``changes`` are made before it is signed."""
    in_package = source is LeafNodeSource.KEY_PACKAGE
    leaf = LeafNode(
        encryption_key=suite.generate_key_pair(seeded_rng("encryption")).public,
        signature_key=suite.signature_public_key(SEED),
        credential=basic_credential(b"ada"),
        capabilities=capabilities(suite),
        source=source,
        lifetime=LIFETIME if in_package else None,
        parent_hash=bytes(32) if source is LeafNodeSource.COMMIT else None,
    )
    where = {} if in_package else {"group_id": GROUP, "leaf_index": INDEX}
    return replace(leaf, **changes).sign(suite, SEED, **where)


def refuse(leaf: LeafNode, error: type[Exception] = RuleError, *, extensions=()) -> Exception:
    before = serialize(leaf)
    with pytest.raises(error) as caught:
        check_leaf(SUITE, leaf, source=leaf.source, extensions=extensions)
    assert serialize(leaf) == before
    return caught.value


@pytest.mark.parametrize("suite", SUITES.values(), ids=lambda suite: suite.name)
@pytest.mark.parametrize("source", SOURCES)
def test_a_good_leaf_is_read_again_and_accepted(source, suite):
    leaf = make_leaf(source, suite)
    again = parse(LeafNode, serialize(leaf))
    assert again == leaf
    assert serialize(rebuild(again)) == serialize(leaf)
    check_leaf(suite, again, source=source)
    verify_leaf_signature(suite, again, group_id=GROUP, leaf_index=INDEX)


def test_a_source_where_it_does_not_belong_is_refused():
    for source in SOURCES:
        for other in set(SOURCES) - {source}:
            with pytest.raises(RuleError) as caught:
                check_leaf_source(make_leaf(source), other)
            assert caught.value.rule == "RFC9420-7.3"
            with pytest.raises(RuleError):
                check_leaf(SUITE, make_leaf(source), source=other)


@pytest.mark.parametrize("value", [0, 4, 255])
def test_unknown_sources_are_refused(value):
    leaf = make_leaf(LeafNodeSource.UPDATE)
    data = serialize(leaf)
    place = data.index(serialize(leaf.capabilities)) + len(serialize(leaf.capabilities))
    assert data[place] == LeafNodeSource.UPDATE
    with pytest.raises(UnsupportedError):
        parse(LeafNode, data[:place] + bytes([value]) + data[place + 1 :])


@pytest.mark.parametrize(
    ("source", "changes"),
    [
        (LeafNodeSource.KEY_PACKAGE, {"lifetime": None}),
        (LeafNodeSource.KEY_PACKAGE, {"parent_hash": b""}),
        (LeafNodeSource.UPDATE, {"lifetime": LIFETIME}),
        (LeafNodeSource.UPDATE, {"parent_hash": b""}),
        (LeafNodeSource.COMMIT, {"lifetime": LIFETIME}),
        (LeafNodeSource.COMMIT, {"parent_hash": None}),
    ],
)
def test_a_field_that_does_not_belong_to_the_source_cannot_be_written(source, changes):
    with pytest.raises(ValueError, match="belongs to leaf nodes of"):
        serialize(replace(make_leaf(source), **changes))


class TestSignature:
    """RFC 9420 section 7.3: the signature holds, for this group and this place in it."""

    @pytest.mark.parametrize("source", SOURCES)
    def test_a_changed_leaf_is_refused(self, source):
        leaf = replace(make_leaf(source), credential=basic_credential(b"eve"))
        with pytest.raises(AuthenticityError) as caught:
            verify_leaf_signature(SUITE, leaf, group_id=GROUP, leaf_index=INDEX)
        assert caught.value.code == "message.authenticity"

    @pytest.mark.parametrize("source", SOURCES)
    def test_another_members_signature_is_refused(self, source):
        other = SUITE.signature_public_key(bytes(32))
        with pytest.raises(AuthenticityError):
            verify_leaf_signature(
                SUITE, replace(make_leaf(source), signature_key=other), group_id=GROUP, leaf_index=INDEX
            )

    @pytest.mark.parametrize("source", [LeafNodeSource.UPDATE, LeafNodeSource.COMMIT])
    @pytest.mark.parametrize(
        ("group_id", "leaf_index"), [(b"another group", INDEX), (GROUP, LeafIndex(8)), (None, None), (GROUP, None)]
    )
    def test_a_leaf_from_elsewhere_is_refused(self, source, group_id, leaf_index):
        with pytest.raises(AuthenticityError):
            verify_leaf_signature(SUITE, make_leaf(source), group_id=group_id, leaf_index=leaf_index)

    def test_no_leaf_is_signed_for_the_wrong_place(self):
        with pytest.raises(ValueError, match="belong to leaf nodes of updates"):
            make_leaf(LeafNodeSource.UPDATE).sign(SUITE, SEED)
        with pytest.raises(ValueError, match="belong to leaf nodes of updates"):
            make_leaf().sign(SUITE, SEED, group_id=GROUP, leaf_index=INDEX)

    def test_no_leaf_is_signed_with_an_extension_twice(self):
        with pytest.raises(RuleError):
            make_leaf(extensions=(Extension(0xFA11, b""), Extension(0xFA11, b"")))


def test_a_leaf_whose_keys_are_no_keys_of_the_suite_is_refused():
    refuse(replace(make_leaf(), encryption_key=bytes(31)), DecodeError)
    refuse(replace(make_leaf(), signature_key=bytes(31)), DecodeError)
    refuse(replace(make_leaf(), encryption_key=make_leaf(suite=HYBRID).encryption_key), DecodeError)


def test_a_leaf_that_lists_another_suite_or_version_is_refused():
    assert refuse(make_leaf(capabilities=replace(capabilities(SUITE), cipher_suites=(3,)))).rule == "RFC9420-7.2"
    assert refuse(make_leaf(capabilities=replace(capabilities(SUITE), versions=(2,)))).rule == "RFC9420-7.2"


def test_a_leaf_that_does_not_list_its_own_credential_is_refused():
    assert refuse(make_leaf(capabilities=replace(capabilities(SUITE), credentials=(X509,)))).rule == "RFC9420-7.3"


def test_a_leaf_with_a_credential_that_nobody_here_can_judge_is_refused():
    both = replace(capabilities(SUITE), credentials=(BASIC, X509))
    refuse(make_leaf(credential=Credential(X509, b"\x00"), capabilities=both), UnsupportedError)


def test_a_leaf_with_an_extension_that_it_does_not_list_is_refused():
    carried = (Extension(0xFA11, b""),)
    check_leaf(
        SUITE,
        make_leaf(extensions=carried, capabilities=capabilities(SUITE, extensions=(0xFA11,))),
        source=LeafNodeSource.KEY_PACKAGE,
    )
    assert refuse(make_leaf(extensions=carried)).rule == "RFC9420-7.3"


@pytest.mark.parametrize(
    "required",
    [
        RequiredCapabilities(extensions=(0xFA11,)),
        RequiredCapabilities(proposals=(0x0A0A,)),
        RequiredCapabilities(credentials=(X509,)),
    ],
)
def test_a_leaf_without_a_required_capability_is_refused(required):
    able = Capabilities(cipher_suites=(SUITE.id,), extensions=(0xFA11,), proposals=(0x0A0A,), credentials=(BASIC, X509))
    group = (required.extension(),)
    check_leaf(SUITE, make_leaf(capabilities=able), source=LeafNodeSource.KEY_PACKAGE, extensions=group)
    assert refuse(make_leaf(), extensions=group).rule == "RFC9420-7.3"


def test_a_leaf_that_does_not_support_an_extension_of_the_group_is_refused():
    group = (Extension(0xFA10, b"charter"),)
    able = make_leaf(capabilities=capabilities(SUITE, extensions=(0xFA10,)))
    check_leaf(SUITE, able, source=LeafNodeSource.KEY_PACKAGE, extensions=group)
    assert refuse(make_leaf(), extensions=group).rule == "RFC9420-13.4"


def test_a_leaf_that_does_not_support_the_credentials_in_use_is_refused():
    check_credentials_in_use(make_leaf(), [BASIC, BASIC])
    with pytest.raises(RuleError):
        check_credentials_in_use(make_leaf(), [BASIC, X509])


def test_a_leaf_whose_credential_a_member_does_not_support_is_refused():
    check_credential_understood(make_leaf(), [BASIC])
    with pytest.raises(RuleError):
        check_credential_understood(make_leaf(), [X509])


class TestLifetime:
    """RFC 9420 section 7.2: only where a key package is received."""

    @pytest.mark.parametrize("now", [LIFETIME.not_before, NOW, LIFETIME.not_after])
    def test_within(self, now):
        check_lifetime(make_leaf(), now)

    @pytest.mark.parametrize("now", [0, LIFETIME.not_before - 1, LIFETIME.not_after + 1, 2**64])
    def test_outside(self, now):
        with pytest.raises(RuleError) as caught:
            check_lifetime(make_leaf(), now)
        assert caught.value.rule == "RFC9420-7.3"

    @pytest.mark.parametrize("check", [lambda leaf: check_lifetime(leaf, NOW), check_lifetime_length])
    def test_a_leaf_without_one_is_refused(self, check):
        with pytest.raises(RuleError):
            check(make_leaf(LeafNodeSource.UPDATE))

    def test_too_long(self):
        longest = Lifetime(not_before=NOW, not_after=NOW + MAX_LIFETIME)
        check_lifetime_length(make_leaf(lifetime=longest))
        with pytest.raises(RuleError):
            check_lifetime_length(make_leaf(lifetime=replace(longest, not_after=NOW + MAX_LIFETIME + 1)))


def test_a_repr_shows_no_signature_and_the_bundle_no_private_key():
    bundle = make_bundle(SUITE, "ada")
    for secret in (bundle.init_private, bundle.encryption_private, bundle.signature_private):
        assert repr(secret) not in repr(bundle)
        assert secret.hex() not in repr(bundle)


def test_long_lists_cost_no_more_than_their_length():
    """Both lists come from a stranger: looked up one by one, a leaf of 225 KB kept everybody busy for seconds."""
    kinds = range(100, 45_100)
    empty = tuple(Extension(kind, b"") for kind in reversed(kinds))
    leaf = make_leaf(extensions=empty, capabilities=replace(capabilities(SUITE), extensions=tuple(kinds)))
    required = RequiredCapabilities(extensions=tuple(reversed(kinds))).extension()
    start = time.process_time()
    check_leaf(SUITE, leaf, source=LeafNodeSource.KEY_PACKAGE, extensions=(required, *empty))
    assert time.process_time() - start < 1
