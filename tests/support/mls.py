"""Members, leaves and key packages for tests of MLS."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from tertulia_protocol.mls.ciphersuite import CipherSuite
from tertulia_protocol.mls.credential import BASIC, basic_credential
from tertulia_protocol.mls.extensions import Capabilities, Extension
from tertulia_protocol.mls.key_package import KeyPackageBundle, build_key_package
from tertulia_protocol.mls.leaf_node import Lifetime

NOW = 1_800_000_000
"""Seconds since 1970 at which the tests' key packages are valid."""

LIFETIME = Lifetime(not_before=NOW - 3600, not_after=NOW + 3600)


def seeded_rng(seed: str | bytes) -> Callable[[int], bytes]:
    """Return bytes that look random and are the same in every run."""
    state = [hashlib.sha256(seed if isinstance(seed, bytes) else seed.encode()).digest()]

    def rng(length: int) -> bytes:
        out = b""
        while len(out) < length:
            state[0] = hashlib.sha256(state[0]).digest()
            out += hashlib.sha256(b"out" + state[0]).digest()
        return out[:length]

    return rng


def capabilities(suite: CipherSuite, **more: Any) -> Capabilities:
    """Return what a member of a group of ``suite`` must at least support."""
    return Capabilities(cipher_suites=(suite.id,), credentials=(BASIC,), **more)


def make_bundle(
    suite: CipherSuite,
    name: str,
    *,
    extensions: tuple[Extension, ...] = (),
    leaf_extensions: tuple[Extension, ...] = (),
    supports: Capabilities | None = None,
) -> KeyPackageBundle:
    """Return a key package of someone called ``name``; the same name has the same keys."""
    rng = seeded_rng(name)
    return build_key_package(
        suite,
        signature_private=rng(32),
        credential=basic_credential(name.encode()),
        capabilities=supports or capabilities(suite),
        lifetime=LIFETIME,
        extensions=extensions,
        leaf_extensions=leaf_extensions,
        rng=rng,
    )
