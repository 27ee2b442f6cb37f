"""What counts and what does not (E4, E6, E18, E22, E24, E38) of all that anybody with the keys may write."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_encrypt

from tertulia import boards, commits, outgoing
from tertulia.circle import Circle
from tertulia.commits import CommitPlan
from tertulia.errors import NotAllowedError
from tertulia.states import State
from tertulia.store import content, outbox
from tertulia.store.tx import Tx
from tertulia_protocol.circle import epoch_rules, rules
from tertulia_protocol.circle.aad import EntryAAD
from tertulia_protocol.circle.entries import REPAIR, InnerHeader, build_inner, repair_of, wrap
from tertulia_protocol.circle.errors import OutdatedError
from tertulia_protocol.circle.payload import PayloadType
from tertulia_protocol.codec import serialize
from tertulia_protocol.content.change import lamport_bound
from tertulia_protocol.content.envelope import Envelope, Op
from tertulia_protocol.content.kinds import post_object_id
from tertulia_protocol.mls import commit_builder
from tertulia_protocol.mls.framing import PrivateMessage
from tertulia_protocol.mls.group import Group
from tertulia_protocol.mls.labeled import HPKECiphertext
from tertulia_protocol.mls.mls_message import MLSMessage
from tertulia_protocol.mls.treekem import CreatedPath, create_path
from tertulia_protocol.relay_api import requests
from tests.client.circles.test_commits import give_code, hop_once, promote
from tests.client.circles.test_evidence import entries_of, lying, story
from tests.support.cheating import append, same, say, topic_payload, where, write
from tests.support.devices import Device, World
from tests.support.virtual_clock import virtual

# What a skipped entry may change: that it was read, and that it was skipped.
READ = {"circle", "segment", "chain", "raw_entry", "event", "sqlite_sequence"}


async def changed_by_sync(device: Device) -> set[str]:
    before = await device.dump()
    await device.synced()
    after = await device.dump()
    return {name for name in before if before[name] != after[name]}


@pytest.mark.parametrize(
    ("change", "after"),
    [
        pytest.param(lambda header: replace(header, version=2), same, id="version"),
        pytest.param(lambda header: replace(header, segment_no=7), same, id="segment"),
        pytest.param(lambda header: replace(header, log_id=bytes(8)), same, id="log"),
        pytest.param(lambda header: replace(header, epoch=header.epoch + 1), same, id="epoch"),
        pytest.param(lambda header: replace(header, flags=2), same, id="flags"),
        pytest.param(lambda header: replace(header, rsv=bytes(range(12))), same, id="rsv"),
        pytest.param(same, lambda header: replace(header, branch_tag=bytes(16)), id="V2"),
    ],
)
@virtual
async def test_an_entry_that_was_made_for_elsewhere_is_skipped(
    tmp_path: Path, change: Callable[[InnerHeader], InnerHeader], after: Callable[[InnerHeader], InnerHeader]
) -> None:
    async with World(tmp_path) as world:
        amina, bruno, board = await story(world)
        payload = await topic_payload(bruno, board, "junk")
        await write(bruno, say(bruno, payload), change=change, after=after)
        assert await changed_by_sync(amina) <= READ
        assert await amina.titles() == ["one"]


@virtual
async def test_the_same_content_under_another_nonce_is_skipped(tmp_path: Path) -> None:
    """E24: or one post could stand in the log under many hashes."""
    async with World(tmp_path) as world:
        amina, bruno, board = await story(world)

        def again(tx: Tx) -> bytes:
            circle = Circle.load(tx, bruno.circle_id)
            keys = circle.access.relays[0]
            data = wrapped_inner(circle)
            nonce = bytes(24)
            return nonce + crypto_aead_xchacha20poly1305_ietf_encrypt(data, circle.segment_id(), nonce, keys.wrap_key)

        await bruno.post(board, "two")
        segment, key = await where(bruno)
        await bruno.runtime.store.run(lambda tx: _encrypt_next(tx, bruno))
        entry = await bruno.runtime.store.read(again)
        await append(bruno, segment, entry, key)
        assert await changed_by_sync(amina) <= READ
        assert await amina.titles() == ["one"]
        await bruno.synced()
        await amina.synced()
        assert await amina.titles() == ["one", "two"]


def _encrypt_next(tx: Tx, device: Device) -> None:
    assert outgoing.next_entries(tx, device.circle_id, rng=device.runtime.rng)


def wrapped_inner(circle: Circle) -> bytes:
    (row,) = outbox.list_all(circle.tx, circle.id)
    assert row.inner is not None
    return row.inner


@virtual
async def test_a_replayed_entry_counts_once(tmp_path: Path) -> None:
    """A relay that shows an entry twice: its key is used up; its author knows that it counted."""
    async with World(tmp_path) as world:
        amina, bruno, board = await story(world)
        await bruno.post(board, "two")
        await bruno.synced()
        segment_id, entries = await entries_of(bruno)
        twice = [*entries, entries[-1]]
        for device in (amina, bruno):
            transport = await lying(world, device)
            transport.logs[segment_id] = twice
            await device.sync()
            assert await device.titles() == ["one", "two"]
            assert await device.state() is State.ACTIVE
            assert await device.waiting() == 0


@virtual
async def test_a_post_counts_once_whatever_it_says_the_second_time(tmp_path: Path) -> None:
    """E18: (member, post_id); the first that counts stands."""
    async with World(tmp_path) as world:
        amina, bruno, board = await story(world)
        for title in ("first", "second"):
            payload = await topic_payload(bruno, board, title, post_id=b"p" * 16)
            await write(bruno, say(bruno, payload))
        await amina.synced()
        assert await amina.titles() == ["one", "first"]


@pytest.mark.parametrize("lamport", [0, lamport_bound(0) + 1])
@virtual
async def test_a_clock_out_of_bounds_does_not_count(tmp_path: Path, lamport: int) -> None:
    async with World(tmp_path) as world:
        amina, bruno, board = await story(world)
        payload = await topic_payload(bruno, board, "future", lamport=lamport)
        await write(bruno, say(bruno, payload))
        before = await amina.runtime.store.read(lambda tx: Circle.load(tx, amina.circle_id).row.lamport)
        await amina.synced()
        assert await amina.titles() == ["one"]
        assert await amina.runtime.store.read(lambda tx: Circle.load(tx, amina.circle_id).row.lamport) == before


@virtual
async def test_a_device_whose_state_was_copied_stops_sending(tmp_path: Path) -> None:
    """E24: an entry of my own leaf that I did not make."""
    async with World(tmp_path) as world:
        _, bruno, board = await story(world)
        payload = await topic_payload(bruno, board, "from the copy")
        await write(bruno, say(bruno, payload), known=False)
        await bruno.post(board, "from here")
        sent = [each.op for each in bruno.transport.sent]
        await bruno.sync()
        assert await bruno.state() is State.COPIED
        assert len(await bruno.events("copied")) == 1
        assert await bruno.waiting() == 1
        assert requests.Op.APPEND not in [each.op for each in bruno.transport.sent[len(sent) :]]


@virtual
async def test_missing_payloads_of_an_author_are_noticed(tmp_path: Path) -> None:
    """E18: evidence only; what came counts."""
    async with World(tmp_path) as world:
        amina, bruno, board = await story(world)
        payload = await topic_payload(bruno, board, "later", author_seq=9)
        await write(bruno, say(bruno, payload))
        await amina.synced()
        assert await amina.titles() == ["one", "later"]
        (event,) = await amina.events("gap")
        assert event.data["missing"] > 0


@virtual
async def test_somebody_who_has_read_another_history_raises_an_alarm_only(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        amina, bruno, board = await story(world)
        payload = await topic_payload(bruno, board, "two")

        def other_parent(header: InnerHeader) -> InnerHeader:
            return replace(header, parent=replace(header.parent, chain=bytes(32)))

        await write(bruno, say(bruno, payload), change=other_parent)
        await amina.synced()
        assert await amina.titles() == ["one", "two"]
        assert len(await amina.events("other_history")) == 1
        assert await amina.state() is State.ACTIVE


@virtual
async def test_another_history_is_noticed_within_one_batch(tmp_path: Path) -> None:
    """Most of what a place is compared with came in the same answer."""
    async with World(tmp_path) as world:
        amina, bruno, board = await story(world)
        await write(bruno, say(bruno, await topic_payload(bruno, board, "two")))
        await bruno.synced()
        payload = await topic_payload(bruno, board, "three")

        def other_parent(header: InnerHeader) -> InnerHeader:
            return replace(header, parent=replace(header.parent, chain=bytes(32)))

        await write(bruno, say(bruno, payload), change=other_parent)
        await amina.synced()
        assert sorted(await amina.titles()) == ["one", "three", "two"]
        assert len(await amina.events("other_history")) == 1
        assert await amina.state() is State.ACTIVE


@virtual
async def test_what_is_not_known_yet_is_kept(tmp_path: Path) -> None:
    """Reserved payload types are kept as they came; an unknown type of content is a stub in its place."""
    async with World(tmp_path) as world:
        amina, bruno, board = await story(world)
        poll = await topic_payload(bruno, board, "poll", type=PayloadType.POLL, body=b"\xff later")
        await write(bruno, say(bruno, poll))
        post_id = b"q" * 16
        object_id = post_object_id(member_pk=await bruno.member_pk(), post_id=post_id)
        envelope = Envelope(type="event", version=3, object_id=object_id, op=Op.PUT, fields={"when": 7})
        stub = await topic_payload(bruno, board, "", post_id=post_id, body=envelope.encode())
        await write(bruno, say(bruno, stub))
        await amina.synced()
        kept = await amina.runtime.store.read(lambda tx: content.kept_payloads(tx, amina.circle_id, PayloadType.POLL))
        assert [row.payload for row in kept] == [poll]
        shown = await amina.runtime.store.read(lambda tx: boards.posts(tx, amina.circle_id))
        assert [(post.type, post.stub) for post in shown] == [("topic", False), ("event", True)]
        row = await amina.runtime.store.read(lambda tx: content.changes_of(tx, amina.circle_id, object_id))
        assert [each.body for each in row] == [envelope.encode()]


@virtual
async def test_nothing_that_a_member_can_write_stops_the_others(tmp_path: Path) -> None:
    """Whatever stands in the log, everybody reads on: one entry that raised would end a circle."""
    async with World(tmp_path) as world:
        amina, bruno, board = await story(world)
        rng = random.Random(7)  # noqa: S311 - repeats
        payload = await topic_payload(bruno, board, "whole")
        for _ in range(60):
            spoiled = bytearray(payload)
            for _ in range(rng.choice((1, 1, 3, 20))):
                spoiled[rng.randrange(len(spoiled))] = rng.randrange(256)
            await write(bruno, say(bruno, bytes(spoiled[: rng.choice((len(spoiled), rng.randrange(len(spoiled))))])))
        segment, key = await where(bruno)
        for _ in range(60):
            entry = await bruno.runtime.store.read(partial(spoiled_entry, device=bruno, payload=payload, rng=rng))
            await append(bruno, segment, entry, key)
        await write(bruno, say(bruno, await topic_payload(bruno, board, "after all that")))
        await amina.synced()
        assert await amina.state() is State.ACTIVE
        assert (await amina.titles())[0] == "one"
        assert "after all that" in await amina.titles()


def spoiled_entry(tx: Tx, *, device: Device, payload: bytes, rng: random.Random) -> bytes:
    """Return an entry that unwraps, with an MLS message in it that is spoiled somewhere."""
    circle = Circle.load(tx, device.circle_id)
    header = outgoing.build_header(circle)
    aad = serialize(EntryAAD(header_hash=header.hash()))
    message, _ = circle.group.encrypt(payload, authenticated_data=aad, rng=device.runtime.rng)
    body = bytearray(serialize(MLSMessage(message)))
    body[rng.randrange(len(body))] ^= 1 << rng.randrange(8)
    inner = build_inner(header, bytes(body[: rng.choice((len(body), rng.randrange(len(body))))]))
    return wrap(inner, keys=circle.access.relays[0], segment_id=circle.segment_id())


# --- Commits -------------------------------------------------------------------------------------------------------


@virtual
async def test_a_member_who_commits_is_refused_and_nobody_gets_stuck(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        amina, bruno, _ = await story(world)

        def make(group: Group, aad: bytes) -> tuple[PrivateMessage, Group]:
            built = group.build_commit(now=world.clock.now(), rng=bruno.runtime.rng, authenticated_data=aad)
            return built.message, built.group

        epoch = await amina.epoch()
        await write(bruno, make)
        assert await changed_by_sync(amina) <= READ
        assert await amina.epoch() == epoch
        (event,) = await amina.events("commit_refused")
        assert event.data["rule"] == "V4"
        await bruno.synced()
        assert await bruno.epoch() == epoch
        assert await bruno.state() is State.ACTIVE


@virtual
async def test_a_circle_that_needs_a_newer_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """E38: nothing is merged, the place is kept; after an update the device goes on from there."""
    async with World(tmp_path) as world:
        amina, bruno, _ = await story(world)

        def newer(_tx: Tx, circle: Circle) -> CommitPlan | None:
            policy = replace(circle.charter.policy, min_client=2)
            return CommitPlan(charter=replace(circle.charter, policy=policy))

        epoch = await bruno.epoch()
        with pytest.raises(OutdatedError):
            await commits.commit(amina.runtime, amina.circle_id, newer)
        with monkeypatch.context() as patch:
            patch.setattr(epoch_rules, "BEHAVIOUR_VERSION", 2)  # Amina's program is newer
            await commits.commit(amina.runtime, amina.circle_id, newer)
        before = await bruno.dump()
        await bruno.sync()
        assert await bruno.state() is State.OUTDATED
        assert await bruno.epoch() == epoch
        after = await bruno.dump()
        assert {name for name in before if before[name] != after[name]} <= READ
        assert before["chain"] == after["chain"]
        await bruno.sync()
        assert await bruno.state() is State.OUTDATED
        assert len(await bruno.events("outdated")) == 1
        monkeypatch.setattr(epoch_rules, "BEHAVIOUR_VERSION", 2)
        monkeypatch.setattr(rules, "BEHAVIOUR_VERSION", 2)
        await bruno.synced()
        assert await bruno.state() is State.ACTIVE
        assert await bruno.epoch() == await amina.epoch()


def broken_for(names: set[int]) -> Callable[..., CreatedPath]:
    """Return a ``create_path`` whose ciphertexts do not open for the recipients at these places of the path."""

    def create(*args: Any, **more: Any) -> CreatedPath:
        made = create_path(*args, **more)
        nodes = list(made.update_path.nodes)
        for number in names & set(range(len(nodes))):
            broken = tuple(
                HPKECiphertext(each.kem_output, bytes(len(each.ciphertext)))
                for each in nodes[number].encrypted_path_secret
            )
            nodes[number] = replace(nodes[number], encrypted_path_secret=broken)
        return replace(made, update_path=replace(made.update_path, nodes=tuple(nodes)))

    return create


@virtual
async def test_stuck_and_repaired(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit that the rules allow and some cannot open (V15): they stay, and take its repair alone (E4)."""
    async with World(tmp_path) as world:
        amina = await world.found()
        bruno, carla, dora = await world.join_all(amina, ("Bruno", "Carla", "Dora"))
        await promote(amina, bruno)
        await give_code(world, bruno)
        board = await amina.board()
        await amina.synced()
        for device in (bruno, carla, dora):
            await device.synced()
        # Amina at leaf 0, Bruno at 1: the first node of her path is for him alone, the second for Carla and Dora.
        monkeypatch.setattr(commit_builder, "create_path", broken_for({0}))
        epoch = await bruno.epoch()
        await commits.commit(amina.runtime, amina.circle_id, _refresh_path())
        monkeypatch.undo()
        before = await bruno.dump()
        await bruno.sync()
        assert await bruno.state() is State.STUCK
        after = await bruno.dump()
        assert {name for name in before if before[name] != after[name]} <= READ | {"evidence"}
        assert await bruno.epoch() == epoch
        await carla.synced()
        assert await carla.epoch() == await amina.epoch() != epoch
        # He reads on, sends nothing, and may not write.
        await bruno.sync()
        assert await bruno.state() is State.STUCK
        with pytest.raises(NotAllowedError):
            await bruno.post(board, "not now")
        with pytest.raises(NotAllowedError):
            await hop_once(bruno)

        entry = await _refused_entry(bruno)
        dropped = await _commit_as(bruno, world, same)
        assert dropped
        await bruno.sync()
        assert await bruno.state() is State.STUCK, "a race loser's commit is not a repair"

        def repair(header: InnerHeader) -> InnerHeader:
            return replace(header, flags=REPAIR, rsv=repair_of(entry))

        await _commit_as(bruno, world, repair)
        await bruno.sync()
        assert await bruno.state() is State.ACTIVE
        assert (await bruno.epoch())[0] == epoch[0] + 1
        # Everybody else has gone on: to them it is of an epoch that is over.
        again = await carla.epoch()
        await carla.synced()
        assert await carla.epoch() == again


def _refresh_path() -> commits.Plan:
    calls: list[int] = []

    def plan(_tx: Tx, _circle: Circle) -> CommitPlan | None:
        calls.append(1)
        return CommitPlan() if len(calls) == 1 else None

    return plan


async def _refused_entry(device: Device) -> bytes:
    rows = (await device.dump())["evidence"]
    (row,) = [row for row in rows if row[2] == "stuck"]
    entry = row[4]
    assert isinstance(entry, bytes)
    return entry


async def _commit_as(device: Device, world: World, change: Callable[[InnerHeader], InnerHeader]) -> bytes:
    def make(group: Group, aad: bytes) -> tuple[PrivateMessage, Group]:
        built = group.build_commit(now=world.clock.now(), rng=device.runtime.rng, authenticated_data=aad)
        return built.message, built.group

    return (await write(device, make, change=change)).data


@virtual
async def test_a_repair_of_nothing_is_refused(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        amina, bruno, _ = await story(world)
        epoch = await bruno.epoch()
        await _commit_as(amina, world, lambda header: replace(header, flags=REPAIR, rsv=bytes(range(1, 13))))
        await bruno.synced()
        assert await bruno.epoch() == epoch
        assert await bruno.state() is State.ACTIVE
        assert (await bruno.events("commit_refused"))[0].data["rule"] == "E4"
