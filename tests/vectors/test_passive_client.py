"""Official vectors: a client that only listens joins and follows a group (passive-client-welcome, -handling-commit)."""

from __future__ import annotations

from typing import Any

import pytest

from tertulia_protocol.codec import parse
from tertulia_protocol.mls.ciphersuite import get_suite
from tertulia_protocol.mls.group import Group
from tertulia_protocol.mls.group_state import GroupSettings
from tertulia_protocol.mls.key_package import KeyPackage, KeyPackageBundle
from tertulia_protocol.mls.mls_message import MLSMessage
from tertulia_protocol.mls.ratchet_tree import RatchetTree
from tertulia_protocol.mls.welcome import Welcome
from tests.support.vectors import load_vectors

SUITES = (1, 3)
SETTINGS = GroupSettings(max_past_epochs=4)
"""Some commits use resumption secrets of past epochs."""
COUNTS = {"passive-client-welcome": 16, "passive-client-handling-commit": 26}


def message(data: str) -> Any:
    return parse(MLSMessage, bytes.fromhex(data)).body


def join(case: dict[str, Any]) -> Group:
    key_package = message(case["key_package"])
    assert isinstance(key_package, KeyPackage)
    suite = get_suite(case["cipher_suite"])
    bundle = KeyPackageBundle(
        key_package=key_package,
        init_private=bytes.fromhex(case["init_priv"]),
        encryption_private=bytes.fromhex(case["encryption_priv"]),
        signature_private=bytes.fromhex(case["signature_priv"]),
    )
    assert suite.public_key(bundle.init_private) == key_package.init_key
    welcome = message(case["welcome"])
    assert isinstance(welcome, Welcome)
    tree = case["ratchet_tree"] and parse(RatchetTree, bytes.fromhex(case["ratchet_tree"]))
    return Group.join(welcome=welcome, bundle=bundle, ratchet_tree=tree, psks=psks_of(case), settings=SETTINGS)


def psks_of(case: dict[str, Any]) -> dict[bytes, bytes]:
    return {bytes.fromhex(psk["psk_id"]): bytes.fromhex(psk["psk"]) for psk in case["external_psks"]}


def follow(group: Group, epoch: dict[str, Any], psks: dict[bytes, bytes]) -> Group:
    for proposal in epoch["proposals"]:
        group = group.process_proposal(group.open(message(proposal)))
    opened = group.open(message(epoch["commit"]))
    return group.merge(group.apply_commit(group.stage_commit(opened), psks=psks))


@pytest.mark.parametrize("name", COUNTS)
def test_the_listener_agrees_with_every_epoch(name):
    cases = [case for case in load_vectors(name) if case["cipher_suite"] in SUITES]
    assert len(cases) == COUNTS[name]
    for case in cases:
        group = join(case)
        assert group.epoch_authenticator.hex() == case["initial_epoch_authenticator"]
        for epoch in case["epochs"]:
            group = Group.load(group.rows())
            group = follow(group, epoch, psks_of(case))
            assert group.epoch_authenticator.hex() == epoch["epoch_authenticator"]
