"""messages.json: every kind of struct is read and writes itself, field by field, as the same bytes."""

from __future__ import annotations

import pytest

from tertulia_protocol.codec import Struct, parse, serialize
from tertulia_protocol.errors import InvalidMessageError
from tertulia_protocol.mls.commit import Commit
from tertulia_protocol.mls.framing import ContentType, PrivateMessage, PublicMessage
from tertulia_protocol.mls.key_package import KeyPackage
from tertulia_protocol.mls.mls_message import MLSMessage
from tertulia_protocol.mls.proposals import (
    Add,
    ExternalInit,
    GroupContextExtensions,
    PreSharedKey,
    ReInit,
    Remove,
    Update,
)
from tertulia_protocol.mls.ratchet_tree import RatchetTree
from tertulia_protocol.mls.welcome import GroupInfo, GroupSecrets, Welcome
from tests.support.rebuild import rebuild
from tests.support.vectors import load_vectors

CASES = 300
KINDS: dict[str, type[Struct]] = {
    "ratchet_tree": RatchetTree,
    "group_secrets": GroupSecrets,
    "add_proposal": Add,
    "update_proposal": Update,
    "remove_proposal": Remove,
    "pre_shared_key_proposal": PreSharedKey,
    "re_init_proposal": ReInit,
    "external_init_proposal": ExternalInit,
    "group_context_extensions_proposal": GroupContextExtensions,
    "commit": Commit,
}
BODIES: dict[str, type[Struct]] = {
    "mls_welcome": Welcome,
    "mls_group_info": GroupInfo,
    "mls_key_package": KeyPackage,
    "public_message_application": PublicMessage,
    "public_message_proposal": PublicMessage,
    "public_message_commit": PublicMessage,
    "private_message": PrivateMessage,
}


@pytest.fixture(scope="module")
def cases() -> list[dict[str, str]]:
    return load_vectors("messages")


def test_every_kind_and_every_case_is_tested(cases):
    assert len(cases) == CASES
    assert {frozenset(case) for case in cases} == {frozenset(KINDS | BODIES)}


@pytest.mark.parametrize("name", [*KINDS, *BODIES])
def test_every_case_writes_itself_as_it_was_read(cases, name):
    done = 0
    for case in cases:
        data = bytes.fromhex(case[name])
        value = parse(KINDS.get(name, MLSMessage), data)
        assert serialize(value) == data
        again = rebuild(value)
        assert again == value
        assert serialize(again) == data
        if name in BODIES:
            assert type(value.body) is BODIES[name]
        done += 1
    assert done == CASES


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("public_message_application", ContentType.APPLICATION),
        ("public_message_proposal", ContentType.PROPOSAL),
        ("public_message_commit", ContentType.COMMIT),
    ],
)
def test_public_messages_hold_what_they_say(cases, name, kind):
    for case in cases:
        message = parse(MLSMessage, bytes.fromhex(case[name])).body
        assert message.content.content_type is kind
        assert (message.auth.confirmation_tag is not None) == (kind is ContentType.COMMIT)


@pytest.mark.parametrize("name", [*KINDS, *BODIES])
def test_every_truncation_and_every_trailing_byte_is_refused(cases, name):
    data = bytes.fromhex(cases[0][name])
    for end in range(len(data)):
        with pytest.raises(InvalidMessageError):
            parse(KINDS.get(name, MLSMessage), data[:end])
    with pytest.raises(InvalidMessageError):
        parse(KINDS.get(name, MLSMessage), data + b"\0")
