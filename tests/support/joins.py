"""Joining as people do it: a link, four words by voice, an approval. On top of :mod:`tests.support.devices`."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence

import pytest

from tertulia import invitations, joining, sync
from tertulia.invitations import RequestView
from tertulia.joining import JoinView
from tertulia_protocol.circle.charter import HistoryMode
from tertulia_protocol.circle.history import HistoryRange
from tertulia_protocol.errors import TertuliaError
from tests.support.devices import Device, World

NOTHING = HistoryRange(HistoryMode.NONE)
ALL = HistoryRange(HistoryMode.ALL)


async def invited(inviter: Device, *, days: int = 7) -> str:
    """Return a new link."""
    return (await invitations.invite(inviter.runtime, inviter.circle_id, days=days)).link


async def ask(world: World, inviter: Device, name: str, *, link: str | None = None) -> tuple[Device, JoinView]:
    """Return a new device that has asked to join."""
    device = await world.device(name)
    device.circle_id = inviter.circle_id
    view = await joining.request_to_join(device.runtime, link or await invited(inviter), name=name)
    return device, view


async def requests(inviter: Device) -> tuple[RequestView, ...]:
    """Look into the boxes; return what waits."""
    await inviter.synced()
    return await invitations.list_requests(inviter.runtime, inviter.circle_id)


async def approved(
    inviter: Device, view: JoinView, *, words: Sequence[str] | None = None, history: HistoryRange = NOTHING
) -> bytes:
    """Compare the words and approve."""
    (request,) = [each for each in await requests(inviter) if each.request_hash == view.request_hash]
    return await invitations.approve(
        inviter.runtime, inviter.circle_id, request.request_hash, words=words or view.words, history=history
    )


async def sync_all(device: Device) -> None:
    """Sync a profile as the command does."""
    for result in await sync.sync_all(device.runtime, timeout=60):
        assert result.error is None, result


async def joined(world: World, inviter: Device, name: str, *, history: HistoryRange = NOTHING) -> Device:
    """Return a new device that went the whole way and was seen by its inviter."""
    device, view = await ask(world, inviter, name)
    await approved(inviter, view, history=history)
    await sync_all(device)
    await inviter.synced()
    return device


async def unchanged(device: Device, error: type[TertuliaError], work: Awaitable[object]) -> TertuliaError:
    """Expect that ``work`` is refused with exactly ``error``, that nothing stored changed, and nothing was sent."""
    before, sent = await device.dump(), len(device.transport.sent)
    with pytest.raises(error) as raised:
        await work
    assert type(raised.value) is error
    assert await device.dump() == before
    assert len(device.transport.sent) == sent
    return raised.value
