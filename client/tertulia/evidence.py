"""What heads prove: that the relay has shown two histories, or has lost entries (docs/protocol, "The chain").

Only different chain values at one (segment, seq) are evidence. Another state or day of the same place is not (E23).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tertulia.circle import Circle
from tertulia.errors import BadAnswerError
from tertulia.states import State
from tertulia.store import events, log
from tertulia.store.log import EvidenceRow
from tertulia_protocol.codec import Writer, parse, serialize
from tertulia_protocol.relay_api.records import Position, SignedHead
from tertulia_protocol.relay_api.responses import Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What a verified head and the entries before it show. ``places``: the positions after each entry."""

    places: tuple[Position, ...]
    fork: bool
    rolled_back: bool


def check_gapless(position: Position, entries: Sequence[Entry], head: SignedHead) -> None:
    """Check that entries follow each other from our position and stay within the head.

    :raises BadAnswerError: an entry is missing, or stands beyond what the relay has signed.
    """
    expected = range(position.seq + 1, position.seq + 1 + len(entries))
    if [entry.seq for entry in entries] != list(expected):
        raise BadAnswerError("entries are not in order")
    if entries and entries[-1].seq > head.position.seq:
        raise BadAnswerError("entries beyond the head")


def compare(circle: Circle, head: SignedHead, entries: Sequence[Entry], hashes: Sequence[bytes]) -> Comparison:
    """Compare a verified head with what we have and with what came before it. :param hashes: SHA-256 of each entry.

    :raises BadAnswerError: see :func:`check_gapless`.
    """
    check_gapless(circle.position, entries, head)
    places, position = [], circle.position
    for digest in hashes:
        position = position.after(digest)
        places.append(position)
    known = {place.seq: place.chain for place in places}
    heads = [head.position]
    if circle.segment_row.head is not None:
        heads.append(parse(SignedHead, circle.segment_row.head).position)
    fork = any(is_other(circle, place, known) for place in heads) or is_split(*heads)
    return Comparison(places=tuple(places), fork=fork, rolled_back=head.position.seq < circle.position.seq)


def is_other(circle: Circle, place: Position, new: dict[int, bytes]) -> bool:
    """Answer whether our chain, or that of the entries that came now, has another value at ``place``."""
    ours = new.get(place.seq) or log.get_chain(circle.tx, circle.id, circle.segment_no, place.seq)
    return ours is not None and ours != place.chain


def is_split(head: Position, earlier: Position | None = None) -> bool:
    """Answer whether two signed heads alone prove it: one place, two chain values."""
    return earlier is not None and head.seq == earlier.seq and head.chain != earlier.chain


def raise_fork_alarm(circle: Circle, head: SignedHead, *, now: int) -> None:
    """Stop reading and sending, and keep both heads for people to look at."""
    evidence = Writer()
    evidence.opaque(circle.segment_row.head or b"")
    evidence.opaque(serialize(head))
    circle.position.encode(evidence)
    log.add_evidence(circle.tx, EvidenceRow(circle=circle.id, kind="fork", at=now, data=evidence.getvalue()))
    circle.move_to(State.FORK_ALARM, head.position.seq.to_bytes(8, "big"))
    events.add(circle.tx, "fork_alarm", circle=circle.id, at=now, segment=circle.segment_no, seq=head.position.seq)


def note_rollback(circle: Circle, head: SignedHead, *, now: int) -> None:
    """Keep the head that shows that the relay has lost entries; they are put back by ``sync``."""
    log.add_evidence(circle.tx, EvidenceRow(circle=circle.id, kind="rollback", at=now, data=serialize(head)))
    lost = circle.position.seq - head.position.seq
    events.add(circle.tx, "rollback", circle=circle.id, at=now, segment=circle.segment_no, lost=lost)
