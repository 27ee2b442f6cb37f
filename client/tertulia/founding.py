"""Founding a circle."""

from __future__ import annotations

from functools import partial

from tertulia import creating, identity
from tertulia.circle import Circle
from tertulia.clock import Rng
from tertulia.commits import create_segments
from tertulia.errors import PaymentError
from tertulia.runtime import Runtime
from tertulia.states import State
from tertulia.store import circles, events
from tertulia.store.tx import Tx
from tertulia_protocol.circle.charter import (
    SALT_LENGTH,
    Charter,
    Coordinator,
    Policy,
    Role,
    Transport,
    group_extensions,
    leaf_capabilities,
)
from tertulia_protocol.circle.identity import (
    DEVICE_ID_LENGTH,
    LINEAGE_ID_LENGTH,
    MAX_CREDENTIAL_LIFE,
    build_credential,
)
from tertulia_protocol.circle.rules import check_epoch
from tertulia_protocol.circle.segments import COORD_SECRET_LENGTH, SegAccess, build_transport, export_access
from tertulia_protocol.codec import parse, serialize
from tertulia_protocol.mls.ciphersuite import HYBRID
from tertulia_protocol.mls.group import Group
from tertulia_protocol.mls.key_package import KeyPackageBundle, build_key_package
from tertulia_protocol.mls.leaf_node import Lifetime
from tertulia_protocol.relay_api.addresses import Enrolment
from tertulia_protocol.signing import SigningSeed

GROUP_ID_LENGTH = 32
LEAF_KEY_LENGTH = 32
KEY_PACKAGE_SECONDS = 24 * 3600
"""The founder's own key package is never sent; a day is enough to found with it."""


async def found_circle(
    runtime: Runtime, *, name: str, enrolment: Enrolment, display_name: str, alias: str | None = None
) -> bytes:
    """Found a circle on a relay and return its id (32 bytes). This person is its one coordinator.

    The relay proves that it has the key of the enrolment before anything is stored. Name and profile are posted.

    :raises WrongRelayError: the relay has another key. :raises PaymentError: the code does not pay; nothing stays.
    :raises TransportError: before anything was stored, or afterwards: then the next sync goes on.
    :raises NotAcceptedError: the name is none.
    """
    await runtime.relays.info(enrolment.relay)
    circle_id = await runtime.store.run(
        partial(
            _make,
            name=name,
            alias=alias,
            enrolment=enrolment,
            display_name=display_name,
            now=runtime.clock.now(),
            rng=runtime.rng,
        )
    )
    try:
        await resume_founding(runtime, circle_id)
    except PaymentError:
        await runtime.store.run(partial(circles.forget, circle=circle_id))
        raise
    return circle_id


async def resume_founding(runtime: Runtime, circle_id: bytes) -> None:
    """Put the segments of a circle that was stored but not finished onto the relay. Part of every sync."""
    found = await runtime.store.read(partial(_unfinished, circle_id=circle_id))
    if found is not None:
        await create_segments(runtime, *found)
        await runtime.store.run(partial(_finish, circle_id=circle_id, now=runtime.clock.now()))


def _unfinished(tx: Tx, *, circle_id: bytes) -> tuple[Transport, SegAccess, Enrolment | None] | None:
    circle = Circle.load(tx, circle_id)
    if circle.state is not State.FOUNDING:
        return None
    stored = circle.row.enrolment
    return circle.charter.transport, circle.access, None if stored is None else parse(Enrolment, stored)


def _finish(tx: Tx, *, circle_id: bytes, now: int) -> None:
    circle = Circle.load(tx, circle_id)
    if circle.state is State.FOUNDING:
        circle.move_to(State.ACTIVE)
        circle.save()
        events.add(tx, "founded", circle=circle_id, at=now)


def _make(  # noqa: PLR0913 - what a circle is made of
    tx: Tx, *, name: str, alias: str | None, enrolment: Enrolment, display_name: str, now: int, rng: Rng
) -> bytes:
    """Make the circle on this device, with the two posts that everybody will want to read."""
    lineage_id, device_id, secret = rng(LINEAGE_ID_LENGTH), rng(DEVICE_ID_LENGTH), rng(COORD_SECRET_LENGTH)
    member = identity.member_key(tx, lineage_id)
    charter = first_charter(lineage_id, member.public_key, enrolment, secret=secret, rng=rng)
    group = Group.create(
        suite=HYBRID,
        group_id=rng(GROUP_ID_LENGTH),
        bundle=own_leaf(member, lineage_id=lineage_id, device_id=device_id, now=now, rng=rng),
        extensions=group_extensions(charter),
        rng=rng,
    )
    check_epoch(group)
    circle = Circle.create(
        tx,
        group=group,
        access=export_access(group, charter),
        device_id=device_id,
        state=State.FOUNDING,
        name=name,
        alias=alias,
        now=now,
        enrolment=serialize(enrolment),
        coord_secret=secret,
    )
    creating.post_circle_name(tx, circle, name, now=now, rng=rng)
    creating.post_profile(tx, circle, display_name=display_name, now=now, rng=rng)
    return circle.id


def first_charter(lineage_id: bytes, member_pk: bytes, enrolment: Enrolment, *, secret: bytes, rng: Rng) -> Charter:
    """Return the Charter of a new circle: one coordinator, one relay, segment 0."""
    return Charter(
        lineage_id=lineage_id,
        policy=Policy(),
        coordinators=(Coordinator(rank=0, member_pk=member_pk),),
        roster_threshold=1,
        transport=build_transport(
            secret, segment_no=0, relays=[(enrolment.relay, Role.PRIMARY)], salt=rng(SALT_LENGTH), coord_gen=0
        ),
    )


def own_leaf(member: SigningSeed, *, lineage_id: bytes, device_id: bytes, now: int, rng: Rng) -> KeyPackageBundle:
    """Return the founder's first leaf, with a key of its own."""
    key = SigningSeed(rng(LEAF_KEY_LENGTH))
    credential = build_credential(
        member=member,
        lineage_id=lineage_id,
        device_id=device_id,
        leaf_signature_key=key.public_key,
        not_after=now + MAX_CREDENTIAL_LIFE,
    )
    return build_key_package(
        HYBRID,
        signature_private=key.seed,
        credential=credential.credential(),
        capabilities=leaf_capabilities(),
        lifetime=Lifetime(not_before=now, not_after=now + KEY_PACKAGE_SECONDS),
        rng=rng,
    )
