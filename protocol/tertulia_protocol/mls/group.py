"""A group as an application uses it: an immutable value whose methods return new values and never change it.

Keep the returned ``Group`` to keep the step; drop it to undo it. What must be on disk before a ciphertext leaves the
device is the ``Group`` that came with it: ``snapshot.changed_rows`` tells which rows that are.

Values must not fork: two steps made from one ``Group``, both of which are kept or sent, would use a key twice. So a
store loads, makes a step and saves within one transaction, and between ``open`` and what follows it lies no other step.

Application data may be sent while proposals are pending, unlike RFC 9420 section 12.4 says: in a circle members who
cannot commit would else fall silent until somebody commits who can.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tertulia_protocol.mls import commit_builder, commit_processor, group_messages, joining, snapshot
from tertulia_protocol.mls.ciphersuite import CipherSuite
from tertulia_protocol.mls.commit_builder import BuiltCommit
from tertulia_protocol.mls.extensions import Extension
from tertulia_protocol.mls.framing import PrivateMessage, PublicMessage
from tertulia_protocol.mls.group_messages import LeafChanges
from tertulia_protocol.mls.group_state import (
    GroupSettings,
    GroupState,
    Opened,
    ProvisionalCommit,
    StagedCommit,
)
from tertulia_protocol.mls.key_package import KeyPackage, KeyPackageBundle
from tertulia_protocol.mls.proposals import Proposal
from tertulia_protocol.mls.ratchet_tree import RatchetTree
from tertulia_protocol.mls.tree_math import LeafIndex
from tertulia_protocol.mls.welcome import Welcome

Rng = Callable[[int], bytes]
Psks = Mapping[bytes, bytes]
"""External pre-shared keys by psk_id."""

DEFAULTS = GroupSettings()
NO_CHANGES = LeafChanges()
NO_PSKS: Psks = {}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Group(GroupState):
    """One group, seen by one member. Properties and ``export_secret``: see :class:`GroupState`."""

    @classmethod
    def create(  # noqa: PLR0913 - each argument is one choice, and all are named
        cls,
        *,
        suite: CipherSuite,
        group_id: bytes,
        bundle: KeyPackageBundle,
        extensions: tuple[Extension, ...] = (),
        rng: Rng,
        settings: GroupSettings = DEFAULTS,
    ) -> Group:
        """Found a group whose only member is the owner of ``bundle`` (RFC 9420 section 11).

        :raises RuleError: the leaf does not support what the extensions require.
        """
        return joining.create_group(
            cls, suite=suite, group_id=group_id, bundle=bundle, extensions=extensions, rng=rng, settings=settings
        )

    @classmethod
    def join(
        cls,
        *,
        welcome: Welcome,
        bundle: KeyPackageBundle,
        ratchet_tree: RatchetTree | None = None,
        psks: Psks = NO_PSKS,
        settings: GroupSettings = DEFAULTS,
    ) -> Group:
        """Join by a Welcome, with every check of RFC 9420 section 12.4.3.1. It does not look at lifetimes.

        :param ratchet_tree: the tree where it travels outside of the Welcome; one inside comes first.
        :raises InvalidMessageError: the Welcome is not for this key package, or is not valid.
        """
        return joining.join_group(
            cls, welcome=welcome, bundle=bundle, ratchet_tree=ratchet_tree, psks=psks, settings=settings
        )

    @classmethod
    def load(cls, rows: Mapping[str, bytes]) -> Group:
        """Read a group from its stored rows. :raises DecodeError: rows are missing or damaged."""
        return snapshot.load(cls, rows)

    def rows(self) -> dict[str, bytes]:
        """Return all rows that store this group."""
        return snapshot.rows(self)

    def encrypt(
        self, data: bytes, *, authenticated_data: bytes = b"", rng: Rng, padding: int = 0
    ) -> tuple[PrivateMessage, Group]:
        """Encrypt application data. Store the returned group before the message leaves the device.

        :param padding: zero bytes appended inside of the ciphertext.
        """
        return group_messages.encrypt(self, data, authenticated_data=authenticated_data, rng=rng, padding=padding)

    def open(self, message: PrivateMessage | PublicMessage) -> Opened[Group]:
        """Decrypt a message and verify its signature. Nothing is consumed: keep ``Opened.group`` for that.

        Our own proposals and pending commits are recognised. Our own application messages cannot be opened.

        :raises WrongEpochError: another group or epoch. :raises ReplayError: its key was used or is too old.
        :raises AuthenticityError: ciphertext, membership tag or signature do not hold.
        :raises RuleError: the sender is no member, or the generation is too far ahead.
        """
        return group_messages.open_message(self, message)

    def propose_add(
        self, key_package: KeyPackage, *, now: int, authenticated_data: bytes = b"", rng: Rng
    ) -> tuple[PrivateMessage, Group]:
        """Propose to add a member. :param now: Unix seconds, for the key package's lifetime."""
        return group_messages.propose_add(self, key_package, now=now, authenticated_data=authenticated_data, rng=rng)

    def propose_update(
        self, *, changes: LeafChanges = NO_CHANGES, authenticated_data: bytes = b"", rng: Rng
    ) -> tuple[PrivateMessage, Group]:
        """Propose a fresh key for our own leaf; its private half is kept until the epoch ends."""
        return group_messages.propose_update(self, changes=changes, authenticated_data=authenticated_data, rng=rng)

    def propose_remove(
        self, removed: LeafIndex, *, authenticated_data: bytes = b"", rng: Rng
    ) -> tuple[PrivateMessage, Group]:
        """Propose to remove a member, who may be ourselves."""
        return group_messages.propose_remove(self, removed, authenticated_data=authenticated_data, rng=rng)

    def propose_extensions(
        self, extensions: tuple[Extension, ...], *, authenticated_data: bytes = b"", rng: Rng
    ) -> tuple[PrivateMessage, Group]:
        """Propose to replace all extensions of the group."""
        return group_messages.propose_extensions(self, extensions, authenticated_data=authenticated_data, rng=rng)

    def process_proposal(self, opened: Opened[Group]) -> Group:
        """Keep a proposal for a later commit. :raises InvalidMessageError: it is not valid by itself (12.1)."""
        return group_messages.process_proposal(self, opened)

    def stage_commit(self, opened: Opened[Group]) -> ProvisionalCommit[Group]:
        """Check everything about a commit that needs no secret (RFC 9420 sections 12.2 to 12.4).

        :raises UnknownProposalError: it names a proposal that we do not have. :raises RuleError: it breaks a rule.
        """
        return commit_processor.stage_commit(self, opened)

    def apply_commit(self, provisional: ProvisionalCommit[Group], *, psks: Psks = NO_PSKS) -> StagedCommit[Group]:
        """Derive the next epoch: path, key schedule, confirmation tag. ``self`` stays in the old epoch.

        :raises AuthenticityError: the path cannot be opened. :raises RuleError: path keys do not fit, a PSK is missing.
        :raises ConfirmationError: the confirmation tag does not hold.
        """
        return commit_processor.apply_commit(provisional, psks=psks)

    def merge(self, staged: StagedCommit[Group]) -> Group:
        """Return the group in the new epoch; pending commits and proposals of the old one are gone.

        :raises RemovedError: the commit removes us. :raises UsageError: the commit is of another epoch.
        """
        return commit_processor.merge(self, staged)

    def build_commit(  # noqa: PLR0913 - each argument is one choice, and all are named
        self,
        *,
        now: int,
        rng: Rng,
        proposals: Sequence[Proposal] = (),
        references: Sequence[bytes] = (),
        path: bool | None = None,
        changes: LeafChanges = NO_CHANGES,
        authenticated_data: bytes = b"",
        welcome_with_tree: bool = False,
        psks: Psks = NO_PSKS,
    ) -> BuiltCommit[Group]:
        """Build a commit and, where it adds somebody, one Welcome for all of them. Several may be pending at once.

         Store ``BuiltCommit.group`` before the message leaves. It takes effect by ``open`` when it comes back from the
         group's log, or by ``merge(built.staged)``.

         :param now: Unix seconds, for the lifetimes of added key packages.
         :param path: None: only where RFC 9420 section 12.4 demands one. :param changes: of our leaf, with a path only.
        . :raises UsageError: ``path=False`` where one is demanded.
        """
        return commit_builder.build_commit(
            self,
            now=now,
            rng=rng,
            proposals=proposals,
            references=references,
            path=path,
            changes=changes,
            authenticated_data=authenticated_data,
            welcome_with_tree=welcome_with_tree,
            psks=psks,
        )

    def drop_pending(self, message_hash: bytes) -> Group:
        """Forget one commit of ours that will not be sent."""
        return commit_builder.drop_pending(self, message_hash)
