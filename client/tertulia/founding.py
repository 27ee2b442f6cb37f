"""Founding a circle."""

from __future__ import annotations

from tertulia.runtime import Runtime
from tertulia_protocol.relay_api.addresses import Enrolment


async def found_circle(
    runtime: Runtime, *, name: str, enrolment: Enrolment, display_name: str, alias: str | None = None
) -> bytes:
    """Found a circle on a relay and return its id (32 bytes). This person is its one coordinator.

    The relay proves that it has the key of the enrolment before anything is stored. Name and profile are posted.

    :raises WrongRelayError: the relay has another key. :raises PaymentError: the code does not pay.
    :raises TransportError: before anything was stored, or afterwards: then the next sync goes on.
    """
    raise NotImplementedError


async def resume_founding(runtime: Runtime, circle_id: bytes) -> None:
    """Put the segments of a circle that was stored but not finished onto the relay. Part of every sync."""
    raise NotImplementedError
