"""Fresh keys: a member proposes a new leaf every week, and the next commit with a path takes it along (3.7, E21).

So a key that was stolen from a device opens nothing more after that. Coordinators renew theirs with their own commits.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import partial

from tertulia import outgoing
from tertulia.circle import Circle
from tertulia.clock import Rng
from tertulia.relays import SegmentAddr
from tertulia.runtime import Runtime
from tertulia.states import SENDING
from tertulia.store import log, meta
from tertulia.store.tx import Tx
from tertulia_protocol.circle.aad import EntryAAD
from tertulia_protocol.circle.entries import build_inner, parse_inner, wrap
from tertulia_protocol.codec import serialize
from tertulia_protocol.mls.mls_message import MLSMessage
from tertulia_protocol.signing import SigningSeed

EVERY_SECONDS = 7 * 24 * 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class _Proposal:
    """A proposal of ours that was not read back yet."""

    segment: SegmentAddr
    key: SigningSeed
    data: bytes = field(repr=False)


async def refresh_leaf(runtime: Runtime, circle_id: bytes) -> bool:
    """Propose a fresh leaf where it is time, or send the one again that was not read back; answer whether. For syncs.

    :raises TransportError: the relay cannot be reached; the next sync sends the same bytes.
    """
    found = await runtime.store.run(partial(_next, circle_id=circle_id, now=runtime.clock.now(), rng=runtime.rng))
    if found is None:
        return False
    await runtime.relays.append(found.segment, found.data, key=found.key)
    return True


def _next(tx: Tx, *, circle_id: bytes, now: int, rng: Rng) -> _Proposal | None:
    circle = Circle.load(tx, circle_id)
    if circle.state not in SENDING or not is_wanted(circle):
        return None
    inner = log.unread_proposal(tx, circle_id)
    if inner is None and is_due(circle, now=now):
        inner = _propose(circle, rng)
    if inner is None:
        return None
    keys = circle.access.relays[0]
    data = wrap(parse_inner(inner), keys=keys, segment_id=circle.segment_id())
    return _Proposal(segment=circle.segment(), key=keys.append_key, data=data)


def is_wanted(circle: Circle) -> bool:
    """Answer whether this member proposes Updates: no coordinator, and paths are not refreshed in another way (E5)."""
    return not circle.is_coordinator() and circle.charter.policy.member_refresh == 0


def is_due(circle: Circle, *, now: int) -> bool:
    """Answer whether our leaf has had the same key for a week and nobody knows of a new one yet."""
    group = circle.group
    if any(stored.sender == group.own_index for stored in group.proposals.values()):
        return False
    return now - _since(circle, now=now) >= EVERY_SECONDS


def _since(circle: Circle, *, now: int) -> int:
    """Return since when our leaf has its key, as far as this device has seen; note it where the key is another."""
    name = meta.leaf_name(circle.id)
    key = hashlib.sha256(circle.group.own_leaf.encryption_key).digest()
    stored = meta.get(circle.tx, name)
    if stored is not None and stored[:32] == key:
        return int.from_bytes(stored[32:], "big")
    meta.set_value(circle.tx, name, key + now.to_bytes(8, "big"))
    return now


def _propose(circle: Circle, rng: Rng) -> bytes:
    header = outgoing.build_header(circle)
    aad = serialize(EntryAAD(header_hash=header.hash()))
    message, group = circle.group.propose_update(authenticated_data=aad, rng=rng)
    inner = build_inner(header, serialize(MLSMessage(message)))
    circle.group = group
    circle.save()
    outgoing.remember_own(circle, inner.hash, outgoing.OWN_PROPOSAL, inner.data)
    return inner.data
