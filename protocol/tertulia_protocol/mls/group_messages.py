"""Messages of a running group: encrypting, opening, proposing (RFC 9420 sections 6, 12.1 and 14).

Opening uses nothing up: a message whose signature does not hold leaves the group as it was, so that a forgery cannot
burn the key of the genuine message that comes after it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from tertulia_protocol.codec import serialize
from tertulia_protocol.errors import UnsupportedError, UsageError, WrongEpochError
from tertulia_protocol.mls.ciphersuite import Rng
from tertulia_protocol.mls.commit import Commit
from tertulia_protocol.mls.credential import Credential
from tertulia_protocol.mls.epoch_change import view_of
from tertulia_protocol.mls.extensions import Capabilities, Extension
from tertulia_protocol.mls.framing import (
    AuthenticatedContent,
    Content,
    ContentType,
    FramedContent,
    PrivateMessage,
    PublicMessage,
    SenderType,
    WireFormat,
    member,
    sign_framed_content,
    verify_framed_content,
)
from tertulia_protocol.mls.group_context import GroupContext
from tertulia_protocol.mls.group_state import (
    GroupState,
    Opened,
    PastEpoch,
    PendingCommit,
    S,
    StoredProposal,
    check_epoch,
    check_opened_here,
    leaf_at,
)
from tertulia_protocol.mls.key_package import KeyPackage
from tertulia_protocol.mls.leaf_node import LeafNode, LeafNodeSource
from tertulia_protocol.mls.message_protection import (
    REUSE_GUARD_LENGTH,
    open_private,
    open_public,
    open_sender_data,
    protect_private,
)
from tertulia_protocol.mls.proposal_rules import ResolvedProposal, verify_proposal
from tertulia_protocol.mls.proposals import Add, GroupContextExtensions, Proposal, Remove, Update, proposal_ref
from tertulia_protocol.mls.ratchet_tree import RatchetTree
from tertulia_protocol.mls.secret_tree import RatchetKind, SecretTree
from tertulia_protocol.mls.tree_math import LeafIndex


@dataclass(frozen=True, slots=True, kw_only=True)
class LeafChanges:
    """What to change in our own leaf, beside its key, when it is made anew. None leaves a field as it is."""

    credential: Credential | None = None
    capabilities: Capabilities | None = None
    extensions: tuple[Extension, ...] | None = None

    def applied_to(self, leaf: LeafNode) -> LeafNode:
        """Return the leaf with the changes; it must be signed again."""
        return replace(
            leaf,
            credential=leaf.credential if self.credential is None else self.credential,
            capabilities=leaf.capabilities if self.capabilities is None else self.capabilities,
            extensions=leaf.extensions if self.extensions is None else self.extensions,
        )


NO_CHANGES = LeafChanges()


# --- Sending -------------------------------------------------------------------------------------------------------


def sign_content(group: GroupState, content: Content, authenticated_data: bytes) -> AuthenticatedContent:
    """Return our signed content; a commit still lacks its confirmation tag."""
    framed = FramedContent(
        group_id=group.group_id,
        epoch=group.epoch,
        sender=member(group.own_index),
        authenticated_data=authenticated_data,
        content=content,
    )
    return sign_framed_content(
        group.suite,
        group.signature_private,
        wire_format=WireFormat.PRIVATE_MESSAGE,
        content=framed,
        context=group.context,
    )


def protect(group: S, content: AuthenticatedContent, *, rng: Rng, padding: int = 0) -> tuple[PrivateMessage, S]:
    """Encrypt our signed content and use up one key."""
    own = group.secret_tree.next_own(ratchet_kind(content.content.content_type))
    message = protect_private(
        group.suite,
        content,
        key=own.key,
        nonce=own.nonce,
        reuse_guard=rng(REUSE_GUARD_LENGTH),
        sender_data_secret=group.secrets.sender_data,
        generation=own.generation,
        padding=padding,
    )
    return message, replace(group, secret_tree=own.tree)


def ratchet_kind(content_type: ContentType) -> RatchetKind:
    """Return which of a member's ratchets encrypts this kind of content (RFC 9420 section 9.1)."""
    return RatchetKind.APPLICATION if content_type is ContentType.APPLICATION else RatchetKind.HANDSHAKE


def encrypt(group: S, data: bytes, *, authenticated_data: bytes, rng: Rng, padding: int) -> tuple[PrivateMessage, S]:
    """Encrypt application data (see ``Group.encrypt``)."""
    return protect(group, sign_content(group, data, authenticated_data), rng=rng, padding=padding)


# --- Opening -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Epoch:
    """What opening a message needs of an epoch, the present one or one that is over."""

    context: GroupContext
    tree: RatchetTree
    sender_data_secret: bytes
    secret_tree: SecretTree


def open_message(group: S, message: PrivateMessage | PublicMessage) -> Opened[S]:
    """Open a message (see ``Group.open``). :raises InvalidMessageError: it is not valid."""
    if isinstance(message, PublicMessage):
        return _open_public(group, message)
    own = find_own(group, message)
    if own is not None:
        pending = own if isinstance(own, PendingCommit) else None
        return Opened(content=own.content, base=group, group=group, epoch=group.epoch, pending=pending)
    if message.epoch != group.epoch or message.group_id != group.group_id:
        return _open_past(group, message)
    present = _Epoch(
        context=group.context,
        tree=group.tree,
        sender_data_secret=group.secrets.sender_data,
        secret_tree=group.secret_tree,
    )
    content, secret_tree = _open_private(group, present, message)
    return Opened(content=content, base=group, group=replace(group, secret_tree=secret_tree), epoch=group.epoch)


def find_own(group: GroupState, message: PrivateMessage) -> PendingCommit | StoredProposal | None:
    """Return what we sent if this is a commit or a proposal of ours: its key is used up, so it cannot be opened."""
    if message.content_type is ContentType.APPLICATION or not (group.pending or group.proposals):
        return None
    digest = group.suite.hash(serialize(message))
    if digest in group.pending:
        return group.pending[digest]
    return next((stored for stored in group.proposals.values() if digest in stored.message_hashes), None)


def _open_past(group: S, message: PrivateMessage) -> Opened[S]:
    number, past = find_past(group, message)
    epoch = _Epoch(
        context=past.context,
        tree=past.tree,
        sender_data_secret=past.sender_data_secret,
        secret_tree=past.secret_tree,
    )
    content, secret_tree = _open_private(group, epoch, message)
    kept = (*group.past[:number], replace(past, secret_tree=secret_tree), *group.past[number + 1 :])
    return Opened(content=content, base=group, group=replace(group, past=kept), epoch=message.epoch)


def find_past(group: GroupState, message: PrivateMessage) -> tuple[int, PastEpoch]:
    """Return the past epoch of an application message. :raises WrongEpochError: it is not kept, or never was ours."""
    if message.content_type is ContentType.APPLICATION and message.group_id == group.group_id:
        for number, past in enumerate(group.past):
            if past.context.epoch == message.epoch:
                return number, past
    check_epoch(group.context, message.group_id, message.epoch)
    raise WrongEpochError(f"epoch {message.epoch} is over")


def _open_private(group: GroupState, epoch: _Epoch, message: PrivateMessage) -> tuple[AuthenticatedContent, SecretTree]:
    sender = open_sender_data(group.suite, message, sender_data_secret=epoch.sender_data_secret)
    leaf = leaf_at(epoch.tree, sender.leaf_index)
    taken = epoch.secret_tree.key_for(
        sender.leaf_index,
        ratchet_kind(message.content_type),
        sender.generation,
        limits=group.settings.limits,
    )
    content = open_private(group.suite, message, sender=sender, key=taken.key, nonce=taken.nonce)
    verify_framed_content(group.suite, content, public_key=leaf.signature_key, context=epoch.context)
    return content, taken.tree


def _open_public(group: S, message: PublicMessage) -> Opened[S]:
    check_sender_type(message)
    check_epoch(group.context, message.content.group_id, message.content.epoch)
    content = open_public(group.suite, message, membership_key=group.secrets.membership_key, context=group.context)
    leaf = leaf_at(group.tree, content.content.sender.leaf_index)
    verify_framed_content(group.suite, content, public_key=leaf.signature_key, context=group.context)
    return Opened(content=content, base=group, group=group, epoch=group.epoch)


def check_sender_type(message: PublicMessage) -> None:
    """Check that a member speaks. :raises UnsupportedError: an external sender or somebody who wants to join."""
    kind = message.content.sender.type
    if kind is not SenderType.MEMBER:
        raise UnsupportedError(f"messages of a sender of type {kind.name} are not supported")


# --- Proposing -----------------------------------------------------------------------------------------------------


def propose_add(
    group: S, key_package: KeyPackage, *, now: int, authenticated_data: bytes, rng: Rng
) -> tuple[PrivateMessage, S]:
    """Propose to add a client (see ``Group.propose_add``)."""
    return _propose(group, Add(key_package), now=now, authenticated_data=authenticated_data, rng=rng)


def propose_update(group: S, *, changes: LeafChanges, authenticated_data: bytes, rng: Rng) -> tuple[PrivateMessage, S]:
    """Propose a new leaf for ourselves (see ``Group.propose_update``)."""
    keys = group.suite.generate_key_pair(rng)
    leaf = replace(
        changes.applied_to(group.own_leaf),
        encryption_key=keys.public,
        source=LeafNodeSource.UPDATE,
        lifetime=None,
        parent_hash=None,
    ).sign(group.suite, group.signature_private, group_id=group.group_id, leaf_index=group.own_index)
    return _propose(group, Update(leaf), leaf_private=keys.private, authenticated_data=authenticated_data, rng=rng)


def propose_remove(group: S, removed: LeafIndex, *, authenticated_data: bytes, rng: Rng) -> tuple[PrivateMessage, S]:
    """Propose to remove a member (see ``Group.propose_remove``)."""
    return _propose(group, Remove(removed), authenticated_data=authenticated_data, rng=rng)


def propose_extensions(
    group: S, extensions: tuple[Extension, ...], *, authenticated_data: bytes, rng: Rng
) -> tuple[PrivateMessage, S]:
    """Propose other extensions (see ``Group.propose_extensions``)."""
    return _propose(group, GroupContextExtensions(extensions), authenticated_data=authenticated_data, rng=rng)


def _propose(  # noqa: PLR0913 - all but the first two are named
    group: S,
    proposal: Proposal,
    *,
    authenticated_data: bytes,
    rng: Rng,
    now: int | None = None,
    leaf_private: bytes = b"",
) -> tuple[PrivateMessage, S]:
    verify_proposal(view_of(group), ResolvedProposal(proposal=proposal, sender=group.own_index), now=now)
    content = sign_content(group, proposal, authenticated_data)
    message, group = protect(group, content, rng=rng)
    ref = proposal_ref(group.suite, content)
    earlier = group.proposals[ref].message_hashes if ref in group.proposals else ()
    stored = StoredProposal(
        ref=ref,
        content=content,
        message_hashes=(*earlier, group.suite.hash(serialize(message))),
        leaf_private=leaf_private,
    )
    return message, _keep(group, stored)


def process_proposal(base: S, opened: Opened[S]) -> S:
    """Keep a proposal that was received (see ``Group.process_proposal``)."""
    check_opened_here(base, opened)
    group, proposal = opened.group, proposal_of(opened)
    ref = proposal_ref(group.suite, opened.content)
    if ref in group.proposals:
        return group
    verify_proposal(view_of(group), ResolvedProposal(proposal=proposal, sender=opened.sender, ref=ref))
    return _keep(group, StoredProposal(ref=ref, content=opened.content))


def proposal_of(opened: Opened[S]) -> Proposal:
    """Return the proposal in a message. :raises UsageError: there is something else in it."""
    body = opened.body
    if isinstance(body, bytes | Commit):
        raise UsageError("the message is not a proposal")
    return body


def _keep(group: S, stored: StoredProposal) -> S:
    return replace(group, proposals={**group.proposals, stored.ref: stored})
