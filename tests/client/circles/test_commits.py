"""The procedure of commits: races, lost seals, frozen and busy relays, several coordinators (3.10, E7, E9-E11, E32)."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tertulia import commits, planning, refresh, rollover
from tertulia.circle import Circle
from tertulia.commits import CommitPlan
from tertulia.errors import (
    BadAnswerError,
    NotAllowedError,
    PaymentError,
    SegmentSealedError,
    UnreachableError,
)
from tertulia.relays import SegmentAddr
from tertulia.states import State
from tertulia.store import circles, log, outbox
from tertulia.store.tx import Tx
from tertulia_protocol.circle.aad import CoordSecret, seal_coord_secret
from tertulia_protocol.circle.charter import Coordinator, refresh_extension
from tertulia_protocol.codec import serialize
from tertulia_protocol.errors import RuleError
from tertulia_protocol.mls.framing import PrivateMessage
from tertulia_protocol.mls.group import Group
from tertulia_protocol.mls.group_messages import LeafChanges
from tertulia_protocol.mls.group_state import GroupState
from tertulia_protocol.relay_api.addresses import RelayAddr
from tertulia_protocol.relay_api.limits import ENTRY_SIZES
from tertulia_protocol.relay_api.records import Position
from tertulia_protocol.relay_api.requests import Op, Request
from tertulia_protocol.relay_api.responses import Response, Status
from tertulia_protocol.signing import SigningSeed
from tests.support.cheating import write
from tests.support.devices import Device, World
from tests.support.memory_relay import MemoryTransport, lose
from tests.support.virtual_clock import virtual


def hop(_tx: Tx, _circle: Circle) -> CommitPlan | None:
    return CommitPlan(hop=True)


async def hop_once(device: Device) -> commits.CommitOutcome:
    return await commits.commit(device.runtime, device.circle_id, hop)


async def promote(amina: Device, other: Device) -> commits.CommitOutcome:
    member_pk = await other.member_pk()

    def plan(_tx: Tx, circle: Circle) -> CommitPlan | None:
        if circle.is_coordinator(member_pk):
            return None
        coordinators = (*circle.charter.coordinators, Coordinator(rank=7, member_pk=member_pk))
        return CommitPlan(charter=replace(circle.charter, coordinators=coordinators))

    return await commits.commit(amina.runtime, amina.circle_id, plan)


async def give_code(world: World, device: Device) -> None:

    enrolment = serialize(world.relay.enrolment(await world.relay.add_code()))
    await device.runtime.store.run(lambda tx: circles.change(tx, device.circle_id, enrolment=enrolment))


async def two_coordinators(world: World) -> tuple[Device, Device]:
    amina = await world.found()
    bruno = await world.join(amina, "Bruno")
    assert (await promote(amina, bruno)).segment_no == 1
    await bruno.synced()
    await give_code(world, bruno)
    return amina, bruno


async def secret_of(device: Device) -> bytes | None:
    return await device.runtime.store.read(lambda tx: Circle.load(tx, device.circle_id).coord_secret)


@virtual
async def test_a_new_coordinator_gets_the_new_secret(tmp_path: Path) -> None:
    """E7: the roster change rotates the coordinators' secret and carries it to each of their devices."""
    async with World(tmp_path) as world:
        amina = await world.found()
        before = await secret_of(amina)
        bruno = await world.join(amina, "Bruno")
        assert await secret_of(bruno) is None
        await promote(amina, bruno)
        await bruno.synced()
        assert await secret_of(bruno) == await secret_of(amina) != before
        await give_code(world, bruno)
        outcome = await hop_once(bruno)
        assert outcome.segment_no == 2
        await amina.synced()
        assert await amina.epoch() == await bruno.epoch()


@virtual
async def test_two_coordinators_race(tmp_path: Path) -> None:
    """Both seal at the same head: one wins, the other finds the new state and goes on from there."""
    async with World(tmp_path) as world:
        amina, bruno = await two_coordinators(world)
        done: list[int] = []

        async def before(_address: RelayAddr, request: Request, _stream: str) -> None:
            if request.op == Op.SEAL and not done:
                done.append(1)
                await hop_once(bruno)

        amina.transport.before = before
        outcome = await hop_once(amina)
        assert outcome.segment_no == 3
        await bruno.synced()
        assert await amina.epoch() == await bruno.epoch()
        assert (await amina.dump())["pending_commit"] == (await bruno.dump())["pending_commit"] == []


@virtual
async def test_members_write_while_a_hop_is_sent(tmp_path: Path) -> None:
    """CONFLICT: the same commit is sent again; after three a FREEZE keeps members out for a moment."""
    async with World(tmp_path) as world:
        amina = await world.found()
        bruno = await world.join(amina, "Bruno")
        board = await amina.board()
        await amina.synced()
        await bruno.synced()
        seals: list[bytes] = []

        async def before(_address: RelayAddr, request: Request, _stream: str) -> None:
            if request.op == Op.SEAL:
                seals.append(request.payload)
                if len(seals) <= 3:
                    await bruno.post(board, f"in between {len(seals)}")
                    await bruno.sync()

        amina.transport.before = before
        await hop_once(amina)
        assert len(seals) == 4
        assert len(set(seals)) == 1
        assert [each.op for each in amina.transport.sent].count(Op.FREEZE) == 1
        await bruno.synced()
        assert len(await bruno.titles()) == 3
        assert await amina.epoch() == await bruno.epoch()


class Answering(MemoryTransport):
    """Answers the first APPENDs with a status of the test's choice instead of asking the relay."""

    def __init__(self, inner: MemoryTransport, *statuses: Status) -> None:
        self.__dict__.update(inner.__dict__)
        self.statuses = list(statuses)
        self.appends: list[Request] = []

    async def send(self, address: RelayAddr, request: Request, *, stream: str) -> Response:
        if request.op == Op.APPEND:
            self.appends.append(request)
            if self.statuses:
                status = self.statuses.pop(0)
                body = b"\x00\x01" if status is Status.BUSY else b""
                return Response(status=status, nonce=request.nonce, body=body)
        return await super().send(address, request, stream=stream)


def answer(device: Device, *statuses: Status) -> Answering:
    transport = Answering(device.transport, *statuses)
    device.transport = transport
    device.runtime = replace(device.runtime, transport=transport)
    return transport


@pytest.mark.parametrize("status", [Status.BUSY, Status.QUOTA, Status.FROZEN])
@virtual
async def test_a_plain_commit_shows_the_admin_key_only_where_it_must(tmp_path: Path, status: Status) -> None:
    """E11: an Add is signed as any post is, until the relay takes no more of those."""
    async with World(tmp_path) as world:
        amina = await world.found()
        transport = answer(amina, status)
        await world.join(amina, "Bruno")
        first, second = transport.appends[:2]
        assert first.args[0] & 1 == 0
        assert second.args[0] & 1 == 1
        assert first.payload == second.payload


@virtual
async def test_a_relay_that_only_claims_to_have_it(tmp_path: Path) -> None:
    """A status proves nothing: "done" is believed after read-back (E3)."""
    async with World(tmp_path) as world:
        amina = await world.found()
        segment = await amina.runtime.store.read(lambda tx: Circle.load(tx, amina.circle_id).segment())

        class Claiming(Answering):
            async def send(self, address: RelayAddr, request: Request, *, stream: str) -> Response:
                if request.op == Op.APPEND:
                    head = await world.head_of(segment.segment_id)
                    seq = head.position.seq.to_bytes(8, "big")
                    return Response(status=Status.DUP, nonce=request.nonce, body=seq, head=head)
                return await super().send(address, request, stream=stream)

        transport = Claiming(amina.transport)
        amina.runtime = replace(amina.runtime, transport=transport)
        epoch = await amina.epoch()
        with pytest.raises(BadAnswerError) as caught:
            await world.join(amina, "Bruno")
        assert caught.value.code == "relay.bad_answer"
        assert await amina.epoch() == epoch
        assert len(await amina.runtime.store.read(lambda tx: outbox.list_pending(tx, amina.circle_id))) == 1


@virtual
async def test_a_segment_sealed_with_junk(tmp_path: Path) -> None:
    """A bad seal by a coordinator (E37): nobody spins, what was written is kept."""
    async with World(tmp_path) as world:
        amina, bruno = await two_coordinators(world)

        def junk(tx: Tx) -> tuple[SegmentAddr, Position, SigningSeed]:
            circle = Circle.load(tx, bruno.circle_id)
            keys = circle.admin_keys()
            assert keys is not None
            return circle.segment(), circle.position, keys.admin

        segment, position, key = await bruno.runtime.store.read(junk)
        await bruno.runtime.relays.seal(
            segment, bytes(1024), key=key, if_head=position, heir_vk=bytes(32), retire_days=60
        )
        board = await amina.board()
        result = await amina.sync()
        assert result.waiting == 1
        with pytest.raises(SegmentSealedError) as caught:
            await hop_once(amina)
        assert caught.value.code == "relay.sealed"
        assert await amina.waiting() == 1
        assert board


@virtual
async def test_without_admin_keys_a_hop_is_appended(tmp_path: Path) -> None:
    """E32, E7: a coordinator without the secret makes a new one and hops by a plain conditional append."""
    async with World(tmp_path) as world:
        amina, bruno = await two_coordinators(world)
        await bruno.runtime.store.run(lambda tx: tx.execute("DELETE FROM coord_key"))
        assert await secret_of(bruno) is None
        assert (await hop_once(bruno)).segment_no == 2
        assert Op.SEAL not in [each.op for each in bruno.transport.sent]
        await amina.synced()
        assert await amina.epoch() == await bruno.epoch()
        assert await secret_of(amina) == await secret_of(bruno) is not None


@virtual
async def test_a_secret_that_does_not_open_is_an_alarm_and_no_reason_to_refuse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with World(tmp_path) as world:
        amina, bruno = await two_coordinators(world)

        def other(_tx: Tx, _circle: Circle) -> CommitPlan:
            return CommitPlan(hop=True, rotate_coord=True)

        def spoiled(group: GroupState, _secret: bytes, **more: Any) -> CoordSecret:
            return seal_coord_secret(group, bytes(32), **more)

        with monkeypatch.context() as cheating:
            cheating.setattr(planning, "seal_coord_secret", spoiled)
            await commits.commit(amina.runtime, amina.circle_id, other)
        await bruno.synced()
        assert await amina.epoch() == await bruno.epoch()
        assert await secret_of(bruno) is None
        assert len(await bruno.events("no_coordinator_key")) == 1
        assert await amina.events("no_coordinator_key") == []


@virtual
async def test_who_may_not_commit(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        amina = await world.found()
        bruno = await world.join(amina, "Bruno")
        await amina.synced()
        await bruno.synced()
        for device, work, why in (
            (bruno, partial(hop_once, bruno), "only a coordinator"),
            (bruno, partial(bruno.remove, amina), "only a coordinator"),
            (amina, partial(amina.remove, amina), "nobody removes itself"),
        ):
            before = await device.dump()
            with pytest.raises(NotAllowedError) as caught:
                await work()
            assert caught.value.code == "circle.not_allowed"
            assert caught.value.detail.startswith(why)
            after = await device.dump()
            assert {name for name in before if before[name] != after[name]} <= {"circle"}  # synced_at


@virtual
async def test_a_coordinator_is_not_removed_without_the_others(tmp_path: Path) -> None:
    """E20: with three coordinators two must agree; the one who is removed does not count."""
    async with World(tmp_path) as world:
        amina, bruno = await two_coordinators(world)
        carla = await world.join(amina, "Carla")
        member_pk = await carla.member_pk()

        def plan(_tx: Tx, circle: Circle) -> CommitPlan | None:
            coordinators = (*circle.charter.coordinators, Coordinator(rank=9, member_pk=member_pk))
            charter = replace(circle.charter, coordinators=coordinators, roster_threshold=2)
            return None if circle.is_coordinator(member_pk) else CommitPlan(charter=charter)

        await commits.commit(amina.runtime, amina.circle_id, plan)
        epoch = await amina.epoch()
        with pytest.raises(NotAllowedError) as caught:
            await amina.remove(bruno)
        assert caught.value.code == "circle.not_allowed"
        assert await amina.epoch() == epoch
        assert (await amina.dump())["pending_commit"] == []


@virtual
async def test_a_hop_needs_a_code(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        amina = await world.found()
        bruno = await world.join(amina, "Bruno")
        await promote(amina, bruno)
        await bruno.synced()
        with pytest.raises(PaymentError) as caught:
            await hop_once(bruno)
        assert caught.value.code == "relay.payment"
        assert await bruno.state() is State.ACTIVE


@virtual
async def test_a_commit_that_nobody_would_accept_is_not_sent(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        amina = await world.found()
        before = await amina.dump()
        sent = len(amina.transport.sent)

        def broken(_tx: Tx, circle: Circle) -> CommitPlan:
            return CommitPlan(charter=replace(circle.charter, generation=5))

        with pytest.raises(RuleError) as caught:
            await commits.commit(amina.runtime, amina.circle_id, broken)
        assert caught.value.rule == "V12"
        after = await amina.dump()
        assert {name for name in before if before[name] != after[name]} <= {"circle"}
        assert Op.APPEND not in [each.op for each in amina.transport.sent[sent:]]


@virtual
async def test_a_circle_can_be_full(tmp_path: Path) -> None:
    """E25: whoever is added must fit into a commit that removes somebody again."""
    async with World(tmp_path) as world:
        amina = await world.found()

        def small(_tx: Tx, circle: Circle) -> CommitPlan | None:
            policy = replace(circle.charter.policy, max_leaves=2)
            return CommitPlan(charter=replace(circle.charter, policy=policy))

        await commits.commit(amina.runtime, amina.circle_id, small)
        await world.join(amina, "Bruno")
        with pytest.raises(RuleError) as caught:
            await world.join(amina, "Carla")
        assert caught.value.rule == "V9"


@virtual
async def test_who_leaves_is_taken_along(tmp_path: Path) -> None:
    """E21: a member's own Remove makes the next commit a hop; its Update rides along, our own never does."""
    async with World(tmp_path) as world:
        amina = await world.found()
        bruno, carla = await world.join_all(amina, ("Bruno", "Carla"))
        await propose(bruno, leave=True)
        await propose(carla, leave=False)
        await propose(carla, leave=False)
        await propose(amina, leave=False)
        await amina.synced()
        await carla.synced()
        keys = await leaf_keys(carla)
        outcome = await commits.commit(amina.runtime, amina.circle_id, _once())
        assert outcome.segment_no == 1
        await carla.synced()
        await bruno.sync()
        assert await bruno.state() is State.REMOVED
        assert await amina.epoch() == await carla.epoch()
        assert await leaf_keys(carla) != keys


def _once() -> commits.Plan:
    calls: list[int] = []

    def plan(_tx: Tx, _circle: Circle) -> CommitPlan | None:
        calls.append(1)
        return CommitPlan() if len(calls) == 1 else None

    return plan


async def leaf_keys(device: Device) -> bytes:
    return await device.runtime.store.read(lambda tx: Circle.load(tx, device.circle_id).group.own_leaf.encryption_key)


async def propose(device: Device, *, leave: bool) -> None:
    await device.synced()

    def make(group: Group, aad: bytes) -> tuple[PrivateMessage, Group]:
        rng = device.runtime.rng
        if leave:
            return group.propose_remove(group.own_index, authenticated_data=aad, rng=rng)
        return group.propose_update(authenticated_data=aad, rng=rng)

    await write(device, make)


@virtual
async def test_a_circle_rolls_over_after_a_month(tmp_path: Path) -> None:
    """By itself, once, and whoever was away follows."""
    async with World(tmp_path) as world:
        amina = await world.found()
        bruno = await world.join(amina, "Bruno")
        await amina.synced()
        assert (await segment_of(amina)) == 0
        world.clock.pass_(rollover.MAX_AGE_SECONDS)
        await bruno.synced()
        assert (await segment_of(bruno)) == 0
        await amina.synced()
        await amina.synced()
        assert (await segment_of(amina)) == 1
        await bruno.synced()
        assert await amina.epoch() == await bruno.epoch()


@virtual
async def test_a_circle_rolls_over_before_its_segment_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with World(tmp_path) as world:
        amina = await world.found()
        board = await amina.board()
        await amina.synced()
        used = await amina.runtime.store.read(
            lambda tx: log.segment_bytes(tx, amina.circle_id, 0, overhead=40, sizes=ENTRY_SIZES)
        )
        assert used == 3 * 1024
        monkeypatch.setattr(rollover, "LOG_QUOTA_BYTES", 10 * 1024)
        await amina.post(board, "a long text", "x" * 3000)
        await amina.synced()
        assert (await segment_of(amina)) == 0
        await amina.post(board, "one more")
        await amina.synced()
        assert (await segment_of(amina)) == 1


async def segment_of(device: Device) -> int:
    return await device.runtime.store.read(lambda tx: Circle.load(tx, device.circle_id).segment_no)


@virtual
async def test_two_tasks_of_one_process(tmp_path: Path) -> None:
    """A command and the follower sync at once: no false rollback, no post twice, no commit twice."""
    async with World(tmp_path) as world:
        amina = await world.found()
        bruno, carla = await world.join_all(amina, ("Bruno", "Carla"))
        board = await amina.board()
        await amina.synced()
        for device in (bruno, carla):
            await device.synced()
        for number in range(5):
            await amina.post(board, f"amina {number}")
            await bruno.post(board, f"bruno {number}")
            await asyncio.gather(bruno.synced(), bruno.synced(), amina.synced(), amina.synced(), bruno.synced())
        await asyncio.gather(amina.remove(carla), amina.synced(), amina.remove(carla))
        await asyncio.gather(bruno.synced(), bruno.synced(), amina.synced())
        assert sorted(await amina.titles()) == sorted(await bruno.titles())
        assert len(await bruno.titles()) == 10
        assert (await segment_of(amina)) == 1
        for device in (amina, bruno):
            assert await device.state() is State.ACTIVE
            assert await device.waiting() == 0
            assert await device.events("rollback") == []


@virtual
async def test_an_answer_that_was_overtaken(tmp_path: Path) -> None:
    """While it was on its way another task read further: its head is older and proves nothing."""
    async with World(tmp_path) as world:
        amina = await world.found()
        bruno = await world.join(amina, "Bruno")
        board = await amina.board()
        await amina.synced()
        await bruno.synced()
        await amina.post(board, "one")
        await amina.synced()
        overtaken: list[int] = []

        async def after(_address: RelayAddr, request: Request, _stream: str) -> None:
            if request.op == Op.READ and not overtaken:
                overtaken.append(1)
                await amina.post(board, "two")
                await amina.synced()
                await bruno.synced()

        bruno.transport.after = after
        await bruno.synced()
        assert await bruno.titles() == ["one", "two"]
        assert await bruno.events("rollback") == []
        assert await bruno.state() is State.ACTIVE


@virtual
async def test_keys_are_renewed_every_week(tmp_path: Path) -> None:
    """A member proposes a fresh leaf, again after a commit that could not take it, until a rollover takes it along."""
    async with World(tmp_path) as world:
        amina = await world.found()
        bruno = await world.join(amina, "Bruno")
        before = await leaf_keys(bruno)
        assert await proposals_of(bruno) == 0
        world.clock.pass_(refresh.EVERY_SECONDS)
        bruno.transport.before = lose(1, Op.APPEND)
        assert isinstance((await bruno.sync()).error, UnreachableError)
        assert await proposals_of(bruno) == 1
        await bruno.synced()
        await bruno.synced()
        await amina.synced()
        assert await proposals_of(amina) == await proposals_of(bruno) == 1
        assert [each.op for each in bruno.transport.sent].count(Op.APPEND) == 2
        await world.join(amina, "Carla")
        await bruno.synced()
        assert await leaf_keys(bruno) == before
        await bruno.synced()
        await hop_once(amina)
        await bruno.synced()
        assert await leaf_keys(bruno) != before
        assert await amina.epoch() == await bruno.epoch()
        await bruno.synced()
        assert await proposals_of(bruno) == 0


async def proposals_of(device: Device) -> int:
    return await device.runtime.store.read(lambda tx: len(Circle.load(tx, device.circle_id).group.proposals))


@virtual
async def test_a_poisoned_update_stops_no_commit(tmp_path: Path) -> None:
    """It is left out; otherwise one member could keep a circle from ever changing."""
    async with World(tmp_path) as world:
        amina = await world.found()
        bruno = await world.join(amina, "Bruno")

        def make(group: Group, aad: bytes) -> tuple[PrivateMessage, Group]:
            changes = LeafChanges(extensions=(refresh_extension(0),))
            return group.propose_update(changes=changes, authenticated_data=aad, rng=bruno.runtime.rng)

        await write(bruno, make)
        await amina.synced()
        assert await proposals_of(amina) == 1
        assert (await hop_once(amina)).segment_no == 1
        await bruno.synced()
        assert await amina.epoch() == await bruno.epoch()


@virtual
async def test_a_coordinator_who_leaves_goes_off_the_roster(tmp_path: Path) -> None:
    """E20: of its own will, so without approvals; the secret is renewed."""
    async with World(tmp_path) as world:
        amina, bruno = await two_coordinators(world)
        secret = await secret_of(amina)
        await propose(bruno, leave=True)
        await commits.commit(amina.runtime, amina.circle_id, _once())
        await bruno.sync()
        assert await bruno.state() is State.REMOVED
        roster = await amina.runtime.store.read(lambda tx: Circle.load(tx, amina.circle_id).roster)
        assert roster == {await amina.member_pk()}
        assert await secret_of(amina) != secret


@virtual
async def test_an_update_is_not_lost_with_a_poisoned_one(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        amina = await world.found()
        bruno, carla = await world.join_all(amina, ("Bruno", "Carla"))
        await propose(carla, leave=False)

        def make(group: Group, aad: bytes) -> tuple[PrivateMessage, Group]:
            changes = LeafChanges(extensions=(refresh_extension(0),))
            return group.propose_update(changes=changes, authenticated_data=aad, rng=bruno.runtime.rng)

        await bruno.synced()
        await write(bruno, make)
        await carla.synced()
        before = await leaf_keys(carla)
        await hop_once(amina)
        await carla.synced()
        assert await leaf_keys(carla) != before
