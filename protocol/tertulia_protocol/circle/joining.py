"""The joiner's side: its request, and everything that it checks before it is a member (docs/protocol, "Invitations").

The joiner opens the answer (:func:`open_reply`), fetches the tree, and then trusts nothing that it cannot check: who
made the Welcome, who is in the circle, where the circle talks (:func:`process_reply`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Final, Self

from tertulia_protocol.circle.attachment import check_limit
from tertulia_protocol.circle.charter import Charter, leaf_capabilities
from tertulia_protocol.circle.identity import (
    MAX_CREDENTIAL_LIFE,
    MemberCredential,
    build_credential,
    member_of,
)
from tertulia_protocol.circle.invitation import DAY, InviteLink, InvitePreamble
from tertulia_protocol.circle.join_reply import CoordKey, JoinReply
from tertulia_protocol.circle.join_request import JoinRequest
from tertulia_protocol.circle.letters import open_letter, reply_info
from tertulia_protocol.circle.primitives import XWING
from tertulia_protocol.circle.rules import check_epoch, check_min_client
from tertulia_protocol.circle.segments import SegAccess, export_access, segment_id
from tertulia_protocol.codec import Reader, Writer, parse
from tertulia_protocol.errors import RuleError
from tertulia_protocol.mls.ciphersuite import HYBRID
from tertulia_protocol.mls.group import Group
from tertulia_protocol.mls.key_package import KeyPackageBundle, build_key_package
from tertulia_protocol.mls.leaf_node import Lifetime
from tertulia_protocol.mls.ratchet_tree import RatchetTree
from tertulia_protocol.mls.welcome import (
    GroupInfo,
    Welcome,
    open_group_info,
    open_group_secrets,
)
from tertulia_protocol.relay_api.records import Position
from tertulia_protocol.signing import Label, SigningSeed, verify

MAX_EPOCH: Final = 1 << 62
"""The greatest epoch that a circle is joined in."""

MAX_TREE_BYTES: Final = 4 * 1024 * 1024
"""The largest tree that a joiner fetches; 200 leaves of the hybrid suite take less than 1 MiB."""

REQUEST_LIFE: Final = 30 * DAY
"""For how long a key package of a request is good, in seconds: as long as the boxes live."""

CLOCK_SKEW: Final = DAY
"""How far behind another clock may be, in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingJoin:
    """What the joiner keeps between request and answer. ``reply_private`` is a 32-byte seed."""

    preamble: InvitePreamble
    request: JoinRequest
    bundle: KeyPackageBundle = field(repr=False)
    reply_private: bytes = field(repr=False)

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """Read the stored form. :raises InvalidMessageError: malformed."""
        return cls(
            preamble=InvitePreamble.decode(reader),
            request=JoinRequest.decode(reader),
            bundle=KeyPackageBundle.decode(reader),
            reply_private=reader.raw(32),
        )

    def encode(self, writer: Writer) -> None:
        """Append the stored form."""
        self.preamble.encode(writer)
        self.request.encode(writer)
        self.bundle.encode(writer)
        writer.fixed(self.reply_private, 32)


def build_request(  # noqa: PLR0913 - each argument is one choice, and all are named
    *,
    link: InviteLink,
    preamble: InvitePreamble,
    member: SigningSeed,
    device_id: bytes,
    intro: str,
    now: int,
    rng: Callable[[int], bytes],
) -> PendingJoin:
    """Return what the joiner keeps; send ``request`` by ``seal_request``. All keys are fresh.

    :param member: the joiner's key in this circle. :param device_id: 8 random bytes. :param now: seconds since 1970.
    """
    leaf_seed, reply_private = rng(32), rng(32)
    credential = build_credential(
        member=member,
        lineage_id=preamble.lineage_id,
        device_id=device_id,
        leaf_signature_key=HYBRID.signature_public_key(leaf_seed),
        not_after=now + MAX_CREDENTIAL_LIFE - CLOCK_SKEW,
    )
    bundle = build_key_package(
        HYBRID,
        signature_private=leaf_seed,
        credential=credential.credential(),
        capabilities=leaf_capabilities(),
        lifetime=Lifetime(not_before=now - CLOCK_SKEW, not_after=now + REQUEST_LIFE),
        rng=rng,
    )
    request = JoinRequest(
        anchor=link.anchor,
        key_package=bundle.key_package,
        reply_pk=XWING.kem.key_pair(reply_private).public,
        reply_seed=rng(32),
        intro=intro,
    ).sign(member)
    return PendingJoin(preamble=preamble, request=request, bundle=bundle, reply_private=reply_private)


def open_reply(letter: bytes, pending: PendingJoin) -> JoinReply:
    """Open a letter of the reply box and check what needs no tree; fetch ``JoinReply.tree`` next.

    :raises InvalidMessageError: not the answer to this request, malformed, not approved by somebody whom the card
        names, or it asks to fetch too much.
    """
    request_hash = pending.request.hash()
    reply = parse(JoinReply, open_letter(pending.reply_private, reply_info(request_hash), letter))
    check_request_hash(reply, request_hash)
    check_limit(reply.tree, most=MAX_TREE_BYTES)
    verify_approvals(reply, approvers=pending.preamble.approvers, needed=1)
    return reply


def check_request_hash(reply: JoinReply, request_hash: bytes) -> None:
    """Check that an answer is to this request. :raises RuleError: it is to another."""
    if reply.request_hash != request_hash:
        raise RuleError("an answer to another request", rule="join.request")


def verify_approvals(reply: JoinReply, *, approvers: Sequence[bytes], needed: int) -> None:
    """Check that enough of ``approvers`` signed an answer, each once; nobody else may have signed.

    :param needed: 1 on an invitation; after a long absence the threshold of the last roster that is known.
    :raises RuleError: too few, twice, or somebody else. :raises AuthenticityError: a signature does not hold.
    """
    signers = [approval.member_pk for approval in reply.approvals]
    check_signers(signers, approvers=approvers, needed=needed)
    body = reply.to_be_signed()
    for approval in reply.approvals:
        verify(approval.member_pk, Label.REPLY, body, approval.signature)


def check_signers(signers: Sequence[bytes], *, approvers: Sequence[bytes], needed: int) -> None:
    """Check who signed. :raises RuleError: too few, one twice, or somebody who may not."""
    if len(set(signers)) != len(signers) or len(signers) < needed or not set(signers) <= set(approvers):
        raise RuleError("an answer is not signed by those who may approve", rule="join.approvals")


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """A member's first state: what is stored, all at once."""

    group: Group = field(repr=False)
    charter: Charter
    member: MemberCredential
    access: SegAccess
    position: Position
    coord: CoordKey | None = None


def process_reply(reply: JoinReply, tree: bytes, pending: PendingJoin, *, known: Collection[bytes]) -> Joined:
    """Join, with every check of a joiner.

    :param tree: the serialized ratchet tree that ``reply.tree`` leads to.
    :param known: the lineage ids of the circles that this profile is in, or has been in.

    :raises InvalidMessageError: one of the checks fails; nothing is to be kept.
    """
    welcome = parse(Welcome, reply.welcome)
    check_suite(welcome)
    info = _open_info(welcome, pending.bundle)
    ratchet_tree = parse(RatchetTree, tree)
    group = Group.join(welcome=welcome, bundle=pending.bundle, ratchet_tree=ratchet_tree)
    check_epoch_number(group)
    charter = check_epoch(group)
    check_min_client(charter)
    check_lineage(charter, pending.preamble)
    check_unknown(charter, known)
    approvers = frozenset(pending.preamble.approvers)
    check_signer_approver(group, info, approvers)
    check_signer_roster(group, info, charter)
    verify_approvals(reply, approvers=[key for key in approvers if key in charter.roster], needed=1)
    check_relays(charter, pending.preamble)
    check_access(reply, charter)
    check_start(reply, charter)
    check_hop_keys(reply, group, charter)
    member = member_of(group.own_leaf)
    check_coord(reply, charter, member)
    return Joined(
        group=group,
        charter=charter,
        member=member,
        access=reply.access,
        position=reply.position,
        coord=reply.coord,
    )


def _open_info(welcome: Welcome, bundle: KeyPackageBundle) -> GroupInfo:
    """Return the GroupInfo, which names the leaf that made the Welcome; ``Group.join`` verifies it."""
    secrets = open_group_secrets(HYBRID, welcome, bundle)
    return open_group_info(HYBRID, welcome, joiner_secret=secrets.joiner_secret, psk_secret=bytes(HYBRID.Nh))


def check_suite(welcome: Welcome) -> None:
    """Check that the circle uses the hybrid suite, as all circles do. :raises RuleError: another."""
    if welcome.cipher_suite != HYBRID.id:
        raise RuleError("a circle of another cipher suite", rule="join.suite")


def check_epoch_number(group: Group) -> None:
    """Check that the epoch's number can be kept, with room for more than there will be. :raises RuleError: not.

    A circle that somebody else founded can begin at any; an error of this device's database would reach its others.
    """
    if group.epoch > MAX_EPOCH:
        raise RuleError("an epoch that no circle reaches", rule="join.epoch")


def check_lineage(charter: Charter, preamble: InvitePreamble) -> None:
    """Check that this is the circle of the card. :raises RuleError: it is another."""
    if charter.lineage_id != preamble.lineage_id:
        raise RuleError("the Welcome leads to another circle than the invitation", rule="join.lineage")


def check_unknown(charter: Charter, known: Collection[bytes]) -> None:
    """Check that this profile is not in the circle yet. :raises RuleError: it is.

    A Welcome must never replace a circle that somebody is in: a former coordinator could lure members so.
    """
    if charter.lineage_id in known:
        raise RuleError("a Welcome to a circle that this profile is in already", rule="join.known")


def _signer(group: Group, info: GroupInfo) -> bytes:
    return member_of(group.member(info.signer).leaf).member_pk


def check_signer_approver(group: Group, info: GroupInfo, approvers: frozenset[bytes]) -> None:
    """Check that the card names whoever made the Welcome. :raises RuleError: it does not."""
    if _signer(group, info) not in approvers:
        raise RuleError("the Welcome is not by somebody whom the invitation names", rule="join.approver")


def check_signer_roster(group: Group, info: GroupInfo, charter: Charter) -> None:
    """Check that whoever made the Welcome is a coordinator of the circle it leads to. :raises RuleError: is not."""
    if _signer(group, info) not in charter.roster:
        raise RuleError("the Welcome is not by a coordinator", rule="join.roster")


def check_relays(charter: Charter, preamble: InvitePreamble) -> None:
    """Check that the circle talks over a relay of the card. :raises RuleError: over another.

    A circle that has moved since has to invite again: the card is all that a joiner knows of the relays.
    """
    known = {relay.relay_pk for relay in preamble.relays}
    if not charter.transport.relays or charter.transport.relays[0].relay_pk not in known:
        raise RuleError("the circle talks over another relay than the invitation names", rule="join.relay")


def check_access(reply: JoinReply, charter: Charter) -> None:
    """Check that the keys are for the Charter's segment on the Charter's relays. :raises RuleError: for others."""
    access = reply.access
    if not access.segment_no == reply.segment_no == charter.segment_no:
        raise RuleError("the keys are for another segment", rule="join.access")
    if tuple(relay.relay_pk for relay in access.relays) != charter.transport.relay_pks:
        raise RuleError("the keys are for other relays", rule="join.access")


def check_start(reply: JoinReply, charter: Charter) -> None:
    """Check that a start at 0 is the start of the segment that the keys lead to. :raises RuleError: of another."""
    position = reply.position
    if position.seq == 0 and position != Position.start(segment_id(reply.access, charter.transport)):
        raise RuleError("the place to start at is not of this segment", rule="join.position")


def check_hop_keys(reply: JoinReply, group: Group, charter: Charter) -> None:
    """Check the keys of a segment that begins with the joiner's first epoch. :raises RuleError: they are others.

    Where the joiner starts at 0 its own exporter leads to them, so that nobody can lead it to a log of his own.
    """
    if reply.position.seq == 0 and reply.access != export_access(group, charter):
        raise RuleError("the keys are not those of the epoch", rule="join.keys")


def check_coord(reply: JoinReply, charter: Charter, member: MemberCredential) -> None:
    """Check that the coordinators' secret comes to a coordinator alone, in its generation. :raises RuleError: not."""
    if reply.coord is None:
        return
    if not charter.is_coordinator(member.member_pk) or reply.coord.coord_gen != charter.transport.coord_gen:
        raise RuleError("the coordinators' secret does not belong here", rule="join.coord")
