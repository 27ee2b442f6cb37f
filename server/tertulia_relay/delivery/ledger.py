"""One transaction in memory: the rows as the writes before this one left them, and what changed."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from tertulia_protocol.relay_api.records import Position
from tertulia_relay.delivery.quotas import used_by
from tertulia_relay.storage.interface import BlobRow, Changes, CodeRow, Found, NewEntry, SegmentRow


class Ledger:
    """The rows of a batch. A write reads, checks everything, and only then puts; so a refused one leaves no trace.

    ``utc_day`` and ``now`` (monotonic seconds) are the same for the whole batch. ``charged`` (rate units) and
    ``freezes``, by segment, belong to memory and are booked by the writer after the commit.
    """

    def __init__(self, found: Found, *, utc_day: int, now: float) -> None:
        self.utc_day = utc_day
        self.now = now
        self.charged: Counter[bytes] = Counter()
        self.freezes: Counter[bytes] = Counter()
        self.grown: set[bytes] = set()
        self.dropped: set[bytes] = set()
        self._stored = found
        self._segments = dict(found.segments)
        self._places = dict(found.entries)
        self._blobs = dict(found.blobs)
        self._codes = dict(found.codes)
        self._entries: dict[bytes, list[NewEntry]] = {}
        self._data: dict[bytes, bytes] = {}

    def segment(self, segment_id: bytes) -> SegmentRow | None:
        """Return the segment (32-byte id) as it is now."""
        return self._segments.get(segment_id)

    def place(self, segment_id: bytes, entry_hash: bytes) -> int | None:
        """Return where an entry (SHA-256) already stands in the segment."""
        return self._places.get((segment_id, entry_hash))

    def blob(self, blob_id: bytes) -> BlobRow | None:
        """Return the blob (32-byte id)."""
        return self._blobs.get(blob_id)

    def code(self, code_hash: bytes) -> CodeRow | None:
        """Return the enrolment code with this SHA-256."""
        return self._codes.get(code_hash)

    def append(self, row: SegmentRow, *, entry_hash: bytes, data: bytes) -> SegmentRow:
        """Add an entry after the head and return the segment with its new head."""
        position = Position(row.head, row.chain).after(entry_hash)
        self._entries.setdefault(row.id, []).append(
            NewEntry(segment_id=row.id, seq=position.seq, hash=entry_hash, data=data)
        )
        self._places[row.id, entry_hash] = position.seq
        grown = replace(row, head=position.seq, chain=position.chain, used=used_by(row, length=len(data)))
        self.put_segment(grown)
        return grown

    def put_segment(self, row: SegmentRow) -> None:
        """Make or change a segment; its readers are told after the commit."""
        self._segments[row.id] = row
        self.grown.add(row.id)

    def drop_segment(self, segment_id: bytes) -> None:
        """Delete a segment with all it holds."""
        del self._segments[segment_id]
        self._entries.pop(segment_id, None)
        self._places = {key: seq for key, seq in self._places.items() if key[0] != segment_id}
        self.grown.add(segment_id)
        self.dropped.add(segment_id)

    def put_blob(self, row: BlobRow, data: bytes | None = None) -> None:
        """Store a blob with its bytes, or change one that is there."""
        self._blobs[row.id] = row
        if data is not None:
            self._data[row.id] = data

    def drop_blob(self, blob_id: bytes) -> None:
        """Delete a blob."""
        del self._blobs[blob_id]
        self._data.pop(blob_id, None)

    def put_code(self, row: CodeRow) -> None:
        """Make or change an enrolment code."""
        self._codes[row.hash] = row

    def changes(self) -> Changes:
        """Return everything that differs from the database."""
        old = self._stored
        changes = Changes()
        changes.dropped_segments = self.dropped & old.segments.keys()
        changes.dropped_blobs = {i for i in old.blobs if i not in self._blobs or i in self._data}
        changes.new_entries = [entry for entries in self._entries.values() for entry in entries]
        changes.new_blobs = [(self._blobs[blob_id], data) for blob_id, data in self._data.items()]
        changes.new_codes = [row for key, row in self._codes.items() if key not in old.codes]
        changes.codes = [row for key, row in self._codes.items() if key in old.codes and row != old.codes[key]]
        changes.blobs = [
            row
            for key, row in self._blobs.items()
            if key in old.blobs and key not in changes.dropped_blobs and row != old.blobs[key]
        ]
        for key, row in self._segments.items():
            if key not in old.segments or key in changes.dropped_segments:
                changes.new_segments.append(row)
            elif row != old.segments[key]:
                changes.segments.append(row)
        return changes
