"""The locks: nothing but pinned names with hashes, and enough for everything that pyproject.toml asks for."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ("runtime", "relay", "test", "fuzz")

_PIN = re.compile(r"^(?P<name>[a-z0-9-]+)==(?P<version>[^ ;]+)(?: ; (?P<marker>[^\\]+))? \\$")
_HASH = re.compile(r"^    --hash=sha256:[0-9a-f]{64}(?: \\)?$")


def find_faults(text: str) -> list[str]:
    """Return every line that is neither a pin nor a hash, and every pin without a hash."""
    faults = []
    hashed = True
    for line in text.splitlines():
        if _PIN.match(line):
            faults += [] if hashed else [f"no hash before {line}"]
            hashed = False
        elif _HASH.match(line):
            hashed = True
        else:
            faults.append(line)
    return faults if hashed else [*faults, "no hash at the end"]


def pins(name: str) -> dict[str, Version]:
    text = (ROOT / f"requirements/{name}.txt").read_text("utf-8")
    return {match["name"]: Version(match["version"]) for line in text.splitlines() if (match := _PIN.match(line))}


def wanted(name: str) -> list[Requirement]:
    """Return what the lock must satisfy."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    lines = list(project["project"]["dependencies"]) if name != "fuzz" else []
    if name in {"relay", "test"}:
        lines += project["project"]["optional-dependencies"]["relay"]
    if name == "test":
        lines += project["build-system"]["requires"]
    if name in {"test", "fuzz"}:
        lines += (ROOT / f"requirements/{name}.in").read_text("utf-8").splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def find_unsatisfied(requirements: list[Requirement], pinned: dict[str, Version]) -> list[str]:
    return [
        str(requirement)
        for requirement in requirements
        if (version := pinned.get(canonicalize_name(requirement.name))) is None or version not in requirement.specifier
    ]


def test_the_folder_holds_these_locks_only():
    assert {path.stem for path in (ROOT / "requirements").glob("*.txt")} == set(LOCKS)


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_holds_pins_and_hashes_only(name: str):
    text = (ROOT / f"requirements/{name}.txt").read_text("utf-8")
    assert pins(name)
    assert find_faults(text) == []
    assert not re.search(r"://|--index|--extra-index|--find-links|-e |@ |^/|\s/|\.\./|#", text)


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_satisfies_the_project(name: str):
    assert find_unsatisfied(wanted(name), pins(name)) == []


def test_a_package_has_one_version_in_all_locks():
    for name in LOCKS:
        for package, version in pins(name).items():
            assert pins("test").get(package, version) == version
    assert pins("runtime").keys() <= pins("relay").keys() <= pins("test").keys()


@pytest.mark.parametrize(
    "planted",
    [
        "--index-url https://example.org/simple\n",
        "--find-links wheels\n",
        "# via -r /home/amina/test.in\n",
        "click>=8 \\\n    --hash=sha256:" + "0" * 64 + "\n",
        "click==8.5.1\n",
        "click==8.5.1 \\\n",
        "click==8.5.1 \\\n    --hash=md5:00\n",
        "click @ https://example.org/click.whl \\\n    --hash=sha256:" + "0" * 64 + "\n",
        "-e .\n",
    ],
)
def test_a_planted_fault_is_found(planted: str):
    good = (ROOT / "requirements/fuzz.txt").read_text("utf-8")
    assert find_faults(good) == []
    assert find_faults(good + planted)
    assert find_faults(planted + good)


def test_a_planted_gap_is_found():
    assert find_unsatisfied([Requirement("click>=8.5")], {"click": Version("8.4")}) == ["click>=8.5"]
    assert find_unsatisfied([Requirement("SQLAlchemy[asyncio]>=2.1.9")], {}) == ["SQLAlchemy[asyncio]>=2.1.9"]
    assert find_unsatisfied([Requirement("SQLAlchemy[asyncio]>=2.1.9")], {"sqlalchemy": Version("2.1.9")}) == []
