"""What people write and who they are appears nowhere but on their screens.

A circle of three lives its life over a proxy that records every byte. Then everything that the relay has, all that
went over the line and all that the devices have on disk is searched for names, titles, bodies, files and ids, in every
form in which they could leak. First the detector has to find each of them where it was planted.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import random
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.support.canaries import Detector, files_under
from tests.support.recording_proxy import RecordingProxy
from tests.support.relay_process import COMMAND, RelayProcess
from tests.support.worker import PASSPHRASE, Profile, Worker

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

TEXT = "Zeynep-of-the-Weavers-7261"
ARABIC = "زينب من النسّاجات"
BINARY = bytes.fromhex("8f3a4cfe7711d00b5ea6fb2906c3d15e77a4219c")

FORMS: dict[str, Callable[[bytes], bytes]] = {
    "hex": lambda data: data.hex().encode(),
    "HEX": lambda data: data.hex().upper().encode(),
    "base64": base64.b64encode,
    "base64 +1": lambda data: base64.b64encode(b"x" + data + b"y"),
    "base64 +2": lambda data: base64.b64encode(b"xx" + data + b"y"),
    "base64url": base64.urlsafe_b64encode,
    "base64url +1": lambda data: base64.urlsafe_b64encode(b"\xff" + data + b"\xff"),
    "base64url +2": lambda data: base64.urlsafe_b64encode(b"\xff\xff" + data + b"\xff"),
    "as it is": lambda data: data,
}
PACKED: dict[str, Callable[[bytes], bytes]] = {
    "zlib, fast": lambda data: zlib.compress(data, 1),
    "zlib, best": lambda data: zlib.compress(data, 9),
    "zlib, small window": lambda data: _deflate(data, 9),
    "gzip": gzip.compress,
    "zstd": zstd.compress,
    "zstd, best": lambda data: zstd.compress(data, 19),
    "zlib in base64": lambda data: base64.b64encode(zlib.compress(data)),
    "zlib in base64url": lambda data: base64.urlsafe_b64encode(zlib.compress(data)).rstrip(b"="),
    "zstd in hex": lambda data: zstd.compress(data).hex().encode(),
    "zlib in zstd": lambda data: zstd.compress(zlib.compress(data)),
    "zstd in base64 in zlib": lambda data: zlib.compress(base64.b64encode(zstd.compress(data))),
    "as it is": lambda data: data,
}
ENCODED = {
    "text": {"UTF-8": TEXT.encode(), "UTF-16LE": TEXT.encode("utf-16-le"), "UTF-16BE": TEXT.encode("utf-16-be")},
    "binary": {"bytes": BINARY},
}


def _deflate(data: bytes, window: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, window)
    return packer.compress(data) + packer.flush()


def around(data: bytes, seed: str) -> bytes:
    """Hide something among random bytes, at a place that is no multiple of anything."""
    noise = random.Random(seed)  # noqa: S311 - repeats
    return noise.randbytes(997) + data + noise.randbytes(331)


# --- The detector ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("packed", PACKED)
@pytest.mark.parametrize("form", FORMS)
def test_the_detector_sees_a_planted_canary(form: str, packed: str):
    detector = Detector({"text": TEXT, "binary": BINARY})
    for canary, encodings in ENCODED.items():
        for encoding, raw in encodings.items():
            text = b"before " + FORMS[form](raw) + b" after " * 9
            planted = around(PACKED[packed](text), f"{form} {packed} {encoding}")
            assert {one.canary for one in detector.search(planted, "here")} == {canary}, encoding


@pytest.mark.parametrize(
    "written",
    [
        TEXT.lower(),
        TEXT.upper(),
        json.dumps({"name": f"Zoë {TEXT}"}),
        json.dumps(ARABIC),
        json.dumps(ARABIC, ensure_ascii=False),
        quote(ARABIC),
        repr(ARABIC.encode()),
    ],
)
def test_the_detector_sees_what_programs_write(written: str):
    assert Detector({"text": TEXT, "arabic": ARABIC}).search(around(written.encode(), written), "here")


def test_the_detector_sees_a_canary_in_the_name_of_a_file(tmp_path: Path):
    detector = Detector({"text": TEXT})
    (tmp_path / "folder" / f"x{TEXT}").mkdir(parents=True)
    (tmp_path / "folder" / "link").symlink_to(f"/nowhere/{TEXT}")
    (tmp_path / "folder" / "file").write_bytes(around(TEXT.encode("utf-16-le"), "file"))
    assert len(detector.search_all(files_under(tmp_path / "folder"))) == 3


def test_the_detector_sees_nothing_in_noise():
    detector = Detector({"text": TEXT, "binary": BINARY})
    noise = random.Random(1).randbytes(1 << 20)  # noqa: S311 - repeats
    assert detector.search(noise, "here") == set()
    assert detector.search(TEXT.encode()[:-1] + b"x" + BINARY[1:], "here") == set()


def test_a_canary_that_chance_could_make_is_refused():
    with pytest.raises(ValueError, match="too short"):
        Detector({"name": "Zeynep"})


# --- The life of a circle --------------------------------------------------------------------------------------------

NAMES = {"amina": "Amina Qorbani-Delacroix", "bruno": "Bruno Weissenfeld-Okafor", "chen": "Chen Lindqvist-Mbeki"}
CIRCLE = "Riverside Weavers Union 5519"
ALIAS = "my secret alias 8812 of it"
BOARDS = ("Field notes from Kassala", "Announcements of the council 44")
TOPICS = {
    "The meeting at the old mill": "We meet at twenty past nine behind the granary, bring nobody else.",
    "اجتماع عند الطاحونة القديمة": "نلتقي خلف مخزن الحبوب في التاسعة والثلث",
    "La réunion à l'écluse numéro huit": "Rendez-vous derrière le grenier, à vingt et une heures vingt.",
}
REPLY = "I will come with the two witnesses from Port Sudan."
LATE = "After Chen has left, only two of us know that."
FILE_NAME = "witness-list-kassala-2026.txt"
FILE_LINE = "witness 0417: Ibrahim el-Tahir, house with the green door\n"
SAVED_NAME = "copy-of-the-kassala-list.bin"


def known_canaries() -> dict[str, str | bytes]:
    """Return what is known before anything happens."""
    found: dict[str, str | bytes] = {f"name of {key}": value for key, value in NAMES.items()}
    found |= {"circle": CIRCLE, "alias": ALIAS, "reply": REPLY, "late": LATE, "passphrase": PASSPHRASE}
    found |= {f"board {number}": name for number, name in enumerate(BOARDS)}
    found |= {f"title {number}": title for number, title in enumerate(TOPICS)}
    found |= {f"body {number}": body for number, body in enumerate(TOPICS.values())}
    return found | {"file name": FILE_NAME, "file": FILE_LINE.strip(), "saved as": SAVED_NAME}


class Life:
    """Three people on three devices, in two processes, and a relay behind a proxy."""

    def __init__(self, tmp_path: Path, proxy: RecordingProxy, workers: tuple[Worker, Worker]) -> None:
        self.path = tmp_path
        self.proxy = proxy
        self.workers = workers
        self.canaries = known_canaries()
        self.secrets: dict[str, str | bytes] = {}
        self.people: dict[str, Profile] = {}
        self.circle = ""
        self.segment = b""
        """The id of the circle's first segment: the one thing that the relay must know."""

    async def begin(self, enrolment: str) -> None:
        """Found the circle and let two people in, one with the whole past."""
        for number, (key, shown) in enumerate(NAMES.items()):
            self.people[key] = await self.workers[number % 2].profile(f"profile{number}", shown=shown)
        amina, bruno, chen = self.people.values()
        self.circle = (await amina("circle_create", CIRCLE, enrolment=enrolment))["id"]
        await amina("circle_alias", self.circle, ALIAS)
        for name in BOARDS:
            await amina("board_create", self.circle, name, announce_only=name is BOARDS[1])
        await self.let_in(bruno, history="none")
        await self.write(bruno)
        await self.let_in(chen, history="all")

    async def let_in(self, person: Profile, *, history: str) -> None:
        amina = self.people["amina"]
        link = (await amina("invite", self.circle))["link"]
        asked = await person("join", link)
        await amina.synced()
        await amina("approve", self.circle, asked["id"], words=asked["words"], history=history)
        await person("wait_joined", self.circle, timeout=60)
        self.canaries[f"four words for {person.name}"] = " ".join(asked["words"])
        self.secrets[f"link for {person.name}"] = link.partition(":")[2][:40]
        self.canaries[f"request of {person.name}"] = asked["id"]

    async def write(self, author: Profile) -> None:
        """Write in three languages, with a file that compresses well and is longer than a chunk."""
        for title, body in TOPICS.items():
            await author("post", self.circle, board=BOARDS[0], title=title, body=body)
        file = self.path / "papers" / FILE_NAME
        file.parent.mkdir()
        file.write_text(FILE_LINE * 6000)
        await author("reply", self.circle, next(iter(TOPICS)), body=REPLY, attachments=[str(file)])
        await author.synced()

    async def go_on(self) -> None:
        """Read, fetch the file, remove one, and write what only two may know."""
        amina, bruno, chen = self.people.values()
        for one in (chen, amina, bruno):
            await one.synced()
        posts = await chen("read", self.circle)
        assert {post["title"] for post in posts if post["title"]} == set(TOPICS)
        (reply,) = [post for post in posts if post["attachments"]]
        saved = self.path / "papers" / SAVED_NAME
        await chen("attachment_save", self.circle, reply["id"], to=str(saved))
        assert saved.read_text() == FILE_LINE * 6000
        await self.learn_ids()
        await amina("remove", self.circle, NAMES["chen"])
        await amina("post", self.circle, board=BOARDS[1], title="To the two of us", body=LATE)
        for one in (amina, bruno, chen):
            await one("sync")
        assert LATE in {post["body"] for post in await bruno("read", self.circle)}
        assert LATE not in {post["body"] for post in await chen("read", self.circle)}

    async def learn_ids(self) -> None:
        """Add what identifies people and things: as people see it, and the bytes below."""
        amina = self.people["amina"]
        below = await amina.dump(self.circle)
        self.canaries["circle id"] = self.circle
        self.segment = bytes.fromhex(below["segment"])
        self.canaries["lineage id"] = bytes.fromhex(below["lineage"])
        for number, member in enumerate(await amina("members", self.circle)):
            self.canaries[f"member id {number}"] = member["id"]
        self.canaries |= {f"member_pk {pk[:8]}": bytes.fromhex(pk) for pk in {row[0] for row in below["changes"]}}
        self.canaries |= {f"post id {row[1][:8]}": bytes.fromhex(row[1]) for row in below["changes"]}
        self.canaries |= {f"object id {row[0][:8]}": bytes.fromhex(row[0]) for row in below["objects"]}


@pytest.mark.timeout(300)
async def test_nothing_of_a_circle_is_seen_outside_of_it(tmp_path: Path):
    relay_folder, temporary = tmp_path / "relay", tmp_path / "temporary"
    temporary.mkdir()
    async with RecordingProxy() as proxy:
        init_relay(relay_folder, proxy.uri)
        with RelayProcess(relay_folder) as relay:
            proxy.target = relay.listen
            workers = (Worker(tmp_path / "devices0", temporary), Worker(tmp_path / "devices1", temporary))
            async with workers[0], workers[1]:
                life = Life(tmp_path, proxy, workers)
                await life.begin(relay.enrolment(budget=10_000))
                places = [places_of_devices(life, temporary)]
                await life.go_on()
                # While all is running (with write-ahead logs), and once more when all has ended.
                places += [places_of_relay(relay), places_of_devices(life, temporary)]
                detector = Detector(life.canaries)
                seen = await asyncio.to_thread(lambda: [detector.search_all(place) for place in places])
                assert seen == [set(), set(), set()]
            traffic = proxy.recorded()
            assert Detector({"careless": TEXT}).search_all(await overheard(proxy, TEXT.encode()))
        assert sum(len(data) for _, data in traffic) > len(FILE_LINE) * 6000
        assert any(b"POST /x" in data for _, data in traffic)
        assert relay.uri == proxy.uri
        # No secret of a link is at the relay or on the line; the file on a device is encrypted too.
        everything = Detector({**life.canaries, **life.secrets})
        assert everything.search_all(traffic) == set()
        assert everything.search_all(places_of_relay(relay)) == set()
        assert everything.search_all(places_of_devices(life, temporary)) == set()
        assert [log.read_text() for log in (relay.log, *(worker.log for worker in workers))] == [""] * 3
        # And the search sees what is there: what the relay has to know, and what people keep in plain files.
        segment = Detector({"segment": life.segment})
        assert segment.search_all(traffic)
        assert any(one.where.startswith("relay/relay.db") for one in segment.search_all(places_of_relay(relay)))
        assert not segment.search_all(places_of_devices(life, temporary))
        papers = {one.canary for one in detector.search_all(files_under(tmp_path / "papers"))}
        assert papers == {"file", "file name", "saved as"}


async def overheard(proxy: RecordingProxy, data: bytes) -> list[tuple[str, bytes]]:
    """Send something over the line as a careless client would, and return what was recorded of it."""
    before = len(proxy.connections)
    host, _, port = proxy.uri.removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"POST /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\nCookie: " + base64.b64encode(data) + b"\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.1 ")
    writer.close()
    await writer.wait_closed()
    return proxy.recorded()[2 * before :]


def init_relay(folder: Path, uri: str) -> None:
    """Make a relay that tells everybody to reach it at ``uri``."""
    subprocess.run([*COMMAND, "init", str(folder), "--uri", uri], check=True, capture_output=True)


def places_of_relay(relay: RelayProcess) -> list[tuple[str, bytes]]:
    """Return all that the relay has: its folder with the database and the settings, and what it wrote and said."""
    found = [*files_under(relay.directory), ("log", relay.log.read_bytes()), ("output", relay.output.encode())]
    names = {Path(name).name for name, _ in found}
    assert {"relay.toml", "relay.db"} <= names, names
    return found


def places_of_devices(life: Life, temporary: Path) -> list[tuple[str, bytes]]:
    """Return all that the devices have but the files that people own: profiles, temporary files, logs."""
    found = [*files_under(temporary)]
    for worker in life.workers:
        found += [*files_under(worker.folder), (worker.log.name, worker.log.read_bytes())]
    assert len([name for name, data in found if data]) >= 2 * len(life.people)
    return found
