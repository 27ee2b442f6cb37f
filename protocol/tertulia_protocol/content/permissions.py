"""The one check of a change, made before sending and on receipt.

====  ==================================================================================================
rule  what it demands
====  ==================================================================================================
C1    the id of a new object is made from its creator (its post, its member, or the circle)
C2    a change names the type that its object has
C3    a new object is created by somebody who may create its type
C4    a field is changed by somebody who may change it; some nobody may
C5    an object is retracted by somebody who may retract it
C6    nothing changes a retracted object
C7    a new object has all required fields
C8    a field's value has the field's type and form
C9    a text, a list or a file is not longer than its limit
C10   a name or title is one visible line without control, bidirectional or invisible characters
C11   a body has no control characters but newline and tab, and no bidirectional overrides
C12   a file name is a name and not a path
C13   a topic belongs to a board and a reply to a topic
C14   on an announce-only board coordinators alone open topics
C15   a clock value is within the bound of its segment
C16   a change does not come before the creation of its object
C17   an envelope is a plain value in its one encoding, of limited length and depth (a DecodeError)
====  ==================================================================================================

C17 is judged in :mod:`tertulia_protocol.content.cbor`, C1 to C14 here, C15 by
:func:`tertulia_protocol.content.change.check_lamport` when a post is counted, C16 in
:mod:`tertulia_protocol.content.merge`. Fields that this version does not know are judged by the versions that do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from tertulia_protocol.content.cbor import Value
from tertulia_protocol.content.change import Change, ContentObject
from tertulia_protocol.content.envelope import Op
from tertulia_protocol.content.kinds import Kind, Kinds, Who
from tertulia_protocol.content.types import KINDS
from tertulia_protocol.errors import RuleError, UnsupportedError
from tertulia_protocol.signing import NOBODY


def check_change(
    change: Change, *, existing: ContentObject | None, container: ContentObject | None = None, kinds: Kinds = KINDS
) -> None:
    """Check one change against the object as it is before it (None: it would create the object).

    ``container`` is what a new object belongs to: the board of a topic, the topic of a reply. None means that it is
    not here; whoever sends calls :func:`check_container_is_here` too, whoever receives must wait.

    :raises RuleError: a rule of this module forbids it. :raises UnsupportedError: the type is not known.
    """
    kind = kinds.get(change.envelope.type)
    if kind is None:
        raise UnsupportedError(f"content of type {change.envelope.type}")
    if existing is None:
        check_creation(kind, change, container)
        return
    check_same_type(change, existing)
    check_not_retracted(existing)
    if change.envelope.op is Op.RETRACT:
        check_retract(kind, change, creator=existing.creator)
        return
    check_rights(kind, change, existing)
    check_values(kind, change)


def check_creation(kind: Kind, change: Change, container: ContentObject | None) -> None:
    """Check a change that creates an object. :raises RuleError: C1, C3, C7 to C14."""
    check_identity(kind, change)
    check_creator(kind, change)
    check_values(kind, change)
    if change.envelope.version <= kind.version:
        check_complete(kind, change.envelope.fields)
    if container is not None:
        check_place(kind, change, container)
        check_open(kind, change, container)


def is_allowed(who: Who, change: Change, *, creator: bytes | None) -> bool:
    """Answer whether the author of ``change`` is among ``who``. ``creator`` is the object's, None for nobody's."""
    return bool(
        Who.MEMBERS in who
        or (Who.COORDINATORS in who and change.by_coordinator)
        or (Who.AUTHOR in who and is_author(change, creator))
    )


def is_author(change: Change, creator: bytes | None) -> bool:
    """Answer whether a change comes from the creator; anonymous posts have the same key and no author."""
    return creator == change.member_pk != NOBODY


def check_identity(kind: Kind, change: Change) -> None:
    """Check that a new object's id is made from who creates it, so nobody takes another's. :raises RuleError: C1."""
    expected = kind.object_id(member_pk=change.member_pk, post_id=change.post_id)
    if change.envelope.op is not Op.PUT or change.envelope.object_id != expected:
        raise RuleError("an object's id does not belong to its creator", rule="C1")


def check_same_type(change: Change, existing: ContentObject) -> None:
    """Check that a change is about the object it names. :raises RuleError: C2."""
    if (change.envelope.type, change.envelope.object_id) != (existing.type, existing.object_id):
        raise RuleError("a change names an object of another type", rule="C2")


def check_creator(kind: Kind, change: Change) -> None:
    """Check who creates an object. :raises RuleError: C3."""
    if not is_allowed(kind.create, change, creator=change.member_pk):
        raise RuleError(f"this member may not create content of type {kind.name}", rule="C3")


def check_rights(kind: Kind, change: Change, existing: ContentObject) -> None:
    """Check who changes which field. :raises RuleError: C4."""
    for name in known_fields(kind, change.envelope.fields):
        if not is_allowed(kind.fields[name].change, change, creator=existing.creator):
            raise RuleError(f"this member may not change {kind.name}.{name}", rule="C4")


def check_retract(kind: Kind, change: Change, *, creator: bytes | None) -> None:
    """Check who retracts. :raises RuleError: C5."""
    if not is_allowed(kind.retract, change, creator=creator):
        raise RuleError(f"this member may not retract this content of type {kind.name}", rule="C5")


def check_not_retracted(existing: ContentObject) -> None:
    """Check that an object is still there. :raises RuleError: C6."""
    if existing.retracted:
        raise RuleError("the object was retracted", rule="C6")


def check_complete(kind: Kind, fields: Mapping[str, Value]) -> None:
    """Check that a new object has what it needs. :raises RuleError: C7."""
    missing = kind.required - set(fields)
    if missing:
        raise RuleError(f"{kind.name} without {', '.join(sorted(missing))}", rule="C7")


def check_values(kind: Kind, change: Change) -> None:
    """Check the values of all known fields. :raises RuleError: C8 to C12.

    What a newer version wrote may have another form: it is kept, and shown as a stub where it does not fit.
    """
    if change.envelope.version > kind.version:
        return
    for name, value in known_fields(kind, change.envelope.fields).items():
        kind.fields[name].check(typed_value(kind, name, value))


def typed_value(kind: Kind, name: str, value: Value) -> Any:  # noqa: ANN401 - a field can have any type
    """Return the value of a field as its type. :raises RuleError: C8."""
    try:
        return msgspec.convert(value, kind.hints[name])
    except msgspec.ValidationError:
        # The original message may repeat what was written.
        raise RuleError(f"{kind.name}.{name} has another form", rule="C8") from None


def check_place(kind: Kind, change: Change, container: ContentObject) -> None:
    """Check that a new object belongs where it says. :raises RuleError: C13."""
    if kind.place is None:
        return
    named = change.envelope.fields.get(kind.place.field)
    if (container.type, container.object_id) != (kind.place.container, named):
        raise RuleError(f"{kind.name} does not belong to this {kind.place.container}", rule="C13")


def check_container_is_here(kind: Kind, container: ContentObject | None) -> None:
    """Check, before sending, that what a new object belongs to is known and not retracted. :raises RuleError: C13."""
    if kind.place is not None and (container is None or container.retracted):
        raise RuleError(f"there is no {kind.place.container} for this {kind.name}", rule="C13")


def check_open(kind: Kind, change: Change, container: ContentObject) -> None:
    """Check that the container takes something from this member. :raises RuleError: C14."""
    closed_by = kind.place.closed_by if kind.place is not None else None
    if closed_by is not None and container.fields.get(closed_by, False) is not False and not change.by_coordinator:
        raise RuleError(f"only coordinators may put a {kind.name} here", rule="C14")


def known_fields(kind: Kind, fields: Mapping[str, Value]) -> dict[str, Value]:
    """Return those fields that this version knows."""
    return {name: value for name, value in fields.items() if name in kind.fields}
