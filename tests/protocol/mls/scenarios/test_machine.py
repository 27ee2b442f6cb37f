"""Any history of a group: members of one epoch agree, whoever was removed learns nothing, rows are enough to go on.

Members follow one log, each at its own pace. Whoever lags builds commits that lose; the first commit of an epoch in
the log wins.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tertulia_protocol.errors import WrongEpochError
from tertulia_protocol.mls.ciphersuite import X25519_AES128
from tertulia_protocol.mls.commit_builder import BuiltCommit
from tertulia_protocol.mls.framing import PrivateMessage
from tertulia_protocol.mls.group import Group
from tertulia_protocol.mls.proposals import Add, Proposal, Remove, Update
from tests.support.mls_world import Peer, bundle_of, found, join, rewire
from tests.support.scale import runs

MOST = 6
seen: Counter[str] = Counter()


@dataclass(frozen=True)
class Entry:
    """One entry of the log."""

    kind: str
    author: Peer
    epoch: int
    message: PrivateMessage
    text: bytes = b""


class Groups(RuleBasedStateMachine):
    """A log, members with a cursor each, and those who were removed."""

    def __init__(self) -> None:
        super().__init__()
        self.log: list[Entry] = []
        self.cursor: dict[Peer, int] = {}
        self.gone: list[Peer] = []
        self.known: dict[int, Any] = {}
        self.names = iter(f"member {number}" for number in range(1000))
        self.head = 0
        self.reached: set[str] = set()

    def teardown(self) -> None:
        """Count what this example reached, and let everybody catch up."""
        for peer in list(self.cursor):
            self.follow(peer, len(self.log))
        self.agree()
        assert {peer.group.epoch for peer in self.cursor} <= {self.head}
        seen.update(self.reached)

    @initialize(size=st.integers(2, 4))
    def start(self, size):
        peers = found(X25519_AES128, size, names=[next(self.names) for _ in range(size)])
        self.cursor = dict.fromkeys(peers, 0)
        self.head = peers[0].group.epoch

    # --- What members do ---

    def peer(self, number: int) -> Peer:
        peers = list(self.cursor)
        return peers[number % len(peers)]

    @rule(who=st.integers(0, MOST), size=st.integers(0, 60))
    def post(self, who, size):
        author = self.peer(who)
        text = bytes(size) + author.name.encode()
        self.append("post", author, author.post(text), text)

    @rule(who=st.integers(0, MOST))
    def propose_update(self, who):
        author = self.peer(who)
        self.append("proposal", author, author.propose_update())

    @rule(who=st.integers(0, MOST))
    def propose_to_leave(self, who):
        author = self.peer(who)
        if len(self.cursor) > 2:
            self.append("proposal", author, author.propose_remove(author))

    @rule(who=st.integers(0, MOST), path=st.booleans(), whom=st.none() | st.integers(0, MOST), adds=st.integers(0, 2))
    def commit(self, who, path, whom, adds):
        author = self.peer(who)
        removed = None if whom is None else self.leaf_to_remove(author, whom)
        proposals: list[Proposal] = [] if removed is None else [Remove(removed)]
        bundles = {}
        for _ in range(min(adds, MOST - len(self.cursor))):
            name = next(self.names)
            bundles[name] = bundle_of(X25519_AES128, name)
        proposals += [Add(bundle.key_package) for bundle in bundles.values()]
        built = author.commit(*proposals, references=self.references(author, removed), path=path or None)
        wins = author.group.epoch == self.head
        self.append("commit", author, built.message)
        if wins:
            self.head += 1
            self.welcome(built, bundles)
        else:
            self.reached.add("concurrent merge")

    def leaf_to_remove(self, author: Peer, number: int):
        others = [member.index for member in author.group.members() if member.index != author.index]
        return others[number % len(others)] if len(others) > 1 else None

    def references(self, author: Peer, removed) -> tuple[bytes, ...]:
        """Return what an honest committer takes up: the newest proposal about each leaf, none about itself."""
        chosen: dict[int, bytes] = {}
        for ref, stored in author.group.proposals.items():
            about = stored.proposal.removed if isinstance(stored.proposal, Remove) else stored.sender
            if about in {author.index, removed}:
                continue
            earlier = chosen.get(about)
            leaves = earlier is not None and isinstance(author.group.proposals[earlier].proposal, Remove)
            if isinstance(stored.proposal, Update) and leaves:
                continue
            chosen[about] = ref
        return tuple(chosen.values())

    def welcome(self, built: BuiltCommit[Group], bundles: dict[str, Any]) -> None:
        for name, bundle in bundles.items():
            newcomer = join(built, bundle, name, tree_outside=True)
            self.cursor[newcomer] = len(self.log)

    def append(self, kind: str, author: Peer, message: PrivateMessage, text: bytes = b"") -> None:
        self.log.append(Entry(kind, author, message.epoch, rewire(message), text))

    @rule(who=st.integers(0, MOST))
    def restart(self, who):
        self.peer(who).restart()

    @rule(who=st.integers(0, MOST), steps=st.integers(1, 8))
    def deliver(self, who, steps):
        self.follow(self.peer(who), steps)

    @rule()
    def deliver_all(self):
        for peer in list(self.cursor):
            self.follow(peer, len(self.log))

    # --- What they then hold ---

    def follow(self, peer: Peer, steps: int) -> None:
        for _ in range(steps):
            if peer not in self.cursor or self.cursor[peer] == len(self.log):
                return
            entry = self.log[self.cursor[peer]]
            self.cursor[peer] += 1
            self.take(peer, entry)

    def take(self, peer: Peer, entry: Entry) -> None:
        if entry.epoch != peer.group.epoch:
            rows = dict(peer.rows)
            with pytest.raises(WrongEpochError):
                peer.group.open(entry.message)
            assert peer.group.rows() == rows
        elif entry.kind == "post":
            if entry.author is not peer:
                assert peer.read(entry.message) == entry.text
        else:
            peer.receive(entry.message)
            if entry.kind == "commit":
                self.reached.add("commit")
            if peer.is_removed:
                self.reached.add("removal")
                del self.cursor[peer]
                self.gone.append(peer)

    @invariant()
    def agree(self):
        for peer in self.cursor:
            group = peer.group
            view = (
                group.context,
                group.epoch_authenticator,
                group.export_secret("label", b"context", 16),
                tuple((member.index, member.signature_key) for member in group.members()),
            )
            assert self.known.setdefault(group.epoch, view) == view

    @precondition(lambda self: self.gone and self.cursor)
    @invariant()
    def the_removed_are_out(self):
        newest = max(self.cursor, key=lambda peer: peer.group.epoch).group
        for peer in self.gone:
            if peer.group.epoch < newest.epoch:
                held = {peer.group.suite.public_key(private) for private in peer.group.private_keys.values()}
                assert not any(node.encryption_key in held for _, node in newest.tree.nodes())
                assert newest.epoch_authenticator not in peer.rows.values()


@pytest.mark.soak
def test_any_history(capsys):
    seen.clear()
    run_state_machine_as_test(
        Groups,
        settings=settings(
            max_examples=runs(150, soak=2000),
            stateful_step_count=40,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
    with capsys.disabled():
        print(f"\nexamples that reached: {dict(sorted(seen.items()))}")  # noqa: T201 - the count is part of the proof
    assert all(seen[what] for what in ("commit", "removal", "concurrent merge"))
