"""What a newcomer is given of the time before, and how it is taken in (docs/protocol, "History")."""

from __future__ import annotations

from collections.abc import Iterator

from tertulia.circle import Circle
from tertulia.counting import count_forwarded
from tertulia.store import content
from tertulia.store.content import ChangeRow
from tertulia.store.tx import Tx
from tertulia_protocol.circle.charter import HistoryMode
from tertulia_protocol.circle.history import ForwardedPost, HistoryRange, Place, build_pack, is_forwarded, process_pack
from tertulia_protocol.circle.payload import Payload
from tertulia_protocol.codec import parse
from tertulia_protocol.content.types import PROFILE
from tertulia_protocol.errors import InvalidMessageError


def build(tx: Tx, circle_id: bytes, *, chosen: HistoryRange, now: int, before: Place) -> bytes:
    """Return the history pack for a newcomer whose own reading begins at ``before``.

    :raises UsageError: longer than a pack may be.
    """
    rows = {(row.segment_no, row.seq): row for row in content.all_changes(tx, circle_id) if row.seq > 0}
    posts = {place: _to_post(row) for place, row in rows.items()}
    given = {place: post for place, post in posts.items() if is_forwarded(post, chosen, now=now, before=before)}
    known = _known(Circle.load(tx, circle_id), chosen, (rows[place] for place in given))
    return build_pack(
        (post for place, post in given.items() if rows[place].object_type != PROFILE.name or post.member_pk in known),
        chosen=chosen,
        lineage_id=circle_id,
        now=now,
        before=before,
    )


def _known(circle: Circle, chosen: HistoryRange, given: Iterator[ChangeRow]) -> frozenset[bytes]:
    """Return whose profiles a newcomer gets: of the members, and of the authors of what it can read.

    Whoever has left and wrote nothing that is given stays unnamed.
    """
    authors = {row.member_pk for row in given if row.object_type != PROFILE.name or chosen.mode is HistoryMode.ALL}
    return frozenset(circle.members()) | authors


def _to_post(row: ChangeRow) -> ForwardedPost:
    return ForwardedPost(
        member_pk=row.member_pk,
        device_id=row.device_id,
        by_coordinator=bool(row.by_coordinator),
        segment_no=row.segment_no,
        seq=row.seq,
        payload=parse(Payload, row.payload),
    )


def take_in(tx: Tx, circle_id: bytes, data: bytes, *, before: Place, forwarded_by: bytes) -> int:
    """Count the posts of a pack, shown as forwarded by a coordinator (member_pk); return how many were new.

    :raises InvalidMessageError: the pack is not valid; nothing of it is kept.
    """
    pack = process_pack(data, lineage_id=circle_id, before=before)
    circle = Circle.load(tx, circle_id)
    count = sum(_count(circle, post, forwarded_by) for post in pack.posts)
    circle.save()
    return count


def _count(circle: Circle, post: ForwardedPost, forwarded_by: bytes) -> bool:
    try:
        return count_forwarded(circle, post, forwarded_by=forwarded_by)
    except InvalidMessageError:
        # One post that counts for nobody does not cost the others.
        return False
