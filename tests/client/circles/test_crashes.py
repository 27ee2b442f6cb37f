"""A process that ends between any two steps: nothing acknowledged is lost, nothing arrives twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from tertulia import founding
from tertulia.circle import Circle
from tertulia.commits import effective_commits, forget_effective
from tertulia.errors import UnreachableError
from tertulia.states import State
from tertulia.store import circles
from tertulia.store.tx import Tx
from tertulia_protocol.relay_api.requests import Op
from tests.support.crash import CrashPlan, Killed, make_mortal
from tests.support.devices import Device, World
from tests.support.memory_relay import lose
from tests.support.virtual_clock import virtual


async def killed(world: World, device: Device, plan: CrashPlan, work: str, *args: object) -> bool:
    """Run ``device.<work>(*args)`` until ``plan`` ends it; open the device again; answer whether it was killed."""
    make_mortal(device, plan)
    try:
        await getattr(device, work)(*args)
    except Killed:
        await world.reopen(device)
        return True
    await world.reopen(device)
    return False


@virtual
async def test_a_post_survives_every_step(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        amina = await world.found()
        bruno = await world.join(amina, "Bruno")
        board = await amina.board()
        await amina.synced()
        await bruno.synced()
        expected: list[str] = []
        for at in range(100):
            expected.append(f"post {at}")
            await bruno.post(board, expected[-1])
            # Somebody else writes at the same time, so that there is also something to read.
            await amina.post(board, f"answer {at}")
            await amina.synced()
            expected.append(f"answer {at}")
            was_killed = await killed(world, bruno, CrashPlan(at), "sync")
            await bruno.synced()
            assert await bruno.waiting() == 0
            await amina.synced()
            assert sorted(await amina.titles()) == sorted(await bruno.titles()) == sorted(expected)
            if not was_killed:
                break
        assert 6 <= at < 60
        assert await amina.events("gap") == await bruno.events("gap") == []
        assert await bruno.state() is State.ACTIVE


@virtual
async def test_a_removal_survives_every_step(tmp_path: Path) -> None:
    """Killed right after SEAL, before and after CREATE, before the read-back: the circle goes on, for all of it."""
    async with World(tmp_path) as world:
        amina = await world.found()
        carla = await world.join(amina, "Carla")
        board = await amina.board()
        await amina.synced()
        for at in range(60):
            other = await world.join(amina, f"Member {at}")
            plan = CrashPlan(at, trace=[])
            was_killed = await killed(world, amina, plan, "remove", other)
            await amina.synced()
            await amina.remove(other)
            await amina.post(board, f"after {at}")
            await amina.synced()
            await carla.synced()
            await other.sync()
            assert await other.state() is State.REMOVED
            assert await amina.epoch() == await carla.epoch()
            assert f"after {at}" in await carla.titles()
            assert f"after {at}" not in await other.titles()
            await world.close(other)
            if not was_killed:
                break
        assert 8 <= at < 40
        assert {"after SEAL", "before CREATE", "before receive"} & set(plan.trace or [])
        assert await amina.state() is State.ACTIVE


@virtual
async def test_an_addition_survives_every_step(tmp_path: Path) -> None:
    """What belongs to an effective commit is there until it is taken care of, wherever the process ended."""
    async with World(tmp_path) as world:
        amina = await world.found()
        for at in range(60):
            plan = CrashPlan(at)
            make_mortal(amina, plan)
            try:
                await world.join(amina, f"Joiner {at}")
            except Killed:
                await world.reopen(amina)
                await amina.synced()
                await amina.runtime.store.run(lambda tx: forget_all(tx, amina.circle_id))
            else:
                break
        await world.reopen(amina)
        await amina.synced()
        assert 3 <= at < 40
        assert await amina.state() is State.ACTIVE


def forget_all(tx: Tx, circle_id: bytes) -> None:
    for done in effective_commits(tx, circle_id):
        assert done.welcome is not None
        assert done.after == b"join"
        forget_effective(tx, circle_id, done.number)


@virtual
async def test_founding_survives_every_step(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        amina = await world.device("Amina")
        for at in range(30):
            enrolment = world.relay.enrolment(await world.relay.add_code())
            make_mortal(amina, CrashPlan(at))
            try:
                await founding.found_circle(
                    amina.runtime, name=f"Circle {at}", enrolment=enrolment, display_name="Amina"
                )
            except Killed:
                await world.reopen(amina)
            else:
                await world.reopen(amina)
                break
        assert 5 <= at < 20
        rows = await amina.runtime.store.read(circles.list_all)
        for row in rows:
            amina.circle_id = row.id
            await amina.synced()
            assert await amina.state() is State.ACTIVE
            assert await amina.waiting() == 0


@pytest.mark.parametrize("op", [Op.APPEND, Op.READ])
@pytest.mark.parametrize("where", ["before", "after"])
@virtual
async def test_lost_on_the_way(tmp_path: Path, op: Op, where: str) -> None:
    """A lost request or answer: the same bytes are sent again; the relay knows them."""
    async with World(tmp_path) as world:
        amina = await world.found()
        bruno = await world.join(amina, "Bruno")
        board = await amina.board()
        await amina.synced()
        await bruno.synced()
        await bruno.post(board, "once")
        setattr(bruno.transport, where, lose(1, op))
        result = await bruno.sync()
        assert isinstance(result.error, UnreachableError)
        await bruno.synced()
        await amina.synced()
        assert await amina.titles() == await bruno.titles() == ["once"]


@pytest.mark.parametrize("op", [Op.CREATE, Op.SEAL])
@pytest.mark.parametrize("where", ["before", "after"])
@virtual
async def test_a_hop_lost_on_the_way(tmp_path: Path, op: Op, where: str) -> None:
    async with World(tmp_path) as world:
        amina = await world.found()
        bruno, carla = await world.join_all(amina, ("Bruno", "Carla"))
        setattr(amina.transport, where, lose(1, op))
        try:
            await amina.remove(bruno)
        except UnreachableError:
            assert op is Op.CREATE
        await amina.synced()
        assert not (await amina.remove(bruno)).done
        await carla.synced()
        assert await amina.epoch() == await carla.epoch()
        segment_no = await amina.runtime.store.read(lambda tx: Circle.load(tx, amina.circle_id).segment_no)
        assert segment_no == 1
