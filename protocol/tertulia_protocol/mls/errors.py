"""The leaves of the error tree that callers of MLS tell apart; all else is raised as the tree's own classes."""

from __future__ import annotations

from tertulia_protocol.errors import RuleError


class UnknownProposalError(RuleError):
    """Something that came from outside refers to a proposal that has not arrived.

    A commit names by hash a proposal that we have not seen (RFC 9420 section 12.4.2).
    """

    code = "mls.proposal-unknown"
