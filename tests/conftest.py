"""What holds for every test: hypothesis' settings by profile."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, Phase, settings

# A machine that is busy with other checks is no fault of the code under test: no deadlines.
_COMMON = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow], "print_blob": True}

settings.register_profile("check", max_examples=60, **_COMMON)
settings.register_profile("soak", max_examples=2000, **_COMMON)
# `make teeth` breaks the code on purpose: it neither shrinks what it finds nor remembers it.
settings.register_profile("teeth", max_examples=60, database=None, phases=(Phase.explicit, Phase.generate), **_COMMON)

settings.load_profile(os.environ.get("TERTULIA_PROFILE", "check"))
