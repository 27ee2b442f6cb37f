"""key-schedule and psk_secret: every epoch of suites 1 and 3."""

from __future__ import annotations

from tertulia_protocol.codec import parse, serialize
from tertulia_protocol.mls.ciphersuite import SUITES
from tertulia_protocol.mls.group_context import GroupContext
from tertulia_protocol.mls.key_schedule import (
    derive_epoch,
    export,
    external_key_pair,
    next_epoch,
    welcome_secret,
)
from tertulia_protocol.mls.psk import ExternalPSK, PreSharedKeyID, psk_secret
from tests.support.vectors import load_vectors

CASES, EPOCHS = 2, 10
PSK_CASES = 22

SECRETS = {
    "sender_data_secret": "sender_data",
    "exporter_secret": "exporter",
    "external_secret": "external",
    "confirmation_key": "confirmation_key",
    "membership_key": "membership_key",
    "resumption_psk": "resumption_psk",
    "epoch_authenticator": "epoch_authenticator",
    "init_secret": "init",
}


def test_key_schedule():
    cases = [case for case in load_vectors("key-schedule") if case["cipher_suite"] in SUITES]
    assert len(cases) == CASES
    assert sum(len(case["epochs"]) for case in cases) == EPOCHS
    for case in cases:
        init_secret = bytes.fromhex(case["initial_init_secret"])
        for number, epoch in enumerate(case["epochs"]):
            init_secret = check_epoch(case, number, epoch, init_secret)


def check_epoch(case, number: int, epoch, init_secret: bytes) -> bytes:
    suite = SUITES[case["cipher_suite"]]
    values = {name: bytes.fromhex(value) for name, value in epoch.items() if isinstance(value, str)}
    context = parse(GroupContext, values["group_context"])
    assert serialize(context) == values["group_context"]
    assert (context.group_id, context.epoch) == (bytes.fromhex(case["group_id"]), number)
    assert context.tree_hash == values["tree_hash"]
    assert context.confirmed_transcript_hash == values["confirmed_transcript_hash"]

    derived = next_epoch(
        suite,
        init_secret=init_secret,
        commit_secret=values["commit_secret"],
        psk_secret=values["psk_secret"],
        group_context=context,
    )
    assert derived.joiner_secret == values["joiner_secret"]
    assert derived.welcome_secret == values["welcome_secret"]
    assert derived.welcome_secret == welcome_secret(suite, derived.joiner_secret, values["psk_secret"])
    assert derived.encryption_secret == values["encryption_secret"]
    for theirs, ours in SECRETS.items():
        assert getattr(derived.secrets, ours) == values[theirs]
    assert external_key_pair(suite, derived.secrets.external).public == values["external_pub"]
    joined = derive_epoch(
        suite, joiner_secret=derived.joiner_secret, psk_secret=values["psk_secret"], group_context=context
    )
    assert joined == derived

    given = epoch["exporter"]
    exported = export(suite, derived.secrets.exporter, given["label"], bytes.fromhex(given["context"]), given["length"])
    assert exported == bytes.fromhex(given["secret"])
    return derived.secrets.init


def test_psk_secret():
    cases = [case for case in load_vectors("psk_secret") if case["cipher_suite"] in SUITES]
    assert len(cases) == PSK_CASES
    assert {len(case["psks"]) for case in cases} == set(range(11))
    for case in cases:
        psks = [
            (
                PreSharedKeyID(ExternalPSK(bytes.fromhex(psk["psk_id"])), bytes.fromhex(psk["psk_nonce"])),
                bytes.fromhex(psk["psk"]),
            )
            for psk in case["psks"]
        ]
        assert psk_secret(SUITES[case["cipher_suite"]], psks).hex() == case["psk_secret"]
