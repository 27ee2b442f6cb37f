"""Rows of a group: what they hold, what a damaged or newer store gives, and that only what changed is written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tertulia_protocol.codec import parse
from tertulia_protocol.errors import DecodeError, InvalidMessageError, UnsupportedError
from tertulia_protocol.mls import snapshot
from tertulia_protocol.mls.ciphersuite import X25519_AES128 as SUITE
from tertulia_protocol.mls.framing import PrivateMessage
from tertulia_protocol.mls.group import Group
from tertulia_protocol.mls.group_state import GroupSettings
from tests.support.mls_world import everybody_commits, found

DATA = Path(__file__).resolve().parents[2] / "data" / "mls"
KINDS = {"version", "member", "epoch", "tree", "priv", "secret", "ratchet", "proposal", "pending", "past"}


@pytest.fixture
def full():
    """A member with a row of every kind."""
    ada, bo, _cleo = peers = found(SUITE, 3, settings=GroupSettings(max_past_epochs=1))
    everybody_commits(peers)
    bo.receive(ada.propose_update())
    bo.commit(path=True)
    bo.read(ada.post(b"text"))
    return bo


def test_rows_of_every_kind_are_read_back(full):
    kinds = {name.split("/")[0] for name in full.rows}
    assert kinds == KINDS
    loaded = Group.load(full.rows)
    assert loaded.rows() == full.rows
    assert loaded.settings == full.group.settings
    assert loaded.members() == full.group.members()


def test_nothing_changed_writes_nothing(full):
    assert snapshot.changed_rows(full.group, full.group) == ({}, set())
    loaded = Group.load(full.rows)
    assert snapshot.changed_rows(None, loaded) == (full.rows, set())


def test_a_newer_layout_is_refused(full):
    with pytest.raises(UnsupportedError):
        Group.load(full.rows | {"version": b"\0\2"})


@pytest.mark.parametrize("name", ["version", "member", "epoch"])
def test_a_missing_row_is_named(full, name):
    rows = {key: row for key, row in full.rows.items() if key != name}
    with pytest.raises(DecodeError, match=name):
        Group.load(rows)


def test_missing_keys_are_noticed(full):
    for kind in ("ratchet/", "past/", "secret/"):
        name = next(name for name in full.rows if name.startswith(kind))
        with pytest.raises(DecodeError):
            Group.load({key: row for key, row in full.rows.items() if key != name})


def test_damaged_rows_raise_and_nothing_else(full):
    for name, row in full.rows.items():
        if name.startswith("priv") or "secret" in name:
            continue
        for damaged in (b"", row[:-1], row + b"\0"):
            with pytest.raises(InvalidMessageError):
                Group.load(full.rows | {name: damaged})


@pytest.mark.parametrize("name", ["tree/x", "tree/99", "priv/", "past/-1"])
def test_names_that_cannot_be(full, name):
    with pytest.raises(DecodeError):
        Group.load(full.rows | {name: full.rows["tree/0"]})


def test_secrets_are_not_shown(full):
    secrets = [full.group.signature_private, *full.group.private_keys.values(), full.group.secrets.init]
    shown = repr(full.group) + repr(full.group.open(next(iter_pending(full))))
    assert not any(repr(secret)[2:-1] in shown or secret.hex() in shown for secret in secrets)


def iter_pending(peer):
    yield peer.commit(path=True).message


def test_rows_of_layout_1_still_open():
    stored = json.loads((DATA / "rows1.json").read_text(encoding="utf-8"))
    rows = {name: bytes.fromhex(row) for name, row in stored.pop("rows").items()}
    messages = {name: bytes.fromhex(stored.pop(name)) for name in ("late", "skipped", "own_commit", "commit")}
    assert {name.split("/")[0] for name in rows} == KINDS
    group = Group.load(rows)
    for text in ("late", "skipped"):
        opened = group.open(parse(PrivateMessage, messages[text]))
        assert opened.body == text.encode()
        group = opened.group
    # The other's commit takes up our Update, whose private key is in the rows; our own commit is pending in them.
    for name, expected in (("commit", "epoch_authenticator"), ("own_commit", "own_epoch_authenticator")):
        staged = group.apply_commit(group.stage_commit(group.open(parse(PrivateMessage, messages[name]))))
        assert group.merge(staged).epoch_authenticator.hex() == stored[expected]
