"""The secret tree: one key for one message, and gone after it (RFC 9420 section 9).

A :class:`SecretTree` is an immutable value shaped like the tree itself. A subtree of which no key was needed yet is
one secret; taking a key splits the subtrees on the way down and shares all others with the value before, so a step
costs O(log n). A new value holds neither the secret of a node whose children are derived nor a ratchet secret that was
stepped over: dropping the old value deletes them (section 9.2). It never pays to keep the old one, because a key that
was taken from it and used must not be taken again.

In storage every unsplit secret and every ratchet is one row. Our own ratchets are split off from the start, so that
sending a message changes exactly one row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from tertulia_protocol.codec import Reader, Writer, parse, serialize
from tertulia_protocol.errors import DecodeError, InternalError, ReplayError, RuleError, UsageError
from tertulia_protocol.mls.ciphersuite import CipherSuite
from tertulia_protocol.mls.labeled import derive_tree_secret, expand_with_label
from tertulia_protocol.mls.tree_math import (
    LeafIndex,
    NodeIndex,
    is_leaf,
    left,
    node_to_leaf,
    padded_size,
    right,
    root,
)

MAX_GENERATION = 2**32 - 1


class RatchetKind(Enum):
    """Which of a member's two ratchets: commits and proposals, or application messages."""

    HANDSHAKE = "handshake"
    APPLICATION = "application"


@dataclass(frozen=True, slots=True, kw_only=True)
class RatchetLimits:
    """How far messages may be out of order within one ratchet."""

    max_forward: int = 1000
    """How many generations may be jumped over at once: each costs a derivation."""
    max_skipped: int = 32
    """How many keys of generations that were jumped over are kept, the newest ones."""


DEFAULT_LIMITS = RatchetLimits()


@dataclass(frozen=True, slots=True)
class SkippedKey:
    """Key and nonce of a message that has not come yet, though a later one has."""

    generation: int
    key: bytes = field(repr=False)
    nonce: bytes = field(repr=False)

    @classmethod
    def decode(cls, reader: Reader) -> SkippedKey:
        """Read the stored form. :raises DecodeError: truncated."""
        return cls(reader.u32(), reader.opaque(), reader.opaque())

    def encode(self, writer: Writer) -> None:
        """Append the stored form."""
        writer.u32(self.generation)
        writer.opaque(self.key)
        writer.opaque(self.nonce)


@dataclass(frozen=True, slots=True)
class Ratchet:
    """One hash ratchet (section 9.1): ``secret`` gives the keys from ``generation`` on."""

    generation: int
    secret: bytes = field(repr=False)
    skipped: tuple[SkippedKey, ...] = field(default=(), repr=False)
    """Oldest first; all below ``generation``."""

    @classmethod
    def decode(cls, reader: Reader) -> Ratchet:
        """Read the stored form. :raises DecodeError: truncated."""
        return cls(reader.u64(), reader.opaque(), reader.vector(SkippedKey.decode))

    def encode(self, writer: Writer) -> None:
        """Append the stored form. The generation has 8 bytes: after the last one it is 2**32."""
        writer.u64(self.generation)
        writer.opaque(self.secret)
        writer.vector(self.skipped)

    def step(self, suite: CipherSuite) -> tuple[bytes, bytes, Ratchet]:
        """Return key and nonce of this generation and the ratchet after it."""
        key, nonce = self.key(suite)
        return key, nonce, Ratchet(self.generation + 1, self._next_secret(suite), self.skipped)

    def key(self, suite: CipherSuite) -> tuple[bytes, bytes]:
        """Return key and nonce of this generation."""
        return (
            derive_tree_secret(suite, self.secret, "key", self.generation, suite.Nk),
            derive_tree_secret(suite, self.secret, "nonce", self.generation, suite.Nn),
        )

    def _next_secret(self, suite: CipherSuite) -> bytes:
        return derive_tree_secret(suite, self.secret, "secret", self.generation, suite.Nh)

    def take_skipped(self, generation: int) -> tuple[bytes, bytes, Ratchet]:
        """Return a kept key and the ratchet without it. :raises ReplayError: it was used, or is too old."""
        check_kept(self, generation)
        for position, kept in enumerate(self.skipped):
            if kept.generation == generation:
                rest = self.skipped[:position] + self.skipped[position + 1 :]
                return kept.key, kept.nonce, Ratchet(self.generation, self.secret, rest)
        raise InternalError("a key that was found is not there")

    def forward(self, suite: CipherSuite, generation: int, max_skipped: int) -> Ratchet:
        """Return the ratchet at a later generation, keeping the newest keys that were jumped over."""
        ratchet = self
        skipped = list(self.skipped)
        while ratchet.generation < generation:
            if ratchet.generation >= generation - max_skipped:
                skipped.append(SkippedKey(ratchet.generation, *ratchet.key(suite)))
            ratchet = Ratchet(ratchet.generation + 1, ratchet._next_secret(suite))
        return Ratchet(generation, ratchet.secret, bound_skipped(skipped, max_skipped))


def bound_skipped(skipped: list[SkippedKey], max_skipped: int) -> tuple[SkippedKey, ...]:
    """Return the newest ``max_skipped`` keys: what is never asked for must not pile up (section 9.2)."""
    return tuple(skipped[max(0, len(skipped) - max_skipped) :])


def check_kept(ratchet: Ratchet, generation: int) -> None:
    """Check that the key of an earlier generation was kept. :raises ReplayError: it was used, or is too old."""
    if all(kept.generation != generation for kept in ratchet.skipped):
        raise ReplayError(f"the key of generation {generation} was used or is too old")


def check_forward(ratchet: Ratchet, generation: int, limits: RatchetLimits) -> None:
    """Check that a generation is near enough. :raises RuleError: deriving up to it would cost too much (9.1)."""
    if generation - ratchet.generation > limits.max_forward:
        raise RuleError(
            f"generation {generation} is {generation - ratchet.generation} ahead, at most {limits.max_forward} may be",
            rule="RFC9420-9.1",
        )


def check_not_exhausted(ratchet: Ratchet) -> None:
    """Check that a ratchet has a generation left to send with. :raises UsageError: a new epoch is needed."""
    if ratchet.generation > MAX_GENERATION:
        raise UsageError("all keys of this epoch are used up; commit first")


class Leaf(NamedTuple):
    """The two ratchets of a member."""

    handshake: Ratchet
    application: Ratchet


class Branch(NamedTuple):
    """A node whose secret was split and is gone."""

    left: Subtree
    right: Subtree

    def __repr__(self) -> str:
        return "Branch(...)"


Subtree = bytes | Branch | Leaf
"""Bytes are the secret of a node of which nothing was derived yet."""


class OwnKey(NamedTuple):
    """What one message of ours is encrypted with, and the tree without it."""

    generation: int
    key: bytes
    nonce: bytes
    tree: SecretTree

    def __repr__(self) -> str:
        return f"OwnKey(generation={self.generation})"


class MessageKey(NamedTuple):
    """What one message is decrypted with, and the tree without it."""

    key: bytes
    nonce: bytes
    tree: SecretTree

    def __repr__(self) -> str:
        return "MessageKey(...)"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SecretTree:
    """The message keys of an epoch that were not used yet. ``n_leaves`` is a power of two."""

    suite: CipherSuite
    n_leaves: int
    own_leaf: LeafIndex
    _top: Subtree = field(repr=False)

    @classmethod
    def create(cls, suite: CipherSuite, encryption_secret: bytes, n_leaves: int, own_leaf: LeafIndex) -> SecretTree:
        """Return the tree of a new epoch. :param n_leaves: of the ratchet tree, blanks included.

        The encryption secret is the root: nobody must keep it besides.
        """
        width = padded_size(n_leaves)
        top = _split_down(suite, encryption_secret, own_leaf, width >> 1)
        return cls(suite=suite, n_leaves=width, own_leaf=own_leaf, _top=top)

    def next_own(self, kind: RatchetKind) -> OwnKey:
        """Take the next key of ours. :raises UsageError: 2**32 of them were taken in this epoch."""
        ratchet = _ratchet(self, self.own_leaf, kind)
        check_not_exhausted(ratchet)
        key, nonce, after = ratchet.step(self.suite)
        return OwnKey(ratchet.generation, key, nonce, self._with(self.own_leaf, kind, after))

    def key_for(
        self, leaf: LeafIndex, kind: RatchetKind, generation: int, *, limits: RatchetLimits = DEFAULT_LIMITS
    ) -> MessageKey:
        """Take the key of a message that was received.

        :raises ReplayError: the key was taken before, or is no longer kept.
        :raises RuleError: the leaf is outside of the tree, or the generation too far ahead.
        """
        check_leaf(self, leaf)
        tree = self._split_to(leaf)
        ratchet = _ratchet(tree, leaf, kind)
        if generation < ratchet.generation:
            key, nonce, after = ratchet.take_skipped(generation)
        else:
            check_forward(ratchet, generation, limits)
            key, nonce, after = ratchet.forward(self.suite, generation, limits.max_skipped).step(self.suite)
        return MessageKey(key, nonce, tree._with(leaf, kind, after))  # noqa: SLF001 - of its own class

    def _split_to(self, leaf: LeafIndex) -> SecretTree:
        """Return the tree with every secret above a leaf split."""
        if _find(self._top, leaf, self.n_leaves >> 1) is not None:
            return self
        return self._at(_split_down(self.suite, self._top, leaf, self.n_leaves >> 1))

    def _with(self, leaf: LeafIndex, kind: RatchetKind, ratchet: Ratchet) -> SecretTree:
        return self._at(_replace(self._top, leaf, self.n_leaves >> 1, kind, ratchet))

    def _at(self, top: Subtree) -> SecretTree:
        return SecretTree(suite=self.suite, n_leaves=self.n_leaves, own_leaf=self.own_leaf, _top=top)

    def rows(self) -> dict[str, bytes]:
        """Return everything that stores this tree, one row for every secret and ratchet."""
        return dict(_rows(self._top, root(self.n_leaves)))

    def changed_rows(self, before: SecretTree) -> tuple[dict[str, bytes], set[str]]:
        """Return the rows to put and those to delete after ``before``, in time that grows with their number only."""
        puts: dict[str, bytes] = {}
        deletes: set[str] = set()
        if before.n_leaves != self.n_leaves:
            return (rows := self.rows()), before.rows().keys() - rows.keys()
        _compare(before._top, self._top, root(self.n_leaves), puts, deletes)
        return puts, deletes - puts.keys()

    @classmethod
    def load(cls, rows: Mapping[str, bytes], *, suite: CipherSuite, n_leaves: int, own_leaf: LeafIndex) -> SecretTree:
        """Read a tree from its rows; other rows may stand among them. :raises DecodeError: damaged, or some missing."""
        width = padded_size(n_leaves)
        top = _load(rows, root(width))
        return cls(suite=suite, n_leaves=width, own_leaf=own_leaf, _top=top)


def check_leaf(tree: SecretTree, leaf: LeafIndex) -> None:
    """Check that a leaf is in the tree. :raises RuleError: it is not."""
    if not 0 <= leaf < tree.n_leaves:
        raise RuleError(f"leaf {leaf} is outside of a tree of {tree.n_leaves}", rule="RFC9420-9")


def _ratchet(tree: SecretTree, leaf: LeafIndex, kind: RatchetKind) -> Ratchet:
    ratchets = _find(tree._top, leaf, tree.n_leaves >> 1)  # noqa: SLF001 - of its own module
    if ratchets is None:
        raise InternalError("the secrets above a leaf are not split")
    return ratchets.handshake if kind is RatchetKind.HANDSHAKE else ratchets.application


# On the way down the bits of the leaf's index tell left from right, from the highest to the lowest; ``bit`` is the one
# for the children of the subtree at hand, 0 at a leaf.


def _find(subtree: Subtree, leaf: LeafIndex, bit: int) -> Leaf | None:
    """Return the ratchets of a leaf, or None where a secret above it or its own is not split yet."""
    while isinstance(subtree, Branch):
        subtree = subtree.right if leaf & bit else subtree.left
        bit >>= 1
    return subtree if isinstance(subtree, Leaf) else None


def _split(suite: CipherSuite, secret: bytes, bit: int) -> Branch | Leaf:
    """Derive what lies below a secret: two children, or the two ratchets of a leaf (section 9)."""
    if bit == 0:
        return Leaf(
            Ratchet(0, expand_with_label(suite, secret, "handshake", b"", suite.Nh)),
            Ratchet(0, expand_with_label(suite, secret, "application", b"", suite.Nh)),
        )
    return Branch(
        expand_with_label(suite, secret, "tree", b"left", suite.Nh),
        expand_with_label(suite, secret, "tree", b"right", suite.Nh),
    )


def _split_down(suite: CipherSuite, subtree: Subtree, leaf: LeafIndex, bit: int) -> Subtree:
    if isinstance(subtree, bytes):
        subtree = _split(suite, subtree, bit)
    if isinstance(subtree, Leaf):
        return subtree
    if leaf & bit:
        return Branch(subtree.left, _split_down(suite, subtree.right, leaf, bit >> 1))
    return Branch(_split_down(suite, subtree.left, leaf, bit >> 1), subtree.right)


def _replace(subtree: Subtree, leaf: LeafIndex, bit: int, kind: RatchetKind, ratchet: Ratchet) -> Subtree:
    if isinstance(subtree, Branch):
        if leaf & bit:
            return Branch(subtree.left, _replace(subtree.right, leaf, bit >> 1, kind, ratchet))
        return Branch(_replace(subtree.left, leaf, bit >> 1, kind, ratchet), subtree.right)
    if isinstance(subtree, Leaf):
        if kind is RatchetKind.HANDSHAKE:
            return Leaf(ratchet, subtree.application)
        return Leaf(subtree.handshake, ratchet)
    raise InternalError("the secrets above a leaf are not split")


def _secret_row(node: NodeIndex) -> str:
    return f"secret/{node}"


def _ratchet_row(node: NodeIndex, kind: RatchetKind) -> str:
    return f"ratchet/{node_to_leaf(node)}/{kind.value}"


def _rows(subtree: Subtree, node: NodeIndex) -> Iterator[tuple[str, bytes]]:
    if isinstance(subtree, Branch):
        yield from _rows(subtree.left, left(node))
        yield from _rows(subtree.right, right(node))
    elif isinstance(subtree, Leaf):
        yield _ratchet_row(node, RatchetKind.HANDSHAKE), serialize(subtree.handshake)
        yield _ratchet_row(node, RatchetKind.APPLICATION), serialize(subtree.application)
    else:
        yield _secret_row(node), subtree


def _compare(before: Subtree, after: Subtree, node: NodeIndex, puts: dict[str, bytes], deletes: set[str]) -> None:
    """Collect the rows that differ; what is shared is the same object and is not looked into."""
    if before is after:
        return
    if isinstance(before, Branch) and isinstance(after, Branch):
        _compare(before.left, after.left, left(node), puts, deletes)
        _compare(before.right, after.right, right(node), puts, deletes)
    elif isinstance(before, Leaf) and isinstance(after, Leaf):
        if before.handshake is not after.handshake:
            puts[_ratchet_row(node, RatchetKind.HANDSHAKE)] = serialize(after.handshake)
        if before.application is not after.application:
            puts[_ratchet_row(node, RatchetKind.APPLICATION)] = serialize(after.application)
    else:
        puts.update(_rows(after, node))
        deletes.update(name for name, _ in _rows(before, node))


def _load(rows: Mapping[str, bytes], node: NodeIndex) -> Subtree:
    secret = rows.get(_secret_row(node))
    if secret is not None:
        return secret
    if not is_leaf(node):
        return Branch(_load(rows, left(node)), _load(rows, right(node)))
    try:
        return Leaf(
            parse(Ratchet, rows[_ratchet_row(node, RatchetKind.HANDSHAKE)]),
            parse(Ratchet, rows[_ratchet_row(node, RatchetKind.APPLICATION)]),
        )
    except KeyError as error:
        raise DecodeError(f"the stored keys of leaf {node_to_leaf(node)} are missing") from error
