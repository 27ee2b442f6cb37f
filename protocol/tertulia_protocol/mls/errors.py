"""The leaves of the error tree that callers of MLS tell apart; all else is raised as the tree's own classes."""

from __future__ import annotations

from tertulia_protocol.errors import RuleError, UsageError


class UnknownProposalError(RuleError):
    """Something that came from outside refers to a proposal that has not arrived.

    A commit names by hash a proposal that we have not seen (RFC 9420 section 12.4.2).
    """

    code = "mls.proposal-unknown"


class UnknownPskError(RuleError):
    """A change of the group needs a shared key that this device does not have."""

    code = "mls.psk-unknown"


class ConfirmationError(RuleError):
    """A change of the group does not lead to where its author says.

    The confirmation tag does not hold in the epoch that the commit leads to (RFC 9420 section 8.1).
    """

    code = "mls.confirmation"


class RemovedError(UsageError):
    """You are no longer a member of this group."""

    code = "mls.removed"
    next = "Ask a coordinator for a new invitation if this was a mistake."
