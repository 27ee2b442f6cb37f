"""A relay that lies: in front of a real one it shows logs of its own, validly signed."""

from __future__ import annotations

import hashlib

from tertulia_protocol.codec import parse, serialize
from tertulia_protocol.relay_api.addresses import RelayAddr
from tertulia_protocol.relay_api.records import HeadState, Position, SignedHead
from tertulia_protocol.relay_api.requests import Op, ReadArgs, Request
from tertulia_protocol.relay_api.responses import EntriesBody, Entry, Response, Status
from tests.support.memory_relay import MemoryRelay, MemoryTransport


class LyingTransport(MemoryTransport):
    """Answers READ from a log of its own where the test has set one; everything else goes to the real relay."""

    def __init__(self, relay: MemoryRelay) -> None:
        super().__init__(relay)
        self.relay = relay
        self.logs: dict[bytes, list[bytes]] = {}
        """The entries that a segment is said to have."""
        self.state = HeadState.OPEN
        self.hide_last: int = 0
        """How many of the newest entries READ leaves out although the head counts them."""

    async def send(self, address: RelayAddr, request: Request, *, stream: str) -> Response:
        if request.op == Op.READ and request.segment_id in self.logs:
            return self._read(request)
        return await super().send(address, request, stream=stream)

    def _read(self, request: Request) -> Response:
        entries = self.logs[request.segment_id]
        after = parse(ReadArgs, request.args).after_seq
        shown = entries[: len(entries) - self.hide_last]
        body = EntriesBody(tuple(Entry(seq, data) for seq, data in enumerate(shown, 1) if seq > after))
        return Response(
            status=Status.OK,
            nonce=request.nonce,
            head=self.sign(request.segment_id, position_of(request.segment_id, entries)),
            body=serialize(body),
        )

    def sign(self, segment_id: bytes, position: Position) -> SignedHead:
        """Sign any head."""
        return SignedHead.make(
            relay_key=self.relay.key, segment_id=segment_id, position=position, state=self.state, utc_day=20_000
        )


def position_of(segment_id: bytes, entries: list[bytes]) -> Position:
    """Return the position after all of these entries."""
    position = Position.start(segment_id)
    for entry in entries:
        position = position.after(hashlib.sha256(entry).digest())
    return position


def tampered(entry: bytes) -> bytes:
    """Return an entry of the same length that does not open."""
    return bytes((entry[0] ^ 1,)) + entry[1:]
