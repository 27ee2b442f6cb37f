"""MLSMessage: every body keeps its form, and no bytes do anything but parse or be refused."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tertulia_protocol.codec import parse, serialize
from tertulia_protocol.errors import InvalidMessageError
from tertulia_protocol.mls.ciphersuite import X25519_AES128
from tertulia_protocol.mls.commit import Commit
from tertulia_protocol.mls.extensions import Extension
from tertulia_protocol.mls.framing import (
    ContentType,
    FramedContent,
    FramedContentAuthData,
    PrivateMessage,
    PublicMessage,
    WireFormat,
    member,
)
from tertulia_protocol.mls.group_context import GroupContext
from tertulia_protocol.mls.labeled import HPKECiphertext
from tertulia_protocol.mls.mls_message import MLSMessage
from tertulia_protocol.mls.proposals import Add, ProposalOrRef, Remove
from tertulia_protocol.mls.tree_math import LeafIndex
from tertulia_protocol.mls.welcome import EncryptedGroupSecrets, GroupInfo, Welcome
from tests.fuzz.targets import struct_target
from tests.support.mls import make_bundle
from tests.support.rebuild import rebuild

KEY_PACKAGE = make_bundle(X25519_AES128, "ada").key_package
CONTEXT = GroupContext(
    cipher_suite=1,
    group_id=b"g",
    epoch=5,
    tree_hash=bytes(32),
    confirmed_transcript_hash=bytes(32),
    extensions=(Extension(0xFA10, b"charter"),),
)
COMMIT = Commit(proposals=(ProposalOrRef(Add(KEY_PACKAGE)), ProposalOrRef(Remove(LeafIndex(2)))))
BODIES = {
    WireFormat.PUBLIC_MESSAGE: PublicMessage(
        content=FramedContent(group_id=b"g", epoch=5, sender=member(LeafIndex(1)), content=COMMIT),
        auth=FramedContentAuthData(bytes(64), bytes(32)),
        membership_tag=bytes(32),
    ),
    WireFormat.PRIVATE_MESSAGE: PrivateMessage(
        group_id=b"g",
        epoch=5,
        content_type=ContentType.COMMIT,
        authenticated_data=b"beside",
        encrypted_sender_data=bytes(28),
        ciphertext=bytes(100),
    ),
    WireFormat.WELCOME: Welcome(
        cipher_suite=1,
        secrets=(
            EncryptedGroupSecrets(new_member=bytes(32), encrypted_group_secrets=HPKECiphertext(bytes(32), bytes(80))),
        ),
        encrypted_group_info=bytes(120),
    ),
    WireFormat.GROUP_INFO: GroupInfo(
        group_context=CONTEXT, confirmation_tag=bytes(32), signer=LeafIndex(1), signature=bytes(64)
    ),
    WireFormat.KEY_PACKAGE: KEY_PACKAGE,
}
MESSAGES = [serialize(MLSMessage(body)) for body in BODIES.values()]
is_read = struct_target(MLSMessage)


@pytest.mark.parametrize("wire_format", WireFormat)
def test_every_body_keeps_its_form(wire_format):
    message = MLSMessage(BODIES[wire_format])
    assert message.wire_format is wire_format
    data = serialize(message)
    assert data[:4] == b"\x00\x01" + wire_format.to_bytes(2, "big")
    again = parse(MLSMessage, data)
    assert again == message
    assert serialize(rebuild(again)) == data


@pytest.mark.parametrize("data", MESSAGES)
def test_every_truncation_and_what_follows_is_refused(data):
    for end in range(len(data)):
        with pytest.raises(InvalidMessageError):
            parse(MLSMessage, data[:end])
    for rest in (b"\0", b"\1", data):
        with pytest.raises(InvalidMessageError):
            parse(MLSMessage, data + rest)


@pytest.mark.parametrize("data", MESSAGES)
def test_a_body_under_another_wire_format_is_another_message_or_none(data):
    for wire_format in WireFormat:
        other = data[:2] + wire_format.to_bytes(2, "big") + data[4:]
        assert is_read(other) == (other == data)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(MESSAGES), st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 255)), max_size=4))
def test_changed_bytes_are_read_as_they_stand_or_refused(data, changes):
    changed = bytearray(data)
    for place, value in changes:
        changed[place % len(data)] = value
    is_read(bytes(changed))


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(list(WireFormat)), st.binary(max_size=120))
def test_any_bytes_are_read_as_they_stand_or_refused(wire_format, rest):
    is_read(b"\x00\x01" + wire_format.to_bytes(2, "big") + rest)
