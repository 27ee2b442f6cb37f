"""A large circle in worker processes: founding it, letting everybody in, and comparing what all of them hold."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Sequence
from typing import Any

from tests.support.worker import PATIENCE, Profile

ROUNDS = 12
"""How often everybody syncs, at most, until all is quiet."""


async def let_in(coordinator: Profile, circle: str, joiners: Sequence[Profile], *, history: str = "none") -> None:
    """Invite and approve: one link and four words for each."""
    links = [(await coordinator("invite", circle))["link"] for _ in joiners]
    asked = await asyncio.gather(*(one("join", link) for one, link in zip(joiners, links, strict=True)))
    await coordinator.synced()
    for request in asked:
        await coordinator("approve", circle, request["id"], words=request["words"], history=history)
    await asyncio.gather(*(one("wait_joined", circle, timeout=PATIENCE) for one in joiners))


async def quiet(profiles: Sequence[Profile], circle: str) -> None:
    """Sync everybody until nobody receives anything new and nothing waits to be sent."""
    before = None
    for _ in range(ROUNDS):
        reports = await asyncio.gather(*(one.synced() for one in profiles))
        if any(each["waiting"] for report in reports for each in report["circles"]):
            continue
        after = [(await one.dump(circle))["position"] for one in profiles]
        if after == before and all(position == after[0] for position in after):
            return
        before = after
    raise AssertionError(f"still not quiet after {ROUNDS} rounds")


async def view(profile: Profile, circle: str) -> dict[str, Any]:
    """Return what a member holds and must have in common with all others: by the public library and below it."""
    shown = await profile("circle_show", circle)
    own = {"alias", "unread", "waiting", "coordinator", "me", "joined_at", "synced_at"}
    members = await profile("members", circle)
    posts = await profile("read", circle)
    boards = await profile("board_list", circle)
    return {
        "circle": {name: value for name, value in shown.items() if name not in own},
        "members": sorted(({**one, "me": None} for one in members), key=lambda one: one["id"]),
        "boards": [{**one, "unread": None} for one in boards],
        "posts": [{**one, "unread": None, "forwarded_by": None} for one in posts],
        "below": await profile.dump(circle),
    }


def canonical(value: object) -> bytes:
    """Return the one way to write a value."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def check_agreement(views: dict[str, dict[str, Any]]) -> None:
    """Check that all views are the same bytes. The message names what differs and between whom."""
    (first, expected), *others = views.items()
    for name, seen in others:
        for part, value in expected.items():
            theirs = seen[part]
            if canonical(value) == canonical(theirs):
                continue
            keys = [key for key in value if value[key] != theirs.get(key)] if isinstance(value, dict) else []
            raise AssertionError(f"{first} and {name} differ in {part} {keys}")
    assert len({hashlib.sha256(canonical(each)).digest() for each in views.values()}) == 1
