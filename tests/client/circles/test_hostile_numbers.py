"""Numbers that fit the wire and nothing else: no member and no link can stop a device with one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cbor2
import pytest

from tertulia import reading, views
from tertulia.reading import Choice
from tertulia.store import content
from tertulia_protocol.circle.entries import InnerHeader
from tertulia_protocol.circle.payload import Payload
from tertulia_protocol.codec import parse, serialize
from tertulia_protocol.relay_api.records import Position
from tests.client.circles.test_evidence import story
from tests.support.cheating import say, topic_payload, write
from tests.support.devices import World
from tests.support.virtual_clock import virtual

LAST_U64 = (1 << 64) - 1
LAST_U32 = (1 << 32) - 1


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"author_seq": LAST_U64}, id="author_seq"),
        pytest.param({"author_seq": 1 << 63}, id="author_seq-63"),
        pytest.param({"seen": Position(LAST_U64, bytes(32))}, id="seen"),
        pytest.param({"seen": Position(1 << 63, bytes(32))}, id="seen-63"),
    ],
)
@virtual
async def test_a_payload_with_a_number_that_no_log_reaches_counts_for_nobody(
    tmp_path: Path, fields: dict[str, object]
) -> None:
    async with World(tmp_path) as world:
        amina, bruno, board = await story(world)
        plain = parse(Payload, await topic_payload(bruno, board, "too far"))
        await write(bruno, say(bruno, serialize(replace(plain, **fields))))  # type: ignore[arg-type] # fields of a Payload
        await amina.synced()
        assert await amina.titles() == ["one"]
        await amina.post(board, "after it")
        await amina.synced()
        await bruno.synced()
        assert await bruno.titles() == ["one", "after it"]


@virtual
async def test_a_header_with_a_place_that_no_log_reaches_counts_for_nobody(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        amina, bruno, board = await story(world)
        payload = await topic_payload(bruno, board, "too far")

        def far(header: InnerHeader) -> InnerHeader:
            return replace(header, parent=Position(LAST_U64, bytes(32)))

        await write(bruno, say(bruno, payload), change=far)
        await amina.synced()
        assert await amina.titles() == ["one"]


@virtual
async def test_a_field_with_a_number_that_cannot_be_kept_counts_for_nobody(tmp_path: Path) -> None:
    """CBOR has negative integers of 65 bits; nothing else has."""
    async with World(tmp_path) as world:
        amina, bruno, board = await story(world)
        post_id = b"q" * 16
        envelope = cbor2.loads(parse(Payload, await topic_payload(bruno, board, "too low", post_id=post_id)).body)
        envelope["f"]["when"] = -(1 << 64)
        body = cbor2.dumps(envelope, canonical=True)
        await write(bruno, say(bruno, await topic_payload(bruno, board, "", post_id=post_id, body=body)))
        await amina.synced()
        assert await amina.titles() == ["one"]
        assert await amina.runtime.store.read(lambda tx: content.changes_of(tx, amina.circle_id, envelope["id"])) == []


@virtual
async def test_a_post_from_a_year_without_a_date_is_shown(tmp_path: Path) -> None:
    """The author's clock decides nothing, and can stop nobody from reading."""
    async with World(tmp_path) as world:
        amina, bruno, board = await story(world)
        await write(bruno, say(bruno, await topic_payload(bruno, board, "far away", minute=LAST_U32)))
        await amina.synced()
        shown = await amina.runtime.store.read(lambda tx: reading.read(tx, amina.circle_id, Choice()))
        assert [post.title for post in shown] == ["one", "far away"]
        assert shown[1].at.astimezone().year == 9999


def test_the_end_of_any_day_has_a_date() -> None:
    assert views.end_of_day(LAST_U32).astimezone().year == 9999
