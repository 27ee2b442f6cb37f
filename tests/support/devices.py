"""Devices in one process: real stores, the real relay behind a transport that can be cut, time that tests move.

``join`` adds a device as an invitation does in the end (an Add, the Welcome, the position), without boxes and words.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Self

from tertulia import boards, commits, creating, founding, removal, sync
from tertulia.circle import Circle
from tertulia.commits import CommitPlan
from tertulia.events import EventBus
from tertulia.identity import member_key
from tertulia.runtime import Runtime
from tertulia.states import State
from tertulia.store import events
from tertulia.store.tx import Tx
from tertulia_protocol.circle.identity import member_of
from tertulia_protocol.circle.segments import SegAccess
from tertulia_protocol.codec import parse
from tertulia_protocol.mls.group import Group
from tertulia_protocol.mls.key_package import KeyPackageBundle
from tertulia_protocol.mls.proposals import Add
from tertulia_protocol.mls.ratchet_tree import RatchetTree
from tertulia_protocol.relay_api.records import HeadState, Position, SignedHead
from tests.support.memory_relay import MemoryRelay, MemoryTransport
from tests.support.memory_storage import MemoryStorage
from tests.support.stores import create_store, open_store
from tests.support.virtual_clock import SeededRng, VirtualClock


@dataclass(slots=True)
class Device:
    """One profile on one machine."""

    name: str
    path: Path
    runtime: Runtime
    transport: MemoryTransport
    circle_id: bytes = b""
    closed: bool = field(default=False)

    async def sync(self) -> sync.SyncResult:
        return await sync.sync_circle(self.runtime, self.circle_id)

    async def synced(self) -> None:
        """Sync, and expect that it could be finished."""
        result = await self.sync()
        assert result.error is None, result

    async def state(self) -> State:
        return await self.runtime.store.read(lambda tx: Circle.load(tx, self.circle_id).state)

    async def epoch(self) -> tuple[int, bytes]:
        def load(tx: Tx) -> tuple[int, bytes]:
            group = Circle.load(tx, self.circle_id).group
            return group.epoch, group.epoch_authenticator

        return await self.runtime.store.read(load)

    async def board(self, name: str = "General", *, announce_only: bool = False) -> bytes:
        def write(tx: Tx) -> bytes:
            circle = Circle.load(tx, self.circle_id)
            now, rng = self.runtime.clock.now(), self.runtime.rng
            return creating.create_board(tx, circle, name=name, announce_only=announce_only, now=now, rng=rng)

        return await self.runtime.store.run(write)

    async def post(self, board_id: bytes, title: str, body: str = "") -> bytes:
        """Put a topic into the outbox."""

        def write(tx: Tx) -> bytes:
            circle = Circle.load(tx, self.circle_id)
            now, rng = self.runtime.clock.now(), self.runtime.rng
            return creating.create_topic(tx, circle, board_id=board_id, title=title, body=body, now=now, rng=rng)

        return await self.runtime.store.run(write)

    async def reply(self, to: bytes, body: str) -> bytes:
        def write(tx: Tx) -> bytes:
            circle = Circle.load(tx, self.circle_id)
            now, rng = self.runtime.clock.now(), self.runtime.rng
            return creating.create_reply(tx, circle, to=to, body=body, now=now, rng=rng)

        return await self.runtime.store.run(write)

    async def titles(self) -> list[str]:
        """Return what this person sees of the posts: titles and bodies, in the order of the merge."""
        posts = await self.runtime.store.read(lambda tx: boards.posts(tx, self.circle_id))
        return [post.title or post.body for post in posts if not post.retracted]

    async def waiting(self) -> int:
        from tertulia.outgoing import count_waiting  # noqa: PLC0415 - only tests of the outbox need it

        return await self.runtime.store.read(lambda tx: count_waiting(tx, self.circle_id))

    async def events(self, kind: str) -> list[events.Event]:
        found = await self.runtime.store.read(lambda tx: events.read_after(tx, 0, limit=100_000))
        return [event for event in found if event.kind == kind]

    async def dump(self) -> dict[str, list[tuple[object, ...]]]:
        """Return everything stored, table by table, for "unchanged to the byte"."""

        def read(tx: Tx) -> dict[str, list[tuple[object, ...]]]:
            names = [row[0] for row in tx.query("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
            return {name: sorted(tx.query(f"SELECT * FROM {name}"), key=repr) for name in names}  # noqa: S608 - names of the schema

        return await self.runtime.store.read(read)

    async def remove(self, other: Device) -> commits.CommitOutcome:
        member_pk = await other.member_pk()
        return await removal.remove_member(self.runtime, self.circle_id, member_pk)

    async def member_pk(self) -> bytes:
        return await self.runtime.store.read(lambda tx: member_key(tx, self.circle_id).public_key)


class World:
    """One relay, several devices, one clock. ``async with`` closes everything."""

    def __init__(self, path: Path, *, seed: str = "world") -> None:
        self.path = path
        self.seed = seed
        self.clock = VirtualClock()
        self.relay = MemoryRelay(clock=self.clock)
        self.devices: dict[str, Device] = {}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self.relay)
        return self

    async def __aexit__(self, *_exc: object) -> None:
        for device in self.devices.values():
            await self.close(device)
        await self._stack.aclose()

    async def device(self, name: str) -> Device:
        """Return a new device with a person of its own."""
        path = self.path / name
        store = await create_store(path, name=name, clock=self.clock)
        transport = MemoryTransport(self.relay)
        runtime = Runtime(
            store=store,
            transport=transport,
            clock=self.clock,
            rng=SeededRng((self.seed, name, "device")),
            events=EventBus(store),
        )
        device = Device(name, path, runtime, transport)
        self.devices[name] = device
        return device

    async def close(self, device: Device) -> None:
        if not device.closed:
            device.closed = True
            await device.runtime.store.close()

    async def reopen(self, device: Device) -> None:
        """Close a device as a crash does, and open it again: only what was committed is left."""
        await self.close(device)
        store = await open_store(device.path, clock=self.clock)
        device.transport.before = device.transport.after = None
        device.runtime = Runtime(
            store=store,
            transport=device.transport,
            clock=self.clock,
            rng=SeededRng((self.seed, device.name, "again", len(device.transport.sent))),
            events=EventBus(store),
        )
        device.closed = False

    async def backup(self) -> MemoryStorage:
        """Return a copy of what the relay has now."""
        storage = self.relay.storage
        assert isinstance(storage, MemoryStorage)
        return storage.copy()

    async def head_of(self, segment_id: bytes) -> SignedHead:
        """Return the newest head of a segment, signed by the relay."""
        row = await self.relay.storage.segment(segment_id)
        assert row is not None
        return SignedHead.make(
            relay_key=self.relay.key,
            segment_id=segment_id,
            position=Position(row.head, row.chain),
            state=HeadState.OPEN,
            utc_day=self.clock.utc_day(),
        )

    def empty_backup(self) -> MemoryStorage:
        """Return what a relay has that has lost everything."""
        return MemoryStorage()

    async def restore(self, storage: MemoryStorage) -> None:
        """Put a relay of the same key in the place of the old one, with what a backup holds."""
        relay = MemoryRelay(clock=self.clock, storage=storage)
        await self._stack.enter_async_context(relay)
        self.relay = relay
        for device in self.devices.values():
            device.transport.add(relay)

    async def found(self, name: str = "Amina", circle: str = "Weavers") -> Device:
        """Return a device that has founded a circle."""
        device = await self.device(name)
        code = await self.relay.add_code()
        device.circle_id = await founding.found_circle(
            device.runtime, name=circle, enrolment=self.relay.enrolment(code), display_name=name
        )
        await device.synced()
        return device

    async def join(self, inviter: Device, name: str) -> Device:
        """Return a new device that was added by ``inviter``."""
        return (await self.join_all(inviter, (name,)))[0]

    async def join_all(self, inviter: Device, names: Sequence[str]) -> list[Device]:
        """Add several new devices by one commit."""
        made = [await self._prepare(inviter, name) for name in names]
        packages = tuple(Add(bundle.key_package) for _, bundle in made)

        def plan(_tx: Tx, circle: Circle) -> CommitPlan | None:
            known = {member_of(each.leaf).device for each in circle.group.members()}
            new = tuple(add for add in packages if member_of(add.key_package.leaf_node).device not in known)
            return CommitPlan(proposals=new, after=b"join") if new else None

        await commits.commit(inviter.runtime, inviter.circle_id, plan)
        done = await inviter.runtime.store.run(lambda tx: _take_effective(tx, inviter.circle_id))
        for device, bundle in made:
            await device.runtime.store.run(partial(_enter, device=device, bundle=bundle, done=done))
            await device.synced()
        return [device for device, _ in made]

    async def _prepare(self, inviter: Device, name: str) -> tuple[Device, KeyPackageBundle]:
        device = await self.device(name)
        device.circle_id = inviter.circle_id
        member = await device.runtime.store.read(lambda tx: member_key(tx, inviter.circle_id))
        bundle = founding.own_leaf(
            member,
            lineage_id=inviter.circle_id,
            device_id=device.runtime.rng(8),
            now=self.clock.now(),
            rng=device.runtime.rng,
        )
        return device, bundle


def _take_effective(tx: Tx, circle_id: bytes) -> commits.EffectiveCommit:
    (done,) = commits.effective_commits(tx, circle_id)
    commits.forget_effective(tx, circle_id, done.number)
    return done


def _enter(tx: Tx, *, device: Device, bundle: KeyPackageBundle, done: commits.EffectiveCommit) -> None:
    assert done.welcome is not None
    group = Group.join(welcome=done.welcome, bundle=bundle, ratchet_tree=parse(RatchetTree, done.tree))
    circle = Circle.create(
        tx,
        group=group,
        access=parse(SegAccess, done.access),
        position=Position(done.seq, done.chain),
        device_id=member_of(bundle.key_package.leaf_node).device_id,
        state=State.SYNCING,
        name="joined",
        now=0,
    )
    creating.post_profile(tx, circle, display_name=device.name, now=0, rng=device.runtime.rng)
