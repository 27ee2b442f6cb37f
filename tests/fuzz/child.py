"""One target in one process, which libFuzzer ends: ``python -m tests.fuzz.child NAME [libFuzzer's arguments]``."""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["tertulia_protocol"]):
    from tests.fuzz.targets import find_targets

    TARGETS = find_targets()

if __name__ == "__main__":
    atheris.Setup([sys.argv[0], *sys.argv[2:]], TARGETS[sys.argv[1]])
    atheris.Fuzz()
