"""Every import contract of pyproject.toml is broken by the import that it forbids."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.support.sources import PACKAGES

ROOT = Path(__file__).resolve().parents[2]

PLANTED = {
    "meeting": ("client/tertulia/__init__.py", "import tertulia_relay.errors"),
    "pure": ("protocol/tertulia_protocol/codec.py", "import time"),
    "blind": ("server/tertulia_relay/delivery/__init__.py", "import tertulia_protocol.circle"),
    "protocol": ("protocol/tertulia_protocol/errors.py", "import tertulia_protocol.codec"),
    "mls": ("protocol/tertulia_protocol/mls/labeled.py", "import tertulia_protocol.mls.secret_tree"),
    "circle": ("protocol/tertulia_protocol/circle/kdf.py", "import tertulia_protocol.circle.segments"),
    "relay": ("server/tertulia_relay/storage/__init__.py", "import tertulia_relay.delivery"),
    "delivery": ("server/tertulia_relay/delivery/__init__.py", "import aiohttp"),
    "implementations": ("server/tertulia_relay/delivery/__init__.py", "import tertulia_relay.storage.sql"),
    "client": ("client/tertulia/errors.py", "import tertulia.cli"),
    "composition": ("client/tertulia/relays.py", "import tertulia.system"),
}


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return what import-linter says about a copy of the packages with every forbidden import planted."""
    root = tmp_path_factory.mktemp("planted")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, root / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", root)
    for path, line in PLANTED.values():
        with (root / path).open("a", encoding="utf-8") as file:
            file.write(f"\n{line}\n")
    return run_linter(root)


def run_linter(root: Path) -> str:
    """Run import-linter over the packages under ``root``, not over the installed ones."""
    path = os.pathsep.join(str((root / package).parent) for package in PACKAGES)
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from importlinter.cli import lint_imports_command as c; c()",
            "--no-logo",
            "--no-cache",
        ],
        cwd=root,
        env={**os.environ, "PYTHONPATH": path, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.stdout + done.stderr


def contracts() -> dict[str, str]:
    table = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    return {contract["id"]: contract["name"] for contract in table}


def test_every_contract_has_a_planted_import():
    assert PLANTED.keys() == contracts().keys()


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_import_breaks_its_contract(verdicts: str, name: str):
    assert f"{contracts()[name]} BROKEN" in verdicts


def test_an_unlisted_module_breaks_the_layers(tmp_path: Path):
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
        (tmp_path / package / "unlisted.py").touch()
    for folder in ("mls", "circle"):
        (tmp_path / "protocol/tertulia_protocol" / folder / "unlisted.py").touch()
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    output = run_linter(tmp_path)
    for name in ("protocol", "mls", "circle", "relay", "client"):
        assert f"{contracts()[name]} BROKEN" in output
