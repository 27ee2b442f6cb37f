"""Where a circle's segments stand, and with which keys: rows made from a Charter, and read back."""

from __future__ import annotations

from tertulia.store import log
from tertulia.store.log import ChainRow, SegmentRow
from tertulia.store.tx import Tx
from tertulia_protocol.circle.charter import Charter
from tertulia_protocol.circle.segments import SegAccess, log_config
from tertulia_protocol.codec import parse, serialize
from tertulia_protocol.errors import InternalError
from tertulia_protocol.relay_api.records import Position


def load_segments(tx: Tx, circle_id: bytes, segment_no: int) -> dict[int, SegmentRow]:
    """Return a segment's rows by the relay's place in the Charter. :raises InternalError: it is not stored."""
    found = {row.relay: row for row in log.list_segments(tx, circle_id) if row.segment_no == segment_no}
    if 0 not in found:
        raise InternalError(f"segment {segment_no} is not stored")
    return found


def load_access(tx: Tx, circle_id: bytes, segment_no: int) -> SegAccess:
    """Return the keys of a segment. :raises InternalError: they are not stored."""
    stored = log.get_access(tx, circle_id, segment_no)
    if stored is None:
        raise InternalError(f"the keys of segment {segment_no} are not stored")
    return parse(SegAccess, stored)


def put_segments(tx: Tx, charter: Charter, access: SegAccess, position: Position | None) -> None:
    """Store the segment of a Charter on all its relays. ``position`` is of relay 0; None: the start."""
    circle_id, number = charter.lineage_id, charter.segment_no
    log.put_access(tx, circle_id, number, serialize(access))
    for j, relay in enumerate(charter.transport.relays):
        segment_id = log_config(access.relays[j], relay).segment_id(relay.relay_pk)
        start = position if position is not None and j == 0 else Position.start(segment_id)
        log.put_segment(
            tx,
            SegmentRow(
                circle=circle_id,
                segment_no=number,
                relay=j,
                relay_pk=relay.relay_pk,
                uri=relay.uri,
                segment_id=segment_id,
                start_seq=start.seq,
                seq=start.seq,
                chain=start.chain,
            ),
        )
        log.add_chain(tx, [ChainRow(circle=circle_id, segment_no=number, relay=j, seq=start.seq, chain=start.chain)])
