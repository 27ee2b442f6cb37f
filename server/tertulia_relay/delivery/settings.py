"""The numbers that the rules use. The defaults are the protocol's (docs/protocol, "Segments" and "Admission")."""

from __future__ import annotations

from dataclasses import dataclass, field

from tertulia_protocol.relay_api.limits import FREEZE_MAX_SECONDS, FREEZES_PER_HOUR
from tertulia_protocol.relay_api.responses import RelayLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What an operator may set. ``limits`` is stated in INFO; the rest only bounds this process."""

    limits: RelayLimits = field(default_factory=RelayLimits)
    long_polls: int = 4096
    """How many READs may wait at once; beyond that a READ is answered at once."""
    queue_jobs: int = 1024
    """How many writes may wait for the writer; beyond that BUSY."""
    queue_bytes: int = 64 * 1024 * 1024
    """How many bytes of payload may wait for the writer; beyond that BUSY."""
    batch_jobs: int = 256
    """The most writes that share one transaction."""
    batch_bytes: int = 8 * 1024 * 1024
    """The most bytes of payload that share one transaction (the first write may be longer)."""
    freeze_seconds: int = FREEZE_MAX_SECONDS
    freezes_per_hour: int = FREEZES_PER_HOUR
    expiring_days: int = 7
    """A head carries EXPIRING in the last so many days of its segment."""
    tracked_segments: int = 65536
    """The most segments whose rate bucket, configuration or signed head is kept in memory."""
