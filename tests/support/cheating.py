"""What a member with the circle's keys can write into its log if its program is not ours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from tertulia import outgoing
from tertulia.circle import Circle
from tertulia.relays import AppendResult, SegmentAddr
from tertulia.store.tx import Tx
from tertulia_protocol.circle.aad import EntryAAD
from tertulia_protocol.circle.entries import Inner, InnerHeader, build_inner, wrap
from tertulia_protocol.circle.payload import Payload, PayloadType
from tertulia_protocol.codec import serialize
from tertulia_protocol.content.build import build_create
from tertulia_protocol.content.types import TOPIC, Topic
from tertulia_protocol.mls.framing import PrivateMessage
from tertulia_protocol.mls.group import Group
from tertulia_protocol.mls.mls_message import MLSMessage
from tertulia_protocol.signing import SigningSeed
from tests.support.devices import Device

Make = Callable[[Group, bytes], tuple[PrivateMessage, Group]]
"""Makes a message of a group with this authenticated data."""


def same(header: InnerHeader) -> InnerHeader:
    """Change nothing."""
    return header


async def write(
    device: Device,
    make: Make,
    *,
    change: Callable[[InnerHeader], InnerHeader] = same,
    after: Callable[[InnerHeader], InnerHeader] = same,
    known: bool = True,
) -> Inner:
    """Write a message of ``device`` into the log.

    ``change`` alters the header before it is signed, ``after`` when it is too late. ``known``: whether the device
    itself remembers the entry, as every honest one does.
    """

    def build(tx: Tx) -> tuple[Inner, SegmentAddr, bytes, SigningSeed]:
        circle = Circle.load(tx, device.circle_id)
        header = change(outgoing.build_header(circle))
        message, group = make(circle.group, serialize(EntryAAD(header_hash=header.hash())))
        inner = build_inner(after(header), serialize(MLSMessage(message)))
        if known:
            circle.group = group
            circle.save()
            outgoing.remember_own(circle, inner.hash, outgoing.OWN_PROPOSAL, b"")
        keys = circle.access.relays[0]
        return inner, circle.segment(), wrap(inner, keys=keys, segment_id=circle.segment_id()), keys.append_key

    inner, segment, entry, key = await device.runtime.store.run(build)
    await append(device, segment, entry, key)
    return inner


async def append(device: Device, segment: SegmentAddr, entry: bytes, key: SigningSeed) -> AppendResult:
    """Append any entry."""
    return await device.runtime.relays.append(segment, entry, key=key)


async def where(device: Device) -> tuple[SegmentAddr, SigningSeed]:
    """Return the current segment and its append key."""

    def load(tx: Tx) -> tuple[SegmentAddr, SigningSeed]:
        circle = Circle.load(tx, device.circle_id)
        return circle.segment(), circle.access.relays[0].append_key

    return await device.runtime.store.read(load)


def say(device: Device, payload: bytes) -> Make:
    """Return a maker of an application message."""

    def make(group: Group, aad: bytes) -> tuple[PrivateMessage, Group]:
        return group.encrypt(payload, authenticated_data=aad, rng=device.runtime.rng)

    return make


async def topic_payload(device: Device, board_id: bytes, title: str, **fields: object) -> bytes:
    """Return the payload of a new topic as ``device`` would make it, with other ``fields`` if wanted."""

    def build(tx: Tx) -> bytes:
        circle = Circle.load(tx, device.circle_id)
        post_id = bytes(fields.get("post_id") or device.runtime.rng(16))  # type: ignore[call-overload] # bytes by name
        body = build_create(TOPIC, Topic(board=board_id, title=title), member_pk=circle.member_pk, post_id=post_id)
        state = circle.own_author
        payload = Payload(
            type=PayloadType.POST,
            post_id=post_id,
            author_seq=state.author_seq + 1,
            lamport=circle.row.lamport + 1,
            prev=state.last_hash,
            seen_segment=circle.segment_no,
            seen=circle.position,
            minute=0,
            share=True,
            body=body.encode(),
        )
        payload = replace(payload, **fields)  # type: ignore[arg-type] # fields of a Payload
        circle.own_author = state.next(payload)
        circle.save()
        return serialize(payload)

    return await device.runtime.store.run(build)
