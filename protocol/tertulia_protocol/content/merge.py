"""From a set of changes to an object: the same for everybody, whatever arrived first and however often.

A fold over the changes in the order (lamport, member, post). Rights are judged along that order, with the facts that
come from the log (who wrote it, whether as a coordinator), so a change that is not allowed is ignored by everybody.

1. The *founding* change is the first one that creates the object (rules C1, C3, C7 to C14). It fixes type and owner.
2. A retraction by somebody who may retract is final, wherever in the order it stands. Bodies can be erased at once,
   and no change with an older or a newer date brings them back.
3. All other changes after the founding one, if allowed, set their fields: the last one wins, per field.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import msgspec

from tertulia_protocol.content.cbor import Value
from tertulia_protocol.content.change import Change, ContentObject, OrderKey
from tertulia_protocol.content.envelope import Op
from tertulia_protocol.content.kinds import Content, Identity, Kind, Kinds, Unknown, Who, post_object_id
from tertulia_protocol.content.permissions import (
    check_change,
    check_creator,
    check_identity,
    is_allowed,
    known_fields,
    typed_value,
)
from tertulia_protocol.content.types import KINDS
from tertulia_protocol.errors import RuleError, UnsupportedError


def merge(
    changes: Iterable[Change], *, container: ContentObject | None = None, kinds: Kinds = KINDS
) -> ContentObject | None:
    """Return the object that ``changes`` make together, None if none of them creates it.

    :param changes: all changes of one object id, in any order, with or without duplicates.
    :param container: what the object belongs to (see :func:`container_id`), None if it is not here.
    :raises ValueError: the changes are of several objects.
    """
    ordered = in_order(changes)
    retracted = _retracted(ordered, kinds)
    if retracted is not None:
        return retracted
    founding = _founding(ordered, container, kinds)
    if founding is None:
        return _stub(ordered, kinds)
    kind = kinds[founding.envelope.type]
    found = _found(kind, founding, waiting=kind.place is not None and container is None)
    for change in ordered:
        if is_after_founding(change, founding):
            found = _apply(kind, found, change, kinds)
    return replace(found, content=_content(kind, found))


def in_order(changes: Iterable[Change]) -> Sequence[Change]:
    """Return the changes in the order in which they apply, each once. :raises ValueError: of several objects."""
    by_key: dict[OrderKey, list[Change]] = {}
    for change in changes:
        by_key.setdefault(change.order, []).append(change)
    ordered = [change for key in sorted(by_key) for change in _each_once(by_key[key])]
    if len({change.envelope.object_id for change in ordered}) > 1:
        raise ValueError("changes of several objects")
    return ordered


def _each_once(group: Sequence[Change]) -> Sequence[Change]:
    """Return the changes of one post without duplicates; the bytes settle an order that should not be needed."""
    if len(group) == 1:
        return group
    by_bytes = {(change.envelope.encode(), change.by_coordinator): change for change in group}
    return [by_bytes[key] for key in sorted(by_bytes)]


def container_id(change: Change, *, kinds: Kinds = KINDS) -> bytes | None:
    """Return the id (16 bytes) of what the object of ``change`` says it belongs to, None if it names nothing."""
    kind = kinds.get(change.envelope.type)
    named = change.envelope.fields.get(kind.place.field) if kind is not None and kind.place is not None else None
    return named if isinstance(named, bytes) else None


def is_after_founding(change: Change, founding: Change) -> bool:
    """Answer whether ``change`` follows the creation of its object (C16): nobody edits what they cannot have seen."""
    return change.order > founding.order


def erase(change: Change, *, kinds: Kinds = KINDS) -> Change:
    """Return a change of a retracted object with nothing left of what was written but the place it was written at.

    A client stores this instead; :func:`merge` makes the same tombstone of it.
    """
    kind = kinds.get(change.envelope.type)
    envelope = replace(change.envelope, fields=_place_alone(kind, change.envelope.fields), extra={})
    return replace(change, envelope=envelope)


def _place_alone(kind: Kind | None, fields: Mapping[str, Value]) -> dict[str, Value]:
    name = kind.place.field if kind is not None and kind.place is not None else None
    return {name: fields[name]} if name is not None and name in fields else {}


def _retracted(ordered: Sequence[Change], kinds: Kinds) -> ContentObject | None:
    """Return the tombstone of an object that somebody retracted who may, None if nobody did.

    Looks at no field: whoever erased what was written sees the same as whoever has it still.
    """
    claim = next((change for change in ordered if _is_claim(change, kinds)), None)
    if claim is None:
        return None
    kind = kinds[claim.envelope.type]
    found = _found(kind, claim, waiting=False)
    for change in ordered:
        if change.envelope.op is Op.RETRACT and _is_allowed_change(change, found, kinds):
            return replace(
                found,
                fields=_place_alone(kind, found.fields),
                last_lamport=change.lamport,
                retracted_by=change.member_pk,
            )
    return None


def _is_claim(change: Change, kinds: Kinds) -> bool:
    kind = kinds.get(change.envelope.type)
    if kind is None:
        return False
    try:
        check_identity(kind, change)
        check_creator(kind, change)
    except RuleError:
        return False
    return True


def _is_allowed_change(change: Change, found: ContentObject, kinds: Kinds) -> bool:
    try:
        check_change(change, existing=found, kinds=kinds)
    except (RuleError, UnsupportedError):
        return False
    return True


def _founding(ordered: Sequence[Change], container: ContentObject | None, kinds: Kinds) -> Change | None:
    for change in ordered:
        try:
            check_change(change, existing=None, container=container, kinds=kinds)
        except (RuleError, UnsupportedError):
            continue
        return change
    return None


def _found(kind: Kind, founding: Change, *, waiting: bool) -> ContentObject:
    return ContentObject(
        type=kind.name,
        version=founding.envelope.version,
        object_id=founding.envelope.object_id,
        creator=None if kind.identity is Identity.CIRCLE else founding.member_pk,
        content=None,
        fields=dict(founding.envelope.fields),
        first_lamport=founding.lamport,
        last_lamport=founding.lamport,
        waiting=waiting,
    )


def _apply(kind: Kind, found: ContentObject, change: Change, kinds: Kinds) -> ContentObject:
    changed = _changed_fields(kind, found, change) if _is_allowed_change(change, found, kinds) else {}
    if not changed:
        return found
    return replace(
        found,
        version=max(found.version, change.envelope.version),
        fields={**found.fields, **changed},
        last_lamport=change.lamport,
        edited=True,
    )


def _changed_fields(kind: Kind, found: ContentObject, change: Change) -> dict[str, Value]:
    """Return what a change that is allowed sets. Fields that are not known here are nobody's toy: owner only."""
    if is_allowed(Who.AUTHOR | Who.COORDINATORS, change, creator=found.creator):
        return dict(change.envelope.fields)
    return known_fields(kind, change.envelope.fields)


def _content(kind: Kind, found: ContentObject) -> Content:
    """Return the typed fields, or a stub where a newer version wrote what does not fit."""
    try:
        known = known_fields(kind, found.fields)
        for name, value in known.items():
            kind.fields[name].check(typed_value(kind, name, value))
        return msgspec.convert(known, kind.content)
    except (RuleError, msgspec.ValidationError):
        return Unknown(type=found.type, version=found.version)


def _stub(ordered: Sequence[Change], kinds: Kinds) -> ContentObject | None:
    """Return the stub of an object of an unknown type; the post that its id is made from comes before all others."""
    unknown = [change for change in ordered if kinds.get(change.envelope.type) is None]
    if not unknown:
        return None
    first = next((change for change in unknown if _is_own_post(change)), unknown[0])
    own = [change for change in unknown if change.envelope.type == first.envelope.type]
    return ContentObject(
        type=first.envelope.type,
        version=max(change.envelope.version for change in own),
        object_id=first.envelope.object_id,
        creator=first.member_pk if _is_own_post(first) else None,
        content=Unknown(type=first.envelope.type, version=max(change.envelope.version for change in own)),
        fields={},
        first_lamport=first.lamport,
        last_lamport=max(change.lamport for change in own),
    )


def _is_own_post(change: Change) -> bool:
    made = post_object_id(member_pk=change.member_pk, post_id=change.post_id)
    return change.envelope.object_id == made
