"""Official test vectors, which are data of others and lie outside the project."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
REASON = (
    "no folder of MLS test vectors: set MLS_TEST_VECTORS to a copy of the folder test-vectors of the repository "
    "mlswg/mls-implementations"
)


def vector_folder() -> Path | None:
    """Return the folder of the vectors, or None where there is none."""
    named = os.environ.get("MLS_TEST_VECTORS")
    folder = Path(named) if named else ROOT.parent / "shared" / "mls-vectors"
    return folder if folder.is_dir() else None


def load_vectors(name: str) -> Any:
    """Return the content of ``name`` (without ``.json``); skip without the folder, fail with ``CI=true``."""
    folder = vector_folder()
    if folder is None:
        if os.environ.get("CI") == "true":
            pytest.fail(REASON)
        pytest.skip(REASON)
    return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
