"""Thirty people, five hundred posts, two removals and somebody who is away: in real processes, over a real relay."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.support.relay_process import RelayProcess
from tests.support.scale import PROFILE, runs, seed
from tests.support.thirty import check_agreement, let_in, quiet, view
from tests.support.worker import Profile, Worker, WorkerEndedError

MEMBERS = 60 if PROFILE == "soak" else 30
POSTERS = 10
CUTS = 2
POSTS = max(runs(500, soak=3000) // POSTERS, 30) * POSTERS
FAR = "from far away"
SECONDS = 3600 if PROFILE == "soak" else 300
BATCH = 10
"""How many posts somebody writes between two syncs, at most."""
QUOTA = "[quota]\nappend_units_per_second = 4096\nlog_mib = 1024\n" if PROFILE == "soak" else ""
"""In ``make test`` the relay keeps its defaults."""


class Storm:
    """Posts from several people at once; the title says who wrote it and how many removals were over by then."""

    def __init__(self, circle: str, choice: random.Random) -> None:
        self.circle = circle
        self.removed = 0
        self.titles: list[str] = []
        self.third, self.two_thirds = asyncio.Event(), asyncio.Event()
        self.over = (asyncio.Event(), asyncio.Event())
        """The two removals: some posts are kept for the time after each."""
        self._choice = choice

    async def write(self, poster: Profile, count: int) -> None:
        """Write ``count`` topics and send them in batches of changing size, while the others do the same."""
        left = count
        while left:
            if count - left > count // 2:
                await self.over[0].wait()
            if count - left > count * 4 // 5:
                await self.over[1].wait()
            batch = min(left, self._choice.randint(1, BATCH))
            for _ in range(batch):
                title = f"{poster.name} {count - left} after {self.removed}"
                await poster("post", self.circle, board="General", title=title, body=f"What {poster.name} says.")
                self.note(title)
                left -= 1
            await poster.synced()

    def removal_over(self) -> None:
        """Tell the writers that somebody is out."""
        self.over[self.removed].set()
        self.removed += 1

    def note(self, title: str) -> None:
        self.titles.append(title)
        if len(self.titles) * 3 >= POSTS:
            self.third.set()
        if len(self.titles) * 3 >= POSTS * 2:
            self.two_thirds.set()


class Crowd:
    """Thirty people, who are in two processes; one of them in a process of its own, for a while."""

    def __init__(self, tmp_path: Path, stack: AsyncExitStack, relay: RelayProcess) -> None:
        self.path = tmp_path
        self.relay = relay
        self.workers: list[Worker] = []
        self.people: list[Profile] = []
        self.circle = ""
        self._stack = stack

    async def worker(self, name: str) -> Worker:
        """Start a process."""
        worker = await self._stack.enter_async_context(Worker(self.path / name))
        self.workers.append(worker)
        return worker

    async def gather(self) -> None:
        """Found the circle and let everybody in."""
        workers = [await self.worker(f"worker-{number}") for number in range(2)]
        self.people = [await workers[n % 2].profile(f"member-{n:02}") for n in range(MEMBERS - 1)]
        self.people.append(await (await self.worker("worker-away")).profile("away"))
        amina = self.people[0]
        enrolment = self.relay.enrolment(budget=100_000)
        self.circle = (await amina("circle_create", "Weavers", enrolment=enrolment))["id"]
        await amina("board_create", self.circle, "General")
        await let_in(amina, self.circle, self.people[1:])
        await quiet(self.people, self.circle)
        assert (await amina("circle_show", self.circle))["members"] == MEMBERS

    async def go_away(self) -> None:
        """Let the last one write offline; then the power fails before anything is sent."""
        away = self.people.pop()
        written = await away("post", self.circle, board="General", title=FAR, body="Written before all of it.")
        assert written["state"] == "waiting"
        await away.worker.kill()

    async def come_back(self, choice: random.Random) -> None:
        """Switch the device of the last one on again; the power fails some times more while it catches up."""
        for _ in range(CUTS):
            away = Profile(await self.worker("worker-away"), "away")
            await away("status")
            syncing = asyncio.ensure_future(away("sync"))
            await asyncio.sleep(choice.random())
            await away.worker.kill()
            with contextlib.suppress(WorkerEndedError):
                await syncing
        self.people.append(Profile(await self.worker("worker-away"), "away"))

    async def storm(self, storm: Storm, early: Profile, late: Profile) -> None:
        """Let ten people write at once, and remove two others meanwhile."""
        amina = self.people[0]
        posters = [amina, *self.people[-POSTERS + 1 :]]
        assert len(set(posters)) == POSTERS
        assert not {early, late} & set(posters)
        async with asyncio.TaskGroup() as tasks:
            for poster in posters:
                tasks.create_task(storm.write(poster, POSTS // POSTERS))
            await storm.third.wait()
            await early.synced()
            await amina("remove", self.circle, early.name)
            storm.removal_over()
            await asyncio.gather(early("sync"), late.synced())
            await storm.two_thirds.wait()
            await late.synced()
            await amina("remove", self.circle, late.name)
            storm.removal_over()
        self.people = [one for one in self.people if one not in (early, late)]


async def check_removed(gone: Profile, circle: str, *, removals: int) -> None:
    """Check that somebody read until the removal (the ``removals``-th) and nothing of what came after it."""
    for _ in range(2):
        await gone("sync")
    assert (await gone("circle_show", circle))["state"] == "removed"
    seen = [one["title"] for one in await gone("read", circle)]
    assert {title[-1] for title in seen} == {str(number) for number in range(removals)}
    assert FAR not in seen
    kept = await gone("kept", circle)
    assert max(kept["payloads"]) == removals - 1
    assert max(kept["keys"] + kept["entries"], default=0) <= removals - 1


@pytest.mark.soak
@pytest.mark.timeout(SECONDS)
async def test_thirty_people_agree_on_everything(tmp_path: Path, record_property: Callable[[str, object], None]):
    record_property("seed", seed())
    async with AsyncExitStack() as stack:
        relay = stack.enter_context(RelayProcess(tmp_path / "relay", settings=QUOTA))
        crowd = Crowd(tmp_path, stack, relay)
        await crowd.gather()
        await crowd.go_away()
        choice = random.Random(seed())  # noqa: S311 - repeats
        storm = Storm(crowd.circle, choice)
        amina, early, late = crowd.people[:3]
        await crowd.storm(storm, early, late)
        assert {title[-1] for title in storm.titles} == {"0", "1", "2"}
        await amina.hop(crowd.circle)
        await crowd.come_back(choice)
        await quiet(crowd.people, crowd.circle)

        seen = await asyncio.gather(*(view(one, crowd.circle) for one in crowd.people))
        views = {one.name: each for one, each in zip(crowd.people, seen, strict=True)}
        assert len(views) == MEMBERS - 2
        check_agreement(views)
        agreed = views["away"]
        assert agreed["circle"]["members"] == len(agreed["members"]) == MEMBERS - 2
        # One commit for each who joined, two removals, and one hop more.
        assert (agreed["circle"]["segment"], agreed["circle"]["epoch"]) == (3, MEMBERS - 1 + 3)
        assert sorted(one["title"] for one in agreed["posts"]) == sorted([*storm.titles, FAR])
        assert len(storm.titles) == len(set(storm.titles)) == POSTS
        await check_removed(early, crowd.circle, removals=1)
        await check_removed(late, crowd.circle, removals=2)
    assert [worker.log.read_text() for worker in crowd.workers] == [""] * (4 + CUTS)
    assert relay.log.read_text() == ""
