"""What the relay writes about itself: that it started, that it stopped, and faults an operator must know of.

No line carries a byte of a request, an address, an identifier or a time. The message of an exception may hold any of
these (a database driver quotes the values of a statement), so only its type and the places in the code are written.
"""

from __future__ import annotations

import logging
import traceback
from pathlib import Path
from typing import Any

PACKAGE = "tertulia_relay"


def describe_fault(error: BaseException) -> str:
    """Return type and places of an exception and of its causes, without its message and its values."""
    parts: list[str] = []
    current: BaseException | None = error
    while current is not None and len(parts) < 5:
        frames = traceback.extract_tb(current.__traceback__)[-6:]
        places = " > ".join(f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames)
        parts.append(f"{type(current).__module__}.{type(current).__qualname__} at {places or 'an unknown place'}")
        current = current.__cause__ or current.__context__
    return "; after ".join(parts)


class OperatorFormatter(logging.Formatter):
    """One line a record. Of a record that other software made only its origin and the kind of exception remain."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        own = record.name == PACKAGE or record.name.startswith(PACKAGE + ".")
        text = record.getMessage() if own else f"a message of {record.name} was left out"
        fault = record.exc_info[1] if record.exc_info else None
        return f"{record.levelname.lower()}: {text}" + (f" ({describe_fault(fault)})" if fault else "")


def start_logging(*, quiet: bool) -> None:
    """Send records to standard error: all of ours (with ``quiet`` only faults), and that others had something."""
    handler = logging.StreamHandler()
    handler.setFormatter(OperatorFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.ERROR)
    logging.getLogger(PACKAGE).setLevel(logging.ERROR if quiet else logging.INFO)
    # A handler that fails would print the record, values and all.
    logging.raiseExceptions = False


def report_loop_fault(_loop: object, context: dict[str, Any]) -> None:
    """Take what asyncio cannot hand to anybody. Its own report would show transports and peers."""
    fault = context.get("exception")
    logging.getLogger(PACKAGE).error(
        "the event loop reports a fault%s", f" ({describe_fault(fault)})" if isinstance(fault, BaseException) else ""
    )
