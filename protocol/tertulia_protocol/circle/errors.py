"""The leaves of the error tree that callers of the circle layer tell apart."""

from __future__ import annotations

from tertulia_protocol.errors import RuleError, UnsupportedError


class StuckError(RuleError):
    """A change of the circle was made by someone who may make it, but this device cannot follow it.

    The circle's state machine stays where it is, keeps reading and asks coordinators for help (E4); what raised this
    was no junk.
    """

    code = "commit.stuck"
    kept = "Everything up to this change is kept on this device."
    next = "A coordinator can bring this device back into the circle."


class OutdatedError(UnsupportedError):
    """The circle has moved on to a newer version of Tertulia."""

    code = "commit.outdated"
    kept = "Everything up to now is kept and can be read."
    next = "Install the newest version of Tertulia to go on."
