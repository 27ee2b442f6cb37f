"""What a member holds of one group in one epoch, and the values that move it from one state to the next.

Everything here is immutable. A message goes ``open`` -> :class:`Opened` (decrypted, its signature holds, nothing
consumed), a commit on to :class:`ProvisionalCommit` (public part, every rule of RFC 9420 section 12.2 holds) and to
:class:`StagedCommit` (keys derived, confirmation tag holds). Whoever drops one of them along the way has changed
nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from tertulia_protocol.codec import Reader, Writer
from tertulia_protocol.errors import RuleError, UsageError, WrongEpochError
from tertulia_protocol.mls.ciphersuite import CipherSuite
from tertulia_protocol.mls.commit import Commit
from tertulia_protocol.mls.credential import Credential
from tertulia_protocol.mls.errors import RemovedError
from tertulia_protocol.mls.extensions import Extension
from tertulia_protocol.mls.framing import AuthenticatedContent
from tertulia_protocol.mls.group_context import GroupContext
from tertulia_protocol.mls.key_schedule import EpochSecrets, export
from tertulia_protocol.mls.leaf_node import LeafNode
from tertulia_protocol.mls.proposal_rules import Effect, ResolvedProposal
from tertulia_protocol.mls.proposals import Proposal
from tertulia_protocol.mls.ratchet_tree import RatchetTree
from tertulia_protocol.mls.secret_tree import RatchetLimits, SecretTree
from tertulia_protocol.mls.tree_math import LeafIndex, NodeIndex


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSettings:
    """How much a member keeps so that late messages can still be read. It is local: members may differ."""

    max_past_epochs: int = 0
    """Epochs whose application messages stay readable. Circles keep none (E6)."""
    max_forward: int = 1000
    """How far a generation may lie ahead of the last one seen."""
    max_skipped: int = 32
    """Keys kept per ratchet for messages that come out of order."""

    @property
    def limits(self) -> RatchetLimits:
        """Return the part that ratchets need."""
        return RatchetLimits(max_forward=self.max_forward, max_skipped=self.max_skipped)


@dataclass(frozen=True, slots=True)
class Member:
    """One row of the roster."""

    index: LeafIndex
    leaf: LeafNode

    @property
    def credential(self) -> Credential:
        """Return who it claims to be; the application decides what that is worth."""
        return self.leaf.credential

    @property
    def signature_key(self) -> bytes:
        """Return its 32-byte Ed25519 public key."""
        return self.leaf.signature_key


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredProposal:
    """A proposal that may be committed by reference during its epoch, and what belongs to it if it is our own."""

    ref: bytes
    content: AuthenticatedContent
    message_hashes: tuple[bytes, ...] = ()
    """Hashes of the PrivateMessages in which we sent it ourselves and which we could not decrypt again.

    The same proposal made twice has one reference: signatures are deterministic.
    """
    leaf_private: bytes = field(default=b"", repr=False)
    """HPKE private key of our own Update."""

    @classmethod
    def decode(cls, reader: Reader) -> StoredProposal:
        """Read one. :raises DecodeError: the bytes are not one."""
        return cls(
            ref=reader.opaque(),
            content=AuthenticatedContent.decode(reader),
            message_hashes=reader.vector(Reader.opaque),
            leaf_private=reader.opaque(),
        )

    def encode(self, writer: Writer) -> None:
        """Append the stored form."""
        writer.opaque(self.ref)
        self.content.encode(writer)
        hashes = Writer()
        for digest in self.message_hashes:
            hashes.opaque(digest)
        writer.opaque(hashes.getvalue())
        writer.opaque(self.leaf_private)

    @property
    def proposal(self) -> Proposal:
        """Return the proposal itself."""
        content = self.content.content.content
        assert not isinstance(content, bytes | Commit)  # noqa: S101 - made from proposals only
        return content

    @property
    def sender(self) -> LeafIndex:
        """Return the member who made it."""
        return LeafIndex(self.content.content.sender.leaf_index)


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingCommit:
    """A commit of ours that was built and perhaps sent: enough to apply it when it comes back (RFC 9420 section 14)."""

    message_hash: bytes
    """Hash of the serialised PrivateMessage: how it is recognised."""
    content: AuthenticatedContent
    path_secret: bytes = field(default=b"", repr=False)
    """The path secret of our first filtered node; empty where the commit has no path."""
    leaf_private: bytes = field(default=b"", repr=False)
    """HPKE private key of the leaf in the path; empty where the commit has no path."""

    @classmethod
    def decode(cls, reader: Reader) -> PendingCommit:
        """Read one. :raises DecodeError: the bytes are not one."""
        return cls(
            message_hash=reader.opaque(),
            content=AuthenticatedContent.decode(reader),
            path_secret=reader.opaque(),
            leaf_private=reader.opaque(),
        )

    def encode(self, writer: Writer) -> None:
        """Append the stored form."""
        writer.opaque(self.message_hash)
        self.content.encode(writer)
        writer.opaque(self.path_secret)
        writer.opaque(self.leaf_private)


@dataclass(frozen=True, slots=True, kw_only=True)
class PastEpoch:
    """What is kept of an epoch that is over: enough to read application messages that arrive late."""

    context: GroupContext
    tree: RatchetTree
    sender_data_secret: bytes = field(repr=False)
    resumption_psk: bytes = field(repr=False)
    secret_tree: SecretTree = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class GroupState:
    """Everything a member knows of a group in one epoch."""

    settings: GroupSettings
    suite: CipherSuite
    own_index: LeafIndex
    signature_private: bytes
    context: GroupContext
    tree: RatchetTree
    interim_transcript_hash: bytes
    confirmation_tag: bytes
    secrets: EpochSecrets
    secret_tree: SecretTree
    private_keys: Mapping[NodeIndex, bytes]
    """HPKE private keys of our leaf and of the nodes above it that we know."""
    proposals: Mapping[bytes, StoredProposal]
    pending: Mapping[bytes, PendingCommit]
    past: tuple[PastEpoch, ...] = ()
    """Newest first, at most ``settings.max_past_epochs``."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(group_id={self.group_id.hex()}, epoch={self.epoch}, own_index={self.own_index})"

    @property
    def group_id(self) -> bytes:
        """Return the group's identifier."""
        return self.context.group_id

    @property
    def epoch(self) -> int:
        """Return the epoch's number."""
        return self.context.epoch

    @property
    def extensions(self) -> tuple[Extension, ...]:
        """Return the GroupContext's extensions."""
        return self.context.extensions

    @property
    def epoch_authenticator(self) -> bytes:
        """Return 32 bytes that members of one epoch share and nobody else can make (RFC 9420 section 8.7)."""
        return self.secrets.epoch_authenticator

    @property
    def own_leaf(self) -> LeafNode:
        """Return our own leaf."""
        return leaf_at(self.tree, self.own_index)

    def members(self) -> tuple[Member, ...]:
        """Return the roster in the order of leaves."""
        return tuple(Member(index, leaf) for index, leaf in self.tree.leaves())

    def member(self, index: LeafIndex) -> Member:
        """Return one row of the roster. :raises RuleError: nobody is there."""
        return Member(index, leaf_at(self.tree, index))

    def export_secret(self, label: bytes | str, context: bytes, length: int) -> bytes:
        """Return ``length`` bytes for an application's use, the same for every member (RFC 9420 section 8.5)."""
        return export(self.suite, self.secrets.exporter, label, context, length)


S = TypeVar("S", bound=GroupState)


def leaf_at(tree: RatchetTree, index: LeafIndex) -> LeafNode:
    """Return a member's leaf. :raises RuleError: the leaf is blank or outside of the tree."""
    leaf = tree.leaf(index)
    if leaf is None:
        raise RuleError(f"no member at leaf {index}", rule="RFC9420-6.1")
    return leaf


def check_epoch(expected: GroupContext, group_id: bytes, epoch: int) -> None:
    """Check that a message or a value belongs to this group and epoch. :raises WrongEpochError: it does not."""
    if group_id != expected.group_id:
        raise WrongEpochError("the message is for another group")
    if epoch != expected.epoch:
        raise WrongEpochError(f"the message is for epoch {epoch}, the group is in epoch {expected.epoch}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened(Generic[S]):
    """A message that was decrypted and whose signature holds. Nothing is consumed until ``group`` is kept."""

    content: AuthenticatedContent
    base: S = field(repr=False)
    """The group that opened it."""
    group: S = field(repr=False)
    """The group with the message's key used up."""
    epoch: int
    pending: PendingCommit | None = field(default=None, repr=False)
    """Our own pending commit, if this is it."""

    @property
    def sender(self) -> LeafIndex:
        """Return the member who signed it."""
        return LeafIndex(self.content.content.sender.leaf_index)

    @property
    def body(self) -> bytes | Proposal | Commit:
        """Return application data, a proposal or a commit."""
        return self.content.content.content

    @property
    def authenticated_data(self) -> bytes:
        """Return what the sender signed in the clear."""
        return self.content.content.authenticated_data


def check_opened_here(group: GroupState, opened: Opened[S]) -> None:
    """Check that no step lies between opening a message and using it: the step would be lost.

    :raises UsageError: another state of the group opened it.
    """
    if group is not opened.base and group is not opened.group:
        raise UsageError("the message was opened by another state of the group")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvisionalCommit(Generic[S]):
    """The public part of a commit: all rules hold that need no secret. For an application's own rules."""

    opened: Opened[S]
    committer: LeafIndex
    proposals: tuple[ResolvedProposal, ...]
    effect: Effect
    """What the proposals do, before the path."""
    tree: RatchetTree = field(repr=False)
    """After the proposals and the path."""
    path_leaf: LeafNode | None
    """The committer's new leaf; None where the commit has no path."""
    extensions_before: tuple[Extension, ...]

    @property
    def extensions_after(self) -> tuple[Extension, ...]:
        """Return the GroupContext's extensions in the next epoch."""
        return self.effect.extensions

    @property
    def added(self) -> tuple[LeafIndex, ...]:
        """Return the leaves of those added, in the order of their Adds."""
        return self.effect.added

    @property
    def updated(self) -> tuple[LeafIndex, ...]:
        """Return the leaves changed by Update proposals."""
        return self.effect.updated

    @property
    def removed(self) -> tuple[LeafIndex, ...]:
        """Return the leaves removed."""
        return self.effect.removed

    @property
    def commit(self) -> Commit:
        """Return the commit itself."""
        body = self.opened.body
        assert isinstance(body, Commit)  # noqa: S101 - made from commits only
        return body

    @property
    def group(self) -> S:
        """Return the group with the commit's key used up, still in the old epoch."""
        return self.opened.group


@dataclass(frozen=True, slots=True, kw_only=True)
class StagedCommit(Generic[S]):
    """A commit whose every check holds, the confirmation tag included; ``Group.merge`` takes it."""

    provisional: ProvisionalCommit[S]
    next: S | None = field(repr=False)
    """The group in the new epoch; None where the commit removes us: then no key can be derived."""

    @property
    def removed_self(self) -> bool:
        """Answer whether the commit removes us."""
        return self.next is None

    @property
    def epoch_authenticator(self) -> bytes:
        """Return the staged epoch's authenticator. :raises RemovedError: we are not in that epoch."""
        return self._group().epoch_authenticator

    def export_secret(self, label: bytes | str, context: bytes, length: int) -> bytes:
        """Return ``length`` bytes of the staged epoch. :raises RemovedError: we are not in that epoch."""
        return self._group().export_secret(label, context, length)

    def _group(self) -> S:
        if self.next is None:
            raise RemovedError("the commit removes this member")
        return self.next
