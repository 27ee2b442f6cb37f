"""Objects in the store: what an older version kept is shown by a newer one."""

from __future__ import annotations

from pathlib import Path

from tertulia import boards, objects
from tertulia.client import Client
from tertulia.store import content, meta
from tertulia.store.keyfile import Argon2Cost
from tertulia.store.tx import Tx
from tertulia_protocol.circle.payload import Payload, PayloadType
from tertulia_protocol.content.change import Change
from tertulia_protocol.content.kinds import Content, FieldRule, Identity, Kind, Unknown, Who
from tertulia_protocol.content.types import KINDS
from tertulia_protocol.relay_api.records import Position
from tests.support.content import CHEN
from tests.support.devices import World
from tests.support.virtual_clock import virtual

CHEAP = Argon2Cost(memory_kib=8, passes=1)
PASSPHRASE = "five words of nobody else"  # noqa: S105 - a made-up profile's


class Note(Content, frozen=True):
    """What this version does not know."""

    text: str


NOTE = Kind(
    name="note",
    version=1,
    content=Note,
    identity=Identity.POST,
    create=Who.MEMBERS,
    retract=Who.AUTHOR,
    fields={"text": FieldRule(change=Who.AUTHOR)},
)
NEWER = KINDS.with_kind(NOTE)


NOBODY_SEEN = Position(0, bytes(32))


def count(tx: Tx, circle_id: bytes, change: Change) -> bytes:
    """Keep a change as reading the log does, and fold it; return the id of its object."""
    envelope = change.envelope
    payload = Payload(
        type=PayloadType.POST,
        post_id=change.post_id,
        author_seq=1,
        lamport=change.lamport,
        prev=bytes(32),
        seen_segment=0,
        seen=NOBODY_SEEN,
        minute=7,
        share=True,
        body=envelope.encode(),
    )
    row = objects.change_row(
        circle_id,
        payload,
        envelope,
        member_pk=change.member_pk,
        device_id=bytes(8),
        by_coordinator=change.by_coordinator,
        segment_no=0,
        seq=1,
    )
    assert content.add_change(tx, row)
    objects.fold(tx, circle_id, envelope.object_id, unread=True)
    return envelope.object_id


@virtual
async def test_what_an_older_version_kept_is_shown_by_a_newer_one_that_knows_its_type(tmp_path: Path):
    async with World(tmp_path) as world:
        amina = await world.found("Amina")
        circle_id, store = amina.circle_id, amina.runtime.store
        await store.run(objects.bring_up_to_date)
        written = CHEN.creates(NOTE, Note(text="hello"), number=1, lamport=9)
        note_id = await store.run(lambda tx: count(tx, circle_id, written))
        read = await amina.post(await amina.board("Wells"), "Water")
        await amina.synced()
        before = await amina.dump()
        assert await store.read(lambda tx: boards.content(tx, circle_id, note_id)) == Unknown(type="note", version=1)

        assert await store.run(lambda tx: objects.bring_up_to_date(tx, kinds=NEWER))
        shown = await store.read(lambda tx: objects.load(tx, circle_id, note_id, kinds=NEWER))
        assert (shown.object.content, shown.unread) == (Note(text="hello"), True)
        assert not (await store.read(lambda tx: objects.load(tx, circle_id, read))).unread
        assert not await store.run(lambda tx: objects.bring_up_to_date(tx, kinds=NEWER))

        assert await store.run(objects.bring_up_to_date)
        assert await amina.dump() == before


async def test_opening_a_profile_judges_what_another_version_kept(tmp_path: Path):
    async def known(client: Client) -> bytes | None:
        return await client._runtime.store.read(lambda tx: meta.get(tx, meta.CONTENT_TYPES))

    async def forget(client: Client) -> None:
        await client._runtime.store.run(lambda tx: meta.set_value(tx, meta.CONTENT_TYPES, b"of another version"))

    path = tmp_path / "amina"
    await Client.init(path, name="Amina", passphrase=PASSPHRASE, root=bytes(32), cost=CHEAP)
    async with Client.open(path, passphrase=PASSPHRASE, floor=CHEAP) as client:
        now = await known(client)
        await forget(client)
    async with Client.open(path, passphrase=PASSPHRASE, floor=CHEAP) as client:
        assert await known(client) == now == b"board.1 circle.1 profile.1 reply.1 topic.1"
