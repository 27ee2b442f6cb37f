"""The life of a group from founding to removal, on every suite, restarted from its rows between the steps."""

from __future__ import annotations

import pytest

from tertulia_protocol.codec import serialize
from tertulia_protocol.errors import ReplayError, WrongEpochError
from tertulia_protocol.mls.errors import RemovedError
from tertulia_protocol.mls.extensions import Extension
from tertulia_protocol.mls.framing import ContentType
from tertulia_protocol.mls.group import Group
from tertulia_protocol.mls.group_messages import LeafChanges
from tertulia_protocol.mls.group_state import GroupSettings
from tertulia_protocol.mls.proposals import Add, GroupContextExtensions, Remove
from tests.support.mls import NOW
from tests.support.mls_world import (
    EXTENSION,
    SUITES,
    Peer,
    agree,
    bundle_of,
    everybody_commits,
    found,
    join,
    refused,
    remove,
    spread,
    talk,
)

pytestmark = pytest.mark.parametrize("suite", SUITES, ids=lambda suite: f"{suite.id:04x}")


def restart_all(peers):
    for peer in peers:
        peer.restart()


@pytest.mark.parametrize("tree_outside", [True, False])
def test_many_join_by_one_welcome(suite, tree_outside):
    peers = found(suite, 6, tree_outside=tree_outside)
    agree(peers)
    talk(peers)
    assert [member.credential.identity.decode() for member in peers[5].group.members()] == [peer.name for peer in peers]


def test_everybody_renews_keys_and_restarts(suite):
    peers = found(suite, 5)
    for peer in peers:
        message = peer.commit(path=True, authenticated_data=b"why").message
        restart_all(peers)
        spread(peers, message)
        restart_all(peers)
        agree(peers)
    talk(peers)


def test_update_and_remove_by_reference(suite):
    ada, bo, cleo, dan, eve = peers = found(suite, 5)
    everybody_commits(peers)
    spread(peers, bo.propose_update(), but=bo)
    spread(peers, dan.propose_remove(dan), but=dan)
    restart_all(peers)
    old_key = ada.group.member(bo.index).leaf.encryption_key
    built = ada.commit(references=ada.refs)
    assert built.staged.provisional.updated == (bo.index,)
    assert built.staged.provisional.removed == (dan.index,)
    spread(peers, built.message)
    assert dan.is_removed
    rest = [ada, bo, cleo, eve]
    agree(rest)
    talk(rest)
    assert ada.group.member(bo.index).leaf.encryption_key != old_key
    assert not ada.group.proposals
    spread(rest, bo.commit(path=True).message)
    agree(rest)


def test_add_and_remove_by_value_in_one_commit(suite):
    ada, bo, cleo = peers = found(suite, 3)
    everybody_commits(peers)
    bundle = bundle_of(suite, "New")
    built = bo.commit(Remove(cleo.index), Add(bundle.key_package), path=True)
    restart_all(peers)
    spread(peers, built.message)
    new = join(built, bundle, "New", tree_outside=True)
    assert new.index == cleo.index
    agree([ada, bo, new])
    talk([ada, bo, new])
    spread([ada, bo, new], new.commit(path=True).message)
    agree([ada, bo, new])


def test_the_tree_grows_and_shrinks(suite):
    ada, *others = peers = found(suite, 5)
    assert ada.group.tree.size == 8
    spread(peers, ada.commit(*map(remove, others[1:])).message)
    assert ada.group.tree.size == 2
    rest = [ada, others[0]]
    agree(rest)
    bundle = bundle_of(suite, "New")
    built = others[0].commit(Add(bundle.key_package))
    spread(rest, built.message)
    new = join(built, bundle, "New", tree_outside=True)
    agree([*rest, new])
    talk([*rest, new])


def test_adds_alone_make_no_path_and_leave_leaves_unmerged(suite):
    ada, bo = peers = found(suite, 2)
    everybody_commits(peers)
    bundle = bundle_of(suite, "New")
    built = ada.commit(Add(bundle.key_package))
    assert built.staged.provisional.commit.path is None
    assert built.staged.provisional.path_leaf is None
    spread(peers, built.message)
    new = join(built, bundle, "New", tree_outside=True)
    peers = [ada, bo, new]
    agree(peers)
    everybody_commits([new, ada, bo])
    talk(peers)


def test_extensions_of_the_group_are_replaced(suite):
    ada, _bo, _cleo = peers = found(suite, 3)
    extensions = (Extension(EXTENSION, b"what we agreed"),)
    message, group = ada.group.propose_extensions(extensions, rng=ada.rng)
    ada.keep(group)
    spread(peers[1:], message)
    built = peers[1].commit(references=peers[1].refs)
    assert built.staged.provisional.extensions_before == ()
    assert built.staged.provisional.extensions_after == extensions
    spread(peers, built.message)
    agree(peers)
    assert peers[2].group.extensions == extensions
    spread(peers, peers[2].commit(GroupContextExtensions(())).message)
    agree(peers)
    assert ada.group.extensions == ()


def test_an_add_by_reference(suite):
    ada, bo = peers = found(suite, 2)
    bundle = bundle_of(suite, "New")
    message, group = bo.group.propose_add(bundle.key_package, now=NOW, rng=bo.rng)
    bo.keep(group)
    ada.receive(message)
    built = ada.commit(references=ada.refs, path=True, welcome_with_tree=True)
    spread(peers, built.message)
    new = join(built, bundle, "New", tree_outside=False)
    agree([*peers, new])
    everybody_commits([*peers, new])


def test_of_several_pending_commits_the_other_one_wins(suite):
    ada, bo, cleo = peers = found(suite, 3)
    first, second = ada.commit(path=True), ada.commit(path=True)
    other = bo.commit(Remove(cleo.index))
    assert len(ada.group.pending) == 2
    assert any(name.startswith("pending/") for name in ada.rows)
    ada.restart()
    spread(peers, other.message)
    rest = [ada, bo]
    agree(rest)
    assert cleo.is_removed
    assert not ada.group.pending
    assert not any(name.startswith("pending/") for name in ada.rows)
    for built in (first, second):
        with refused(ada, WrongEpochError):
            ada.group.open(built.message)
    talk(rest)


def test_of_several_pending_commits_the_second_wins(suite):
    ada, *_ = peers = found(suite, 3)
    ada.commit(path=True)
    second = ada.commit(path=True)
    restart_all(peers)
    spread(peers, second.message)
    agree(peers)
    everybody_commits(peers)
    talk(peers)


def test_own_commit_is_applied_from_memory_or_from_the_log_alike(suite):
    ada, bo = found(suite, 2)
    built = ada.commit(path=True)
    merged = ada.group.merge(built.staged)
    spread([ada, bo], built.message)
    assert merged.rows().keys() == ada.rows.keys()
    assert merged.epoch_authenticator == ada.group.epoch_authenticator
    assert {k: v for k, v in merged.rows().items() if not k.startswith("ratchet")} == {
        k: v for k, v in ada.rows.items() if not k.startswith("ratchet")
    }


def test_a_pending_commit_can_be_dropped(suite):
    (ada,) = found(suite, 1)
    built = ada.commit(path=True)
    ada.keep(ada.group.drop_pending(built.pending.message_hash))
    assert not ada.group.pending
    with refused(ada, ReplayError):
        ada.group.open(built.message)


def test_staged_epochs_agree_before_anybody_merges(suite):
    ada, bo, cleo = found(suite, 3)
    built = ada.commit(path=True)
    seen = []
    for peer in (ada, bo, cleo):
        staged = peer.group.apply_commit(peer.group.stage_commit(peer.group.open(built.message)))
        seen.append((staged.epoch_authenticator, staged.export_secret("label", b"c", 20)))
    assert seen.count((built.staged.epoch_authenticator, built.staged.export_secret("label", b"c", 20))) == 3
    assert seen[0][0] != ada.group.epoch_authenticator
    spread([ada, bo, cleo], built.message)
    assert (ada.group.epoch_authenticator, ada.group.export_secret("label", b"c", 20)) == seen[0]


def test_the_removed_sees_it_and_derives_nothing_later(suite):
    ada, bo, cleo = peers = found(suite, 3)
    everybody_commits(peers)
    before = ada.post(b"still for Cleo")
    built = ada.commit(Remove(cleo.index))
    opened = cleo.group.open(built.message)
    staged = cleo.group.apply_commit(cleo.group.stage_commit(opened))
    assert staged.removed_self
    for attempt in (
        lambda: staged.epoch_authenticator,
        lambda: staged.export_secret("label", b"", 32),
        lambda: cleo.group.merge(staged),
    ):
        with refused(cleo, RemovedError):
            attempt()
    spread([ada, bo], built.message)
    later = [ada.post(b"not for Cleo"), bo.commit(path=True).message]
    for message in later:
        with refused(cleo, WrongEpochError):
            cleo.group.open(message)
    # With everything she stored she cannot open the path either: no private key of hers is among its recipients.
    held = {cleo.group.suite.public_key(private) for private in cleo.group.private_keys.values()}
    assert not any(node.encryption_key in held for _, node in built.tree.nodes())
    assert cleo.read(before) == b"still for Cleo"


def test_leaf_changes_travel_with_paths_and_updates(suite):
    ada, bo = peers = found(suite, 2)
    changes = LeafChanges(extensions=(Extension(EXTENSION, b"mine"),))
    spread(peers, ada.commit(changes=changes).message)
    agree(peers)
    assert bo.group.member(ada.index).leaf.extensions == changes.extensions
    ada.receive(bo.propose_update(changes=changes))
    spread(peers, ada.commit(references=ada.refs).message)
    agree(peers)
    assert ada.group.member(bo.index).leaf.extensions == changes.extensions


def test_authenticated_data_is_delivered(suite):
    ada, bo = found(suite, 2)
    message = ada.post(b"text", b"in the clear, signed")
    assert message.authenticated_data == b"in the clear, signed"
    opened = bo.group.open(message)
    assert (opened.body, opened.authenticated_data, opened.sender) == (b"text", b"in the clear, signed", ada.index)
    built = ada.commit(path=True, authenticated_data=b"of a commit")
    assert bo.group.open(built.message).authenticated_data == b"of a commit"


def test_own_messages_read_back(suite):
    ada, _bo = found(suite, 2)
    message = ada.post(b"my own")
    with refused(ada, ReplayError):
        ada.group.open(message)
    proposal = ada.propose_update()
    ada.restart()
    rows = dict(ada.rows)
    ada.receive(proposal)
    assert ada.rows == rows
    assert proposal.content_type is ContentType.PROPOSAL


def test_messages_of_a_past_epoch_where_it_is_kept(suite):
    ada, bo = peers = found(suite, 2, settings=GroupSettings(max_past_epochs=2))
    late = [ada.post(b"one"), ada.post(b"two"), ada.post(b"three")]
    everybody_commits(peers)
    assert [past.context.epoch for past in bo.group.past] == [2, 1]
    assert bo.read(late[1]) == b"two"
    bo.restart()
    assert bo.read(late[0]) == b"one"
    with refused(bo, ReplayError):
        bo.group.open(late[0])
    spread(peers, ada.commit(path=True).message)
    with refused(bo, WrongEpochError):
        bo.group.open(late[2])
    assert not any(name.startswith("past/1") for name in bo.rows)


def test_circles_keep_nothing_of_past_epochs(suite):
    ada, bo = peers = found(suite, 2)
    late, old = ada.post(b"late"), set(bo.rows.values())
    everybody_commits(peers)
    with refused(bo, WrongEpochError):
        bo.group.open(late)
    secret = {row for name, row in bo.rows.items() if name.startswith(("secret", "ratchet", "priv", "epoch"))}
    assert not secret & old


def test_sending_writes_one_small_row(suite):
    peers = found(suite, 8)
    everybody_commits(peers)
    ada, bo = peers[:2]
    message, group = ada.group.encrypt(b"x" * 1000, rng=ada.rng)
    puts, deletes = ada.keep(group)
    assert list(puts) == [f"ratchet/{ada.index}/application"]
    assert not deletes
    assert len(next(iter(puts.values()))) < 64
    bo.read(message)
    message, group = ada.group.encrypt(b"again", rng=ada.rng)
    ada.keep(group)
    puts, deletes = bo.keep(bo.group.open(message).group)
    assert list(puts) == [f"ratchet/{ada.index}/application"]
    assert not deletes


def test_a_group_of_one_commits(suite):
    (ada,) = found(suite, 1)
    spread([ada], ada.commit().message)
    assert ada.group.epoch == 1
    assert isinstance(ada.group, Group)
    assert isinstance(ada, Peer)
    assert "secret" not in repr(ada.group)
    assert serialize(ada.group.context)
