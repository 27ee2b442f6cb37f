"""Stores for tests: the real database with a passphrase that costs nothing to try."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tertulia import identity
from tertulia.clock import Clock, Executor, Rng
from tertulia.store.database import Store
from tertulia.store.keyfile import Argon2Cost
from tertulia.store.tx import Tx
from tests.support.virtual_clock import InlineExecutor, SeededRng, VirtualClock

CHEAP = Argon2Cost(memory_kib=8, passes=1)
PASSPHRASE = "correct horse battery"  # noqa: S105 - of tests


async def create_store(
    profile: Path,
    *,
    name: str = "Amina",
    seed: object = None,
    executor: Executor | None = None,
    clock: Clock | None = None,
    setup: Callable[[Tx], None] | None = None,
) -> Store:
    """Make a profile with a person (``seed``: of all that is random, by default the name) and return its store."""
    rng: Rng = SeededRng(name if seed is None else seed)
    root = rng(identity.ROOT_LENGTH)

    def person(tx: Tx) -> None:
        identity.write_profile(tx, root=root, name=name)

    return await Store.create(
        profile,
        passphrase=PASSPHRASE,
        executor=executor or InlineExecutor(),
        clock=clock or VirtualClock(),
        rng=rng,
        cost=CHEAP,
        setup=setup or person,
    )


async def open_store(
    profile: Path, *, executor: Executor | None = None, clock: Clock | None = None, lock_wait: float = 0.0
) -> Store:
    """Open a store that :func:`create_store` made."""
    return await Store.open(
        profile,
        passphrase=PASSPHRASE,
        executor=executor or InlineExecutor(),
        clock=clock or VirtualClock(),
        floor=CHEAP,
        lock_wait=lock_wait,
    )
