"""What a Charter must be, and how it may change from one to the next: rules V10 and V12 (docs/protocol, "Commits").

Every function here is one check. ``before`` and ``after`` are the Charters around one commit.
"""

from __future__ import annotations

from typing import Final

from tertulia_protocol.circle.charter import LIFE_CLASS, Charter, HistoryMode, Policy, Role, Transport
from tertulia_protocol.circle.identity import member_of
from tertulia_protocol.circle.roster import is_approval_needed, is_relays_changed, is_roster_changed
from tertulia_protocol.errors import DecodeError, RuleError
from tertulia_protocol.mls.hpke import MLKEM768_X25519
from tertulia_protocol.mls.ratchet_tree import RatchetTree
from tertulia_protocol.relay_api.addresses import RelayAddr
from tertulia_protocol.signing import is_valid_key

V10: Final = "V10"
V12: Final = "V12"
MAX_LEAVES: Final = 180
MAX_LEAVES_REFRESHED: Final = 200
"""With ``member_refresh`` members keep the tree warm, and a path stays short enough for more of them (E25)."""
FEW_COORDINATORS: Final = 3
"""From so many coordinators on, no single one decides about the roster (E20)."""


# --- V10: the coordinators -----------------------------------------------------------------------------------------


def check_coordinators(charter: Charter, tree: RatchetTree) -> None:
    """Check all of V10 for the state that a commit leads to. :raises RuleError: one rule is broken."""
    check_some_coordinator(charter)
    check_ranks_differ(charter)
    check_coordinators_differ(charter)
    check_coordinators_are_members(charter, tree)
    check_threshold(charter)


def check_some_coordinator(charter: Charter) -> None:
    """Check that somebody can commit at all. :raises RuleError: nobody can."""
    if not charter.coordinators:
        raise RuleError("a circle without coordinators", rule=V10)


def check_ranks_differ(charter: Charter) -> None:
    """Check that a rank names one coordinator: approvals name them so. :raises RuleError: it names two."""
    if len({coordinator.rank for coordinator in charter.coordinators}) != len(charter.coordinators):
        raise RuleError("two coordinators have one rank", rule=V10)


def check_coordinators_differ(charter: Charter) -> None:
    """Check that nobody stands in the roster twice and so agrees twice. :raises RuleError: somebody does."""
    if len(charter.roster) != len(charter.coordinators):
        raise RuleError("a coordinator stands in the roster twice", rule=V10)


def check_coordinators_are_members(charter: Charter, tree: RatchetTree) -> None:
    """Check that each coordinator has a leaf: else approvals could never be had. :raises RuleError: one has none."""
    if not charter.roster <= {member_of(leaf).member_pk for _, leaf in tree.leaves()}:
        raise RuleError("a coordinator has no device in the circle", rule=V10)


def check_threshold(charter: Charter) -> None:
    """Check that the threshold can be met, and that from three coordinators on no single one decides (E20).

    :raises RuleError: it cannot, or one decides.
    """
    count = len(charter.coordinators)
    if not (2 if count >= FEW_COORDINATORS else 1) <= charter.roster_threshold <= count:
        raise RuleError(f"a threshold of {charter.roster_threshold} with {count} coordinators", rule=V10)


def check_ranks_stay(before: Charter, after: Charter) -> None:
    """Check that a coordinator keeps its rank (E20). :raises RuleError: one does not."""
    ranks = {coordinator.member_pk: coordinator.rank for coordinator in before.coordinators}
    if any(ranks.get(each.member_pk, each.rank) != each.rank for each in after.coordinators):
        raise RuleError("a coordinator changes its rank", rule=V10)


# --- V12: the Charter by itself ------------------------------------------------------------------------------------


def check_form(charter: Charter) -> None:
    """Check a Charter by itself. :raises InvalidMessageError: one rule is broken."""
    check_limits(charter.policy)
    check_roles(charter.transport)
    check_relays_differ(charter.transport)
    check_relay_places(charter.transport)
    check_relay_keys(charter.transport)
    check_lobby_key(charter.transport)
    check_life(charter.transport)


def check_limits(policy: Policy) -> None:
    """Check that the policy is one that the circle can live under (E25). :raises RuleError: it is not.

    With more leaves than these a Remove might not fit into an entry, and nobody could be removed any more.
    """
    most = MAX_LEAVES_REFRESHED if policy.member_refresh else MAX_LEAVES
    if policy.member_refresh > 1 or policy.history_mode not in set(HistoryMode):
        raise RuleError("an unknown policy", rule=V12)
    if not 1 <= policy.max_leaves <= most or policy.max_devices < 1:
        raise RuleError(f"a circle of {policy.max_leaves} leaves", rule=V12)


def check_roles(transport: Transport) -> None:
    """Check that the first relay is the primary one and all others are backups (E35). :raises RuleError: not so."""
    roles = [relay.role for relay in transport.relays]
    if roles != [Role.PRIMARY, *[Role.BACKUP] * (len(roles) - 1)]:
        raise RuleError(f"relays with roles {roles}", rule=V12)


def check_relays_differ(transport: Transport) -> None:
    """Check that no relay stands there twice, which would pose as its own backup. :raises RuleError: one does."""
    if len(set(transport.relay_pks)) != len(transport.relays):
        raise RuleError("a relay stands in the Charter twice", rule=V12)


def check_relay_places(transport: Transport) -> None:
    """Check that every relay has a valid key (E1) and may be reached as it says (E26). :raises DecodeError: not so."""
    for relay in transport.relays:
        RelayAddr(relay_pk=relay.relay_pk, uri=relay.uri).check()


def check_relay_keys(transport: Transport) -> None:
    """Check that the coordinators' keys on every relay are keys (E1). :raises RuleError: one is not.

    A relay would refuse a segment with another key, and the circle would have nowhere to go. Zero means "nobody":
    then nobody could seal.
    """
    if not all(is_valid_key(relay.admin_vk) and is_valid_key(relay.lobby_read_vk) for relay in transport.relays):
        raise RuleError("a key of the coordinators is not valid", rule=V12)


def check_lobby_key(transport: Transport) -> None:
    """Check that letters can be sealed to the lobby. :raises RuleError: its key is none."""
    try:
        MLKEM768_X25519.parse_public(transport.lobby_pk)
    except DecodeError as error:
        raise RuleError("the lobby's key is not valid", rule=V12) from error


def check_life(transport: Transport) -> None:
    """Check that segments live as long as all members expect (E27). :raises RuleError: they have another life."""
    if transport.ttl_class != LIFE_CLASS:
        raise RuleError(f"segments of life class {transport.ttl_class}", rule=V12)


# --- V12: from one Charter to the next -----------------------------------------------------------------------------


def is_hop(before: Charter, after: Charter) -> bool:
    """Answer whether a commit leads to another segment."""
    return before.segment_no != after.segment_no


def check_change(before: Charter, after: Charter, *, removes: bool) -> None:
    """Check what a commit changes. :param removes: whether it removes anybody. :raises RuleError: a rule is broken."""
    check_constants(before, after)
    check_rev(before, after)
    check_roster_rev(before, after)
    check_segment_no(before, after)
    check_hop_made(before, after, removes=removes)
    check_transport_kept(before, after)
    check_salt(before, after)
    check_coord_gen(before, after)
    check_approvals_kept(before, after)


def check_constants(before: Charter, after: Charter) -> None:
    """Check that the circle stays this circle: version, lineage, generation. :raises RuleError: one changes."""
    if (before.version, before.lineage_id, before.generation) != (after.version, after.lineage_id, after.generation):
        raise RuleError("the Charter becomes another circle's", rule=V12)


def check_rev(before: Charter, after: Charter) -> None:
    """Check that ``rev`` counts the changes, so that two Charters never share one. :raises RuleError: it does not."""
    if after.rev != before.rev + (after != before):
        raise RuleError(f"revision {after.rev} after {before.rev}", rule=V12)


def check_roster_rev(before: Charter, after: Charter) -> None:
    """Check that ``roster_rev`` counts changes of roster, threshold and relays: no approval can be used again (E20).

    :raises RuleError: it does not.
    """
    if after.roster_rev != before.roster_rev + is_approval_needed(before, after):
        raise RuleError(f"roster revision {after.roster_rev} after {before.roster_rev}", rule=V12)


def check_segment_no(before: Charter, after: Charter) -> None:
    """Check that segments are counted without a gap: absent members walk along them. :raises RuleError: not so."""
    if after.segment_no not in (before.segment_no, before.segment_no + 1):
        raise RuleError(f"segment {after.segment_no} after {before.segment_no}", rule=V12)


def check_hop_made(before: Charter, after: Charter, *, removes: bool) -> None:
    """Check that whoever leaves also loses the log: a Remove or a change of roster or relays hops.

    :raises RuleError: the commit stays in a segment that a removed member can still read and fill.
    """
    leaves_something = removes or is_roster_changed(before, after) or is_relays_changed(before, after)
    if leaves_something and not is_hop(before, after):
        raise RuleError("a commit that removes does not hop", rule=V12)


def check_transport_kept(before: Charter, after: Charter) -> None:
    """Check that without a hop the transport stays: relays keep the keys that segments have (3.3).

    :raises RuleError: it changes, and the segment's id would no longer follow from the Charter.
    """
    if not is_hop(before, after) and before.transport != after.transport:
        raise RuleError("the transport changes without a hop", rule=V12)


def check_salt(before: Charter, after: Charter) -> None:
    """Check that a hop brings a fresh salt, so that coordinators have new keys. :raises RuleError: the salt stays."""
    if is_hop(before, after) and before.transport.salt == after.transport.salt:
        raise RuleError("a hop without a fresh salt", rule=V12)


def check_coord_gen(before: Charter, after: Charter) -> None:
    """Check that the coordinators' secret is renewed with the roster, and otherwise by a hop only (E7).

    :raises RuleError: a removed coordinator would keep the key, or generations are skipped.
    """
    old, new = before.transport.coord_gen, after.transport.coord_gen
    if is_roster_changed(before, after) and new != old + 1:
        raise RuleError("the roster changes and the coordinators' secret stays", rule=V12)
    if new not in ((old, old + 1) if is_hop(before, after) else (old,)):
        raise RuleError(f"coordinators' secret {new} after {old}", rule=V12)


def check_approvals_kept(before: Charter, after: Charter) -> None:
    """Check that approvals change with what they approve of. :raises RuleError: they change alone."""
    if not is_approval_needed(before, after) and before.approvals != after.approvals:
        raise RuleError("approvals change without a change of the roster", rule=V12)
