"""Is an epoch one of a circle, looked at as a whole? V16 and E38 (docs/protocol, "Commits")."""

from __future__ import annotations

from typing import Final

from tertulia_protocol.circle import charter_rules, leaf_rules
from tertulia_protocol.circle.charter import EXTENSION_TYPE, Charter, charter_of, required_capabilities
from tertulia_protocol.circle.errors import OutdatedError, StuckError
from tertulia_protocol.errors import InvalidMessageError, RuleError
from tertulia_protocol.mls.extensions import Extension, ExtensionType
from tertulia_protocol.mls.group_state import GroupState

BEHAVIOUR_VERSION: Final = 1
"""What this program knows how to do; a Charter may ask for more (E38)."""


def check_extensions(extensions: tuple[Extension, ...]) -> None:
    """V13: a circle's group has two extensions. :raises RuleError: others, in another order or with other needs."""
    if [extension.type for extension in extensions] != [ExtensionType.REQUIRED_CAPABILITIES, EXTENSION_TYPE]:
        raise RuleError("other extensions than a circle has", rule="V13")
    if extensions[0] != required_capabilities().extension():
        raise RuleError("other required capabilities than a circle has", rule="V13")


def check_min_client(charter: Charter) -> None:
    """E38: this program knows what the next epoch asks for. :raises OutdatedError: it is too old."""
    if charter.policy.min_client > BEHAVIOUR_VERSION:
        raise OutdatedError(f"version {charter.policy.min_client} is needed, this is {BEHAVIOUR_VERSION}")


def check_result(group: GroupState) -> None:
    """V16: all credentials and the Charter of the resulting epoch decode and pass V8 to V10.

    :raises StuckError: they do not.
    """
    try:
        check_epoch(group)
    except InvalidMessageError as error:
        raise StuckError(error.detail, rule="V16") from error


def check_epoch(group: GroupState) -> Charter:
    """Check an epoch of a circle as a whole, as V16 and every joiner do; return its Charter.

    :raises InvalidMessageError: extensions, Charter, a leaf, all leaves together or the roster are not valid.
    """
    check_extensions(group.extensions)
    charter = charter_of(group.extensions)
    charter_rules.check_form(charter)
    leaf_rules.verify_all_leaves(group.tree, charter)
    leaf_rules.check_leaves_together(group.tree, charter)
    charter_rules.check_coordinators(charter, group.tree)
    return charter
