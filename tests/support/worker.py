"""A process with several profiles, each an open client of the public library, told what to do over a pipe.

Both sides are here. A test starts one with :class:`Worker` and calls the methods of ``tertulia.client.Client`` by
name; profiles work at the same time, the calls of one profile one after the other::

    async with Worker(folder) as worker:
        amina = await worker.profile("Amina")
        made = await amina("circle_create", "Weavers", enrolment=code)      # the result's fields
        await amina.dump(made["id"])                                        # what lies below, for comparing

One JSON object per line: ``{"id", "profile", "call", "args", "options"}`` and ``{"id", "result"}`` or ``{"id",
"error"}``. Nothing is replaced but the cost of Argon2id, for the passphrase and for the four words: a guess takes less
time, and so does a test with thirty people.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import msgspec

from tertulia.circle import Circle
from tertulia.client import Client
from tertulia.commits import CommitPlan, commit
from tertulia.lookup import find_circle
from tertulia.objects import StoredObject
from tertulia.results import Result
from tertulia.store.keyfile import Argon2Cost
from tertulia.store.tx import Tx
from tertulia_protocol.circle import sas
from tertulia_protocol.codec import serialize
from tertulia_protocol.errors import TertuliaError

CHEAP = Argon2Cost(memory_kib=8, passes=1)
PASSPHRASE = "the heron waits beside the river"  # noqa: S105 - of tests
ROOT = Path(__file__).resolve().parents[2]
END_SECONDS = 20.0
PATIENCE = 900.0
"""How long a sync may take: thirty profiles share a process, and in `make soak` there is much to read."""
LINE = 1 << 28
"""The longest line, in bytes: a dump of many posts."""


# --- The test's side -------------------------------------------------------------------------------------------------


class WorkerEndedError(AssertionError):
    """The process ended before it answered; the message holds what it wrote."""


class CallFailedError(AssertionError):
    """The library raised an error of its tree; ``code`` is its code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


@dataclass(frozen=True, slots=True)
class Profile:
    """One person on one device."""

    worker: Worker
    name: str

    @property
    def path(self) -> Path:
        """The profile's folder."""
        return self.worker.folder / self.name

    async def __call__(self, call: str, *args: Any, **options: Any) -> Any:
        """Call a method of ``Client``; return its result as JSON has it. :raises CallFailedError: it raised."""
        return await self.worker.ask(self.name, call, args, options)

    async def synced(self) -> Any:
        """Sync, and expect that nothing kept it from an end."""
        report = await self("sync", timeout=PATIENCE)
        errors = [one["error"] for one in report["circles"] if one["error"]]
        assert not errors, (self.name, errors)
        return report

    async def hop(self, circle: str) -> None:
        """Move the circle to a new segment, as a coordinator can below the commands."""
        await self("hop", circle)

    async def dump(self, circle: str) -> Any:
        """Return what lies below the public results: the group, the members' leaves, every payload."""
        return await self("dump", circle)

    async def closed(self) -> None:
        """Close the profile. The next call opens it again."""
        await self("close")


@dataclass(slots=True, eq=False)
class Worker:
    """A worker process; ``async with`` starts and ends it. Profiles are in ``folder``."""

    folder: Path
    tmpdir: Path | None = None
    process: asyncio.subprocess.Process = field(init=False)
    _waiting: dict[int, asyncio.Future[Any]] = field(default_factory=dict)
    _last: int = 0
    _reader: asyncio.Task[None] = field(init=False)

    async def __aenter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        tmpdir = self.tmpdir or self.folder / "tmp"
        tmpdir.mkdir(exist_ok=True)
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-Werror",
                "-m",
                "tests.support.worker",
                str(self.folder),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                cwd=ROOT,
                limit=LINE,
                env={**os.environ, "TMPDIR": str(tmpdir)},
            )
        self._reader = asyncio.ensure_future(self._read())
        return self

    async def __aexit__(self, *_exc: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            async with asyncio.timeout(END_SECONDS):
                await self._reader
                await self.process.wait()
        except TimeoutError:
            self.process.kill()
            await self.process.wait()
            raise

    async def kill(self) -> None:
        """End the process as a power cut does; enter a new worker for the same folder to go on."""
        self.process.kill()
        await self.process.wait()

    @property
    def log(self) -> Path:
        """All that the process wrote to standard error."""
        return self.folder.parent / f"{self.folder.name}.log"

    async def profile(self, name: str, *, shown: str | None = None) -> Profile:
        """Make a profile in the folder ``name``. :param shown: what others are shown; None: the same."""
        made = Profile(self, name)
        await made("init", name=shown or name)
        return made

    async def ask(self, profile: str, call: str, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """Have something done and return its result."""
        assert self.process.stdin is not None
        self._last += 1
        number, answer = self._last, asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        line = {"id": number, "profile": profile, "call": call, "args": args, "options": options}
        self.process.stdin.write(json.dumps(line).encode() + b"\n")
        return await answer

    async def _read(self) -> None:
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            answer = json.loads(line)
            future = self._waiting.pop(answer["id"])
            if "error" in answer:
                future.set_exception(CallFailedError(answer["error"]["code"], answer["error"]["message"]))
            else:
                future.set_result(answer["result"])
        for future in self._waiting.values():
            future.set_exception(WorkerEndedError(self.log.read_text()[-4000:]))


# --- The process's side ----------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Served:
    """One profile in the process."""

    path: Path
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    client: Client | None = None
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def do(self, call: str, args: list[Any], options: dict[str, Any]) -> object:
        async with self.lock:
            if call == "init":
                root = os.urandom(32)
                return await Client.init(self.path, passphrase=PASSPHRASE, root=root, cost=CHEAP, **options)
            if call == "close":
                await self.close()
                return None
            client = await self.opened()
            if call in _BELOW:
                return await _BELOW[call](client, *args)
            return await getattr(client, call)(*args, **_paths(options))

    async def opened(self) -> Client:
        if self.client is None:
            opening = Client.open(self.path, passphrase=PASSPHRASE, floor=CHEAP)
            self.client = await self.stack.enter_async_context(opening)
        return self.client

    async def close(self) -> None:
        self.client = None
        await self.stack.aclose()


def _paths(options: dict[str, Any]) -> dict[str, Any]:
    """Make paths of what JSON can only say as text."""
    made = dict(options)
    if "attachments" in made:
        made["attachments"] = [Path(one) for one in made["attachments"]]
    if "to" in made:
        made["to"] = Path(made["to"])
    return made


async def _hop(client: Client, circle: str) -> None:
    """Commit a change of segment and nothing else."""
    runtime = client._runtime
    found = await runtime.store.read(lambda tx: find_circle(tx, circle).id)
    segment = await runtime.store.read(lambda tx: Circle.load(tx, found).segment_no)

    def plan(_tx: Tx, circle: Circle) -> CommitPlan | None:
        return CommitPlan(hop=True) if circle.segment_no == segment else None

    await commit(runtime, found, plan)


async def _dump(client: Client, circle: str) -> dict[str, Any]:
    """Return what members must agree on, below what results show; nothing in it is of this device alone."""
    return await client._runtime.store.read(lambda tx: _dump_in(tx, circle))


def _dump_in(tx: Tx, text: str) -> dict[str, Any]:
    circle = Circle.load(tx, find_circle(tx, text).id)
    objects = tx.query(
        "SELECT id, type, parent, author, lamport, minute, retracted, state FROM object WHERE circle = ? ORDER BY id",
        (circle.id,),
    )
    changes = tx.query(
        "SELECT member_pk, post_id, lamport, minute, body, by_coordinator FROM change WHERE circle = ?"
        " ORDER BY member_pk, post_id",
        (circle.id,),
    )
    return {
        "lineage": circle.id,
        "group": serialize(circle.group.context),
        "authenticator": circle.group.epoch_authenticator,
        "tree": serialize(circle.group.tree),
        "segment": circle.segment_id(),
        "position": [circle.position.seq, circle.position.chain],
        "objects": [[*columns, _common_state(state)] for *columns, state in objects],
        "changes": changes,
    }


def _common_state(state: bytes) -> bytes:
    """Return an object's state without who gave it to this device in a history."""
    stored = msgspec.msgpack.decode(state, type=StoredObject)
    return msgspec.msgpack.encode(msgspec.structs.replace(stored, forwarded_by=None), order="deterministic")


async def _kept(client: Client, circle: str) -> dict[str, list[int]]:
    """Return of which segments a device keeps the keys, entries, and payloads that it read itself."""

    def read(tx: Tx) -> dict[str, list[int]]:
        found = find_circle(tx, circle).id
        return {
            "keys": _numbers(tx, "SELECT DISTINCT segment_no FROM segment_access WHERE circle = ?", found),
            "entries": _numbers(tx, "SELECT DISTINCT segment_no FROM raw_entry WHERE circle = ?", found),
            "payloads": _numbers(
                tx, "SELECT DISTINCT segment_no FROM change WHERE circle = ? AND forwarded_by IS NULL", found
            ),
        }

    return await client._runtime.store.read(read)


def _numbers(tx: Tx, query: str, circle: bytes) -> list[int]:
    return sorted(row[0] for row in tx.query(query, (circle,)))


_BELOW: dict[str, Callable[..., Awaitable[object]]] = {"dump": _dump, "hop": _hop, "kept": _kept}
"""What is asked for below the public library."""


def _json(value: object) -> object:
    if isinstance(value, Result):
        return {one.name: getattr(value, one.name) for one in dataclasses.fields(value)}  # type: ignore[arg-type] # all are
    if isinstance(value, TertuliaError):
        return f"{value.code}: {value}"
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value)


async def _answer(served: _Served, line: dict[str, Any], output: asyncio.StreamWriter) -> None:
    answer: dict[str, Any] = {"id": line["id"]}
    try:
        answer["result"] = await served.do(line["call"], line["args"], line["options"])
    except TertuliaError as error:
        answer["error"] = {"code": error.code, "message": f"{type(error).__name__}: {error}"}
    output.write(json.dumps(answer, default=_json).encode() + b"\n")
    await output.drain()


async def _serve(folder: Path) -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=LINE)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, sys.stdout)
    output = asyncio.StreamWriter(transport, protocol, None, loop)
    profiles: dict[str, _Served] = {}
    async with asyncio.TaskGroup() as tasks:
        while text := await reader.readline():
            line = json.loads(text)
            served = profiles.setdefault(line["profile"], _Served(folder / line["profile"]))
            tasks.create_task(_answer(served, line, output))
    for served in profiles.values():
        await served.close()
    output.close()


if __name__ == "__main__":
    vars(sas).update(PASSES=CHEAP.passes, MEMORY=CHEAP.memory_kib * 1024)
    asyncio.run(_serve(Path(sys.argv[1])))
