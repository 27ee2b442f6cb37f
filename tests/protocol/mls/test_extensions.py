"""Credentials, extensions and capabilities, and what they refuse."""

from __future__ import annotations

import pytest

from tertulia_protocol.codec import Reader, parse, serialize
from tertulia_protocol.errors import DecodeError, RuleError, UnsupportedError
from tertulia_protocol.mls.credential import BASIC, X509, Credential, basic_credential
from tertulia_protocol.mls.extensions import (
    MLS10,
    Capabilities,
    Extension,
    ExtensionType,
    RequiredCapabilities,
    check_version,
    find_extension,
    find_required_capabilities,
    read_extensions,
)
from tests.support.rebuild import rebuild


def test_a_basic_credential_writes_itself_as_it_was_read():
    assert serialize(basic_credential(b"ada")) == bytes.fromhex("0001 03 616461")
    assert parse(Credential, bytes.fromhex("0001 03 616461")).identity == b"ada"


def test_an_x509_credential_is_kept_but_has_no_identity():
    data = bytes.fromhex("0002 05 02aabb 01cc")
    credential = parse(Credential, data)
    assert credential.type == X509
    assert serialize(rebuild(credential)) == data
    with pytest.raises(UnsupportedError):
        _ = credential.identity


@pytest.mark.parametrize("data", ["0002 02 03aa", "0002 01 40", "0001 4001 61", "0001 02 61", "00", "0001 01 61 62"])
def test_malformed_credentials_are_refused(data):
    with pytest.raises(DecodeError):
        parse(Credential, bytes.fromhex(data))


@pytest.mark.parametrize("kind", [0x0000, 0x0003, 0x0A0A, 0xF000])
def test_credentials_of_unknown_types_are_refused(kind):
    with pytest.raises(UnsupportedError) as caught:
        parse(Credential, kind.to_bytes(2, "big") + b"\x01a")
    assert caught.value.code == "message.unsupported"


def test_an_extension_is_found_by_its_type():
    extensions = (Extension(0xFA11, b"one"), Extension(0xFA12, b"two"))
    assert find_extension(extensions, 0xFA12) == b"two"
    assert find_extension(extensions, 0xFA13) is None


def test_a_list_with_a_type_twice_is_refused():
    one, same = serialize(Extension(0xFA11, b"one")), serialize(Extension(0xFA11, b"two"))
    assert len(read_extensions(Reader(bytes([len(one)]) + one))) == 1
    with pytest.raises(RuleError) as caught:
        read_extensions(Reader(bytes([len(one) + len(same)]) + one + same))
    assert caught.value.rule == "RFC9420-13.4"


def test_capabilities_write_themselves_as_they_were_read():
    value = Capabilities(cipher_suites=(1, 0x004F), extensions=(0xFA11,), proposals=(), credentials=(BASIC, 0x0A0A))
    data = bytes.fromhex("020001 040001004f 02fa11 00 0400010a0a")
    assert serialize(value) == data
    assert parse(Capabilities, data) == value


@pytest.mark.parametrize("data", ["01 00", "03 000100", "02 0001 00 00 00", "40 02 0001 00 00 00 00"])
def test_malformed_capabilities_are_refused(data):
    with pytest.raises(DecodeError):
        parse(Capabilities, bytes.fromhex(data))


def test_default_types_are_supported_without_being_listed():
    value = Capabilities(extensions=(0xFA11,), proposals=(0x0A0A,))
    assert all(value.supports_extension(kind) for kind in (1, 2, 3, 4, 5, 0xFA11))
    assert not value.supports_extension(0xFA12)
    assert value.unsupported_proposals((1, 2, 3, 4, 5, 6, 7, 8, 0x0A0A)) == {8}


def test_required_capabilities_are_found_and_default_to_none():
    required = RequiredCapabilities(extensions=(0xFA11,), credentials=(BASIC,))
    assert required.extension().type == ExtensionType.REQUIRED_CAPABILITIES
    assert find_required_capabilities((Extension(0xFA11, b""), required.extension())) == required
    assert find_required_capabilities((Extension(0xFA11, b""),)) == RequiredCapabilities()
    with pytest.raises(DecodeError):
        find_required_capabilities((Extension(ExtensionType.REQUIRED_CAPABILITIES, b"\x00"),))


def test_versions_other_than_mls10_are_refused():
    check_version(MLS10)
    for version in (0, 2, 200):
        with pytest.raises(UnsupportedError):
            check_version(version)


def test_what_is_not_supported_is_found():
    value = Capabilities(extensions=(0xFA11,), proposals=(0x0A0A,))
    assert value.unsupported_extensions((1, 5, 0xFA11, 0xFA12, 0)) == {0xFA12, 0}
    assert value.unsupported_proposals((1, 7, 0x0A0A, 8)) == {8}
