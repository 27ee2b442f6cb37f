"""Members of one group, each with a store of rows that is checked after every step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from tertulia_protocol.codec import parse, serialize
from tertulia_protocol.errors import TertuliaError
from tertulia_protocol.mls import snapshot
from tertulia_protocol.mls.ciphersuite import HYBRID, X25519_AES128, X25519_CHACHA20, CipherSuite
from tertulia_protocol.mls.commit import Commit
from tertulia_protocol.mls.commit_builder import BuiltCommit
from tertulia_protocol.mls.extensions import Capabilities, Extension, RequiredCapabilities
from tertulia_protocol.mls.framing import PrivateMessage
from tertulia_protocol.mls.group import Group
from tertulia_protocol.mls.group_state import GroupSettings
from tertulia_protocol.mls.key_package import KeyPackageBundle
from tertulia_protocol.mls.proposals import Add, Proposal, Remove
from tertulia_protocol.mls.tree_math import LeafIndex
from tertulia_protocol.mls.welcome import Welcome
from tests.support.mls import NOW, capabilities, make_bundle, seeded_rng

SUITES = (X25519_AES128, X25519_CHACHA20, HYBRID)
NAMES = ("Ada", "Bo", "Cleo", "Dan", "Eve", "Fay", "Gil", "Hana")
EXTENSION = 0xFA10
"""An extension type that every member of these groups supports."""


def supports(suite: CipherSuite) -> Capabilities:
    """Return what members of these groups support."""
    return capabilities(suite, extensions=(EXTENSION,))


def bundle_of(suite: CipherSuite, name: str, **more: Any) -> KeyPackageBundle:
    """Return a key package of ``name``."""
    return make_bundle(suite, name, supports=more.pop("supports", supports(suite)), **more)


class Peer:
    """A member: a group and the rows that store it, which follow the group by ``changed_rows`` alone."""

    def __init__(self, name: str, group: Group) -> None:
        """Start with a full store."""
        self.name = name
        self.group = group
        self.rng = seeded_rng(f"rng of {name}")
        self.rows = group.rows()
        self.is_removed = False

    def keep(self, group: Group) -> tuple[dict[str, bytes], set[str]]:
        """Store a step; return what was put and deleted."""
        puts, deletes = snapshot.changed_rows(self.group, group)
        assert not deletes & puts.keys()
        self.rows = {name: row for name, row in self.rows.items() if name not in deletes} | puts
        assert self.rows == group.rows()
        self.group = group
        return puts, deletes

    def restart(self) -> None:
        """Go on from the stored rows alone."""
        self.group = Group.load(self.rows)
        assert self.group.rows() == self.rows

    def post(self, data: bytes, authenticated_data: bytes = b"") -> PrivateMessage:
        """Encrypt application data."""
        message, group = self.group.encrypt(data, authenticated_data=authenticated_data, rng=self.rng, padding=7)
        self.keep(group)
        return rewire(message)

    def read(self, message: PrivateMessage) -> bytes:
        """Decrypt application data."""
        opened = self.group.open(message)
        assert isinstance(opened.body, bytes)
        self.keep(opened.group)
        return opened.body

    def propose_update(self, **more: Any) -> PrivateMessage:
        """Propose a new leaf."""
        message, group = self.group.propose_update(rng=self.rng, **more)
        self.keep(group)
        return rewire(message)

    def propose_remove(self, other: Peer) -> PrivateMessage:
        """Propose to remove somebody."""
        message, group = self.group.propose_remove(other.index, rng=self.rng)
        self.keep(group)
        return rewire(message)

    def commit(self, *proposals: Proposal, **more: Any) -> BuiltCommit[Group]:
        """Build a commit and store it as pending."""
        built = self.group.build_commit(proposals=proposals, now=NOW, rng=self.rng, **more)
        self.keep(built.group)
        return built

    def receive(self, message: PrivateMessage) -> None:
        """Process a proposal or a commit as it came from the log."""
        opened = self.group.open(rewire(message))
        if isinstance(opened.body, Commit):
            staged = self.group.apply_commit(self.group.stage_commit(opened))
            if staged.removed_self:
                self.is_removed = True
            else:
                self.keep(self.group.merge(staged))
        else:
            self.keep(self.group.process_proposal(opened))

    @property
    def index(self) -> LeafIndex:
        """Return its leaf."""
        return self.group.own_index

    @property
    def refs(self) -> tuple[bytes, ...]:
        """Return the references of all proposals it has."""
        return tuple(self.group.proposals)

    def __repr__(self) -> str:
        return f"Peer({self.name})"


def rewire(message: PrivateMessage) -> PrivateMessage:
    """Return a message as it comes off the wire."""
    return parse(PrivateMessage, serialize(message))


def join(built: BuiltCommit[Group], bundle: KeyPackageBundle, name: str, *, tree_outside: bool) -> Peer:
    """Let somebody join by the Welcome of a commit."""
    assert built.welcome is not None
    welcome = parse(Welcome, serialize(built.welcome))
    return Peer(name, Group.join(welcome=welcome, bundle=bundle, ratchet_tree=built.tree if tree_outside else None))


def found(
    suite: CipherSuite,
    size: int,
    *,
    extensions: tuple[Extension, ...] = (),
    settings: GroupSettings | None = None,
    tree_outside: bool = True,
    names: Sequence[str] = NAMES,
) -> list[Peer]:
    """Return ``size`` members: the first founded the group and added all others with one commit."""
    bundles = [bundle_of(suite, name) for name in names[:size]]
    more: dict[str, Any] = {} if settings is None else {"settings": settings}
    first = Peer(
        names[0],
        Group.create(
            suite=suite,
            group_id=b"a group",
            bundle=bundles[0],
            extensions=extensions,
            rng=seeded_rng("founder"),
            **more,
        ),
    )
    if size == 1:
        return [first]
    built = first.commit(*(Add(bundle.key_package) for bundle in bundles[1:]), welcome_with_tree=not tree_outside)
    first.receive(built.message)
    assert built.welcome is not None
    peers = [first]
    for name, bundle in zip(names[1:], bundles[1:], strict=False):
        tree = built.tree if tree_outside else None
        group = Group.join(welcome=built.welcome, bundle=bundle, ratchet_tree=tree, **more)
        peers.append(Peer(name, group))
    return peers


def agree(peers: Iterable[Peer]) -> None:
    """Check that members of one epoch have one state and hear each other."""
    peers = list(peers)
    views = {
        (
            peer.group.epoch,
            peer.group.context.tree_hash,
            peer.group.epoch_authenticator,
            peer.group.export_secret("test", b"context", 48),
            tuple((member.index, member.credential.identity) for member in peer.group.members()),
            peer.group.interim_transcript_hash,
        )
        for peer in peers
    }
    assert len(views) == 1
    for peer in peers:
        assert set(peer.group.private_keys) <= {index for index, _ in peer.group.tree.nodes()}
        for index, private in peer.group.private_keys.items():
            node = peer.group.tree.node(index)
            assert node is not None
            assert peer.group.suite.public_key(private) == node.encryption_key


def talk(peers: Sequence[Peer]) -> None:
    """Let everybody say something that everybody else reads."""
    for author in peers:
        message = author.post(f"from {author.name}".encode(), b"aad")
        for other in peers:
            if other is not author:
                assert other.read(message) == f"from {author.name}".encode()


def spread(peers: Iterable[Peer], message: PrivateMessage, *, but: Peer | None = None) -> None:
    """Give a message to everybody."""
    for peer in peers:
        if peer is not but:
            peer.receive(message)


def everybody_commits(peers: Sequence[Peer]) -> None:
    """Let every member make a path, so that the tree has no blanks that hide mistakes."""
    for peer in peers:
        spread(peers, peer.commit(path=True).message)
        agree(peers)


def remove(peer: Peer) -> Remove:
    """Return a proposal to remove a member."""
    return Remove(peer.index)


def required(*extensions: int) -> tuple[Extension, ...]:
    """Return group extensions that require ``extensions``."""
    return (RequiredCapabilities(extensions=extensions).extension(),)


@contextmanager
def refused(peer: Peer, error: type[TertuliaError], match: str | None = None) -> Iterator[None]:
    """Check that a step fails with exactly this class of error and that nothing of the member's state moved."""
    before, group = dict(peer.rows), peer.group
    with pytest.raises(error, match=match) as raised:
        yield
    assert type(raised.value) is error
    assert raised.value.code == error.code
    assert peer.group is group
    assert peer.rows == before
    assert group.rows() == before
