"""MLS in memory: founding, joining, committing, processing, and messages of 1 KiB. Nothing is stored.

The tree is the worst there is: one member has just added everybody else with one commit, so that no inner node has a
key and a path is encrypted to every single leaf.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import lru_cache

from bench.common import Line, Samples, benchmark, measure
from tertulia_protocol.codec import parse, serialize
from tertulia_protocol.mls.ciphersuite import HYBRID, X25519_AES128, CipherSuite
from tertulia_protocol.mls.commit_builder import BuiltCommit
from tertulia_protocol.mls.framing import PrivateMessage
from tertulia_protocol.mls.group import Group
from tertulia_protocol.mls.key_package import KeyPackage, KeyPackageBundle
from tertulia_protocol.mls.proposals import Add
from tertulia_protocol.mls.ratchet_tree import RatchetTree
from tertulia_protocol.mls.welcome import Welcome
from tests.support.mls import NOW, make_bundle

SUITES = (X25519_AES128, HYBRID)
SIZES = (10, 100, 200)
MESSAGES = 2000
TEXT = bytes(1024)


@lru_cache
def _bundles(suite_id: int, size: int) -> tuple[KeyPackageBundle, ...]:
    suite = next(suite for suite in SUITES if suite.id == suite_id)
    return tuple(make_bundle(suite, f"member {number}") for number in range(size))


def _found(suite: CipherSuite, size: int) -> BuiltCommit[Group]:
    """Found a group and add everybody else, their key packages read from bytes."""
    bundles = _bundles(suite.id, size)
    group = Group.create(suite=suite, group_id=b"bench", bundle=bundles[0], rng=os.urandom)
    adds = [Add(parse(KeyPackage, serialize(bundle.key_package))) for bundle in bundles[1:]]
    return group.build_commit(proposals=adds, now=NOW, rng=os.urandom)


def _merged(built: BuiltCommit[Group]) -> Group:
    return built.group.merge(built.staged)


def _join(built: BuiltCommit[Group], bundle: KeyPackageBundle) -> Group:
    if built.welcome is None:
        raise ValueError("the commit added nobody")
    welcome, tree = parse(Welcome, serialize(built.welcome)), parse(RatchetTree, serialize(built.tree))
    return Group.join(welcome=welcome, bundle=bundle, ratchet_tree=tree)


def _process(group: Group, data: bytes) -> Group:
    """Follow a commit from its bytes, all checks included."""
    opened = group.open(parse(PrivateMessage, data))
    return group.merge(group.apply_commit(group.stage_commit(opened)))


def _cells() -> Iterator[tuple[CipherSuite, int]]:
    for suite in SUITES:
        for size in SIZES:
            yield suite, size


def _line(suite: CipherSuite, size: int, samples: Samples) -> Line:
    return Line(params={"suite": f"{suite.id:#06x}", "n": size}, value=samples.median_ms, unit="ms", samples=samples)


def _timed(prepare: Callable[[CipherSuite, int], Callable[[], object]]) -> Iterator[Line]:
    for suite, size in _cells():
        yield _line(suite, size, measure(prepare(suite, size), runs=max(5, 200 // size), warm=2))


@benchmark("mls.create")
def create() -> Iterator[Line]:
    """Yield the time to found a group and add everybody in one commit with one Welcome, merged."""
    return _timed(lambda suite, size: lambda: _merged(_found(suite, size)))


@benchmark("mls.join")
def join() -> Iterator[Line]:
    """Yield the time to join from the bytes of a Welcome and a tree."""

    def prepare(suite: CipherSuite, size: int) -> Callable[[], object]:
        built, bundle = _found(suite, size), _bundles(suite.id, size)[size // 2]
        return lambda: _join(built, bundle)

    return _timed(prepare)


@benchmark("mls.commit")
def commit() -> Iterator[Line]:
    """Yield the time to build a commit with nothing but a path."""

    def prepare(suite: CipherSuite, size: int) -> Callable[[], object]:
        group = _merged(_found(suite, size))
        return lambda: serialize(group.build_commit(path=True, now=NOW, rng=os.urandom).message)

    return _timed(prepare)


@benchmark("mls.process")
def process() -> Iterator[Line]:
    """Yield the time to follow such a commit."""

    def prepare(suite: CipherSuite, size: int) -> Callable[[], object]:
        built = _found(suite, size)
        group = _join(built, _bundles(suite.id, size)[size // 2])
        message = _merged(built).build_commit(path=True, now=NOW, rng=os.urandom).message
        data = serialize(message)
        return lambda: _process(group, data)

    return _timed(prepare)


@benchmark("mls.encrypt")
def encrypt() -> Iterator[Line]:
    """Yield messages per second, signed, encrypted and written."""
    for suite, size in _cells():
        state = [_merged(_found(suite, size))]

        def send(state: list[Group] = state) -> bytes:
            message, state[0] = state[0].encrypt(TEXT, rng=os.urandom)
            return serialize(message)

        samples = measure(send, runs=MESSAGES, warm=100)
        yield Line(
            params={"suite": f"{suite.id:#06x}", "n": size, "bytes": len(TEXT)},
            value=samples.per_second,
            unit="1/s",
            samples=samples,
        )


@benchmark("mls.decrypt")
def decrypt() -> Iterator[Line]:
    """Yield messages per second, read, decrypted and verified, in the order in which they were sent."""
    for suite, size in _cells():
        built = _found(suite, size)
        author, messages = _merged(built), []
        for _ in range(MESSAGES + 100):
            message, author = author.encrypt(TEXT, rng=os.urandom)
            messages.append(serialize(message))
        state = [_join(built, _bundles(suite.id, size)[size // 2])]
        waiting = iter(messages)

        def receive(state: list[Group] = state, waiting: Iterator[bytes] = waiting) -> None:
            state[0] = state[0].open(parse(PrivateMessage, next(waiting))).group

        samples = measure(receive, runs=MESSAGES, warm=100)
        yield Line(
            params={"suite": f"{suite.id:#06x}", "n": size, "bytes": len(TEXT)},
            value=samples.per_second,
            unit="1/s",
            samples=samples,
        )
