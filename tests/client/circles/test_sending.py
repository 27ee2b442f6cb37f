"""The outbox against a relay that is busy, full, or lies about what it took (E3, E11)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tertulia.circle import Circle
from tertulia.errors import RelayQuotaError
from tertulia.states import State, check_transition
from tertulia.store.tx import Tx
from tertulia_protocol.errors import InternalError, UsageError
from tertulia_protocol.relay_api.addresses import RelayAddr
from tertulia_protocol.relay_api.requests import Op, Request
from tertulia_protocol.relay_api.responses import Response, Status
from tests.client.circles.test_commits import Answering, answer
from tests.client.circles.test_evidence import story
from tests.support.devices import World
from tests.support.virtual_clock import virtual


@pytest.mark.parametrize("status", [Status.BUSY, Status.FROZEN])
@virtual
async def test_a_busy_relay_is_waited_for(tmp_path: Path, status: Status) -> None:
    async with World(tmp_path) as world:
        amina, bruno, board = await story(world)
        transport = answer(bruno, status, status)
        await bruno.post(board, "two")
        await bruno.synced()
        assert await bruno.waiting() == 0
        assert len({request.payload for request in transport.appends}) == 1
        assert len(transport.appends) == 3
        await amina.synced()
        assert await amina.titles() == ["one", "two"]


@virtual
async def test_a_full_relay_keeps_nothing_from_us(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        _, bruno, board = await story(world)
        answer(bruno, Status.QUOTA)
        await bruno.post(board, "two")
        result = await bruno.sync()
        assert isinstance(result.error, RelayQuotaError)
        assert result.waiting == 1
        await bruno.synced()
        assert await bruno.waiting() == 0


@virtual
async def test_what_a_relay_only_claims_to_have_is_sent_again(tmp_path: Path) -> None:
    """ "Sent" is believed after read-back."""
    async with World(tmp_path) as world:
        amina, bruno, board = await story(world)
        segment = await bruno.runtime.store.read(lambda tx: Circle.load(tx, bruno.circle_id).segment())
        lies = [1]

        class Claiming(Answering):
            async def send(self, address: RelayAddr, request: Request, *, stream: str) -> Response:
                if request.op == Op.APPEND and lies:
                    lies.pop()
                    head = await world.head_of(segment.segment_id)
                    seq = head.position.seq.to_bytes(8, "big")
                    return Response(status=Status.OK, nonce=request.nonce, body=seq, head=head)
                return await super().send(address, request, stream=stream)

        transport = Claiming(bruno.transport)
        bruno.runtime = replace(bruno.runtime, transport=transport)
        await bruno.post(board, "two")
        await bruno.synced()
        assert await bruno.waiting() == 1
        await bruno.synced()
        assert await bruno.waiting() == 0
        await amina.synced()
        assert await amina.titles() == ["one", "two"]


@virtual
async def test_a_circle_cannot_be_joined_twice(tmp_path: Path) -> None:
    """A Welcome for a circle that is here changes nothing (3.11)."""
    async with World(tmp_path) as world:
        amina, _, _ = await story(world)
        before = await amina.dump()

        def again(tx: Tx) -> None:
            circle = Circle.load(tx, amina.circle_id)
            Circle.create(
                tx,
                group=circle.group,
                access=circle.access,
                device_id=circle.device_id,
                state=State.SYNCING,
                name="again",
                now=0,
            )

        with pytest.raises(UsageError) as caught:
            await amina.runtime.store.run(again)
        assert caught.value.code == "usage"
        assert await amina.dump() == before


@pytest.mark.parametrize(
    ("before", "after"),
    [(State.REMOVED, State.ACTIVE), (State.COPIED, State.ACTIVE), (State.FORK_ALARM, State.ACTIVE)],
)
def test_states_that_nothing_leads_out_of(before: State, after: State) -> None:
    with pytest.raises(InternalError) as caught:
        check_transition(before, after)
    assert caught.value.code == "internal"
