"""What every wakeup must do, whatever it is made of."""

from __future__ import annotations

import asyncio

import pytest

from tertulia_relay.wakeup.in_process import InProcessWakeup

A, B = b"a" * 32, b"b" * 32


@pytest.fixture(params=[InProcessWakeup])
async def wakeup(request):
    made = request.param()
    await made.start()
    yield made
    await made.close()


async def soon(watch):
    await asyncio.wait_for(watch.grown(), 5)


async def is_quiet(watch):
    for _ in range(5):
        await asyncio.sleep(0)
    task = asyncio.ensure_future(watch.grown())
    await asyncio.sleep(0.01)
    quiet = not task.done()
    task.cancel()
    return quiet


async def test_an_announcement_wakes_every_reader_of_the_segment(wakeup):
    with wakeup.watch(A) as first, wakeup.watch(A) as second:
        tasks = [asyncio.ensure_future(soon(first)), asyncio.ensure_future(soon(second))]
        await asyncio.sleep(0)
        wakeup.announce(A)
        await asyncio.gather(*tasks)


async def test_an_announcement_wakes_no_reader_of_another_segment(wakeup):
    with wakeup.watch(A) as watch:
        wakeup.announce(B)
        assert await is_quiet(watch)


async def test_an_announcement_between_watching_and_waiting_is_not_lost(wakeup):
    with wakeup.watch(A) as watch:
        wakeup.announce(A)
        await soon(watch)
        await soon(watch)


async def test_what_was_cleared_is_forgotten(wakeup):
    with wakeup.watch(A) as watch:
        wakeup.announce(A)
        await soon(watch)
        watch.clear()
        assert await is_quiet(watch)
        wakeup.announce(A)
        await soon(watch)


async def test_a_watch_begins_when_it_begins(wakeup):
    wakeup.announce(A)
    with wakeup.watch(A) as watch:
        assert await is_quiet(watch)


async def test_announcing_without_readers_is_nothing(wakeup):
    wakeup.announce(A)


async def test_closing_releases_everyone(wakeup):
    with wakeup.watch(A) as first, wakeup.watch(B) as second:
        await wakeup.close()
        await soon(first)
        await soon(second)


async def test_nothing_is_left_of_readers_who_left():
    wakeup = InProcessWakeup()
    with wakeup.watch(A), wakeup.watch(A):
        assert wakeup.watched == 1
    assert wakeup.watched == 0
