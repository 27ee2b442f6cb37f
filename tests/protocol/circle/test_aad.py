"""The coordinators' secret in a commit: sealed to their devices, opened before the merge."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tertulia_protocol.circle import rules
from tertulia_protocol.circle.aad import EntryAAD, coordinator_leaves, open_coord_secret, seal_coord_secret
from tertulia_protocol.circle.segments import is_coord_secret_of
from tertulia_protocol.codec import parse, serialize
from tertulia_protocol.errors import AuthenticityError, DecodeError
from tertulia_protocol.mls.ciphersuite import HYBRID
from tertulia_protocol.mls.labeled import HPKECiphertext
from tertulia_protocol.mls.proposals import Remove
from tertulia_protocol.mls.tree_math import leaf_to_node
from tests.support.circle_world import (
    GROUP_ID,
    LINEAGE,
    Device,
    agree,
    approved,
    bundle_of,
    charter_for,
    coord_secret,
    found,
    hop,
    roster,
    spread,
)

SECRET = bytes(range(32))


def three() -> list[Device]:
    bundles = [bundle_of("Ada"), bundle_of("Bo"), bundle_of("Bo", 1), bundle_of("Cleo")]
    return found(charter=charter_for(("Ada", "Bo"), threshold=2), bundles=bundles)


def test_every_coordinators_device_opens_it_and_nobody_else():
    ada, bo, phone, cleo = three()
    after = hop(ada.charter, rotate=True)
    coord = seal_coord_secret(ada.group, SECRET, charter=after)
    assert coord.coord_gen == 1
    assert coord.leaves == (bo.index, phone.index)
    for device in (bo, phone):
        assert open_coord_secret(device.group, coord) == SECRET
    for device in (ada, cleo):
        with pytest.raises(AuthenticityError, match="not sealed to this device"):
            open_coord_secret(device.group, coord)


def test_the_context_is_that_of_the_protocol():
    """Opened by the library's HPKE with the label and the context written out."""
    ada, bo, *_ = three()
    coord = seal_coord_secret(ada.group, SECRET, charter=hop(ada.charter, rotate=True))
    context = LINEAGE + GROUP_ID + (1).to_bytes(8, "big") + (1).to_bytes(4, "big") + bo.index.to_bytes(4, "big")
    assert len(context) == 80
    label = b"MLS 1.0 tl1 coord"
    info = bytes([len(label)]) + label + b"\x40\x50" + context
    private = bo.group.private_keys[leaf_to_node(bo.index)]
    sealed = coord.to[0].sealed
    assert HYBRID.hpke_open(private, sealed.kem_output, info, sealed.ciphertext) == SECRET


@pytest.mark.parametrize("what", ["generation", "leaf", "ciphertext", "epoch"])
def test_what_was_sealed_for_another_place_does_not_open(what):
    devices = ada, bo, phone, _ = three()
    coord = seal_coord_secret(ada.group, SECRET, charter=hop(ada.charter, rotate=True))
    first, second = coord.to
    if what == "generation":
        coord = replace(coord, coord_gen=2)
    elif what == "leaf":
        coord = replace(coord, to=(replace(first, leaf_index=phone.index), replace(second, leaf_index=bo.index)))
    elif what == "ciphertext":
        broken = HPKECiphertext(first.sealed.kem_output, bytes(len(first.sealed.ciphertext)))
        coord = replace(coord, to=(replace(first, sealed=broken), second))
    else:
        spread(devices, ada.commit())
    with pytest.raises(AuthenticityError) as raised:
        open_coord_secret(bo.group, coord)
    assert raised.value.code == "message.authenticity"


def test_a_secret_of_another_length_is_none(monkeypatch):
    ada, bo, *_ = three()
    after = hop(ada.charter, rotate=True)
    with pytest.raises(ValueError, match="32 bytes"):
        seal_coord_secret(ada.group, b"short", charter=after)
    monkeypatch.setattr("tertulia_protocol.circle.aad.COORD_SECRET_LENGTH", 5)
    coord = seal_coord_secret(ada.group, b"short", charter=after)
    monkeypatch.undo()
    with pytest.raises(AuthenticityError, match="another length"):
        open_coord_secret(bo.group, coord)


def test_a_removed_coordinator_and_a_removed_device_are_left_out():
    ada, bo, phone, _ = three()
    alone = hop(ada.charter, rotate=True, coordinators=roster("Ada"), roster_threshold=1)
    assert seal_coord_secret(ada.group, SECRET, charter=alone).to == ()
    both = hop(ada.charter, rotate=True)
    removed = frozenset({phone.index})
    assert coordinator_leaves(ada.group, both, committer=ada.index, removed=removed) == (bo.index,)


def test_a_new_coordinator_gets_it_with_the_commit_that_makes_it_one():
    devices = ada, bo, cleo = found()
    sent = ada.commit(charter=approved(ada.charter, hop(ada.charter, rotate=True, coordinators=roster("Ada", "Bo"))))
    _, aad = rules.check_entry(sent.header, sent.body, bo.group)
    assert aad.coord is not None
    secret = open_coord_secret(bo.group, aad.coord)
    spread(devices, sent)
    agree(devices)
    assert secret == coord_secret(bo.charter)
    assert is_coord_secret_of(secret, bo.charter.transport)
    assert not is_coord_secret_of(SECRET, bo.charter.transport)
    assert cleo.charter.transport.coord_gen == 1


def test_a_coordinator_who_cannot_open_it_goes_on():
    devices = ada, bo, _ = found(3, charter_for(("Ada", "Bo")))
    after = hop(ada.charter, rotate=True)
    lie = seal_coord_secret(ada.group, SECRET, charter=after)
    broken = HPKECiphertext(lie.to[0].sealed.kem_output, bytes(48))
    for coord in (lie, replace(lie, to=(replace(lie.to[0], sealed=broken),))):
        group, rows = ada.group, ada.rows
        sent = ada.commit(charter=after, coord=coord)
        message, _ = rules.check_entry(sent.header, sent.body, bo.group)
        assert rules.apply_commit(rules.stage_commit(bo.group.open(message))).next is not None
        ada.group, ada.rows = group, rows
    assert not is_coord_secret_of(open_coord_secret(bo.group, lie), after.transport)
    assert len(devices) == 3


def test_the_data_is_read_as_it_is_written():
    ada, *_ = three()
    coord = seal_coord_secret(ada.group, SECRET, charter=hop(ada.charter, rotate=True))
    plain, full = EntryAAD(header_hash=bytes(32)), EntryAAD(header_hash=SECRET, coord=coord)
    assert serialize(plain) == bytes(33)
    for aad in (plain, full):
        assert parse(EntryAAD, serialize(aad)) == aad
    for data in (bytes(32), bytes(34), serialize(full)[:-1], bytes(32) + b"\1\0"):
        with pytest.raises(DecodeError):
            parse(EntryAAD, data)


def test_removing_a_member_takes_no_new_secret():
    devices = ada, _, cleo = found()
    spread(devices, ada.commit(Remove(cleo.index), charter=hop(ada.charter)))
    assert ada.charter.transport.coord_gen == 0
