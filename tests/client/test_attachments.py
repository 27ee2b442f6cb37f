"""Files with posts: sent in chunks before the post, fetched in chunks when asked for, saved whole or not at all."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

import pytest

from tertulia import attachments, creating, files, saving
from tertulia.blobs import delete_secret
from tertulia.circle import Circle
from tertulia.errors import (
    FileError,
    RelayGoneError,
    RelayQuotaError,
    RelayRefusedError,
    TargetExistsError,
    UnreachableError,
)
from tertulia.store import outbox, transfers
from tertulia_protocol.circle import attachment as blobs
from tertulia_protocol.circle.attachment import BlobRef
from tertulia_protocol.codec import parse
from tertulia_protocol.content.types import Attachment
from tertulia_protocol.errors import AuthenticityError, RuleError
from tertulia_protocol.relay_api.requests import Op, Request
from tests.support.devices import Device, World
from tests.support.joins import unchanged
from tests.support.memory_relay import lose
from tests.support.virtual_clock import virtual

LARGE = 700_000
"""Three chunks of 256 KiB."""


def a_file(directory: Path, size: int = LARGE, name: str = "minutes of the meeting.pdf") -> Path:
    path = directory / name
    path.write_bytes(hashlib.shake_128(name.encode()).digest(size))
    return path


async def post_with(person: Device, circle_id: bytes, *paths: Path) -> bytes:
    """Write a topic with files, as the client does; return its post_id."""
    runtime = person.runtime
    prepared = [await attachments.prepare(runtime, path) for path in paths]

    def write(tx):
        circle = Circle.load(tx, circle_id)
        now, rng = runtime.clock.now(), runtime.rng
        topic = creating.create_topic(
            tx,
            circle,
            board_id=creating.create_board(tx, circle, name="A board", now=now, rng=rng),
            title="With files",
            body="",
            attachments=tuple(file.manifest for file in prepared),
            uploading=True,
            now=now,
            rng=rng,
        )
        circle.save()
        post_id = creating.post_id_of(tx, circle_id, topic)
        attachments.queue(tx, circle_id, post_id=post_id, prepared=prepared, now=now, rng=rng)
        return post_id

    return await runtime.store.run(write)


async def state_of(person: Device, circle_id: bytes, post_id: bytes) -> str:
    row = await person.runtime.store.read(lambda tx: outbox.get(tx, circle_id, post_id))
    return row.state


async def uploaded(person: Device, circle_id: bytes, path: Path) -> Attachment:
    """Send a file and return its manifest."""
    prepared = await attachments.prepare(person.runtime, path)
    post_id = person.runtime.rng(16)
    await person.runtime.store.run(
        lambda tx: attachments.queue(tx, circle_id, post_id=post_id, prepared=[prepared], now=0, rng=person.runtime.rng)
    )
    for row in await person.runtime.store.read(lambda tx: transfers.list_of(tx, circle_id)):
        await attachments._send_file(person.runtime, row, attachments.no_progress)
        await person.runtime.store.run(lambda tx, row=row: transfers.remove(tx, row.id))
    return prepared.manifest


def unfinished_in(directory: Path) -> list[Path]:
    return list(directory.glob(".tertulia-*"))


def blob_puts(person: Device) -> int:
    return sum(sent.op is Op.BLOB_PUT for sent in person.transport.sent)


def blob_gets(person: Device) -> int:
    return sum(sent.op is Op.BLOB_GET for sent in person.transport.sent)


# --- sending ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 4080, 4081, 262_128, 262_129, LARGE, 17_000_000])
@virtual
async def test_what_is_sent_is_what_is_saved(tmp_path: Path, size: int):
    async with World(tmp_path) as world:
        ada = await world.found("Ada")
        circle_id = ada.circle_id
        path, seen = a_file(tmp_path, size), []
        manifest = await uploaded(ada, circle_id, path)
        assert (manifest.size, manifest.sha256) == (size, hashlib.sha256(path.read_bytes()).digest())
        target = tmp_path / "saved"
        await saving.save(
            ada.runtime, circle_id, manifest, target=target, progress=lambda done, total: seen.append((done, total))
        )
        assert target.read_bytes() == path.read_bytes()
        assert stat.S_IMODE(target.stat().st_mode) == 0o600
        assert seen[-1] == (size, size)
        assert not unfinished_in(tmp_path)


@virtual
async def test_a_post_goes_when_the_relay_has_all_of_its_files(tmp_path: Path):
    async with World(tmp_path) as world:
        ada = await world.found("Ada")
        circle_id = ada.circle_id
        post_id = await post_with(ada, circle_id, a_file(tmp_path), a_file(tmp_path, 10, "a.txt"))
        assert await state_of(ada, circle_id, post_id) == outbox.UPLOADING
        assert blob_puts(ada) == 0
        assert await attachments.send_files(ada.runtime, circle_id) == 1
        assert await state_of(ada, circle_id, post_id) == outbox.WAITING
        assert blob_puts(ada) == 4
        assert await attachments.send_files(ada.runtime, circle_id) == 0
        tables = await ada.dump()
        assert tables["transfer"] == tables["chunk"] == []


@virtual
async def test_a_file_goes_on_where_it_was_broken_off(tmp_path: Path):
    async with World(tmp_path) as world:
        ada = await world.found("Ada")
        circle_id = ada.circle_id
        post_id = await post_with(ada, circle_id, a_file(tmp_path))
        ada.transport.after = lose(1, Op.BLOB_PUT)
        with pytest.raises(UnreachableError):
            await attachments.send_files(ada.runtime, circle_id)
        ada.transport.after = None
        passed = [0]

        async def only_one(_address, request: Request, _stream):
            if request.op == Op.BLOB_PUT:
                passed[0] += 1
                if passed[0] > 2:
                    raise UnreachableError("cut off")

        ada.transport.before = only_one
        with pytest.raises(UnreachableError):
            await attachments.send_files(ada.runtime, circle_id)
        ada.transport.before = None
        await world.reopen(ada)
        before = blob_puts(ada)
        assert await attachments.send_files(ada.runtime, circle_id) == 1
        assert blob_puts(ada) - before == 1
        assert await state_of(ada, circle_id, post_id) == outbox.WAITING


@virtual
async def test_a_file_that_was_changed_keeps_its_post_back(tmp_path: Path):
    async with World(tmp_path) as world:
        ada = await world.found("Ada")
        circle_id = ada.circle_id
        path = a_file(tmp_path)
        original = path.read_bytes()
        post_id = await post_with(ada, circle_id, path)
        path.write_bytes(original[:-1] + b"!")
        assert await attachments.send_files(ada.runtime, circle_id) == 0
        assert await state_of(ada, circle_id, post_id) == outbox.UPLOADING
        assert await attachments.send_files(ada.runtime, circle_id) == 0
        assert [event.data["post"] for event in await ada.events("file.failed")] == [post_id.hex()]
        path.write_bytes(original)
        assert await attachments.send_files(ada.runtime, circle_id) == 1


@virtual
async def test_a_file_that_is_gone_does_not_hold_up_other_posts(tmp_path: Path):
    async with World(tmp_path) as world:
        ada = await world.found("Ada")
        circle_id = ada.circle_id
        lost = a_file(tmp_path, 10, "lost.txt")
        first = await post_with(ada, circle_id, lost)
        second = await post_with(ada, circle_id, a_file(tmp_path, 10, "here.txt"))
        lost.unlink()
        assert await attachments.send_files(ada.runtime, circle_id) == 1
        assert await state_of(ada, circle_id, first) == outbox.UPLOADING
        assert await state_of(ada, circle_id, second) == outbox.WAITING


@virtual
async def test_what_cannot_be_sent_is_said_at_once(tmp_path: Path):
    async with World(tmp_path) as world:
        ada = await world.device("Ada")
        for path in (tmp_path / "nothing", tmp_path):
            error = await unchanged(ada, FileError, attachments.prepare(ada.runtime, path))
            assert error.code == "file"


@virtual
async def test_a_pipe_is_no_file(tmp_path: Path):
    async with World(tmp_path) as world:
        ada = await world.device("Ada")
        os.mkfifo(tmp_path / "pipe")
        error = await unchanged(ada, FileError, attachments.prepare(ada.runtime, tmp_path / "pipe"))
        assert "not a plain file" in str(error)


@virtual
async def test_a_name_is_made_plain(tmp_path: Path):
    async with World(tmp_path) as world:
        ada = await world.device("Ada")
        prepared = await attachments.prepare(ada.runtime, a_file(tmp_path, 5, "what? \u202eexe.pdf"))
        assert prepared.manifest.name == "what_ exe.pdf"
        assert prepared.manifest.type == "application/pdf"
        other = await attachments.prepare(ada.runtime, a_file(tmp_path, 5, "noextension"))
        assert other.manifest.type == "application/octet-stream"


@virtual
async def test_two_sendings_of_one_file_share_nothing(tmp_path: Path):
    async with World(tmp_path) as world:
        ada = await world.device("Ada")
        path = a_file(tmp_path)
        one, two = [await attachments.prepare(ada.runtime, path) for _ in range(2)]
        assert one.key != two.key
        assert set(one.blob_ids).isdisjoint(two.blob_ids)


@virtual
async def test_only_who_sent_a_blob_can_delete_it(tmp_path: Path):
    async with World(tmp_path) as world:
        ada = await world.found("Ada")
        circle_id = ada.circle_id
        manifest = await uploaded(ada, circle_id, a_file(tmp_path, 10))
        id_ = parse(BlobRef, manifest.ref).ids[0]
        member = await ada.runtime.store.read(lambda tx: Circle.load(tx, circle_id).member)
        relay = world.relay.address
        with pytest.raises(RelayRefusedError):
            await ada.runtime.relays.delete_blob(relay, id_, bytes(32))
        await ada.runtime.relays.get_blob(relay, id_)
        await ada.runtime.relays.delete_blob(relay, id_, delete_secret(member, id_))
        with pytest.raises(RelayGoneError):
            await ada.runtime.relays.get_blob(relay, id_)


# --- saving ----------------------------------------------------------------------------------------------------------


@virtual
async def test_nothing_is_overwritten_unless_asked(tmp_path: Path):
    async with World(tmp_path) as world:
        ada = await world.found("Ada")
        circle_id = ada.circle_id
        manifest = await uploaded(ada, circle_id, a_file(tmp_path, 10))
        target = tmp_path / "there"
        target.write_bytes(b"mine")
        before, gets = await ada.dump(), blob_gets(ada)
        with pytest.raises(TargetExistsError) as raised:
            await saving.save(ada.runtime, circle_id, manifest, target=target)
        assert raised.value.code == "file.exists"
        assert target.read_bytes() == b"mine"
        assert await ada.dump() == before
        assert blob_gets(ada) == gets
        await saving.save(ada.runtime, circle_id, manifest, target=target, force=True)
        assert target.read_bytes() != b"mine"


@virtual
async def test_a_link_is_not_followed_and_a_directory_is_no_target(tmp_path: Path):
    async with World(tmp_path) as world:
        ada = await world.found("Ada")
        circle_id = ada.circle_id
        manifest = await uploaded(ada, circle_id, a_file(tmp_path, 10))
        elsewhere = tmp_path / "elsewhere"
        link = tmp_path / "link"
        link.symlink_to(elsewhere)
        with pytest.raises(TargetExistsError):
            await saving.save(ada.runtime, circle_id, manifest, target=link)
        (tmp_path / "directory").mkdir()
        with pytest.raises(FileError):
            await saving.save(ada.runtime, circle_id, manifest, target=tmp_path / "directory")
        assert not elsewhere.exists()
        assert not list((tmp_path / "directory").iterdir())


@virtual
async def test_a_file_that_appears_meanwhile_is_not_overwritten(tmp_path: Path):
    async with World(tmp_path) as world:
        ada = await world.found("Ada")
        circle_id = ada.circle_id
        manifest = await uploaded(ada, circle_id, a_file(tmp_path, 10))
        target = tmp_path / "target"
        with pytest.raises(TargetExistsError):
            await saving.save(
                ada.runtime,
                circle_id,
                manifest,
                target=target,
                progress=lambda _done, _total: target.write_bytes(b"mine"),
            )
        assert target.read_bytes() == b"mine"


def test_where_no_second_names_are_known_nothing_is_overwritten_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_args: object, **_options: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    unfinished, target = tmp_path / ".part", tmp_path / "target"
    unfinished.write_bytes(b"new")
    target.write_bytes(b"mine")
    with pytest.raises(TargetExistsError):
        files.finish(unfinished, target, force=False)
    assert target.read_bytes() == b"mine"
    target.unlink()
    files.finish(unfinished, target, force=False)
    assert target.read_bytes() == b"new"
    assert not unfinished.exists()


@virtual
async def test_saving_goes_on_where_it_was_broken_off(tmp_path: Path):
    async with World(tmp_path) as world:
        ada = await world.found("Ada")
        circle_id = ada.circle_id
        path, target = a_file(tmp_path), tmp_path / "saved"
        manifest = await uploaded(ada, circle_id, path)

        def cut(done: int, _total: int) -> None:
            if done > 300_000:
                raise UnreachableError("cut off")

        with pytest.raises(UnreachableError):
            await saving.save(ada.runtime, circle_id, manifest, target=target, progress=cut)
        (unfinished,) = unfinished_in(tmp_path)
        assert stat.S_IMODE(unfinished.stat().st_mode) == 0o600
        assert not target.exists()
        await world.reopen(ada)
        gets = blob_gets(ada)
        await saving.save(ada.runtime, circle_id, manifest, target=target)
        assert blob_gets(ada) - gets == 1
        assert target.read_bytes() == path.read_bytes()
        assert not unfinished.exists()
        assert (await ada.dump())["transfer"] == []


@virtual
async def test_an_unfinished_file_that_was_changed_is_noticed_and_thrown_away(tmp_path: Path):
    async with World(tmp_path) as world:
        ada = await world.found("Ada")
        circle_id = ada.circle_id
        path, target = a_file(tmp_path), tmp_path / "saved"
        manifest = await uploaded(ada, circle_id, path)

        def cut(_done: int, _total: int) -> None:
            raise UnreachableError("cut off")

        with pytest.raises(UnreachableError):
            await saving.save(ada.runtime, circle_id, manifest, target=target, progress=cut)
        (unfinished,) = unfinished_in(tmp_path)
        with unfinished.open("r+b") as file:
            file.write(b"forged")
        with pytest.raises(AuthenticityError) as raised:
            await saving.save(ada.runtime, circle_id, manifest, target=target)
        assert raised.value.code == "message.authenticity"
        assert not target.exists()
        assert not unfinished.exists()
        await saving.save(ada.runtime, circle_id, manifest, target=target)
        assert target.read_bytes() == path.read_bytes()


@virtual
async def test_an_unfinished_file_that_is_gone_is_begun_again(tmp_path: Path):
    async with World(tmp_path) as world:
        ada = await world.found("Ada")
        circle_id = ada.circle_id
        path, target = a_file(tmp_path), tmp_path / "saved"
        manifest = await uploaded(ada, circle_id, path)
        ada.transport.before = lose(1, Op.BLOB_GET)
        with pytest.raises(UnreachableError):
            await saving.save(ada.runtime, circle_id, manifest, target=target)
        ada.transport.before = None
        for unfinished in unfinished_in(tmp_path):
            unfinished.unlink()
        await saving.save(ada.runtime, circle_id, manifest, target=target)
        assert target.read_bytes() == path.read_bytes()


@virtual
async def test_a_manifest_that_contradicts_itself_fetches_nothing(tmp_path: Path):
    async with World(tmp_path) as world:
        ada = await world.found("Ada")
        circle_id = ada.circle_id
        manifest = await uploaded(ada, circle_id, a_file(tmp_path, 10))
        false = Attachment(name=manifest.name, type=manifest.type, size=5, sha256=manifest.sha256, ref=manifest.ref)
        before, gets = await ada.dump(), blob_gets(ada)
        with pytest.raises(RuleError) as raised:
            await saving.save(ada.runtime, circle_id, false, target=tmp_path / "saved")
        assert (raised.value.code, raised.value.rule) == ("message.rule", "E17.manifest")
        assert (await ada.dump(), blob_gets(ada)) == (before, gets)


@virtual
async def test_another_file_than_was_announced_is_not_saved(tmp_path: Path):
    async with World(tmp_path) as world:
        ada = await world.found("Ada")
        circle_id = ada.circle_id
        manifest = await uploaded(ada, circle_id, a_file(tmp_path, 10))
        false = Attachment(name=manifest.name, type=manifest.type, size=10, sha256=bytes(32), ref=manifest.ref)
        with pytest.raises(AuthenticityError):
            await saving.save(ada.runtime, circle_id, false, target=tmp_path / "saved")
        assert not (tmp_path / "saved").exists()
        assert not unfinished_in(tmp_path)


@virtual
async def test_every_blob_is_fetched_the_padding_too(tmp_path: Path):
    """Otherwise the relay would learn the exact number of chunks, which Padme hides."""
    async with World(tmp_path) as world:
        ada = await world.found("Ada")
        circle_id = ada.circle_id
        size = 17 * 262_128
        manifest = await uploaded(ada, circle_id, a_file(tmp_path, size))
        ref = parse(BlobRef, manifest.ref)
        assert len(ref.ids) == blobs.padme(17) == 18
        gets = blob_gets(ada)
        await saving.save(ada.runtime, circle_id, manifest, target=tmp_path / "saved")
        assert blob_gets(ada) - gets == 18


@virtual
async def test_the_space_of_a_circle_for_files_has_an_end(tmp_path: Path):
    async with World(tmp_path) as world:
        ada = await world.found("Ada")
        circle_id = ada.circle_id
        ada.transport.before = None
        post_id = await post_with(ada, circle_id, a_file(tmp_path))

        async def full(_address, request: Request, _stream):
            if request.op == Op.BLOB_PUT:
                raise RelayQuotaError

        ada.transport.before = full
        with pytest.raises(RelayQuotaError):
            await attachments.send_files(ada.runtime, circle_id)
        assert await state_of(ada, circle_id, post_id) == outbox.UPLOADING
