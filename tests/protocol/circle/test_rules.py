"""Rules V1 to V16: what cheating coordinators and members send, and that it changes nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tertulia_protocol.circle import rules
from tertulia_protocol.circle.aad import EntryAAD, coordinator_leaves, seal_coord_secret
from tertulia_protocol.circle.charter import (
    EXTENSION_TYPE,
    REFRESH_TYPE,
    Charter,
    Coordinator,
    group_extensions,
    leaf_capabilities,
    refresh_extension,
)
from tertulia_protocol.circle.entries import REPAIR
from tertulia_protocol.circle.errors import OutdatedError, StuckError
from tertulia_protocol.circle.identity import ban_hash, build_credential, member_of
from tertulia_protocol.circle.leaf_rules import is_valid_update, members_gone
from tertulia_protocol.circle.roster import without
from tertulia_protocol.codec import parse, serialize
from tertulia_protocol.errors import RuleError
from tertulia_protocol.mls import commit_builder, commit_processor, proposal_rules
from tertulia_protocol.mls.credential import basic_credential
from tertulia_protocol.mls.extensions import Extension, ExtensionType, RequiredCapabilities
from tertulia_protocol.mls.framing import AuthenticatedContent, Sender, SenderType
from tertulia_protocol.mls.group_messages import LeafChanges
from tertulia_protocol.mls.group_state import leaf_at
from tertulia_protocol.mls.leaf_node import LeafNode
from tertulia_protocol.mls.mls_message import MLSMessage
from tertulia_protocol.mls.proposals import Add, ExternalInit, PreSharedKey, ReInit, Remove, Update
from tertulia_protocol.mls.psk import ExternalPSK, PreSharedKeyID
from tertulia_protocol.mls.tree_math import LeafIndex
from tertulia_protocol.signing import NOBODY
from tests.support.circle_world import (
    COORD,
    LINEAGE,
    NOT_AFTER,
    RELAYS,
    Device,
    agree,
    approved,
    bundle_of,
    charter_for,
    cheating,
    credential_of,
    device_id,
    found,
    hop,
    member,
    refused,
    relay,
    roster,
    salt_of,
    spread,
)


def add(name, device=0, **cheats):
    return Add(bundle_of(name, device, **cheats).key_package)


def with_policy(charter: Charter, **policy) -> Charter:
    return replace(charter, rev=charter.rev + 1, policy=replace(charter.policy, **policy))


def refuse(device: Device, sent, rule: str, match: str = "") -> None:
    with refused(device, rule, match):
        device.receive(sent)


def stuck(device: Device, sent, rule: str) -> None:
    with refused(device, rule, code="commit.stuck") as raised:
        device.receive(sent)
    assert isinstance(raised.value, StuckError)


# --- What is allowed -----------------------------------------------------------------------------------------------


def test_a_circle_lives_through_adds_updates_removes_leaving_and_changes_of_its_roster():
    devices = ada, bo, cleo, dan = found(4)
    spread(devices, ada.commit(add("Eve")))
    agree(devices)
    spread(devices, bo.propose("update"))
    spread(devices, dan.propose("remove", dan.index))
    spread(devices, ada.commit(Remove(cleo.index), charter=hop(ada.charter)))
    agree([ada, bo])
    assert cleo.charter.segment_no == dan.charter.segment_no == 0
    after = hop(ada.charter, rotate=True, coordinators=roster("Ada", "Bo"))
    spread([ada, bo], ada.commit(charter=approved(ada.charter, after)))
    spread([ada, bo], bo.commit(charter=with_policy(bo.charter, max_devices=3)))
    spread([ada, bo], bo.commit())
    agree([ada, bo])
    assert bo.charter.segment_no == 2
    assert bo.charter.rev == 3


def test_a_circle_on_one_relay_and_on_two_hop_alike():
    for relays in (RELAYS[:1], RELAYS):
        devices = found(2, charter_for(relays=relays))
        before = devices[0].access
        spread(devices, devices[0].commit(charter=hop(devices[0].charter)))
        agree(devices)
        assert len(devices[1].access.relays) == len(relays)
        assert devices[1].access != before


# --- V1 to V3 ------------------------------------------------------------------------------------------------------


def test_v1_a_message_of_another_epoch_is_junk():
    devices = ada, bo, _ = found()
    late = bo.propose("update")
    spread(devices, ada.commit(add("Dan")))
    refuse(ada, late, "V1", "epoch 1 in epoch 2")


def test_v1_a_header_that_claims_another_epoch_is_junk():
    _, bo, cleo = found()
    sent = cleo.propose("update")
    refuse(bo, replace(sent, header=replace(sent.header, epoch=7)), "V1", "epoch 1 in epoch 1")


def test_v1_a_message_of_another_group_is_junk():
    ada, bo, _ = found()
    sent = ada.propose("update")
    other = parse(MLSMessage, sent.body).body
    body = serialize(MLSMessage(replace(other, group_id=bytes(32))))
    refuse(bo, replace(sent, body=body), "V1", "another group")


def test_v1_nothing_but_private_messages_is_read():
    ada, bo, _ = found()
    sent = ada.propose("update")
    key_package = serialize(MLSMessage(bundle_of("Dan").key_package))
    refuse(bo, replace(sent, body=key_package), "V1", "a KeyPackage in the log")
    refuse(bo, replace(sent, body=sent.body + b"\0"), "V1")


def test_v1_what_is_no_commit_is_not_judged_as_one():
    ada, bo, _ = found()
    sent = ada.propose("update")
    message, _ = rules.check_entry(sent.header, sent.body, bo.group)
    with refused(bo, "V1", "not a commit"):
        rules.stage_commit(bo.group.open(message))


def test_a_path_whose_leaf_is_not_signed_counts_for_nobody():
    """Whatever MLS finds wrong before it needs a key: the commit is refused, and nobody is stuck."""
    ada, bo, _ = found()
    true = LeafNode.sign

    def forge(leaf, *args, **more):
        return replace(true(leaf, *args, **more), signature=bytes(64))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LeafNode, "sign", forge)
        sent = ada.commit(path=True)
    refuse(bo, sent, "RFC9420-12.4.2", "signature")


def test_v2_a_header_that_the_author_did_not_sign_is_junk():
    ada, bo, _ = found()
    sent = ada.commit()
    refuse(bo, replace(sent, header=replace(sent.header, flags=REPAIR, rsv=bytes(range(12)))), "V2")


def test_v2_authenticated_data_of_another_form_is_junk():
    ada, bo, _ = found()
    sent = ada.commit()
    message = parse(MLSMessage, sent.body).body
    body = serialize(MLSMessage(replace(message, authenticated_data=sent.header.hash())))
    refuse(bo, replace(sent, body=body), "V2")


def test_v3_nobody_speaks_from_outside():
    ada, bo, _ = found()
    sent = ada.commit()
    message, _ = rules.check_entry(sent.header, sent.body, bo.group)
    opened = bo.group.open(message)
    outside = replace(opened.content.content, sender=Sender(SenderType.EXTERNAL, 0))
    with refused(bo, "V3"):
        rules.stage_commit(replace(opened, content=replace(opened.content, content=outside)))


def test_e7_only_commits_carry_a_coordinators_secret():
    devices = ada, bo, _ = found(3, charter_for(("Ada", "Bo")))
    secret = ada.commit(charter=hop(ada.charter, rotate=True))
    _, aad = rules.check_entry(secret.header, secret.body, bo.group)
    assert aad.coord is not None
    header = ada.header()
    data = serialize(EntryAAD(header_hash=header.hash(), coord=aad.coord))
    message, group = ada.group.encrypt(b"hello", authenticated_data=data, rng=ada.rng)
    ada.keep(group)
    with refused(bo, "E7"):
        bo.receive(replace(secret, header=header, body=serialize(MLSMessage(message))))
    assert len(devices) == 3


# --- V4: who commits -----------------------------------------------------------------------------------------------


def test_v4_a_member_does_not_commit():
    ada, bo, cleo = found()
    for sent in (bo.commit(), bo.commit(add("Dan")), bo.commit(Remove(cleo.index), charter=hop(bo.charter))):
        refuse(ada, sent, "V4")


def test_v4_a_member_who_names_an_unknown_proposal_brings_nobody_into_trouble():
    ada, bo, cleo = found()
    bo.propose("update")
    sent = bo.commit(references=()) if not bo.refs else None
    with cheating() as patch:
        patch.setattr(proposal_rules, "check_no_own_update", lambda *_: None)
        sent = bo.commit()
    refuse(ada, sent, "V4")
    refuse(cleo, sent, "V4")


def refresh(device: Device, *proposals, **more):
    changes = LeafChanges(extensions=(refresh_extension(device.charter.segment_no),))
    return device.commit(*proposals, path=True, changes=changes, **more)


def test_e5_a_member_refreshes_its_path_once_in_every_segment():
    devices = ada, bo, _ = found(3, charter_for(member_refresh=1))
    spread(devices, refresh(bo))
    agree(devices)
    spread(devices, ada.commit(charter=hop(ada.charter)))
    spread(devices, refresh(bo))
    agree(devices)


def test_e5_a_second_refresh_in_one_segment_is_refused_also_by_who_joined_between():
    devices = ada, bo, _ = found(3, charter_for(member_refresh=1))
    spread(devices, refresh(bo))
    bundle = bundle_of("Dan")
    sent = ada.commit(Add(bundle.key_package))
    spread(devices, sent)
    joined = type(ada.group).join(welcome=sent.welcome, bundle=bundle, ratchet_tree=sent.tree)
    dan = Device("Dan", joined, ada.access)
    again = refresh(bo)
    for device in (ada, dan):
        refuse(device, again, "V4")


@pytest.mark.parametrize("what", ["off", "proposals", "silent", "another segment"])
def test_e5_nothing_else_is_a_refresh(what):
    ada, bo, _ = found(3, charter_for(member_refresh=0 if what == "off" else 1))
    if what == "off":
        sent = refresh(bo)
    elif what == "proposals":
        sent = refresh(bo, add("Dan"))
    elif what == "silent":
        sent = bo.commit(path=True)
    else:
        sent = bo.commit(path=True, changes=LeafChanges(extensions=(refresh_extension(5),)))
    refuse(ada, sent, "V4")


# --- V5 to V7: proposals -------------------------------------------------------------------------------------------


def psk():
    return PreSharedKey(PreSharedKeyID(psk=ExternalPSK(psk_id=b"a key"), psk_nonce=bytes(32)))


def test_v5_a_psk_by_value_is_refused():
    ada, bo, _ = found()
    sent = ada.commit(psk(), psks={b"a key": bytes(32)})
    refuse(bo, sent, "V5")


def test_v5_proposals_that_lead_elsewhere_are_refused():
    ada, bo, _ = found()
    restart = ReInit(group_id=bytes(32), version=1, cipher_suite=1, extensions=())
    with cheating():
        for proposal in (restart, ExternalInit(kem_output=bytes(32))):
            refuse(bo, ada.commit(proposal, path=True), "V5")


def test_v5_an_update_by_value_is_refused():
    ada, bo, _ = found()
    with cheating():
        sent = ada.commit(Update(leaf_at(ada.group.tree, bo.index)), path=True)
    refuse(bo, sent, "V5")


def test_v5_by_reference_nobody_is_added_and_no_charter_is_changed():
    for what, argument in (
        ("add", bundle_of("Dan").key_package),
        ("extensions", group_extensions(with_policy(charter_for(), max_devices=9))),
    ):
        devices = ada, bo, cleo = found()
        more = {"now": NOT_AFTER - 86400} if what == "add" else {}
        spread(devices, cleo.propose(what, argument, **more))
        refuse(bo, ada.commit(), "V5")


def test_v5_an_unknown_reference_is_no_junk():
    ada, bo, cleo = found()
    update = cleo.propose("update")
    ada.receive(update)
    stuck(bo, ada.commit(), "V5")


def test_v6_nobody_proposes_to_remove_another():
    devices = ada, bo, cleo = found(4)[:3]
    spread(devices, bo.propose("remove", cleo.index))
    sent = ada.commit(charter=hop(ada.charter))
    refuse(bo, sent, "V6")
    refuse(cleo, sent, "V6")


def test_v7_the_committer_does_not_remove_itself(monkeypatch):
    ada, bo, _ = found(3, charter_for(("Ada", "Bo")))
    with cheating() as patch:
        # The path of a committer who is gone has no place in the tree.
        patch.setattr(commit_builder, "apply_proposals", keep_committer(commit_builder.apply_proposals))
        sent = ada.commit(Remove(ada.index), charter=hop(ada.charter))
    refuse(bo, sent, "RFC9420-12.2")
    monkeypatch.setattr(proposal_rules, "check_committer_stays", lambda *_: None)
    monkeypatch.setattr(commit_processor, "apply_proposals", keep_committer(commit_processor.apply_proposals))
    refuse(bo, sent, "V7", "itself")


def keep_committer(apply):
    def keeping(view, resolved):
        return apply(view, [each for each in resolved if not isinstance(each.proposal, Remove)])

    return keeping


def test_v7_a_coordinator_loses_no_device_by_another_coordinators_hand():
    bundles = [bundle_of("Ada"), bundle_of("Bo"), bundle_of("Bo", 1)]
    ada, bo, phone = found(charter=charter_for(("Ada", "Bo"), threshold=2), bundles=bundles)
    sent = ada.commit(Remove(phone.index), charter=hop(ada.charter))
    refuse(bo, sent, "V7", "another")
    refuse(phone, sent, "V7", "another")


def test_v7_a_coordinator_removes_its_own_device_and_a_stuck_one_is_added_again():
    bundles = [bundle_of("Ada"), bundle_of("Bo"), bundle_of("Bo", 1)]
    devices = ada, bo, phone = found(charter=charter_for(("Ada", "Bo"), threshold=2), bundles=bundles)
    again = Add(bundle_of("Bo", 0, seed="lifeboat").key_package)
    spread(devices, ada.commit(Remove(bo.index), again, charter=hop(ada.charter)))
    agree([ada, phone])
    gone = next(each.index for each in ada.group.members() if member_of(each.leaf).device_id == device_id("Bo"))
    spread([ada, phone], phone.commit(Remove(gone), charter=hop(ada.charter)))
    agree([ada, phone])


# --- V8: leaves ----------------------------------------------------------------------------------------------------


def signed_by(name, key, **fields):
    """Return a credential that says ``fields`` and that ``name`` signed."""
    whole = {"lineage_id": LINEAGE, "device_id": device_id("Dan"), "leaf_signature_key": key, "not_after": NOT_AFTER}
    return build_credential(member=member(name), **{**whole, **fields})


def dans_key():
    return bundle_of("Dan").key_package.leaf_node.signature_key


CREDENTIALS = {
    "another circle": lambda: signed_by("Dan", dans_key(), lineage_id=bytes(32)),
    "another name": lambda: replace(signed_by("Eve", dans_key()), member_pk=member("Bo").public_key),
    "another leaf": lambda: signed_by("Dan", member("Eve").public_key),
    "a person": lambda: replace(signed_by("Dan", dans_key()), person_link=bytes(96)),
    "no key": lambda: replace(signed_by("Dan", dans_key()), member_pk=NOBODY),
    "another device": lambda: replace(signed_by("Dan", dans_key()), device_id=bytes(8)),
    "another life": lambda: replace(signed_by("Dan", dans_key()), not_after=1),
}


@pytest.mark.parametrize("what", CREDENTIALS)
def test_v8_nobody_is_added_with_a_credential_that_does_not_hold(what):
    ada, bo, _ = found()
    refuse(bo, ada.commit(add("Dan", credential=CREDENTIALS[what]().credential())), "V8")


def test_v8_a_credential_that_is_none_is_refused():
    ada, bo, _ = found()
    credential = signed_by("Dan", dans_key())
    for identity in (b"Dan", serialize(credential) + b"\0", b"\2" + serialize(credential)[1:]):
        refuse(bo, ada.commit(add("Dan", credential=basic_credential(identity))), "V8")


def test_v8_an_update_keeps_member_and_device():
    for name, device in (("Cleo", 0), ("Bo", 1)):
        devices = ada, bo, _ = found()
        key = bo.group.own_leaf.signature_key
        changes = LeafChanges(credential=credential_of(name, key, device))
        spread(devices, bo.propose("update", changes=changes))
        refuse(ada, ada_commits(ada), "V8", "changes its member or device")


def test_a_committer_leaves_out_an_update_that_would_spoil_its_commit():
    devices = ada, bo, cleo = found()
    lie = LeafChanges(credential=credential_of("Cleo", bo.group.own_leaf.signature_key))
    spread(devices, bo.propose("update", changes=lie))
    spread(devices, cleo.propose("update"))
    usable = tuple(
        ref
        for ref, stored in ada.group.proposals.items()
        if is_valid_update(ada.group.tree, stored.sender, stored.proposal.leaf_node, lineage_id=LINEAGE)
    )
    assert [ada.group.proposals[ref].sender for ref in usable] == [cleo.index]
    spread(devices, ada.commit(references=usable))
    agree(devices)
    assert not is_valid_update(ada.group.tree, LeafIndex(3), ada.group.own_leaf, lineage_id=LINEAGE)


def test_a_coordinator_who_left_is_taken_off_the_roster_by_whoever_commits():
    devices = ada, bo, cleo, dan = three()
    spread(devices, cleo.propose("remove", cleo.index))
    left = members_gone(ada.group.tree, {cleo.index})
    assert left == {member("Cleo").public_key}
    after = without(ada.charter, left)
    change = hop(ada.charter, rotate=True, coordinators=after.coordinators, roster_threshold=after.roster_threshold)
    spread([ada, bo, dan], ada.commit(charter=replace(change, roster_rev=1)))
    agree([ada, bo, dan])


def ada_commits(ada):
    with cheating():
        return ada.commit()


def test_v8_the_committers_own_path_keeps_member_and_device():
    ada, bo, _ = found()
    changes = LeafChanges(credential=credential_of("Bo", ada.group.own_leaf.signature_key))
    refuse(bo, ada.commit(path=True, changes=changes), "V8", "changes its member or device")


def test_v8_the_mark_of_a_refresh_stands_nowhere_else():
    mark = (refresh_extension(0),)
    devices = ada, bo, _ = found(3, charter_for(("Ada", "Bo"), member_refresh=1))
    spread(devices, bo.propose("update", changes=LeafChanges(extensions=mark)))
    refuse(bo, ada.commit(), "V8", "0xfa11")
    ada, bo, _ = found(3, charter_for(member_refresh=0))
    refuse(bo, ada.commit(add("Dan", leaf_extensions=mark)), "V8", "0xfa11")
    refuse(bo, ada.commit(path=True, changes=LeafChanges(extensions=mark)), "V8", "0xfa11")


def test_v8_a_refresh_brings_no_other_extension():
    more = (refresh_extension(0), Extension(ExtensionType.APPLICATION_ID, b"me"))
    ada, bo, _ = found(3, charter_for(member_refresh=1))
    sent = bo.commit(path=True, changes=LeafChanges(extensions=more))
    refuse(ada, sent, "V8", "carries extension")


def test_v8_every_leaf_lists_the_extension_of_refreshes():
    ada, bo, _ = found()
    poor = replace(leaf_capabilities(), extensions=(EXTENSION_TYPE,))
    refuse(bo, ada.commit(add("Dan", capabilities=poor)), "V8", "does not list")


def test_v8_a_leaf_is_not_blown_up():
    ada, bo, _ = found()
    rich = replace(leaf_capabilities(), extensions=(EXTENSION_TYPE, REFRESH_TYPE, *range(0xF000, 0xF300)))
    refuse(bo, ada.commit(add("Dan", capabilities=rich)), "V8", "bytes")


# --- V9: all leaves together ---------------------------------------------------------------------------------------


def test_v9_no_two_leaves_share_a_signature_key(monkeypatch):
    ada, bo, _ = found()
    twin = add("Bo")
    with cheating():
        sent = ada.commit(twin)
    refuse(bo, sent, "RFC9420-12.2")
    monkeypatch.setattr(commit_processor, "check_proposals", lambda *_: None)
    monkeypatch.setattr(commit_processor, "check_result", lambda *_: None)
    refuse(bo, sent, "V9", "signature key")


def test_v9_a_device_that_comes_back_leaves_no_old_leaf_behind():
    devices = ada, bo, cleo = found()
    again = add("Cleo", seed="lifeboat")
    refuse(bo, ada.commit(again), "V9", "twice")
    spread(devices, ada.commit(Remove(cleo.index), again, charter=hop(ada.charter)))
    agree([ada, bo])


def test_v9_a_member_has_no_more_devices_than_allowed():
    ada, bo, _ = found(3, charter_for(max_devices=2))
    spread([ada, bo], ada.commit(add("Bo", 1)))
    refuse(bo, ada.commit(add("Bo", 2)), "V9", "3 devices")
    refuse(bo, ada.commit(charter=with_policy(ada.charter, max_devices=1)), "V9", "2 devices")


def test_v9_a_circle_has_no_more_leaves_than_allowed():
    ada, bo, _ = found(3, charter_for(max_leaves=3))
    refuse(bo, ada.commit(add("Dan")), "V9", "4 leaves")
    refuse(bo, ada.commit(charter=with_policy(ada.charter, max_leaves=2)), "V9", "3 leaves")


def test_v9_nobody_who_is_banned_comes_or_stays():
    devices = ada, bo, cleo = found()
    ban = (ban_hash(member("Cleo").public_key),)
    refuse(bo, ada.commit(charter=hop(ada.charter, banned=ban)), "V9", "banned")
    spread(devices, ada.commit(Remove(cleo.index), charter=hop(ada.charter, banned=ban)))
    refuse(bo, ada.commit(add("Cleo", seed="again")), "V9", "banned")


# --- V10: coordinators ---------------------------------------------------------------------------------------------


def to_roster(before: Charter, coordinators, *approvers, threshold=1):
    after = hop(before, rotate=True, coordinators=tuple(coordinators), roster_threshold=threshold)
    return approved(before, after, *approvers)


def test_v10_a_circle_keeps_a_coordinator():
    ada, bo, _ = found()
    after = hop(ada.charter, rotate=True, coordinators=(), roster_threshold=0)
    sent = ada.commit(charter=approved(ada.charter, after))
    refuse(bo, sent, "V10", "without coordinators")


def test_v10_a_coordinator_has_a_device_in_the_circle():
    ada, bo, cleo = found(3, charter_for(("Ada", "Cleo")))
    refuse(bo, ada.commit(charter=to_roster(ada.charter, roster("Ada", "Cleo", "Dan"), threshold=2)), "V10", "device")
    spread([ada, bo, cleo], cleo.propose("remove", cleo.index))
    refuse(bo, ada.commit(charter=hop(ada.charter)), "V10", "device")
    left = hop(ada.charter, rotate=True, coordinators=roster("Ada"))
    spread([ada, bo], ada.commit(charter=approved(ada.charter, left)))


def test_v10_ranks_are_unique_and_stay():
    ada, bo, _ = found()
    pks = [member(name).public_key for name in ("Ada", "Bo")]
    same = [Coordinator(rank=1, member_pk=pk) for pk in pks]
    refuse(bo, ada.commit(charter=to_roster(ada.charter, same)), "V10", "one rank")
    other = [Coordinator(rank=5 + place, member_pk=pk) for place, pk in enumerate(pks)]
    refuse(bo, ada.commit(charter=to_roster(ada.charter, other)), "V10", "changes its rank")


def test_v10_nobody_stands_in_the_roster_twice():
    ada, bo, _ = found()
    twice = [*roster("Ada"), Coordinator(rank=9, member_pk=member("Ada").public_key)]
    refuse(bo, ada.commit(charter=to_roster(ada.charter, twice)), "V10", "twice")


@pytest.mark.parametrize(("names", "threshold"), [("Ada", 0), ("Ada", 2), ("Ada Bo Cleo", 1), ("Ada Bo Cleo", 4)])
def test_v10_the_threshold_can_be_met_and_from_three_on_nobody_decides_alone(names, threshold):
    ada, bo, _ = found()
    after = to_roster(ada.charter, roster(*names.split()), threshold=threshold)
    refuse(bo, ada.commit(charter=after), "V10", "threshold")


# --- V11: approvals ------------------------------------------------------------------------------------------------


def three():
    return found(4, charter_for(("Ada", "Bo", "Cleo"), threshold=2))


def test_v11_one_coordinator_of_three_does_not_change_the_roster_alone():
    devices = ada, bo, *_ = three()
    wider = roster("Ada", "Bo", "Cleo", "Dan")
    refuse(bo, ada.commit(charter=to_roster(ada.charter, wider, threshold=2)), "V11", "1 of 2")
    narrower = roster("Ada", "Bo")
    refuse(bo, ada.commit(charter=to_roster(ada.charter, narrower, threshold=2)), "V11", "1 of 2")
    spread(devices, ada.commit(charter=to_roster(ada.charter, wider, "Cleo", threshold=2)))
    agree(devices)


def test_v11_the_threshold_does_not_change_alone():
    ada, bo, *_ = three()
    after = approved(ada.charter, hop(ada.charter, roster_threshold=3))
    refuse(bo, ada.commit(charter=after), "V11", "1 of 2")


def test_v11_the_circle_is_not_led_to_another_relay_by_one_alone():
    devices = ada, bo, *_ = three()
    away = hop(ada.charter, relays=((relay("evil"), 0),))
    refuse(bo, ada.commit(charter=approved(ada.charter, away)), "V11", "1 of 2")
    spread(devices, ada.commit(charter=approved(ada.charter, away, "Bo")))
    agree(devices)


def test_v11_whoever_is_removed_does_not_agree_to_it():
    ada, bo, *_ = three()
    after = to_roster(ada.charter, roster("Ada", "Bo"), "Cleo", threshold=2)
    refuse(bo, ada.commit(charter=after), "V11", "being removed")


def test_v11_a_committer_who_takes_itself_off_does_not_agree_to_more():
    ada, bo, *_ = three()
    after = to_roster(ada.charter, roster("Bo", "Dan"), "Bo", threshold=1)
    refuse(bo, ada.commit(charter=after), "V11", "1 of 2")


def test_v11_nobody_agrees_twice():
    ada, bo, *_ = three()
    wider = roster("Ada", "Bo", "Cleo", "Dan")
    for names in (("Ada",), ("Bo", "Bo")):
        after = to_roster(ada.charter, wider, *names, threshold=2)
        refuse(bo, ada.commit(charter=after), "V11", "twice")


def test_v11_an_approval_is_of_this_change_by_this_coordinator():
    devices = ada, bo, *_ = three()
    wider = roster("Ada", "Bo", "Cleo", "Dan")
    good = to_roster(ada.charter, wider, "Bo", threshold=2)
    other = to_roster(ada.charter, wider, "Bo", threshold=3)
    unknown = replace(good.approvals[0], rank=77)
    wrong_rank = replace(good.approvals[0], rank=3)
    for approvals in (other.approvals, (unknown,), (wrong_rank,)):
        refuse(bo, ada.commit(charter=replace(good, approvals=approvals)), "V11")
    spread(devices, ada.commit(charter=good))


def test_v11_an_approval_cannot_be_used_again():
    devices = ada, bo, *_ = three()
    start = ada.charter
    wide = roster("Ada", "Bo", "Cleo", "Dan")
    spread(devices, ada.commit(charter=to_roster(start, wide, "Bo", threshold=2)))
    spread(devices, ada.commit(charter=to_roster(ada.charter, start.coordinators, "Bo", threshold=2)))
    again = to_roster(start, wide, "Bo", threshold=2).approvals
    after = to_roster(ada.charter, wide, threshold=2)
    refuse(bo, ada.commit(charter=replace(after, approvals=again)), "V11")


def test_e20_an_approval_survives_hops():
    devices = ada, *_ = three()
    wide = roster("Ada", "Bo", "Cleo", "Dan")
    early = to_roster(ada.charter, wide, "Bo", threshold=2).approvals
    spread(devices, ada.commit(charter=hop(ada.charter)))
    after = replace(to_roster(ada.charter, wide, threshold=2), approvals=early)
    spread(devices, ada.commit(charter=after))
    agree(devices)


def test_e20_a_coordinator_steps_down_alone_and_the_threshold_follows_no_further():
    devices = ada, bo, *_ = three()
    for threshold in (1, 3):
        after = to_roster(ada.charter, roster("Bo", "Cleo"), threshold=threshold)
        with refused(bo, "V10" if threshold == 3 else "V11"):
            bo.receive(ada.commit(charter=after))
    spread(devices, ada.commit(charter=to_roster(ada.charter, roster("Bo", "Cleo"), threshold=2)))
    spread(devices, bo.commit(charter=to_roster(bo.charter, roster("Cleo"), threshold=1)))
    agree(devices)


def test_e20_a_coordinator_who_leaves_leaves_the_roster_without_approvals():
    devices = ada, bo, cleo, dan = three()
    spread(devices, cleo.propose("remove", cleo.index))
    sent = ada.commit(charter=to_roster(ada.charter, roster("Ada", "Bo"), threshold=2))
    spread([ada, bo, dan], sent)
    agree([ada, bo, dan])


def test_e20_a_coordinator_who_leaves_with_one_of_two_devices_has_not_left():
    bundles = [bundle_of(name) for name in ("Ada", "Bo", "Cleo")] + [bundle_of("Cleo", 1)]
    charter = charter_for(("Ada", "Bo", "Cleo"), threshold=2)
    devices = ada, bo, cleo, _ = found(charter=charter, bundles=bundles)
    spread(devices, cleo.propose("remove", cleo.index))
    refuse(bo, ada.commit(charter=to_roster(ada.charter, roster("Ada", "Bo"), threshold=2)), "V11", "1 of 2")


def test_e20_a_coordinator_removed_by_others_needs_approvals():
    ada, bo, cleo, _ = three()
    after = to_roster(ada.charter, roster("Ada", "Bo"), threshold=2)
    refuse(bo, ada.commit(Remove(cleo.index), charter=after), "V11", "1 of 2")


def test_e20_leaving_is_no_cover_for_another_change():
    ada, bo, cleo, _ = devices = three()
    spread(devices, cleo.propose("remove", cleo.index))
    away = hop(ada.charter, rotate=True, coordinators=roster("Ada", "Bo"), relays=((relay("evil"), 0),))
    refuse(bo, ada.commit(charter=approved(ada.charter, away)), "V11", "1 of 2")
    more = to_roster(ada.charter, roster("Ada", "Bo", "Dan"), threshold=2)
    refuse(bo, ada.commit(charter=more), "V11", "1 of 2")


# --- V12: the Charter ----------------------------------------------------------------------------------------------


def in_transport(charter: Charter, **fields) -> Charter:
    return replace(charter, transport=replace(charter.transport, **fields))


def in_relay(charter: Charter, **fields) -> Charter:
    first, *rest = charter.transport.relays
    return in_transport(charter, relays=(replace(first, **fields), *rest))


def in_place(charter: Charter, **fields) -> Charter:
    """Return a hop that moves the first relay, with all approvals it takes."""
    return approved(charter, in_relay(hop(charter), **fields))


V12 = {
    "another lineage": lambda old: hop(old, lineage_id=bytes(32)),
    "another generation": lambda old: hop(old, generation=1),
    "rev stays": lambda old: hop(old, rev=0),
    "rev leaps": lambda old: hop(old, rev=2),
    "rev alone": lambda old: replace(old, rev=2),
    "roster_rev without need": lambda old: hop(old, roster_rev=1),
    "roster_rev stays": lambda old: hop(old, rotate=True, coordinators=roster("Ada", "Bo")),
    "segment leaps": lambda old: in_transport(hop(old), segment_no=2),
    "no hop with the roster": lambda old: approved(old, replace(old, rev=1, coordinators=roster("Ada", "Bo"))),
    "transport changes without a hop": lambda old: in_transport(replace(old, rev=1), salt=salt_of(7)),
    "relay key changes without a hop": lambda old: in_relay(replace(old, rev=1), admin_vk=member("Eve").public_key),
    "lobby key changes without a hop": lambda old: in_transport(
        replace(old, rev=1), lobby_pk=hop(old).transport.lobby_pk
    ),
    "no fresh salt": lambda old: in_transport(hop(old), salt=old.transport.salt),
    "secret stays with the roster": lambda old: approved(old, hop(old, coordinators=roster("Ada", "Bo"))),
    "secret leaps": lambda old: in_transport(hop(old), coord_gen=2),
    "secret falls": lambda old: in_transport(hop(old), coord_gen=4294967295),
    "approvals alone": lambda old: hop(old, approvals=approved(old, old, "Ada").approvals),
    "unknown policy": lambda old: with_policy(old, member_refresh=2),
    "unknown history": lambda old: with_policy(old, history_mode=3),
    "too many leaves": lambda old: with_policy(old, max_leaves=181),
    "too many leaves with refreshes": lambda old: with_policy(old, member_refresh=1, max_leaves=201),
    "a mirror": lambda old: in_place(old, role=2),
    "no primary": lambda old: in_place(old, role=1),
    "two primaries": lambda old: approved(
        old, in_transport(hop(old), relays=tuple(replace(each, role=0) for each in hop(old).transport.relays))
    ),
    "no relay": lambda old: approved(old, in_transport(hop(old), relays=())),
    "one relay twice": lambda old: approved(
        old,
        in_transport(hop(old), relays=(hop(old).transport.relays[0], replace(hop(old).transport.relays[0], role=1))),
    ),
    "an open door": lambda old: in_place(old, uri="http://one.example"),
    "no relay key": lambda old: in_place(old, relay_pk=NOBODY),
    "no admin key": lambda old: in_relay(hop(old), admin_vk=NOBODY),
    "no lobby read key": lambda old: in_relay(hop(old), lobby_read_vk=bytes([1]) + bytes(31)),
    "no lobby key": lambda old: in_transport(hop(old), lobby_pk=b""),
    "another life": lambda old: in_transport(hop(old), ttl_class=0),
}


@pytest.mark.parametrize("what", V12)
def test_v12_a_charter_changes_only_as_it_may(what):
    ada, bo, _ = found(3, charter_for(("Ada",)))
    after = V12[what](ada.charter)
    # Without a fitting secret another part of V12 would refuse what this part lets through.
    coord = fitting_coord(ada, after)
    refuse(bo, ada.commit(charter=after, coord=coord), "V12")


def fitting_coord(device: Device, after: Charter):
    if after.transport.coord_gen == device.charter.transport.coord_gen:
        return None
    return seal_coord_secret(device.group, COORD, charter=after)


def test_v12_a_charter_that_cannot_be_read_is_refused():
    ada, bo, _ = found()
    required, charter = group_extensions(with_policy(ada.charter, max_devices=2))
    for data in (b"", charter.data + b"\0", b"\2" + charter.data[1:]):
        sent = ada.commit(extensions=(required, Extension(EXTENSION_TYPE, data)))
        refuse(bo, sent, "V12")


def test_v12_whoever_is_removed_loses_the_log():
    devices = ada, bo, cleo = found()
    refuse(bo, ada.commit(Remove(cleo.index)), "V12", "does not hop")
    spread(devices, cleo.propose("remove", cleo.index))
    refuse(bo, ada.commit(), "V12", "does not hop")


def test_v12_a_new_relay_takes_a_hop():
    ada, bo, _ = found()
    moved = approved(ada.charter, in_relay(replace(ada.charter, rev=1), uri="https://elsewhere.example"))
    refuse(bo, ada.commit(charter=moved), "V12", "does not hop")


def test_v12_a_new_secret_travels_with_its_generation():
    ada, bo, _ = found(3, charter_for(("Ada", "Bo")))
    renewed = hop(ada.charter, rotate=True)
    sealed = fitting_coord(ada, renewed)
    refuse(bo, ada.commit(charter=renewed, coord=False), "V12", "generation")
    refuse(bo, ada.commit(charter=hop(ada.charter), coord=sealed), "V12", "generation")
    refuse(bo, ada.commit(coord=sealed), "V12", "generation")
    wrong = replace(sealed, coord_gen=5)
    refuse(bo, ada.commit(charter=renewed, coord=wrong), "V12", "generation")


def test_v12_a_new_secret_is_sealed_to_all_coordinators_and_nobody_else():
    devices = ada, bo, cleo = found(3, charter_for(("Ada", "Bo")))
    renewed = hop(ada.charter, rotate=True)
    sealed = fitting_coord(ada, renewed)
    assert (
        sealed.leaves == (bo.index,) == coordinator_leaves(bo.group, renewed, committer=ada.index, removed=frozenset())
    )
    stranger = replace(sealed.to[0], leaf_index=cleo.index)
    for to in ((), (*sealed.to, stranger), (stranger,), sealed.to * 2):
        refuse(bo, ada.commit(charter=renewed, coord=replace(sealed, to=to)), "V12", "not sealed to all")
    spread(devices, ada.commit(charter=renewed))


# --- V13 and V14 ---------------------------------------------------------------------------------------------------


def test_v13_a_circle_has_two_extensions_and_no_other_needs():
    ada, bo, _ = found()
    required, charter = group_extensions(with_policy(ada.charter, max_devices=2))
    more = RequiredCapabilities(extensions=(EXTENSION_TYPE, REFRESH_TYPE)).extension()
    for extensions in (
        (charter,),
        (charter, required),
        (required, charter, Extension(ExtensionType.EXTERNAL_SENDERS, b"\0")),
        (more, charter),
    ):
        refuse(bo, ada.commit(extensions=extensions), "V13")


def test_v14_only_who_adds_omits_the_path(monkeypatch):
    ada, bo, cleo = found()
    with cheating() as patch:
        patch.setattr(commit_builder, "choose_path", lambda *_: False)
        sent = ada.commit(Remove(cleo.index), charter=hop(ada.charter))
    refuse(bo, sent, "RFC9420-12.4")
    monkeypatch.setattr(commit_processor, "check_path_present", lambda *_, **__: None)
    refuse(bo, sent, "V14")


# --- V15, V16, E38, E4 ---------------------------------------------------------------------------------------------


def test_v15_a_valid_commit_that_leads_nowhere_is_no_junk():
    ada, bo, _ = found()
    true = AuthenticatedContent.with_confirmation_tag
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AuthenticatedContent, "with_confirmation_tag", lambda self, tag: true(self, bytes(len(tag))))
        sent = ada.commit(path=True)
    stuck(bo, sent, "V15")


def test_v16_an_epoch_with_a_leaf_that_does_not_hold_is_not_entered():
    charter = charter_for()
    bad = bundle_of("Dan", credential=CREDENTIALS["another name"]().credential())
    ada, bo, _ = found(charter=charter, bundles=[bundle_of("Ada"), bundle_of("Bo"), bad])
    stuck(bo, ada.commit(), "V16")


def test_v16_an_epoch_with_a_charter_that_does_not_hold_is_not_entered():
    """A Charter that was wrong from the founding on is found as soon as anybody looks at the whole."""
    for charter in (charter_for(("Ada", "Fay")), charter_for(threshold=3), charter_for(max_leaves=999)):
        ada, bo, _ = found(charter=charter)
        with pytest.raises(RuleError):
            rules.check_epoch(bo.group)
        with pytest.raises(StuckError) as raised:
            rules.check_result(bo.group)
        assert raised.value.rule == "V16"
        assert raised.value.code == "commit.stuck"
        assert ada.group.epoch == 1


def test_a_commit_that_removes_us_ends_the_group_here():
    ada, bo, cleo = found()
    sent = ada.commit(Remove(cleo.index), charter=hop(ada.charter))
    before = dict(cleo.rows)
    message, _ = rules.check_entry(sent.header, sent.body, cleo.group)
    assert rules.apply_commit(rules.stage_commit(cleo.group.open(message))).removed_self
    assert cleo.rows == before
    assert bo.group.epoch == 1


def test_e38_an_epoch_for_newer_programs_is_not_entered():
    ada, bo, _ = found()
    sent = ada.commit(charter=with_policy(ada.charter, min_client=rules.BEHAVIOUR_VERSION + 1))
    group, rows = bo.group, dict(bo.rows)
    with pytest.raises(OutdatedError) as raised:
        bo.receive(sent)
    assert raised.value.code == "commit.outdated"
    assert bo.group is group
    assert bo.rows == rows == group.rows()


def test_e4_who_is_stuck_takes_only_the_repair_of_what_it_refused():
    ada, bo, _ = found()
    header = ada.header()
    for other in (header, replace(header, flags=REPAIR, rsv=bytes(12)), replace(header, rsv=b"x" * 12)):
        with refused(bo, "E4"):
            rules.check_repair(other, b"x" * 12)
    rules.check_repair(replace(header, flags=REPAIR, rsv=b"x" * 12), b"x" * 12)


def test_the_table_has_every_rule_in_order():
    assert [rule for rule, _ in rules.RULES] == [f"V{number}" for number in range(4, 15)]
    assert [check.__name__ for _, check in rules.RULES] == [f"check_v{number}" for number in range(4, 15)]
