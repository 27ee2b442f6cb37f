"""How a request ends inside the rules: an outcome, or a refusal that changed nothing."""

from __future__ import annotations

from dataclasses import dataclass

from tertulia_protocol.codec import Struct, serialize
from tertulia_protocol.relay_api.responses import AppendedBody, BusyBody, Status

MAX_RETRY_SECONDS = 65535


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The status, the body, and the segment whose head goes with it (None: no head)."""

    status: Status = Status.OK
    body: bytes = b""
    head_of: bytes | None = None


class Refusal(Exception):  # noqa: N818 - an answer of the protocol, no error of ours
    """A rule says no. Whoever raises it has changed nothing.

    ``head_of`` names the segment (32 bytes) whose head the requester, whose signature held, may see.
    """

    def __init__(self, status: Status, *, body: Struct | None = None, head_of: bytes | None = None) -> None:
        super().__init__(status.name)
        self.outcome = Outcome(status=status, body=b"" if body is None else serialize(body), head_of=head_of)


def busy(seconds: float, *, head_of: bytes | None = None) -> Refusal:
    """Return the refusal that says when to come back: at least 1, at most 65535 seconds."""
    whole = min(MAX_RETRY_SECONDS, max(1, int(-(-seconds // 1))))
    return Refusal(Status.BUSY, body=BusyBody(whole), head_of=head_of)


def appended(status: Status, seq: int, segment_id: bytes) -> Outcome:
    """Return the outcome of APPEND and SEAL: the entry's place and the head."""
    return Outcome(status=status, body=serialize(AppendedBody(seq)), head_of=segment_id)
