"""The answer to a join request, and everything that the joiner checks before it is a member.

docs/protocol, "Joining". The coordinator completes the answer after its commit was read back from the log and signs it;
the joiner opens it (:func:`open_reply`), fetches the tree, and then trusts nothing that it cannot check: who made the
Welcome, who is in the circle, where the circle talks (:func:`process_reply`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Self

from tertulia_protocol.circle.attachment import BlobRef, check_limit
from tertulia_protocol.circle.charter import Charter, charter_of
from tertulia_protocol.circle.identity import MemberCredential, member_of, verify_credential
from tertulia_protocol.circle.invitation import InvitePreamble, JoinRequest
from tertulia_protocol.circle.letters import open_letter, reply_info, seal_letter
from tertulia_protocol.circle.segments import SegAccess, export_access, segment_id
from tertulia_protocol.codec import Reader, Writer, parse, serialize
from tertulia_protocol.errors import RuleError
from tertulia_protocol.mls.ciphersuite import HYBRID
from tertulia_protocol.mls.group import Group
from tertulia_protocol.mls.key_package import KeyPackage, KeyPackageBundle, key_package_ref
from tertulia_protocol.mls.ratchet_tree import RatchetTree
from tertulia_protocol.mls.welcome import (
    GroupInfo,
    Welcome,
    find_entry,
    open_group_info,
    open_group_secrets,
)
from tertulia_protocol.relay_api.records import Position
from tertulia_protocol.signing import Label, SigningSeed, verify

MAX_TREE_BYTES: Final = 4 * 1024 * 1024
"""The largest tree that a joiner fetches; 200 leaves of the hybrid suite take less than 1 MiB."""

COORD_SECRET_BYTES: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedBy:
    """A member's signature under an answer."""

    member_pk: bytes
    signature: bytes

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """:raises DecodeError: truncated."""
        return cls(member_pk=reader.raw(32), signature=reader.raw(64))

    def encode(self, writer: Writer) -> None:
        """:raises ValueError: a field has another length."""
        writer.fixed(self.member_pk, 32)
        writer.fixed(self.signature, 64)


@dataclass(frozen=True, slots=True, kw_only=True)
class CoordKey:
    """The coordinators' secret and its generation, for another device of a coordinator (E7)."""

    coord_gen: int
    secret: bytes = field(repr=False)

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """:raises DecodeError: truncated."""
        return cls(coord_gen=reader.u32(), secret=reader.raw(COORD_SECRET_BYTES))

    def encode(self, writer: Writer) -> None:
        """:raises ValueError: the secret has not 32 bytes."""
        writer.u32(self.coord_gen)
        writer.fixed(self.secret, COORD_SECRET_BYTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinReply:
    """What makes a member of the joiner (E13)."""

    request_hash: bytes
    welcome: bytes = field(repr=False)
    tree: BlobRef
    access: SegAccess
    segment_no: int
    position: Position
    """Of the commit that adds the joiner, or the start of the new segment if that commit hops."""
    history: BlobRef | None = None
    coord: CoordKey | None = None
    approvals: tuple[SignedBy, ...] = ()

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """:raises InvalidMessageError: malformed."""
        return cls(
            request_hash=reader.raw(32),
            welcome=reader.opaque(),
            tree=BlobRef.decode(reader),
            access=SegAccess.decode(reader),
            segment_no=reader.u32(),
            position=Position.decode(reader),
            history=reader.optional(BlobRef.decode),
            coord=_read_coord(reader),
            approvals=reader.vector(SignedBy.decode),
        )

    def encode(self, writer: Writer) -> None:
        """:raises ValueError: a field has another length."""
        writer.raw(self._before_approvals())
        writer.vector(self.approvals)

    def _before_approvals(self) -> bytes:
        writer = Writer()
        writer.fixed(self.request_hash, 32)
        writer.opaque(self.welcome)
        self.tree.encode(writer)
        self.access.encode(writer)
        writer.u32(self.segment_no)
        self.position.encode(writer)
        writer.optional(self.history)
        writer.opaque(b"" if self.coord is None else serialize(self.coord))
        return writer.getvalue()

    def to_be_signed(self) -> bytes:
        """Return SHA-256 of all fields before the approvals."""
        return hashlib.sha256(self._before_approvals()).digest()

    def approve(self, member: SigningSeed) -> JoinReply:
        """Return it with one more coordinator's signature."""
        signed = SignedBy(member_pk=member.public_key, signature=member.sign(Label.REPLY, self.to_be_signed()))
        return replace(self, approvals=(*self.approvals, signed))


def _read_coord(reader: Reader) -> CoordKey | None:
    data = reader.opaque()
    return parse(CoordKey, data) if data else None


def welcome_for(welcome: Welcome, key_package: KeyPackage) -> Welcome:
    """Return a Welcome with one joiner's secrets only: it fits a letter, and tells nobody how many joined.

    :raises RuleError: the key package is not among them.
    """
    return replace(welcome, secrets=(find_entry(welcome, key_package_ref(HYBRID, key_package)),))


def seal_reply(request: JoinRequest, reply: JoinReply) -> bytes:
    """Return the letter for the reply box. :raises UsageError: it is too long."""
    return seal_letter(request.reply_pk, reply_info(request.hash()), serialize(reply))


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingJoin:
    """What the joiner keeps between request and answer. ``reply_private`` is a 32-byte seed."""

    preamble: InvitePreamble
    request_hash: bytes
    bundle: KeyPackageBundle = field(repr=False)
    reply_private: bytes = field(repr=False)


def open_reply(letter: bytes, pending: PendingJoin) -> JoinReply:
    """Open a letter of the reply box and check what needs no tree; fetch ``JoinReply.tree`` next.

    :raises InvalidMessageError: not the answer to this request, malformed, not approved by somebody whom the card
        names, or it asks to fetch too much.
    """
    reply = parse(JoinReply, open_letter(pending.reply_private, reply_info(pending.request_hash), letter))
    check_request_hash(reply, pending.request_hash)
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


def process_reply(reply: JoinReply, tree: bytes, pending: PendingJoin) -> Joined:
    """Join, with every check of a joiner. :param tree: the serialized ratchet tree that ``reply.tree`` leads to.

    :raises InvalidMessageError: one of the checks fails; nothing is to be kept.
    """
    welcome = parse(Welcome, reply.welcome)
    check_suite(welcome)
    info = _open_info(welcome, pending.bundle)
    ratchet_tree = parse(RatchetTree, tree)
    group = Group.join(welcome=welcome, bundle=pending.bundle, ratchet_tree=ratchet_tree)
    charter = charter_of(group.extensions)
    check_lineage(charter, pending.preamble)
    verify_leaves(group, charter)
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


def check_lineage(charter: Charter, preamble: InvitePreamble) -> None:
    """Check that this is the circle of the card. :raises RuleError: it is another."""
    if charter.lineage_id != preamble.lineage_id:
        raise RuleError("the Welcome leads to another circle than the invitation", rule="join.lineage")


def verify_leaves(group: Group, charter: Charter) -> None:
    """Check the credential of every leaf. :raises InvalidMessageError: one is not a member's of this circle."""
    for member in group.members():
        verify_credential(
            member.leaf.credential, leaf_signature_key=member.signature_key, lineage_id=charter.lineage_id
        )


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
