"""Which circle, which name, which file: what a person left out or chose, over a real store."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tertulia.errors import (
    AliasTakenError,
    AttachmentNotFoundError,
    CircleNeededError,
    CodeError,
    EmptyPostError,
    FileNumberMissingError,
    NoCircleError,
    NotAcceptedError,
    RemovedFromCircleError,
)
from tertulia.lookup import check_one_circle, find_attachment, find_circle
from tertulia.posting import check_not_empty, checked_name
from tertulia.reading import check_alias_free, check_entered, history_range, parse_code
from tertulia.states import State
from tertulia.store import circles
from tertulia.store.circles import CircleRow
from tertulia_protocol.circle.charter import HistoryMode
from tertulia_protocol.circle.history import HistoryRange
from tertulia_protocol.errors import UsageError
from tests.support.stores import create_store


def row(number, alias):
    return CircleRow(
        id=bytes([number]) * 32,
        group_id=bytes(32),
        state="active",
        alias=alias,
        device_id=bytes(8),
        segment_no=0,
        joined_at=number,
    )


@pytest.fixture
async def store(tmp_path):
    async with await create_store(tmp_path / "profile") as store:
        yield store


def test_a_circle_is_left_out_only_where_there_is_one():
    check_one_circle([row(1, "Un")])
    with pytest.raises(NoCircleError) as none:
        check_one_circle([])
    assert none.value.code == "circle.none"
    with pytest.raises(CircleNeededError) as several:
        check_one_circle([row(1, "Un"), row(2, "Deux")])
    assert several.value.code == "circle.needed"
    assert "c_aeaqcaibaeaqcaib (Un), c_aibaeaqcaibaeaqc (Deux)" in str(several.value)


async def test_an_alias_is_taken_once(store):
    await store.run(lambda tx: [circles.add(tx, one) for one in (row(1, "Réseau"), row(2, "Deux"))])
    before = await store.read(circles.list_all)
    with pytest.raises(AliasTakenError) as caught:
        await store.run(lambda tx: check_alias_free(tx, bytes([2]) * 32, "RE\u0301SEAU"))
    assert caught.value.code == "circle.alias_taken"
    await store.run(lambda tx: check_alias_free(tx, bytes([1]) * 32, "réseau"))
    assert await store.read(circles.list_all) == before
    assert (await store.read(lambda tx: find_circle(tx, "réseau"))).id == bytes([1]) * 32


def test_who_was_removed_is_told_so():
    check_entered(SimpleNamespace(state=State.STUCK))
    with pytest.raises(RemovedFromCircleError) as caught:
        check_entered(SimpleNamespace(state=State.REMOVED))
    assert caught.value.code == "circle.removed"


def test_an_answer_says_something(tmp_path):
    check_not_empty("a", ())
    check_not_empty("", (tmp_path,))
    with pytest.raises(EmptyPostError) as caught:
        check_not_empty(" \n", ())
    assert caught.value.code == "post.empty"


def test_a_file_is_chosen_by_its_number():
    view = SimpleNamespace(attachments=("a", "b"))
    assert find_attachment(view, 2) == "b"
    assert find_attachment(SimpleNamespace(attachments=("a",)), None) == "a"
    with pytest.raises(FileNumberMissingError) as which:
        find_attachment(view, None)
    assert (which.value.code, str(which.value)) == ("attachment.which", "This post has 2 files.")
    for number in (0, 3, -1):
        with pytest.raises(AttachmentNotFoundError):
            find_attachment(view, number)
    with pytest.raises(AttachmentNotFoundError):
        find_attachment(SimpleNamespace(attachments=()), None)


def test_histories_and_names_and_codes_are_read():
    assert history_range("none") == HistoryRange(HistoryMode.NONE)
    assert history_range("all") == HistoryRange(HistoryMode.ALL)
    assert history_range(7) == HistoryRange(HistoryMode.DAYS, 7)
    for days in (0, -1, 65536):
        with pytest.raises(UsageError):
            history_range(days)
    assert checked_name("  Amina\n ") == "Amina"
    with pytest.raises(NotAcceptedError):
        checked_name("\u200b ")
    with pytest.raises(CodeError) as caught:
        parse_code("tertulia-relay:canary")
    assert "canary" not in str(caught.value)
