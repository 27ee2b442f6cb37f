"""The client: one public method for each command, typed frozen results (docs/reference/api.md).

A facade: what a method does is written elsewhere; here it is found by what a person typed, and shown as they read it.
It also is the composition root of the library: the machine's clock, random generator, thread and network are named
here, where nothing else was given.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Literal, Self, TypeVar

from tertulia import (
    boards,
    founding,
    happenings,
    identity,
    invitations,
    joining,
    keeping_up,
    objects,
    posting,
    reading,
    removal,
    results,
    saving,
    views,
)
from tertulia.attachments import Progress, no_progress
from tertulia.clock import Clock, Executor, Rng
from tertulia.events import EventBus
from tertulia.lookup import find_attachment, find_board, find_circle, find_post
from tertulia.runtime import Runtime
from tertulia.store.database import Store
from tertulia.store.events import last_number
from tertulia.store.keyfile import PRODUCTION, Argon2Cost
from tertulia.store.tx import Tx
from tertulia.system import SystemClock, ThreadExecutor, system_rng
from tertulia.transport.interface import Transport
from tertulia.words import language_of

__all__ = ["Client"]

T = TypeVar("T")

DEFAULT_TIMEOUT = 10.0
"""Seconds a sync takes at most unless told otherwise."""

History = int | Literal["none", "all"]
"""What a new member is given of the time before: nothing, all, or the last so many days."""


def _network() -> Transport:
    from tertulia.transport.http import HttpTransport  # noqa: PLC0415 - aiohttp takes longer to import than all else

    return HttpTransport()


class Client:
    """An open profile. Make one with :meth:`init` once, then ``async with Client.open(...) as client``.

    ``circle``, ``board``, ``post``, ``member`` and ``request`` are identifiers, unique beginnings of identifiers (of at
    least four characters after the underscore), or names; ``circle`` may be None where the profile has exactly one.
    Every method raises :class:`tertulia.errors.NotFoundError` or ``AmbiguousError`` where nothing or too much fits.
    """

    def __init__(self, runtime: Runtime) -> None:
        """Use :meth:`open`."""
        self._runtime = runtime

    # --- The profile

    @classmethod
    async def init(  # noqa: PLR0913 - what a profile is made of
        cls,
        profile: Path | str,
        *,
        name: str,
        passphrase: str,
        root: bytes,
        language: str = identity.DEFAULT_LANGUAGE,
        clock: Clock | None = None,
        rng: Rng | None = None,
        executor: Executor | None = None,
        cost: Argon2Cost = PRODUCTION,
    ) -> results.NewProfile:
        """Make a profile.

        :param root: 32 random bytes, of which :func:`tertulia.identity.phrase_of` makes the recovery words. Show the
            words to the person first: they are not stored.
        :raises WeakPassphraseError, ProfileExistsError, StorageError: nothing was made.
        """
        identity.check_new_passphrase(passphrase)
        shown = posting.checked_name(name)
        store = await Store.create(
            Path(profile),
            passphrase=passphrase,
            executor=executor or ThreadExecutor(),
            clock=clock or SystemClock(),
            rng=rng or system_rng,
            cost=cost,
            setup=lambda tx: identity.write_profile(tx, root=root, name=shown, language=language),
        )
        async with store:
            return results.NewProfile(name=shown, directory=Path(profile))

    @classmethod
    @asynccontextmanager
    async def open(  # noqa: PLR0913 - what a client is made of
        cls,
        profile: Path | str,
        *,
        passphrase: str,
        transport: Transport | None = None,
        clock: Clock | None = None,
        rng: Rng | None = None,
        executor: Executor | None = None,
        lock_wait: float = 0.0,
        floor: Argon2Cost = PRODUCTION,
    ) -> AsyncIterator[Self]:
        """Open a profile and close it at the end of ``async with``.

        :param lock_wait: seconds to wait for another process that uses the profile.
        :raises NoProfileError, WrongPassphraseError, LockedError, StorageError: it cannot be opened.
        """
        clock = clock or SystemClock()
        store = await Store.open(
            Path(profile),
            passphrase=passphrase,
            executor=executor or ThreadExecutor(),
            clock=clock,
            floor=floor,
            lock_wait=lock_wait,
        )
        async with store:
            await store.run(objects.bring_up_to_date)
            network = transport or _network()
            try:
                yield cls(
                    Runtime(store=store, transport=network, clock=clock, rng=rng or system_rng, events=EventBus(store))
                )
            finally:
                if transport is None:
                    await network.close()

    async def status(self) -> results.Status:
        """Return the profile at a glance."""
        asked = await joining.list_joins(self._runtime)
        return await self._read(lambda tx: views.status(tx, self._runtime.store.profile, asked))

    # --- Keeping up

    async def sync(self, circle: str | None = None, *, timeout: float = DEFAULT_TIMEOUT) -> results.SyncReport:  # noqa: ASYNC109 - a part of the result
        """Do one round for a circle, or for all and for open requests to join, for at most ``timeout`` seconds.

        What kept it from an end is in the result, not raised.
        """
        return await keeping_up.sync_once(self._runtime, circle, seconds=timeout)

    async def follow(self) -> None:
        """Keep all circles up to date until cancelled. What happens is told by :meth:`events`."""
        await keeping_up.follow_all(self._runtime)

    async def events(self, after: int | None = None) -> AsyncIterator[results.Event]:
        """Yield what happened after a resume token, and then what happens, without end.

        :param after: ``Event.token`` of the last one seen; 0: from the oldest that is kept; None: from now on.
        """
        start = await self._read(last_number) if after is None else after
        async for stored in self._runtime.events.stream(start):
            yield await self._read(partial(happenings.event, stored=stored))

    # --- Circles

    async def circle_create(self, name: str, *, enrolment: str, display_name: str | None = None) -> results.NewCircle:
        """Found a circle on a relay.

        :param enrolment: the one-line string of the relay's operator, a secret. :param display_name: who this person is
            in the circle; None: as in the profile.
        :raises CodeError, AliasTakenError, PaymentError, WrongRelayError, TransportError: nothing was founded.
        """
        parsed = reading.parse_code(enrolment)
        await self._read(lambda tx: reading.check_alias_free(tx, b"", name))
        shown = await self._display_name(display_name)
        circle_id = await founding.found_circle(
            self._runtime, name=posting.checked_name(name), enrolment=parsed, display_name=shown
        )
        return await self._read(lambda tx: views.new_circle(tx, circle_id))

    async def circle_list(self) -> tuple[results.CircleSummary, ...]:
        """Return all circles, the oldest first."""
        return await self._read(views.circle_list)

    async def circle_show(self, circle: str | None = None) -> results.CircleDetails:
        """Return all about one circle."""
        return await self._read(lambda tx: views.circle_details(tx, find_circle(tx, circle)))

    async def circle_alias(self, circle: str | None, alias: str) -> results.CircleSummary:
        """Call a circle by another name in this profile; nobody else sees it. :raises AliasTakenError: taken."""
        shown = posting.checked_name(alias)
        return await self._runtime.store.run(lambda tx: reading.rename(tx, find_circle(tx, circle), shown))

    # --- Members

    async def members(self, circle: str | None = None) -> tuple[results.Member, ...]:
        """Return the members, coordinators first."""
        return await self._read(
            lambda tx: tuple(views.member(one) for one in boards.members(tx, reading.entered(tx, circle)))
        )

    async def member_show(self, circle: str | None, member: str) -> results.Member:
        """Return one member."""
        return await self._read(lambda tx: views.member(reading.member(tx, circle, member)))

    async def remove(self, circle: str | None, member: str) -> results.Removed:
        """Remove a member with all its devices; return once the removal was read back.

        :raises NotAllowedError: this person may not. :raises TransportError: stored; the next sync goes on.
        """
        found = await self._going_on(circle)
        view = await self._read(lambda tx: reading.member(tx, circle, member))
        outcome = await removal.remove_member(self._runtime, found, view.member_pk)
        return views.removed(found, view, outcome.epoch)

    # --- Invitations

    async def invite(self, circle: str | None = None, *, days: int = 7, language: str = "en") -> results.NewInvitation:
        """Make an invitation for one person. :raises NotAllowedError, PaymentError, TransportError: none was made."""
        found = await self._going_on(circle)
        made = await invitations.invite(self._runtime, found, days=days, language=language_of(language))
        return views.new_invitation(found, made)

    async def invitation_show(self, link: str) -> results.Invited:
        """Return what a link says, before it is accepted. :raises LinkError, UsedLinkError, TransportError: nothing."""
        return views.invited(await joining.look_at_link(self._runtime, link))

    async def join(self, link: str, *, name: str | None = None) -> results.Joining:
        """Ask to join, and return the words to read out to the inviter. Syncs finish it.

        :param name: who this person is in the circle; None: as in the profile.
        :raises LinkError, UsedLinkError, AlreadyMemberError, TransportError: nothing was asked.
        """
        return views.joining(await joining.request_to_join(self._runtime, link, name=await self._display_name(name)))

    async def wait_joined(self, circle: str, *, timeout: float) -> results.NewCircle:  # noqa: ASYNC109 - as sync
        """Sync until a circle that was asked to be joined (``Joining.circle``) is here.

        :raises NotInTimeError: not in so many seconds.
        """
        return await keeping_up.wait_joined(self._runtime, circle, seconds=timeout)

    async def request_list(self, circle: str | None = None) -> tuple[results.Request, ...]:
        """Return the requests to join that wait for a decision, oldest first."""
        found = await self._circle(circle)
        return tuple(views.request(one) for one in await invitations.list_requests(self._runtime, found))

    async def approve(
        self, circle: str | None, request: str, *, words: Sequence[str], history: History = "none"
    ) -> results.Approved:
        """Add whoever asked; return once it was read back.

        :param words: the four words (or numbers) that the person read out.
        :raises WordsDifferError: nothing was sent. :raises NotAllowedError, CircleFullError: not possible.
        :raises TransportError: stored; the next sync goes on.
        """
        found = await self._going_on(circle)
        view = await reading.waiting_request(self._runtime, found, request)
        await invitations.approve(
            self._runtime, found, view.request_hash, words=words, history=reading.history_range(history)
        )
        return views.approved(found, view)

    async def decline(self, circle: str | None, request: str) -> results.Declined:
        """Refuse a request. Nothing is sent."""
        found = await self._circle(circle)
        view = await reading.waiting_request(self._runtime, found, request)
        await invitations.decline(self._runtime, found, view.request_hash)
        return views.declined(found, view)

    # --- Boards and posts

    async def board_create(
        self, circle: str | None, name: str, *, description: str = "", announce_only: bool = False
    ) -> results.NewBoard:
        """Open a board; it is durable in the outbox. :raises UsageError, TrustError: not possible."""
        found = await self._circle(circle)
        board = await posting.write_board(
            self._runtime, found, name=name, description=description, announce_only=announce_only
        )
        return await self._read(lambda tx: views.new_board(tx, found, board))

    async def board_list(self, circle: str | None = None) -> tuple[results.Board, ...]:
        """Return the boards in the order of their creation."""
        return await self._read(
            lambda tx: tuple(views.board(one) for one in boards.boards(tx, find_circle(tx, circle).id))
        )

    async def post(  # noqa: PLR0913 - what a topic is made of
        self,
        circle: str | None,
        *,
        board: str,
        title: str,
        body: str = "",
        lang: str | None = None,
        attachments: Sequence[Path] = (),
        progress: Progress = no_progress,
    ) -> results.NewPost:
        """Open a topic on a board; it is durable in the outbox, its files are sent by syncs."""
        found = await self._circle(circle)
        place = await self._read(lambda tx: find_board(tx, found, board).board_id)
        written = await posting.write_topic(
            self._runtime,
            found,
            board_id=place,
            title=title,
            body=body,
            lang=lang,
            paths=attachments,
            progress=progress,
        )
        return await self._read(lambda tx: views.new_post(tx, found, written))

    async def reply(  # noqa: PLR0913 - what a reply is made of
        self,
        circle: str | None,
        post: str,
        *,
        body: str = "",
        lang: str | None = None,
        attachments: Sequence[Path] = (),
        progress: Progress = no_progress,
    ) -> results.NewPost:
        """Answer a topic or a reply; as :meth:`post`."""
        found = await self._circle(circle)
        target = await self._read(lambda tx: find_post(tx, found, post).post_id)
        written = await posting.write_reply(
            self._runtime, found, to=target, body=body, lang=lang, paths=attachments, progress=progress
        )
        return await self._read(lambda tx: views.new_post(tx, found, written))

    async def wait_sent(self, circle: str | None, identifier: str, *, timeout: float) -> str:  # noqa: ASYNC109 - as sync
        """Sync until a board or post of ours was read back; return its state. :raises NotInTimeError: not in time."""
        return await keeping_up.wait_sent(self._runtime, await self._circle(circle), identifier, seconds=timeout)

    async def delivery(self, circle: str | None, identifier: str) -> str:
        """Return how far a board or post of ours is: ``uploading``, ``waiting`` or ``sent``."""
        found = await self._circle(circle)
        return await self._read(lambda tx: reading.delivery(tx, found, identifier))

    async def read(  # noqa: PLR0913 - what to choose by
        self,
        circle: str | None = None,
        *,
        board: str | None = None,
        topic: str | None = None,
        unread: bool = False,
        since: datetime | None = None,
        limit: int | None = None,
        mark_read: bool = False,
    ) -> tuple[results.Post, ...]:
        """Return topics, each with its replies after it; ``limit`` keeps the newest. Marks nothing unless told to."""
        choice = reading.Choice(board=board, topic=topic, unread=unread, since=since, limit=limit)
        if mark_read:
            return await self._runtime.store.run(
                lambda tx: reading.read_and_mark(tx, find_circle(tx, circle).id, choice)
            )
        return await self._read(lambda tx: reading.read(tx, find_circle(tx, circle).id, choice))

    async def attachment_list(self, circle: str | None, post: str) -> tuple[results.Attachment, ...]:
        """Return the files of a post."""
        return await self._read(
            lambda tx: views.attachments(find_post(tx, find_circle(tx, circle).id, post).attachments)
        )

    async def attachment_save(  # noqa: PLR0913 - what to save, where and how
        self,
        circle: str | None,
        post: str,
        number: int | None = None,
        *,
        to: Path,
        force: bool = False,
        progress: Progress = no_progress,
    ) -> results.SavedFile:
        """Fetch a file (None: the only one) and save it as ``to``, never under the sender's name.

        :raises TargetExistsError: there is something, and ``force`` was not given. :raises RelayGoneError: expired.
        """
        found = await self._circle(circle)
        file = await self._read(lambda tx: find_attachment(find_post(tx, found, post), number))
        path = await saving.save(self._runtime, found, file, target=to, force=force, progress=progress)
        return results.SavedFile(path=path, size=file.size, sha256=file.sha256.hex())

    # ---

    async def _read(self, look: Callable[[Tx], T]) -> T:
        return await self._runtime.store.read(look)

    async def _circle(self, text: str | None) -> bytes:
        return await self._read(lambda tx: find_circle(tx, text).id)

    async def _going_on(self, text: str | None) -> bytes:
        return await self._read(lambda tx: posting.writable(tx, find_circle(tx, text).id).id)

    async def _display_name(self, name: str | None) -> str:
        if name is not None:
            return posting.checked_name(name)
        return await self._read(identity.profile_name)
