"""A member who breaks the rules: signs and encrypts what no honest client would."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from tertulia_protocol.mls.commit import Commit, UpdatePath
from tertulia_protocol.mls.framing import (
    AuthenticatedContent,
    Content,
    FramedContent,
    PrivateMessage,
    WireFormat,
    content_type_of,
    member,
    sign_framed_content,
)
from tertulia_protocol.mls.group_messages import ratchet_kind
from tertulia_protocol.mls.leaf_node import LeafNode, LeafNodeSource
from tertulia_protocol.mls.message_protection import protect_private
from tertulia_protocol.mls.proposals import Proposal, ProposalOrRef
from tertulia_protocol.mls.ratchet_tree import RatchetTree
from tertulia_protocol.mls.treekem import create_path
from tests.support.mls_world import Peer, rewire

NO_TAG = bytes(32)


def sign(peer: Peer, content: Content, *, as_leaf: int | None = None, key: bytes | None = None) -> AuthenticatedContent:
    """Sign anything, in another's name or with another key if wanted. A commit gets a confirmation tag of zeros."""
    group = peer.group
    framed = FramedContent(
        group_id=group.group_id,
        epoch=group.epoch,
        sender=member(peer.index if as_leaf is None else peer.group.members()[as_leaf].index),
        content=content,
    )
    signed = sign_framed_content(
        group.suite,
        group.signature_private if key is None else key,
        wire_format=WireFormat.PRIVATE_MESSAGE,
        content=framed,
        context=group.context,
    )
    return signed.with_confirmation_tag(NO_TAG) if isinstance(content, Commit) else signed


def encrypt(peer: Peer, content: AuthenticatedContent, *, generation: int = 0) -> PrivateMessage:
    """Encrypt signed content with a key of its sender, whoever that is; every member knows those keys."""
    group, sender = peer.group, content.content.sender.leaf_index
    kind = ratchet_kind(content_type_of(content.content.content))
    if sender == peer.index:
        own = group.secret_tree.next_own(kind)
        generation, key, nonce = own.generation, own.key, own.nonce
    else:
        key, nonce, _ = group.secret_tree.key_for(sender, kind, generation)
    message = protect_private(
        group.suite,
        content,
        key=key,
        nonce=nonce,
        reuse_guard=b"\1\2\3\4",
        sender_data_secret=group.secrets.sender_data,
        generation=generation,
    )
    return rewire(message)


def forge_commit(
    peer: Peer, *proposals: Proposal, references: tuple[bytes, ...] = (), path: UpdatePath | None = None
) -> PrivateMessage:
    """Commit whatever one likes. Only the confirmation tag is wrong, and that is looked at last."""
    entries = (*map(ProposalOrRef, references), *map(ProposalOrRef, proposals))
    return encrypt(peer, sign(peer, Commit(proposals=entries, path=path)))


def forge_path(
    peer: Peer,
    tree: RatchetTree | None = None,
    *,
    change: Callable[[LeafNode], LeafNode] = lambda leaf: leaf,
    sign_with: bytes | None = None,
) -> UpdatePath:
    """Return a path over ``tree`` whose leaf is changed before it is signed."""
    group = peer.group

    def new_leaf(encryption_key: bytes, parent_hash: bytes) -> LeafNode:
        leaf = replace(
            group.own_leaf,
            encryption_key=encryption_key,
            source=LeafNodeSource.COMMIT,
            lifetime=None,
            parent_hash=parent_hash,
        )
        key = group.signature_private if sign_with is None else sign_with
        return change(leaf).sign(group.suite, key, group_id=group.group_id, leaf_index=peer.index)

    return create_path(
        group.suite,
        group.tree if tree is None else tree,
        peer.index,
        new_leaf=new_leaf,
        context=lambda _: b"a context",
        exclude=frozenset(),
        rng=peer.rng,
    ).update_path


def update_leaf(peer: Peer, *, change: Callable[[LeafNode], LeafNode] = lambda leaf: leaf) -> LeafNode:
    """Return a leaf for an Update with a fresh key, changed before it is signed."""
    group = peer.group
    leaf = replace(
        group.own_leaf,
        encryption_key=group.suite.generate_key_pair(peer.rng).public,
        source=LeafNodeSource.UPDATE,
        lifetime=None,
        parent_hash=None,
    )
    return change(leaf).sign(group.suite, group.signature_private, group_id=group.group_id, leaf_index=peer.index)
