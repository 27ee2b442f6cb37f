"""The joiner's side: from a link to a member of a circle (docs/protocol, "Invitations").

Nothing that comes back is believed before it was checked; the keys of the request are deleted with the first state of
the circle. Every step is stored first; :func:`work_on_joins`, which every sync calls, takes up what was broken off.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial
from typing import Final

from tertulia import answers
from tertulia.blobs import work
from tertulia.errors import AlreadyMemberError, LinkError, RelayGoneError, UsedLinkError
from tertulia.identity import member_key
from tertulia.relays import SegmentAddr
from tertulia.runtime import Runtime
from tertulia.store import circles, events, joins
from tertulia.store.joins import JoiningRow
from tertulia.store.tx import Tx
from tertulia.transport.interface import Purpose
from tertulia.words import known_language, pack_numbers, unpack_numbers, words_of
from tertulia_protocol.circle.identity import DEVICE_ID_LENGTH
from tertulia_protocol.circle.invitation import DAY, InviteLink, InvitePreamble, Language, open_card
from tertulia_protocol.circle.join_request import reply_box, seal_request
from tertulia_protocol.circle.joining import PendingJoin, build_request
from tertulia_protocol.circle.sas import Sas, sas_numbers
from tertulia_protocol.codec import parse, serialize
from tertulia_protocol.content.text import clean_name
from tertulia_protocol.content.types import check_name
from tertulia_protocol.errors import InvalidMessageError, RuleError, TransportError
from tertulia_protocol.relay_api.addresses import RelayAddr
from tertulia_protocol.relay_api.responses import Status
from tertulia_protocol.signing import NOBODY

ANSWER_DAYS: Final = 30
"""How long after the last day of a link an answer is still looked for: as long as its box stays at the relay."""


class JoinState(StrEnum):
    """How far a join is."""

    PREPARED = "prepared"
    """The request is made and stored; the relay has not said that it has it."""
    REQUESTED = "requested"
    HISTORY = answers.HISTORY
    """The circle is there; the posts from before are still to be fetched."""
    EXPIRED = "expired"
    """No answer in time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CardView:
    """What a link says before anything is sent: no names, neither of the circle nor of anybody in it."""

    anchor: bytes
    lineage_id: bytes
    """The circle's id; the circle itself is believed once the answer was checked."""
    inviter: bytes
    """The coordinator's member_pk."""
    coordinators: int
    relay: RelayAddr
    expires_day: int
    language: Language


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinView:
    """A request of this profile, and what its owner reads out to the coordinator."""

    anchor: bytes
    request_hash: bytes
    """Its id, the same at the coordinator; 32 bytes."""
    circle_id: bytes
    state: JoinState
    name: str = field(repr=False)
    relay: RelayAddr
    numbers: Sas = field(repr=False)
    words: tuple[str, str, str, str] = field(repr=False)
    language: Language
    created_at: int
    expires_day: int


# --- The link ------------------------------------------------------------------------------------------------------


async def look_at_link(runtime: Runtime, link: str) -> CardView:
    """Fetch and check the card that a link leads to. Nothing is stored, nobody but the relay learns of it.

    :raises LinkError: no valid link. :raises UsedLinkError: used, expired or withdrawn.
    :raises WrongRelayError: the relay is not the one of the card. :raises TransportError: it cannot be reached.
    """
    return _card_view(*await _open_link(runtime, link))


async def _open_link(runtime: Runtime, link: str) -> tuple[InviteLink, InvitePreamble]:
    try:
        parsed = InviteLink.from_string(link)
    except InvalidMessageError as error:
        raise LinkError(error.detail) from error
    preamble = await _fetch_card(runtime, parsed)
    # The key of the relay is known from here on: whoever answers there must have it.
    await runtime.relays.info(preamble.relays[0])
    return parsed, preamble


async def _fetch_card(runtime: Runtime, link: InviteLink) -> InvitePreamble:
    # A blob is known by its hash: it does not matter who gives it to us.
    somebody = RelayAddr(relay_pk=NOBODY, uri=link.relay_uri)
    try:
        blob = await runtime.relays.get_blob(somebody, link.anchor, stream_key=link.anchor)
        return open_card(link, blob, now=runtime.clock.now())
    except RelayGoneError as error:
        raise UsedLinkError from error
    except RuleError as error:
        if error.rule == "invitation.expired":
            raise UsedLinkError from error
        raise LinkError(error.detail) from error
    except InvalidMessageError as error:
        raise LinkError(error.detail) from error


def _card_view(link: InviteLink, preamble: InvitePreamble) -> CardView:
    return CardView(
        anchor=link.anchor,
        lineage_id=preamble.lineage_id,
        inviter=preamble.inviter_member_pk,
        coordinators=len(preamble.approvers),
        relay=preamble.relays[0],
        expires_day=preamble.expires_day,
        language=known_language(preamble.language),
    )


# --- The request ---------------------------------------------------------------------------------------------------


async def request_to_join(runtime: Runtime, link: str, *, name: str) -> JoinView:
    """Ask to join, and return the words to read out. The same link again: the same request, sent once more.

    Where the relay cannot be reached any more the request is ``prepared``, and the next sync sends it.

    :param name: who this person wants to be in the circle. :raises AlreadyMemberError: in it, or asked already.
    Raises what :func:`look_at_link` raises, and NotAcceptedError for a name that is none.
    """
    shown = clean_name(name)
    check_name(shown)
    known = await runtime.store.read(lambda tx: _known_link(tx, link))
    if known is None:
        parsed, preamble = await _open_link(runtime, link)
        pending = await runtime.store.run(lambda tx: _prepare(tx, parsed, preamble, name=shown, runtime=runtime))
        numbers = await work(runtime, lambda: sas_numbers(parsed.anchor, serialize(pending.request)))
        known = await runtime.store.run(
            lambda tx: _store(tx, parsed, pending, name=shown, numbers=numbers, now=runtime.clock.now())
        )
    if known.state == JoinState.PREPARED.value:
        known = await _send_quietly(runtime, known)
    return _join_view(known)


def _known_link(tx: Tx, link: str) -> JoiningRow | None:
    try:
        return joins.get(tx, InviteLink.from_string(link).anchor)
    except InvalidMessageError as error:
        raise LinkError(error.detail) from error


def check_not_member(tx: Tx, lineage_id: bytes) -> None:
    """Check that this profile is not in a circle, and has not asked. :raises AlreadyMemberError: it is, or has."""
    asked = any(row.circle == lineage_id and row.state != JoinState.EXPIRED.value for row in joins.list_all(tx))
    if asked or circles.get(tx, lineage_id) is not None:
        raise AlreadyMemberError


def _prepare(tx: Tx, link: InviteLink, preamble: InvitePreamble, *, name: str, runtime: Runtime) -> PendingJoin:
    check_not_member(tx, preamble.lineage_id)
    return build_request(
        link=link,
        preamble=preamble,
        member=member_key(tx, preamble.lineage_id),
        device_id=runtime.rng(DEVICE_ID_LENGTH),
        intro=name,
        now=runtime.clock.now(),
        rng=runtime.rng,
    )


def _store(  # noqa: PLR0913 - the parts of a row
    tx: Tx, link: InviteLink, pending: PendingJoin, *, name: str, numbers: Sas, now: int
) -> JoiningRow:
    preamble, request = pending.preamble, pending.request
    check_not_member(tx, preamble.lineage_id)
    box = reply_box(request.reply_seed)
    row = JoiningRow(
        anchor=link.anchor,
        circle=preamble.lineage_id,
        state=JoinState.PREPARED.value,
        name=name,
        link=serialize(link),
        preamble=serialize(preamble),
        request=seal_request(preamble, request),
        request_hash=request.hash(),
        secrets=serialize(pending),
        sas=pack_numbers(numbers),
        box_id=box.config.segment_id(preamble.relays[0].relay_pk),
        created_at=now,
        expires_at=(preamble.expires_day + 1 + ANSWER_DAYS) * DAY,
    )
    joins.add(tx, row)
    return row


async def _send_quietly(runtime: Runtime, row: JoiningRow) -> JoiningRow:
    try:
        return await _send(runtime, row)
    except TransportError:
        return row


async def _send(runtime: Runtime, row: JoiningRow) -> JoiningRow:
    """Put the request into its box: the same letter however often. :raises UsedLinkError: the box is gone."""
    link, preamble = parse(InviteLink, row.link), parse(InvitePreamble, row.preamble)
    box = SegmentAddr(relay=preamble.relays[0], segment_id=preamble.request_box_id)
    result = await runtime.relays.append(box, row.request, key=link.keys.append, purpose=Purpose.INVITATION)
    if result.status is Status.GONE:
        await runtime.store.run(lambda tx: joins.remove(tx, row.anchor))
        raise UsedLinkError
    if result.status not in (Status.OK, Status.DUP):
        return row
    await runtime.store.run(lambda tx: joins.change(tx, row.anchor, state=JoinState.REQUESTED.value))
    return replace(row, state=JoinState.REQUESTED.value)


def _join_view(row: JoiningRow) -> JoinView:
    preamble, numbers = parse(InvitePreamble, row.preamble), unpack_numbers(row.sas)
    language = known_language(preamble.language)
    return JoinView(
        anchor=row.anchor,
        request_hash=row.request_hash,
        circle_id=row.circle,
        state=JoinState(row.state),
        name=row.name,
        relay=preamble.relays[0],
        numbers=numbers,
        words=words_of(numbers, language),
        language=language,
        created_at=row.created_at,
        expires_day=preamble.expires_day,
    )


async def list_joins(runtime: Runtime) -> tuple[JoinView, ...]:
    """Return the requests of this profile that are not done, oldest first."""
    return await runtime.store.read(lambda tx: tuple(_join_view(row) for row in joins.list_all(tx)))


async def abandon(runtime: Runtime, anchor: bytes) -> None:
    """Forget a request and its keys. Whoever approves it afterwards adds nobody. Again: does nothing."""
    await runtime.store.run(lambda tx: joins.remove(tx, anchor))


# --- Part of every sync --------------------------------------------------------------------------------------------


async def work_on_joins(runtime: Runtime) -> tuple[bytes, ...]:
    """Send requests, look for answers, fetch histories. Part of every sync, of no circle in particular.

    Returns the ids of circles that are new: sync them next (event ``joined`` for each; ``join.refused`` for an answer
    that does not hold). :raises TransportError: a relay cannot be reached; the next sync goes on.
    """
    new: list[bytes] = []
    problem: TransportError | None = None
    for row in await runtime.store.read(joins.list_all):
        try:
            new += await _go_on(runtime, row)
        except TransportError as error:
            # One relay that cannot be reached does not hold up the others.
            problem = error
    if problem is not None and not new:
        raise problem
    return tuple(new)


async def _go_on(runtime: Runtime, row: JoiningRow) -> list[bytes]:
    """Take the next step of one join; return its circle if it is new."""
    now = runtime.clock.now()
    if row.state != JoinState.EXPIRED.value and now >= row.expires_at:
        await runtime.store.run(lambda tx: _expire(tx, row, now=now))
        return []
    if row.state == JoinState.PREPARED.value:
        row = await _send_or_end(runtime, row)
    if row.state == JoinState.REQUESTED.value and await answers.take_answer(runtime, row):
        found = await runtime.store.read(lambda tx: joins.get(tx, row.anchor))
        if found is not None:
            await _go_on(runtime, found)
        return [row.circle]
    if row.state == JoinState.HISTORY.value:
        await answers.take_history(runtime, row)
    return []


async def _send_or_end(runtime: Runtime, row: JoiningRow) -> JoiningRow:
    try:
        return await _send(runtime, row)
    except UsedLinkError as error:
        refused = partial(answers.report_refusal, row=row, code=error.code, now=runtime.clock.now())
        await runtime.store.run(refused)
        return replace(row, state=JoinState.EXPIRED.value)


def _expire(tx: Tx, row: JoiningRow, *, now: int) -> None:
    """Give up: forget the keys of a request that nobody answered, or a history that is gone by now."""
    if row.state == JoinState.HISTORY.value:
        joins.remove(tx, row.anchor)
        return
    joins.change(tx, row.anchor, state=JoinState.EXPIRED.value, secrets=b"", request=b"", link=b"")
    events.add(tx, "join.expired", circle=row.circle, at=now)
