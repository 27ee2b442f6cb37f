"""Every error of Tertulia, sorted by whose fault it is.

::

    TertuliaError
    ├── UsageError                 the caller asked for something that cannot be done
    ├── InvalidMessageError        bytes from outside are wrong; the state is unchanged
    │   ├── DecodeError            not well-formed
    │   ├── UnsupportedError       well-formed, but this version does not know it
    │   ├── RuleError              well-formed, but a rule forbids it
    │   ├── AuthenticityError      a signature, tag or seal does not hold
    │   ├── WrongEpochError        made for another epoch
    │   └── ReplayError            seen before, or its key is used up
    ├── TrustError                 a person must decide
    ├── TransportError             the relay cannot be reached, or did not answer as it must
    ├── StorageError               the disk or the database
    └── InternalError              a fault of ours

The relay and the client add their own leaves in their own ``errors`` modules.

A class carries what a person is shown: the first paragraph of its docstring is the message; ``kept`` says what was
kept and ``next`` what to do. All three are message ids: whoever shows them translates them. ``code`` is stable and is
what programs compare. ``detail`` is for people who build on the library; it never holds a secret or the content of
anything a member wrote.
"""

from __future__ import annotations

import inspect
from typing import ClassVar


class TertuliaError(Exception):
    """Something went wrong."""

    code: ClassVar[str] = "error"
    kept: ClassVar[str] = "Nothing was changed."
    next: ClassVar[str] = "Try again; if it happens again, report it with the code above."

    def __init__(self, detail: str = "", **values: object) -> None:
        """:param detail: one technical sentence. :param values: fills ``{name}`` places of the message."""
        super().__init__(detail)
        self.detail = detail
        self.values = values

    @classmethod
    def message_id(cls) -> str:
        """Return the first paragraph of the docstring as one line: the untranslated message."""
        text = inspect.cleandoc(cls.__doc__ or "").split("\n\n", 1)[0]
        return " ".join(text.split())

    def __str__(self) -> str:
        message = self.message_id()
        if self.values:
            message = message.format_map({name: str(value) for name, value in self.values.items()})
        return f"{message} ({self.detail})" if self.detail else message


class UsageError(TertuliaError):
    """This cannot be done as it was asked."""

    code = "usage"
    next = "Check the command or the arguments and try again."


class InvalidMessageError(TertuliaError):
    """Something that came from outside is not valid."""

    code = "message.invalid"
    next = "Ask whoever sent it to send it again."


class DecodeError(InvalidMessageError):
    """Something that came from outside is damaged or incomplete."""

    code = "message.malformed"

    def __init__(self, detail: str = "", *, position: int | None = None) -> None:
        """:param position: the offset in bytes at which reading stopped, where it is known."""
        super().__init__(detail if position is None else f"{detail} at byte {position}")
        self.position = position


class UnsupportedError(InvalidMessageError):
    """Something that came from outside needs a newer version of Tertulia."""

    code = "message.unsupported"
    next = "Install the newest version of Tertulia and try again."


class RuleError(InvalidMessageError):
    """Something that came from outside breaks a rule of this circle."""

    code = "message.rule"

    def __init__(self, detail: str = "", *, rule: str = "") -> None:
        """:param rule: the identifier of the rule, for example ``V8`` or ``RFC9420-12.2``."""
        super().__init__(f"{rule}: {detail}" if rule else detail)
        self.rule = rule


class AuthenticityError(InvalidMessageError):
    """Something that came from outside is not from whom it claims to be, or was changed on its way."""

    code = "message.authenticity"


class WrongEpochError(InvalidMessageError):
    """A message belongs to another state of the circle than the present one."""

    code = "message.epoch"


class ReplayError(InvalidMessageError):
    """A message was already received, or the key for it is used up."""

    code = "message.replay"


class TrustError(TertuliaError):
    """This needs a decision by a person."""

    code = "trust"


class TransportError(TertuliaError):
    """The relay cannot be reached or did not answer as it must."""

    code = "transport"
    kept = "Posts are kept on this device. A removal, an approval or an invitation counts only once it is done."
    next = "Check the connection. Posts are sent by themselves later; if this was anything else, run it again."


class StorageError(TertuliaError):
    """The data on this device cannot be read or written."""

    code = "storage"


class InternalError(TertuliaError):
    """This is a fault in Tertulia itself."""

    code = "internal"
