"""Approvals: what they cover, byte for byte, and who counts."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tertulia_protocol.circle.roster import (
    RosterChange,
    approve,
    is_approval_needed,
    missing_approvals,
    verify_approval,
    without,
)
from tertulia_protocol.errors import AuthenticityError, RuleError
from tests.support.circle_world import GROUP_ID, LINEAGE, approved, charter_for, hop, member, relay, roster

BEFORE = charter_for(("Ada", "Bo", "Cleo"), threshold=2)
AFTER = hop(BEFORE, rotate=True, coordinators=roster("Ada", "Bo", "Dan"))
CHANGE = RosterChange(group_id=GROUP_ID, before=BEFORE, after=AFTER)


def test_an_approval_signs_the_change_as_written():
    people = {name: member(name).public_key for name in ("Ada", "Bo", "Cleo", "Dan")}
    one, two = relay("one"), relay("two")
    old = b"\1" + people["Ada"] + b"\2" + people["Bo"] + b"\3" + people["Cleo"]
    new = b"\1" + people["Ada"] + b"\2" + people["Bo"] + b"\4" + people["Dan"]
    uris = [each.uri.encode() for each in (one, two)]
    places = (
        one.relay_pk + b"\0" + bytes([len(uris[0])]) + uris[0] + two.relay_pk + b"\1" + bytes([len(uris[1])]) + uris[1]
    )
    size = b"\x40" + bytes([len(old)])
    written = LINEAGE + GROUP_ID + bytes(4) + size + old + size + new + b"\2" + b"\x40" + bytes([len(places)]) + places
    digest = hashlib.sha256(written).digest()
    assert CHANGE.digest() == digest
    approval = approve(CHANGE, member("Bo"))
    assert approval.rank == 2
    Ed25519PublicKey.from_public_bytes(people["Bo"]).verify(approval.sig, b"tl1 roster" + digest)
    assert verify_approval(CHANGE, approval) == people["Bo"]


@pytest.mark.parametrize(
    "other",
    [
        replace(CHANGE, group_id=bytes(32)),
        replace(CHANGE, before=replace(BEFORE, roster_rev=1)),
        replace(CHANGE, before=replace(BEFORE, lineage_id=bytes(32))),
        replace(CHANGE, before=replace(BEFORE, coordinators=roster("Ada", "Bo"))),
        replace(CHANGE, after=replace(AFTER, coordinators=roster("Ada", "Bo", "Eve"))),
        replace(CHANGE, after=replace(AFTER, roster_threshold=3)),
        replace(CHANGE, after=hop(AFTER, relays=((relay("evil"), 0),))),
        replace(CHANGE, after=hop(AFTER, relays=((relay("two"), 0), (relay("one"), 1)))),
    ],
)
def test_an_approval_is_of_nothing_else(other):
    with pytest.raises(AuthenticityError) as raised:
        verify_approval(other, approve(CHANGE, member("Bo")))
    assert raised.value.code == "message.authenticity"


def test_an_approval_covers_neither_segment_nor_salt_nor_keys():
    later = replace(CHANGE, before=hop(BEFORE), after=hop(hop(AFTER)))
    assert verify_approval(later, approve(CHANGE, member("Bo"))) == member("Bo").public_key


def test_only_coordinators_approve():
    with pytest.raises(ValueError, match="only a coordinator"):
        approve(CHANGE, member("Dan"))
    with pytest.raises(RuleError, match="rank 4"):
        verify_approval(CHANGE, replace(approve(CHANGE, member("Bo")), rank=4))


def test_what_needs_approvals():
    assert is_approval_needed(BEFORE, AFTER)
    assert is_approval_needed(BEFORE, replace(BEFORE, roster_threshold=3))
    assert is_approval_needed(BEFORE, hop(BEFORE, relays=((relay("one"), 0),)))
    assert not is_approval_needed(BEFORE, hop(BEFORE, rotate=True))
    assert not is_approval_needed(BEFORE, replace(BEFORE, policy=replace(BEFORE.policy, max_devices=1)))


def test_how_many_more_approvals_a_change_takes():
    def missing(committer, *approvals):
        return missing_approvals(CHANGE, committer=member(committer).public_key, approvals=approvals)

    bo, cleo = approve(CHANGE, member("Bo")), approve(CHANGE, member("Cleo"))
    assert missing("Ada") == 1
    assert missing("Ada", bo) == 0
    assert missing("Bo", bo) == 1
    assert missing("Ada", cleo) == 1, "whoever is removed does not count"
    assert missing("Ada", replace(bo, sig=bytes(64))) == 1
    assert missing("Cleo", bo) == 1
    assert approved(BEFORE, AFTER, "Bo").approvals == (bo,)


def test_a_roster_without_those_who_left():
    carry = approved(BEFORE, BEFORE, "Bo")
    assert without(carry, ()) is carry
    assert without(carry, {member("Eve").public_key}) is carry
    two = without(carry, {member("Cleo").public_key})
    assert (two.coordinators, two.roster_threshold, two.approvals) == (roster("Ada", "Bo"), 2, ())
    one = without(two, {member("Ada").public_key})
    assert (one.coordinators, one.roster_threshold) == (roster("Bo"), 1)
