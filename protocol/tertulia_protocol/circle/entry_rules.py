"""Is an entry for this group, and from a member? Rules V1 to V3, E4 and E22 (docs/protocol, "Commits").

What fails here is junk that anybody with the segment's keys can write: it is skipped silently.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tertulia_protocol.circle.aad import EntryAAD
from tertulia_protocol.circle.entries import REPAIR, InnerHeader
from tertulia_protocol.codec import parse
from tertulia_protocol.errors import InvalidMessageError, RuleError
from tertulia_protocol.mls.commit import Commit
from tertulia_protocol.mls.framing import PrivateMessage, SenderType
from tertulia_protocol.mls.group import Group
from tertulia_protocol.mls.group_state import GroupState, Opened, leaf_at
from tertulia_protocol.mls.mls_message import MLSMessage


@contextmanager
def as_rule(rule: str) -> Iterator[None]:
    """Let whatever is wrong with bytes from outside be told as a broken rule."""
    try:
        yield
    except InvalidMessageError as error:
        if isinstance(error, RuleError) and error.rule == rule:
            raise
        raise RuleError(error.detail, rule=rule) from error


# --- V1 to V3: is it for this group, and from a member? ------------------------------------------------------------


def check_entry(header: InnerHeader, body: bytes, group: GroupState) -> tuple[PrivateMessage, EntryAAD]:
    """Check the entry around an MLS message, before any key is used (V1, V2, E22); return what is inside.

    Segment and log are checked with the header alone: ``entries.check_place``.

    :raises RuleError: junk; skip the entry silently.
    """
    with as_rule("V1"):
        message = read_message(body)
    check_v1(header, message, group)
    with as_rule("V2"):
        aad = parse(EntryAAD, message.authenticated_data)
    check_v2(header, aad)
    return message, aad


def read_message(body: bytes) -> PrivateMessage:
    """Return the PrivateMessage in an entry (V1): no other MLS message belongs into a log. :raises RuleError: another.

    A PublicMessage would show the relay's operator, once it has the segment's keys, who says what.
    """
    message = parse(MLSMessage, body).body
    if not isinstance(message, PrivateMessage):
        raise RuleError(f"a {type(message).__name__} in the log", rule="V1")
    return message


def check_v1(header: InnerHeader, message: PrivateMessage, group: GroupState) -> None:
    """V1: the message is for my group and my epoch, and the header says the same (E22).

    Otherwise entries could be replayed from other groups, or a header could claim another epoch than its content.
    """
    if message.group_id != group.group_id:
        raise RuleError("a message of another group", rule="V1")
    if message.epoch != group.epoch or header.epoch != message.epoch:
        raise RuleError(f"a message of epoch {message.epoch} in epoch {group.epoch}", rule="V1")


def check_v2(header: InnerHeader, aad: EntryAAD) -> None:
    """V2: the author signed this very header.

    Otherwise whoever copies the message into another entry could put other claims into its author's mouth: another
    segment, another parent, a repair.
    """
    if aad.header_hash != header.hash():
        raise RuleError("the header is not the one that the author signed", rule="V2")


def check_v3(opened: Opened[Group]) -> None:
    """V3: the sender is a member. Nobody joins or speaks from outside."""
    if opened.content.content.sender.type is not SenderType.MEMBER:
        raise RuleError("the sender is not a member", rule="V3")
    leaf_at(opened.group.tree, opened.sender)


def check_no_coord(opened: Opened[Group], aad: EntryAAD) -> None:
    """E7: only commits carry the coordinators' secret. :raises RuleError: another message does."""
    if not isinstance(opened.body, Commit) and aad.coord is not None:
        raise RuleError("a coordinators' secret outside of a commit", rule="E7")


# --- E4: a commit in the place of one that could not be followed ---------------------------------------------------


def check_repair(header: InnerHeader, refused: bytes) -> None:
    """E4: who is stuck takes only the repair of what it refused, not a loser of a race that lies in the log too.

    :param refused: the 12 bytes of ``entries.repair_of`` for the entry that made us stuck.
    :raises RuleError: it is another commit.
    """
    if header.flags != REPAIR or header.rsv != refused:
        raise RuleError("a commit that repairs nothing", rule="E4")
