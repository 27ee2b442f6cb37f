"""History packs: what a newcomer is given of the time before (docs/protocol, "History").

The coordinator who approves chooses nothing, the last days or all, and vouches for the pack; each post in it is shown
as forwarded. The names of the circle, its boards and its members are in every pack. It is no more than a list of
payloads with who wrote them and where they stood, in the order of the log.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final, Self

from tertulia_protocol.circle.charter import HistoryMode
from tertulia_protocol.circle.identity import DEVICE_ID_LENGTH, LINEAGE_ID_LENGTH
from tertulia_protocol.circle.payload import MINUTE, Payload, PayloadType
from tertulia_protocol.codec import Reader, Writer, parse, serialize
from tertulia_protocol.content.change import check_lamport
from tertulia_protocol.content.envelope import Envelope
from tertulia_protocol.content.types import BOARD, CIRCLE, PROFILE
from tertulia_protocol.errors import DecodeError, RuleError, UnsupportedError, UsageError
from tertulia_protocol.relay_api.records import check_seq

VERSION: Final = 1
MAX_POSTS: Final = 100_000
MAX_BYTES: Final = 64 * 1024 * 1024
"""The longest pack in bytes that is made or taken."""

DAY_MINUTES: Final = 24 * 60
FORWARDED_TYPES: Final = frozenset(
    {PayloadType.POST, PayloadType.EDIT, PayloadType.REDACT, PayloadType.REACTION, PayloadType.ATTACH, PayloadType.POLL}
)
"""What newcomers get; the rest is between those who were there."""

STRUCTURE: Final = frozenset({CIRCLE.name, BOARD.name, PROFILE.name})
"""The types of content that every newcomer gets."""

Place = tuple[int, int]
"""(segment_no, seq)."""


@dataclass(frozen=True, slots=True)
class HistoryRange:
    """What the coordinator chose. ``days`` belongs to ``DAYS`` alone."""

    mode: HistoryMode
    days: int = 0

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """:raises DecodeError: unknown, or days where none belong."""
        mode, days = reader.u8(), reader.u16()
        if mode not in tuple(HistoryMode) or (mode == HistoryMode.DAYS) != (days > 0):
            raise DecodeError("a history range that makes no sense")
        return cls(HistoryMode(mode), days)

    def encode(self, writer: Writer) -> None:
        """:raises OverflowError: too many days."""
        writer.u8(self.mode)
        writer.u16(self.days)

    def first_minute(self, now: int) -> int:
        """Return from which minute on posts are given. :param now: seconds since 1970."""
        return max(0, now // MINUTE - self.days * DAY_MINUTES) if self.mode is HistoryMode.DAYS else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardedPost:
    """One post of the past: who wrote it, whether as a coordinator, where it stood, and its Payload as it was sent."""

    member_pk: bytes
    device_id: bytes
    by_coordinator: bool
    segment_no: int
    seq: int
    payload: Payload = field(repr=False)

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """:raises InvalidMessageError: malformed."""
        post = cls(
            member_pk=reader.raw(32),
            device_id=reader.raw(DEVICE_ID_LENGTH),
            by_coordinator=_boolean(reader),
            segment_no=reader.u32(),
            seq=reader.u64(),
            payload=parse(Payload, reader.opaque()),
        )
        check_seq(post.seq)
        return post

    def encode(self, writer: Writer) -> None:
        """:raises ValueError: a field has another length."""
        writer.fixed(self.member_pk, 32)
        writer.fixed(self.device_id, DEVICE_ID_LENGTH)
        writer.u8(int(self.by_coordinator))
        writer.u32(self.segment_no)
        writer.u64(self.seq)
        writer.opaque(serialize(self.payload))

    @property
    def place(self) -> Place:
        """Where it stood in the log."""
        return self.segment_no, self.seq


def _boolean(reader: Reader) -> bool:
    value = reader.u8()
    if value > 1:
        raise DecodeError(f"{value} where yes or no belongs")
    return bool(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryPack:
    """The posts that a newcomer is given, in the order of the log."""

    lineage_id: bytes
    range: HistoryRange
    posts: tuple[ForwardedPost, ...] = field(repr=False)
    version: int = VERSION

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """:raises UnsupportedError: another version. :raises InvalidMessageError: malformed."""
        version = reader.u8()
        check_pack_version(version)
        return cls(
            version=version,
            lineage_id=reader.raw(LINEAGE_ID_LENGTH),
            range=HistoryRange.decode(reader),
            posts=reader.vector(ForwardedPost.decode),
        )

    def encode(self, writer: Writer) -> None:
        """:raises ValueError: a field has another length."""
        writer.u8(self.version)
        writer.fixed(self.lineage_id, LINEAGE_ID_LENGTH)
        self.range.encode(writer)
        writer.vector(self.posts)


def check_pack_version(version: int) -> None:
    """Check that a pack can be understood. :raises UnsupportedError: another version."""
    if version != VERSION:
        raise UnsupportedError(f"history pack version {version}")


def is_forwarded(post: ForwardedPost, chosen: HistoryRange, *, now: int, before: Place) -> bool:
    """Answer whether a newcomer gets this post: its author shares it, and it is of the time that was chosen.

    What makes the circle what it is now (:func:`is_structure`) is given whatever was chosen.
    """
    payload = post.payload
    chosen_time = chosen.mode is not HistoryMode.NONE and payload.minute >= chosen.first_minute(now)
    return (
        payload.share
        and payload.type in FORWARDED_TYPES
        and post.place < before
        and (chosen_time or is_structure(payload))
    )


def is_structure(payload: Payload) -> bool:
    """Answer whether a post names the circle, a board or a member: without these nobody could take part."""
    if payload.type != PayloadType.POST:
        return False
    try:
        return Envelope.decode(payload.body).type in STRUCTURE
    except DecodeError:
        return False


def build_pack(
    posts: Iterable[ForwardedPost], *, chosen: HistoryRange, lineage_id: bytes, now: int, before: Place
) -> bytes:
    """Return the pack of those among ``posts`` that a newcomer is given, in the order of the log.

    :param now: seconds since 1970. :param before: the place of the commit that adds the newcomer.
    :raises UsageError: it would be longer than ``MAX_BYTES`` or have more than ``MAX_POSTS``.
    """
    given = sorted((post for post in posts if is_forwarded(post, chosen, now=now, before=before)), key=_place)
    data = serialize(HistoryPack(lineage_id=lineage_id, range=chosen, posts=tuple(given)))
    if len(data) > MAX_BYTES or len(given) > MAX_POSTS:
        raise UsageError("the history is too long for one pack: choose fewer days")
    return data


def _place(post: ForwardedPost) -> Place:
    return post.place


def process_pack(data: bytes, *, lineage_id: bytes, before: Place) -> HistoryPack:
    """Read and check a pack. :param before: the joiner's own first place.

    :raises InvalidMessageError: too long, malformed, of another circle, out of order, or with what does not belong.
    """
    check_pack_size(data)
    pack = parse(HistoryPack, data)
    check_pack_lineage(pack, lineage_id)
    check_pack_count(pack.posts)
    check_pack_order(pack.posts)
    check_pack_end(pack.posts, before)
    check_pack_types(pack.posts)
    check_pack_share(pack.posts)
    check_pack_posts_differ(pack.posts)
    check_pack_lamports(pack.posts)
    return pack


def check_pack_size(data: bytes) -> None:
    """Check that a pack is not too long to read. :raises DecodeError: more than ``MAX_BYTES``."""
    if len(data) > MAX_BYTES:
        raise DecodeError(f"a history pack of {len(data)} bytes")


def check_pack_lineage(pack: HistoryPack, lineage_id: bytes) -> None:
    """Check that a pack is of this circle. :raises RuleError: of another."""
    if pack.lineage_id != lineage_id:
        raise RuleError("a history pack of another circle", rule="history.lineage")


def check_pack_count(posts: Sequence[ForwardedPost]) -> None:
    """Check the number of posts. :raises RuleError: more than ``MAX_POSTS``."""
    if len(posts) > MAX_POSTS:
        raise RuleError(f"a history pack of {len(posts)} posts", rule="history.count")


def check_pack_order(posts: Sequence[ForwardedPost]) -> None:
    """Check that each post stands after the one before it. :raises RuleError: out of order, or twice."""
    if any(later.place <= earlier.place for earlier, later in pairwise(posts)):
        raise RuleError("a history pack is out of order", rule="history.order")


def check_pack_end(posts: Sequence[ForwardedPost], before: Place) -> None:
    """Check that no post stands where the joiner reads for itself. :raises RuleError: one does.

    Otherwise the pack could put words into a member's mouth that the log would then seem to repeat.
    """
    if any(post.place >= before for post in posts):
        raise RuleError("a history pack reaches into the present", rule="history.end")


def check_pack_types(posts: Sequence[ForwardedPost]) -> None:
    """Check that there are only posts and what belongs to them. :raises RuleError: something else is there."""
    if any(post.payload.type not in FORWARDED_TYPES for post in posts):
        raise RuleError("a history pack has more than posts", rule="history.types")


def check_pack_share(posts: Sequence[ForwardedPost]) -> None:
    """Check that every author lets newcomers see it. :raises RuleError: one does not."""
    if not all(post.payload.share for post in posts):
        raise RuleError("a history pack has posts that are not for newcomers", rule="history.share")


def check_pack_posts_differ(posts: Sequence[ForwardedPost]) -> None:
    """Check that no post stands there twice: the first counts, the others were skipped. :raises RuleError: one does."""
    if len({(post.member_pk, post.payload.post_id) for post in posts}) != len(posts):
        raise RuleError("a history pack has a post twice", rule="history.twice")


def check_pack_lamports(posts: Sequence[ForwardedPost]) -> None:
    """Check the logical times as every reader of the log did (C15). :raises RuleError: one is out of bounds.

    A time from far ahead would win over whatever is written from now on.
    """
    for post in posts:
        check_lamport(post.payload.lamport, segment_no=post.segment_no)
