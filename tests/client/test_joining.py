"""From a link to a member: both sides, over a relay with real rules."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tertulia import boards, invitations, joining, replies
from tertulia.circle import Circle
from tertulia.errors import (
    AlreadyMemberError,
    CircleFullError,
    InvitationNotFoundError,
    LinkError,
    NotAllowedError,
    PaymentError,
    RelayGoneError,
    RequestNotFoundError,
    UnreachableError,
    UsedLinkError,
    WordsDifferError,
    WrongRelayError,
)
from tertulia.joining import JoinState
from tertulia.links import InvitationState
from tertulia.relays import SegmentAddr
from tertulia.states import State
from tertulia.store import circles, joins
from tertulia.store import invitations as rows
from tertulia_protocol.circle import sas
from tertulia_protocol.circle.charter import HistoryMode, Policy
from tertulia_protocol.circle.history import HistoryRange
from tertulia_protocol.circle.invitation import InviteLink, build_card, open_card
from tertulia_protocol.circle.join_reply import JoinReply
from tertulia_protocol.circle.joining import PendingJoin
from tertulia_protocol.codec import parse, serialize
from tertulia_protocol.errors import UsageError
from tertulia_protocol.relay_api.requests import Op, Payment, PaymentType
from tertulia_protocol.signing import SigningSeed
from tests.support.crash import CrashPlan, Killed, make_mortal
from tests.support.devices import Device, World
from tests.support.joins import ALL, NOTHING, approved, ask, invited, joined, requests, sync_all, unchanged
from tests.support.memory_relay import MemoryRelay
from tests.support.virtual_clock import DAY, virtual

CHEAP = (1, 8192)


@pytest.fixture(autouse=True)
def _cheap_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """One test makes the words at their full price; for the others they cost nothing."""
    monkeypatch.setattr(sas, "PASSES", CHEAP[0])
    monkeypatch.setattr(sas, "MEMORY", CHEAP[1])


@pytest.fixture
def policy(monkeypatch: pytest.MonkeyPatch):
    """Found circles with another policy."""

    def change(**fields: int) -> None:
        monkeypatch.setattr("tertulia.founding.Policy", lambda: Policy(**fields))

    return change


async def names(device: Device) -> list[str]:
    members = await device.runtime.store.read(lambda tx: boards.members(tx, Circle.load(tx, device.circle_id)))
    return sorted(member.name for member in members)


async def members_at(device: Device) -> int:
    return await device.runtime.store.read(lambda tx: len(Circle.load(tx, device.circle_id).group.members()))


async def only_link(device: Device) -> invitations.InvitationView:
    (found,) = await invitations.list_invitations(device.runtime, device.circle_id)
    return found


async def set_enrolment(device: Device, enrolment: bytes | None) -> None:
    await device.runtime.store.run(lambda tx: circles.change(tx, device.circle_id, enrolment=enrolment))


# --- the whole way ---------------------------------------------------------------------------------------------------


@virtual
async def test_somebody_joins(tmp_path: Path):
    async with World(tmp_path) as world:
        ada = await world.found("Ada")
        board = await ada.board("Field notes")
        await ada.post(board, "Before Bo", "what was")
        await ada.synced()
        bo, view = await ask(world, ada, "Bo")
        assert view.state is JoinState.REQUESTED
        (request,) = await requests(ada)
        assert (request.name, request.others) == ("Bo", 0)
        assert (request.words, request.numbers) == (view.words, view.numbers)
        assert request.request_hash == view.request_hash
        member_pk = await approved(ada, view, history=ALL)
        await sync_all(bo)
        assert await bo.member_pk() == member_pk
        assert await bo.state() is State.ACTIVE
        assert await bo.epoch() == await ada.epoch()
        assert await bo.titles() == ["Before Bo"]
        await ada.synced()
        assert await names(ada) == await names(bo) == ["Ada", "Bo"]
        await bo.post(board, "From Bo")
        await bo.synced()
        await ada.synced()
        assert await ada.titles() == await bo.titles() == ["Before Bo", "From Bo"]
        assert (await bo.dump())["joining"] == []
        assert (await ada.dump())["reply"] == []
        assert (await ada.events("hello"))[-1].data["member"] == member_pk.hex()
        row = await bo.runtime.store.read(lambda tx: circles.get(tx, bo.circle_id))
        assert row.alias == "Weavers"


@virtual
async def test_the_words_at_their_full_price(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sas, "PASSES", 3)
    monkeypatch.setattr(sas, "MEMORY", 256 * 1024 * 1024)
    async with World(tmp_path) as world:
        ada = await world.found("Ada")
        _, view = await ask(world, ada, "Bo")
        (request,) = await requests(ada)
        assert request.numbers == view.numbers
        assert request.numbers == sas.sas_numbers(request.anchor, await _request_of(ada))


async def _request_of(device: Device) -> bytes:
    return await device.runtime.store.read(lambda tx: tx.one("SELECT request FROM join_request")[0])


@virtual
async def test_what_a_link_says_before_anything_is_sent(tmp_path: Path):
    async with World(tmp_path) as world:
        ada = await world.found("Ada", "Weavers")
        link = await invited(ada)
        bo = await world.device("Bo")
        before = await bo.dump()
        card = await joining.look_at_link(bo.runtime, link)
        assert (card.lineage_id, card.inviter) == (ada.circle_id, await ada.member_pk())
        assert (card.coordinators, card.relay) == (1, world.relay.address)
        assert card.expires_day == world.clock.utc_day() + 7
        assert "Weavers" not in repr(card)
        assert "Ada" not in repr(card)
        assert await bo.dump() == before
        assert {sent.op for sent in bo.transport.sent} == {Op.BLOB_GET, Op.INFO}


@virtual
async def test_two_people_join_by_two_links_at_once(tmp_path: Path):
    async with World(tmp_path) as world:
        ada = await world.found("Ada")
        bo, bos = await ask(world, ada, "Bo")
        cleo, cleos = await ask(world, ada, "Cleo")
        await approved(ada, bos)
        await approved(ada, cleos)
        for device in (bo, cleo):
            await sync_all(device)
        for device in (ada, bo, cleo):
            await device.synced()
        assert await ada.epoch() == await bo.epoch() == await cleo.epoch()
        assert await names(bo) == ["Ada", "Bo", "Cleo"]


@virtual
async def test_a_joiner_follows_the_circle_across_a_removal_that_came_first(tmp_path: Path):
    async with World(tmp_path) as world:
        ada = await world.found("Ada")
        cleo = await joined(world, ada, "Cleo")
        board = await ada.board()
        bo, view = await ask(world, ada, "Bo")
        await approved(ada, view, history=ALL)
        await ada.post(board, "In the old segment")
        await ada.synced()
        await ada.remove(cleo)
        await ada.post(board, "In the new segment")
        await ada.synced()
        await sync_all(bo)
        assert await bo.epoch() == await ada.epoch()
        assert await bo.titles() == ["In the old segment", "In the new segment"]


# --- history ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        (NOTHING, ["After"]),
        (HistoryRange(HistoryMode.DAYS, 7), ["This week", "After"]),
        (ALL, ["Long ago", "This week", "After"]),
    ],
)
@virtual
async def test_a_newcomer_reads_what_was_chosen(tmp_path: Path, chosen: HistoryRange, expected: list[str]):
    async with World(tmp_path) as world:
        ada = await world.found("Ada")
        board = await ada.board("Field notes")
        await ada.post(board, "Long ago")
        await ada.synced()
        world.clock.pass_(10 * DAY)
        await ada.post(board, "This week")
        await ada.synced()
        bo = await joined(world, ada, "Bo", history=chosen)
        await ada.post(board, "After")
        await ada.synced()
        await bo.synced()
        assert await bo.titles() == expected
        assert await names(bo) == ["Ada", "Bo"]
        views = await bo.runtime.store.read(lambda tx: boards.boards(tx, bo.circle_id))
        assert [each.name for each in views] == ["Field notes"]
        posts = await bo.runtime.store.read(lambda tx: boards.posts(tx, bo.circle_id))
        ada_pk = await ada.member_pk()
        assert [post.forwarded_by for post in posts] == [ada_pk] * (len(expected) - 1) + [None]


@virtual
async def test_who_has_left_is_named_only_to_those_who_read_what_they_wrote(tmp_path: Path):
    async with World(tmp_path) as world:
        ada = await world.found("Ada")
        board = await ada.board()
        await ada.synced()
        cleo, dan = await joined(world, ada, "Cleo"), await joined(world, ada, "Dan")
        await cleo.post(board, "By Cleo")
        await cleo.synced()
        await ada.synced()
        for gone in (cleo, dan):
            await ada.remove(gone)
        nothing = await joined(world, ada, "Bo")
        week = await joined(world, ada, "Eve", history=HistoryRange(HistoryMode.DAYS, 7))
        for device, expected in ((nothing, {"Ada", "Bo", "Eve"}), (week, {"Ada", "Bo", "Eve", "Cleo"})):
            await device.synced()
            known = await device.runtime.store.read(lambda tx, d=device: boards.names(tx, d.circle_id))
            assert set(known.values()) == expected


@virtual
async def test_a_history_that_is_too_long_does_not_keep_somebody_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async with World(tmp_path) as world:
        ada = await world.found("Ada")
        board = await ada.board("Field notes")
        for number in range(4):
            await ada.post(board, f"Post {number}")
        await ada.synced()
        monkeypatch.setattr("tertulia_protocol.circle.history.MAX_POSTS", 5)
        bo = await joined(world, ada, "Bo", history=ALL)
        assert await bo.titles() == []
        assert await names(bo) == ["Ada", "Bo"]
        assert len(await ada.events("history.too_long")) == 1


@virtual
async def test_a_history_that_is_gone_is_said_and_given_up(tmp_path: Path):
    async with World(tmp_path) as world:
        ada = await world.found("Ada")
        board = await ada.board()
        await ada.post(board, "Before")
        await ada.synced()
        bo, view = await ask(world, ada, "Bo")
        await approved(ada, view, history=ALL)
        kept = bo.runtime.relays.get_blob
        gets = [0]

        async def gone(relay, blob_id, *, stream_key=b""):
            gets[0] += 1
            if gets[0] > 1:
                raise RelayGoneError
            return await kept(relay, blob_id, stream_key=stream_key)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("tertulia.relays.RelayClient.get_blob", lambda _self, *args, **kw: gone(*args, **kw))
            await joining.work_on_joins(bo.runtime)
        assert await bo.state() is State.SYNCING
        assert [event.data["code"] for event in await bo.events("history.lost")] == ["relay.gone"]
        assert (await bo.dump())["joining"] == []
        await bo.synced()
        assert await bo.titles() == []


@pytest.mark.parametrize(
    ("allowed", "chosen", "fine"),
    [
        ({"history_mode": HistoryMode.NONE}, NOTHING, True),
        ({"history_mode": HistoryMode.NONE}, HistoryRange(HistoryMode.DAYS, 1), False),
        ({"history_mode": HistoryMode.DAYS, "history_days": 7}, HistoryRange(HistoryMode.DAYS, 7), True),
        ({"history_mode": HistoryMode.DAYS, "history_days": 7}, HistoryRange(HistoryMode.DAYS, 8), False),
        ({"history_mode": HistoryMode.DAYS, "history_days": 7}, ALL, False),
        ({"history_mode": HistoryMode.ALL}, ALL, True),
    ],
)
@virtual
async def test_no_more_history_than_the_circle_allows(tmp_path: Path, policy, allowed, chosen, fine):
    policy(**allowed)
    async with World(tmp_path) as world:
        ada = await world.found("Ada")
        _, view = await ask(world, ada, "Bo")
        await requests(ada)
        work = invitations.approve(ada.runtime, ada.circle_id, view.request_hash, words=view.words, history=chosen)
        if fine:
            await work
        else:
            assert (await unchanged(ada, NotAllowedError, work)).code == "circle.not_allowed"


# --- the decision ----------------------------------------------------------------------------------------------------


@virtual
async def test_words_that_differ_send_nothing(tmp_path: Path):
    async with World(tmp_path) as world:
        ada = await world.found("Ada")
        bo, view = await ask(world, ada, "Bo")
        await requests(ada)
        wrong = (*view.words[:3], "zoo" if view.words[3] != "zoo" else "abandon")
        work = invitations.approve(ada.runtime, ada.circle_id, view.request_hash, words=wrong, history=NOTHING)
        assert (await unchanged(ada, WordsDifferError, work)).code == "trust.words_differ"
        await sync_all(bo)
        assert (await joining.list_joins(bo.runtime))[0].state is JoinState.REQUESTED
        await approved(ada, view, words=[f"{number:04}" for number in view.numbers])
        await sync_all(bo)
        assert await bo.state() is State.ACTIVE


@virtual
async def test_a_link_that_two_people_used_is_noticed_and_lets_one_in(tmp_path: Path):
    async with World(tmp_path) as world:
        ada = await world.found("Ada")
        link = await invited(ada)
        bo, bos = await ask(world, ada, "Bo", link=link)
        eve, eves = await ask(world, ada, "Eve", link=link)
        assert bos.words != eves.words
        assert [request.others for request in await requests(ada)] == [1, 1]
        assert [event.data["others"] for event in await ada.events("request")] == [0, 1]
        await approved(ada, bos)
        assert await requests(ada) == ()
        assert (await only_link(ada)).state is InvitationState.USED
        work = invitations.approve(ada.runtime, ada.circle_id, eves.request_hash, words=eves.words, history=NOTHING)
        assert (await unchanged(ada, RequestNotFoundError, work)).code == "request.not_found"
        for device in (bo, eve):
            await sync_all(device)
        assert await bo.state() is State.ACTIVE
        assert (await joining.list_joins(eve.runtime))[0].state is JoinState.REQUESTED
        cleo = await world.device("Cleo")
        with pytest.raises(UsedLinkError):
            await joining.request_to_join(cleo.runtime, link, name="Cleo")


@virtual
async def test_a_second_approval_on_a_link_is_refused_while_the_first_is_under_way(tmp_path: Path):
    async with World(tmp_path) as world:
        ada = await world.found("Ada")
        link = await invited(ada)
        _, bos = await ask(world, ada, "Bo", link=link)
        _, eves = await ask(world, ada, "Eve", link=link)
        await requests(ada)
        ada.transport.offline = True
        with pytest.raises(UnreachableError):
            await invitations.approve(ada.runtime, ada.circle_id, bos.request_hash, words=bos.words, history=NOTHING)
        work = invitations.approve(ada.runtime, ada.circle_id, eves.request_hash, words=eves.words, history=NOTHING)
        assert (await unchanged(ada, NotAllowedError, work)).code == "circle.not_allowed"
        ada.transport.offline = False
        assert await requests(ada) == ()
        assert await members_at(ada) == 2


@virtual
async def test_a_declined_request_is_forgotten_and_sends_nothing(tmp_path: Path):
    async with World(tmp_path) as world:
        ada = await world.found("Ada")
        link = await invited(ada)
        _, bos = await ask(world, ada, "Bo", link=link)
        await requests(ada)
        sent = len(ada.transport.sent)
        await invitations.decline(ada.runtime, ada.circle_id, bos.request_hash)
        assert len(ada.transport.sent) == sent
        assert await requests(ada) == ()
        ((_, _, _, state, request, name, numbers, _),) = (await ada.dump())["join_request"]
        assert (state, request, name, numbers) == ("declined", b"", "", b"")
        work = invitations.decline(ada.runtime, ada.circle_id, bos.request_hash)
        await unchanged(ada, RequestNotFoundError, work)
        cleo, cleos = await ask(world, ada, "Cleo", link=link)
        (request,) = await requests(ada)
        assert request.others == 1
        await approved(ada, cleos)
        await sync_all(cleo)
        assert await cleo.state() is State.ACTIVE


@virtual
async def test_an_approved_request_is_forgotten(tmp_path: Path):
    async with World(tmp_path) as world:
        ada = await world.found("Ada")
        await joined(world, ada, "Bo")
        ((_, _, _, state, request, name, numbers, _),) = (await ada.dump())["join_request"]
        assert (state, request, name, numbers) == ("approved", b"", "", b"")


@virtual
async def test_a_full_circle_takes_nobody(tmp_path: Path, policy):
    policy(max_leaves=2)
    async with World(tmp_path) as world:
        ada = await world.found("Ada")
        await joined(world, ada, "Bo")
        _, view = await ask(world, ada, "Cleo")
        await requests(ada)
        work = invitations.approve(ada.runtime, ada.circle_id, view.request_hash, words=view.words, history=NOTHING)
        assert (await unchanged(ada, CircleFullError, work)).code == "circle.full"


@virtual
async def test_who_was_banned_does_not_come_back(tmp_path: Path):
    async with World(tmp_path) as world:
        ada = await world.found("Ada")
        bo = await joined(world, ada, "Bo")
        await ada.remove(bo)
        await bo.sync()
        await bo.runtime.store.run(lambda tx: circles.forget(tx, bo.circle_id))
        view = await joining.request_to_join(bo.runtime, await invited(ada), name="Not Bo")
        (request,) = await requests(ada)
        assert request.member_pk == await bo.member_pk()
        work = invitations.approve(ada.runtime, ada.circle_id, view.request_hash, words=view.words, history=NOTHING)
        assert (await unchanged(ada, NotAllowedError, work)).code == "circle.not_allowed"


@virtual
async def test_an_approval_that_cannot_be_made_leaves_the_request_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    async with World(tmp_path) as world:
        ada = await world.found("Ada")
        bo, view = await ask(world, ada, "Bo")
        (before,) = await requests(ada)

        async def refuse(*_args: object) -> None:
            raise NotAllowedError

        with monkeypatch.context() as patch:
            patch.setattr(replies, "commit", refuse)
            with pytest.raises(NotAllowedError):
                await approved(ada, view)
        assert await requests(ada) == (before,)
        assert (await only_link(ada)).state is InvitationState.OPEN
        await approved(ada, view)
        await sync_all(bo)
        assert await bo.state() is State.ACTIVE


# --- links -----------------------------------------------------------------------------------------------------------


@virtual
async def test_only_coordinators_invite_approve_and_decline(tmp_path: Path):
    async with World(tmp_path) as world:
        ada = await world.found("Ada")
        bo = await joined(world, ada, "Bo")
        assert (await unchanged(bo, NotAllowedError, invitations.invite(bo.runtime, bo.circle_id))).code == (
            "circle.not_allowed"
        )
        _, view = await ask(world, ada, "Cleo")
        await requests(ada)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Circle, "is_coordinator", lambda _self, _pk=None: False)
            for work in (
                invitations.approve(ada.runtime, ada.circle_id, view.request_hash, words=view.words, history=NOTHING),
                invitations.decline(ada.runtime, ada.circle_id, view.request_hash),
            ):
                await unchanged(ada, NotAllowedError, work)


@virtual
async def test_without_an_enrolment_code_nobody_invites(tmp_path: Path):
    async with World(tmp_path) as world:
        ada = await world.found("Ada")
        await set_enrolment(ada, None)
        error = await unchanged(ada, PaymentError, invitations.invite(ada.runtime, ada.circle_id))
        assert error.code == "relay.payment"


@pytest.mark.parametrize("days", [0, -1, 29])
@virtual
async def test_a_link_is_not_good_for_longer_than_its_box(tmp_path: Path, days: int):
    async with World(tmp_path) as world:
        ada = await world.found("Ada")
        error = await unchanged(ada, UsageError, invitations.invite(ada.runtime, ada.circle_id, days=days))
        assert error.code == "usage"


@virtual
async def test_an_invitation_that_could_not_be_made_was_given_to_nobody(tmp_path: Path):
    async with World(tmp_path) as world:
        ada = await world.found("Ada")

        async def cut(_address, request, _stream):
            if request.op == Op.BLOB_PUT:
                raise UnreachableError("cut off")

        ada.transport.before = cut
        with pytest.raises(UnreachableError):
            await invited(ada)
        ada.transport.before = None
        assert await invitations.list_invitations(ada.runtime, ada.circle_id) == ()
        world.clock.pass_(7200)
        await ada.synced()
        assert (await only_link(ada)).state is InvitationState.WITHDRAWN


@virtual
async def test_an_expired_link_lets_in_only_who_asked_in_time(tmp_path: Path):
    async with World(tmp_path) as world:
        ada = await world.found("Ada")
        link = await invited(ada, days=2)
        bo, bos = await ask(world, ada, "Bo", link=link)
        cleo = await world.device("Cleo")
        world.clock.pass_(3 * DAY)
        before = await cleo.dump()
        with pytest.raises(UsedLinkError) as raised:
            await joining.request_to_join(cleo.runtime, link, name="Cleo")
        assert raised.value.code == "link.used"
        assert await cleo.dump() == before
        await approved(ada, bos)
        assert (await only_link(ada)).state is InvitationState.USED
        await sync_all(bo)
        assert await bo.state() is State.ACTIVE


@virtual
async def test_an_unused_link_expires(tmp_path: Path):
    async with World(tmp_path) as world:
        ada = await world.found("Ada")
        await invited(ada, days=2)
        world.clock.pass_(3 * DAY)
        await ada.synced()
        assert (await only_link(ada)).state is InvitationState.EXPIRED
        ((*_, secrets, _, _, _, _, _),) = (await ada.dump())["invitation"]
        assert secrets == b""


@virtual
async def test_a_withdrawn_link_is_dead(tmp_path: Path):
    async with World(tmp_path) as world:
        ada = await world.found("Ada")
        link = await invited(ada)
        await ask(world, ada, "Bo", link=link)
        assert len(await requests(ada)) == 1
        anchor = (await only_link(ada)).anchor
        await invitations.withdraw(ada.runtime, ada.circle_id, anchor)
        assert await requests(ada) == ()
        found = await only_link(ada)
        assert (found.state, found.requests) == (InvitationState.WITHDRAWN, 1)
        cleo = await world.device("Cleo")
        with pytest.raises(UsedLinkError):
            await joining.look_at_link(cleo.runtime, link)
        work = invitations.withdraw(ada.runtime, ada.circle_id, anchor)
        assert (await unchanged(ada, InvitationNotFoundError, work)).code == "invitation.not_found"


@virtual
async def test_the_links_of_who_no_longer_coordinates_are_withdrawn(tmp_path: Path):
    async with World(tmp_path) as world:
        ada = await world.found("Ada")
        link = await invited(ada)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Circle, "is_coordinator", lambda _self, _pk=None: False)
            await ada.synced()
        assert (await only_link(ada)).state is InvitationState.WITHDRAWN
        cleo = await world.device("Cleo")
        with pytest.raises(UsedLinkError):
            await joining.look_at_link(cleo.runtime, link)


@virtual
async def test_what_does_not_verify_in_a_request_box_is_passed_over(tmp_path: Path):
    async with World(tmp_path) as world:
        ada = await world.found("Ada")
        text = await invited(ada)
        link = InviteLink.from_string(text)
        box = SegmentAddr(relay=world.relay.address, segment_id=(await _open_row(ada)).box_id)
        eve = await world.device("Eve")
        for number in range(3):
            await eve.runtime.relays.append(box, bytes([number]) * 4096, key=link.keys.append)
        _, view = await ask(world, ada, "Bo", link=text)
        (request,) = await requests(ada)
        assert (request.request_hash, request.others) == (view.request_hash, 0)


async def _open_row(device: Device):
    return (await device.runtime.store.read(lambda tx: rows.list_of(tx, device.circle_id)))[-1]


# --- the joiner ------------------------------------------------------------------------------------------------------


@virtual
async def test_the_same_link_again_is_the_same_request(tmp_path: Path):
    async with World(tmp_path) as world:
        ada = await world.found("Ada")
        link = await invited(ada)
        bo, first = await ask(world, ada, "Bo", link=link)
        await world.reopen(bo)
        second = await joining.request_to_join(bo.runtime, link, name="Bo")
        assert second == first
        assert len(await requests(ada)) == 1


@virtual
async def test_who_is_in_a_circle_cannot_ask_again(tmp_path: Path):
    async with World(tmp_path) as world:
        ada = await world.found("Ada")
        bo = await joined(world, ada, "Bo")
        cleo, _ = await ask(world, ada, "Cleo")
        link = await invited(ada)
        for device in (ada, bo, cleo):
            before = await device.dump()
            with pytest.raises(AlreadyMemberError) as raised:
                await joining.request_to_join(device.runtime, link, name="Again")
            assert raised.value.code == "circle.already_member"
            assert await device.dump() == before


@pytest.mark.parametrize("link", ["", "tertulia:", "tertulia:AAAA", "https://example.org", "tertulia:" + "A" * 2000])
@virtual
async def test_what_is_no_link_is_refused(tmp_path: Path, link: str):
    async with World(tmp_path) as world:
        bo = await world.device("Bo")
        error = await unchanged(bo, LinkError, joining.request_to_join(bo.runtime, link, name="Bo"))
        assert error.code == "link.invalid"


@virtual
async def test_a_card_that_does_not_hold_is_refused(tmp_path: Path):
    """Somebody with the link puts another card at the relay and changes the link to it."""
    async with World(tmp_path) as world:
        ada = await world.found("Ada")
        link = InviteLink.from_string(await invited(ada))
        bo = await world.device("Bo")
        blob = await bo.runtime.relays.get_blob(world.relay.address, link.anchor)
        preamble = open_card(link, blob, now=world.clock.now())
        card = build_card(replace(preamble, expires_day=preamble.expires_day + 1), link.invite_secret)
        code = Payment(PaymentType.ENROLMENT_CODE, await world.relay.add_code())
        await bo.runtime.relays.put_blob(
            world.relay.address, card.blob, payment=code, delete_hash=bytes(32), ttl_class=1
        )
        false = replace(link, anchor=card.anchor, expires_day=link.expires_day + 1).to_string()
        before = await bo.dump()
        with pytest.raises(LinkError) as raised:
            await joining.request_to_join(bo.runtime, false, name="Bo")
        assert raised.value.code == "link.invalid"
        assert await bo.dump() == before


@virtual
async def test_a_relay_with_another_key_is_not_asked(tmp_path: Path):
    async with World(tmp_path) as world:
        ada = await world.found("Ada")
        text = await invited(ada)
        link = InviteLink.from_string(text)
        async with MemoryRelay("false", clock=world.clock) as false:
            bo = await world.device("Bo")
            blob = await bo.runtime.relays.get_blob(world.relay.address, link.anchor)
            code = Payment(PaymentType.ENROLMENT_CODE, await false.add_code())
            bo.transport._relays[world.relay.address.uri] = false
            await bo.runtime.relays.put_blob(
                replace(false.address, uri=world.relay.address.uri),
                blob,
                payment=code,
                delete_hash=bytes(32),
                ttl_class=1,
            )
            before = await bo.dump()
            with pytest.raises(WrongRelayError) as raised:
                await joining.request_to_join(bo.runtime, text, name="Bo")
            assert raised.value.code == "relay.wrong_key"
            assert await bo.dump() == before
            assert Op.APPEND not in {sent.op for sent in bo.transport.sent}


@virtual
async def test_an_answer_that_does_not_hold_makes_no_member(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async with World(tmp_path) as world:
        ada = await world.found("Ada")
        bo, view = await ask(world, ada, "Bo")
        kept = JoinReply.approve
        with monkeypatch.context() as patch:
            patch.setattr(JoinReply, "approve", lambda self, _member: kept(self, SigningSeed(b"e" * 32)))
            await approved(ada, view)
        before = await bo.dump()
        await joining.work_on_joins(bo.runtime)
        assert [event.data["code"] for event in await bo.events("join.refused")] == ["message.rule"]
        after = await bo.dump()
        assert after["circle"] == before["circle"] == []
        assert after["mls_row"] == []
        assert (await joining.list_joins(bo.runtime))[0].state is JoinState.REQUESTED
        await joining.work_on_joins(bo.runtime)
        assert len(await bo.events("join.refused")) == 1


@virtual
async def test_a_tree_that_is_not_there_is_looked_for_again(tmp_path: Path):
    async with World(tmp_path) as world:
        ada = await world.found("Ada")
        bo, view = await ask(world, ada, "Bo")
        await approved(ada, view)

        async def cut(_address, request, _stream):
            if request.op == Op.BLOB_GET:
                raise UnreachableError("cut off")

        bo.transport.before = cut
        with pytest.raises(UnreachableError):
            await joining.work_on_joins(bo.runtime)
        bo.transport.before = None
        await sync_all(bo)
        assert await bo.state() is State.ACTIVE


@virtual
async def test_the_keys_of_a_request_are_gone_once_it_was_accepted(tmp_path: Path):
    async with World(tmp_path) as world:
        ada = await world.found("Ada")
        bo, view = await ask(world, ada, "Bo")
        row = await bo.runtime.store.read(lambda tx: joins.get(tx, view.anchor))
        pending = parse(PendingJoin, row.secrets)
        keys = (pending.bundle.init_private, pending.reply_private, pending.request.reply_seed)
        stored = bytes_of(await bo.dump())
        assert all(key in stored for key in keys)
        await approved(ada, view, history=ALL)
        await joining.work_on_joins(bo.runtime)
        stored = bytes_of(await bo.dump())
        assert not any(key in stored for key in keys)


def bytes_of(dump: dict[str, list[tuple[object, ...]]]) -> bytes:
    return b"|".join(value for rows in dump.values() for row in rows for value in row if isinstance(value, bytes))


@virtual
async def test_a_request_that_nobody_answers_ends(tmp_path: Path):
    async with World(tmp_path) as world:
        ada = await world.found("Ada")
        bo, view = await ask(world, ada, "Bo")
        world.clock.pass_(39 * DAY)
        await joining.work_on_joins(bo.runtime)
        (found,) = await joining.list_joins(bo.runtime)
        assert found.state is JoinState.EXPIRED
        row = await bo.runtime.store.read(lambda tx: joins.get(tx, view.anchor))
        assert (row.secrets, row.request, row.link) == (b"", b"", b"")
        assert len(await bo.events("join.expired")) == 1
        await set_enrolment(ada, serialize(world.relay.enrolment(await world.relay.add_code())))
        again = await joining.request_to_join(bo.runtime, await invited(ada), name="Bo")
        assert again.state is JoinState.REQUESTED


@virtual
async def test_a_request_can_be_abandoned(tmp_path: Path):
    async with World(tmp_path) as world:
        ada = await world.found("Ada")
        bo, view = await ask(world, ada, "Bo")
        await joining.abandon(bo.runtime, view.anchor)
        await joining.abandon(bo.runtime, view.anchor)
        assert await joining.list_joins(bo.runtime) == ()
        await approved(ada, view)
        await sync_all(bo)
        assert (await bo.dump())["circle"] == []


@virtual
async def test_a_request_made_while_the_relay_goes_away_leaves_later(tmp_path: Path):
    async with World(tmp_path) as world:
        ada = await world.found("Ada")
        link = await invited(ada)
        bo = await world.device("Bo")
        bo.circle_id = ada.circle_id

        async def cut(_address, request, _stream):
            if request.op == Op.APPEND:
                raise UnreachableError("cut off")

        bo.transport.before = cut
        view = await joining.request_to_join(bo.runtime, link, name="Bo")
        assert view.state is JoinState.PREPARED
        assert await requests(ada) == ()
        bo.transport.before = None
        await sync_all(bo)
        await approved(ada, view)
        await sync_all(bo)
        assert await bo.state() is State.ACTIVE


# --- the answer ------------------------------------------------------------------------------------------------------


@virtual
async def test_tree_and_history_leave_the_relay_once_the_joiner_has_spoken(tmp_path: Path):
    async with World(tmp_path) as world:
        ada = await world.found("Ada")
        bo, view = await ask(world, ada, "Bo")
        await approved(ada, view, history=ALL)
        (row,) = await ada.runtime.store.read(lambda tx: _replies(tx, ada))
        ids = [chunk.id for chunk in parse(replies.ReplyData, row.data).added.blobs()[2]]
        assert len(ids) == 2
        for id_ in ids:
            await bo.runtime.relays.get_blob(world.relay.address, id_)
        await sync_all(bo)
        await ada.synced()
        for id_ in ids:
            with pytest.raises(RelayGoneError):
                await bo.runtime.relays.get_blob(world.relay.address, id_)
        assert await ada.runtime.store.read(lambda tx: _replies(tx, ada)) == []


def _replies(tx, device: Device):
    return rows.list_replies(tx, device.circle_id)


@virtual
async def test_an_answer_is_put_again_with_the_same_bytes_until_the_joiner_speaks(tmp_path: Path):
    async with World(tmp_path) as world:
        ada = await world.found("Ada")
        _, view = await ask(world, ada, "Bo")
        await approved(ada, view)
        first = [sent for sent in ada.transport.sent if sent.op is Op.APPEND][-1]
        await ada.synced()
        assert [sent for sent in ada.transport.sent if sent.op is Op.APPEND][-1] == first
        world.clock.pass_(7 * 3600)
        await ada.synced()
        again = [sent for sent in ada.transport.sent if sent.op is Op.APPEND][-1]
        assert again is not first
        assert (again.segment_id, again.stream) == (first.segment_id, first.stream)
        payload = (await ada.runtime.store.read(lambda tx: _replies(tx, ada)))[0].letter
        assert payload in again.request
        assert payload in first.request


@virtual
async def test_a_joiner_who_never_speaks_is_reported(tmp_path: Path):
    async with World(tmp_path) as world:
        ada = await world.found("Ada")
        _, view = await ask(world, ada, "Bo")
        member_pk = await approved(ada, view)
        world.clock.pass_(29 * DAY)
        await ada.synced()
        assert [event.data["member"] for event in await ada.events("joiner.silent")] == [member_pk.hex()]
        assert await ada.runtime.store.read(lambda tx: _replies(tx, ada)) == []


# --- broken off anywhere ---------------------------------------------------------------------------------------------


async def broken_off(world: World, device: Device, at: int, work) -> bool:
    """Run ``work(device)`` until step ``at``; open the device again; answer whether it was killed."""
    make_mortal(device, CrashPlan(at))
    try:
        await work(device)
    except Killed:
        return True
    finally:
        await world.reopen(device)
    return False


async def founded(world: World, number: int) -> Device:
    """Return a device with a small circle of its own, in which there is something to read."""
    ada = await world.found(f"Ada {number}")
    await ada.post(await ada.board(), "Before")
    await ada.synced()
    return ada


@virtual
async def test_an_approval_survives_every_step(tmp_path: Path):
    async with World(tmp_path) as world:
        for at in range(100):
            ada = await founded(world, at)
            bo, view = await ask(world, ada, f"Bo {at}")
            await requests(ada)
            was_killed = await broken_off(world, ada, at, lambda device, view=view: approved(device, view, history=ALL))
            if view.request_hash in {request.request_hash for request in await requests(ada)}:
                await approved(ada, view, history=ALL)
            await ada.synced()
            await sync_all(bo)
            assert await bo.state() is State.ACTIVE
            assert await bo.titles() == ["Before"]
            assert await bo.epoch() == await ada.epoch()
            assert await members_at(ada) == 2
            await ada.synced()
            assert await ada.runtime.store.read(lambda tx, one=ada: _replies(tx, one)) == []
            if not was_killed:
                break
        assert 10 <= at < 60


@virtual
async def test_a_join_survives_every_step(tmp_path: Path):
    async with World(tmp_path) as world:
        asked = arrived = False
        for at in range(100):
            ada = await founded(world, at)
            link = await invited(ada)
            bo = await world.device(f"Bo {at}")
            bo.circle_id = ada.circle_id
            asked = not await broken_off(
                world, bo, at, lambda device, link=link: joining.request_to_join(device.runtime, link, name="Bo")
            )
            view = await joining.request_to_join(bo.runtime, link, name="Bo")
            await approved(ada, view, history=ALL)
            arrived = not await broken_off(world, bo, at, sync_all)
            await sync_all(bo)
            await ada.synced()
            assert await bo.state() is State.ACTIVE
            assert await bo.titles() == ["Before"]
            assert await bo.epoch() == await ada.epoch()
            assert (await bo.dump())["joining"] == []
            assert await ada.events("gap") == []
            if asked and arrived:
                break
        assert 6 <= at < 60
