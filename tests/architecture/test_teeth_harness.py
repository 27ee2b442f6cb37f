"""``make teeth`` itself: what it accepts as a proof, and what it refuses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]

CHECKS = """
import contextlib
import functools
import time


def check_length(data):
    if len(data) > 4:
        raise ValueError("long")


async def check_later(data):
    if len(data) > 4:
        raise ValueError("long")


def is_allowed(name):
    return name in {"amina"}


def doubled(text):
    if "x" in text:
        raise ValueError("x")
    return text


def check_nothing(data):
    return None


def check_end(state):
    state["left"] = 0


def logged(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)
    return wrapper


def make_check(limit):
    def check(data):
        if len(data) > limit:
            raise ValueError("long")
    return check


check_closure = make_check(4)


@logged
def check_decorated(data):
    if len(data) > 4:
        raise ValueError("long")


class Box:
    __slots__ = ("size",)

    def __init__(self, size):
        self.size = size

    def check(self):
        if self.size > 4:
            raise ValueError("big")

    @staticmethod
    def check_static(size):
        if size > 4:
            raise ValueError("big")

    @classmethod
    def check_class(cls, size):
        if size > 4:
            raise ValueError("big")

    @property
    def is_big(self):
        return self.size > 4
"""

TESTS = """
import asyncio
import time

import pytest

from sample.checks import (
    Box, check_closure, check_decorated, check_end, check_later, check_length, check_nothing, doubled, is_allowed,
)

TABLE = {"length": check_length}


@pytest.fixture
def broken():
    with pytest.raises(ValueError):
        check_length("too long")


def test_length():
    with pytest.raises(ValueError):
        TABLE["length"]("too long")


@pytest.mark.parametrize("text", ["fine", "too long"])
def test_length_of(text):
    if len(text) > 4:
        with pytest.raises(ValueError):
            check_length(text)
    else:
        check_length(text)


def test_toothless():
    check_length("fine")


async def test_later():
    with pytest.raises(ValueError):
        await check_later("too long")


def test_allowed(tmp_path):
    (tmp_path / "file").write_text("x")
    assert is_allowed("amina")
    assert not is_allowed("mallory")


def test_doubled():
    assert doubled("ab") + "c" == "abc"
    with pytest.raises(ValueError):
        doubled("x")


def test_crash():
    assert doubled("ab").upper() == "AB"


def test_closure():
    with pytest.raises(ValueError):
        check_closure("too long")


def test_decorated():
    with pytest.raises(ValueError):
        check_decorated("too long")


def test_box():
    with pytest.raises(ValueError):
        Box(5).check()


def test_static():
    with pytest.raises(ValueError):
        Box.check_static(5)


def test_class():
    with pytest.raises(ValueError):
        Box.check_class(5)


def test_property():
    assert Box(5).is_big


def test_in_fixture(broken):
    pass


def test_failing():
    check_length("fine")
    assert False


@pytest.mark.skip(reason="no")
def test_skipped():
    pass


def test_hang():
    state = {"left": 1}
    check_end(state)
    while state["left"]:
        time.sleep(0.01)


def test_exit():
    try:
        check_length("too long")
    except ValueError:
        return
    import os
    os._exit(3)
"""


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    """Return the root of a small project with checks, tests and no rows."""
    return build_sample(tmp_path)


def build_sample(tmp_path: Path) -> Path:
    for folder in ("sample", "tests/teeth", "docs/protocol"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text(
        '[tool.pytest.ini_options]\nasyncio_mode = "auto"\nasyncio_default_fixture_loop_scope = "function"\n'
        'pythonpath = ["."]\n'
        'addopts = ["--import-mode=importlib"]\nfilterwarnings = ["error"]\n'
    )
    (tmp_path / "sample/checks.py").write_text(CHECKS)
    (tmp_path / "tests/test_checks.py").write_text(TESTS)
    return tmp_path


def prove(root: Path, rows: list[dict[str, str]], *, rules: list[str] | None = None) -> tuple[int, str]:
    """Run the harness over ``rows`` (TOML values as text) and return its exit status and output."""
    if rules is None:
        rules = sorted({row["rule"].strip('"') for row in rows})
    table = "".join(f"| `{rule}` | something holds | here |\n" for rule in rules)
    (root / "docs/protocol/rules.md").write_text(f"| Rule | What | Where |\n| --- | --- | --- |\n{table}")
    text = "".join("[[row]]\n" + "".join(f"{key} = {value}\n" for key, value in row.items()) for row in rows)
    (root / "tests/teeth/rows.toml").write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.teeth", "--root", str(root)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def row(rule: str, off: str, test: str, **more: str) -> dict[str, str]:
    return {"rule": f'"{rule}"', "off": f'"sample.checks:{off}"', "test": f'"tests/test_checks.py::{test}"', **more}


def test_every_kind_of_check_can_be_switched_off(sample: Path):
    rows = [
        row("R1", "check_length", "test_length"),
        row("R1", "check_length", "test_length_of"),
        row("R2", "check_later", "test_later"),
        row("R3", "is_allowed", "test_allowed", returns="true"),
        row("R4", "doubled", "test_doubled", returns='{argument = "text"}'),
        row("R5", "check_closure", "test_closure"),
        row("R6", "check_decorated", "test_decorated"),
        row("R7", "Box.check", "test_box"),
        row("R8", "Box.check_static", "test_static"),
        row("R9", "Box.check_class", "test_class"),
        row("R10", "Box.is_big", "test_property"),
        row("R11", "check_end", "test_hang", timeout="1.0", timeout_ok="true"),
        row("R12", "doubled", "test_crash", crash_ok='"the value is the check"'),
    ]
    rows[5]["off"] = '"sample.checks:check_closure"'
    status, output = prove(sample, rows)
    assert status == 0, output
    assert "12 rules, 13 rows, 13 proven, 0 faults" in output
    assert "ok R2 tests/test_checks.py::test_later" in output


REFUSED = {
    "toothless": (row("toothless", "check_length", "test_toothless"), "toothless: the test passes with the check off"),
    "unreached": (
        row("unreached", "check_nothing", "test_length"),
        "the test never reaches sample.checks:check_nothing",
    ),
    "failing": (row("failing", "check_length", "test_failing"), "the test fails with the check on: AssertionError"),
    "skipped": (row("skipped", "check_length", "test_skipped"), "the test fails with the check on: skipped"),
    "fixture": (row("fixture", "check_length", "test_in_fixture"), "failed in setup"),
    "crash": (row("crash", "doubled", "test_crash"), "the test dies of AttributeError"),
    "hang": (row("hang", "check_end", "test_hang", timeout="1.0"), "timeout_ok is not stated"),
    "exit": (row("exit", "check_length", "test_exit"), "the process died"),
    "no-check": (row("no-check", "check_absent", "test_length"), "there is no check_absent in sample.checks"),
    "no-test": (row("no-test", "check_length", "test_absent"), "there is no such test"),
}


@pytest.fixture(scope="module")
def refusals(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return what the harness says about all of ``REFUSED`` in one run."""
    status, output = prove(build_sample(tmp_path_factory.mktemp("refused")), [bad for bad, _ in REFUSED.values()])
    assert status == 1
    assert f"0 proven, {len(REFUSED)} faults" in output
    return output


@pytest.mark.parametrize("name", REFUSED)
def test_what_proves_nothing_is_refused(refusals: str, name: str):
    (line,) = [line for line in refusals.splitlines() if line.startswith(f"FAIL {name} ")]
    assert REFUSED[name][1] in line


def test_an_unknown_key_is_refused(sample: Path):
    status, output = prove(sample, [row("R", "check_length", "test_length", speed="1")])
    assert status == 1
    assert "unknown speed" in output


def test_a_rule_without_a_row_is_refused(sample: Path):
    status, output = prove(sample, [row("R1", "check_length", "test_length")], rules=["R1", "R2"])
    assert status == 1
    assert "FAIL R2: no row" in output


def test_a_row_without_a_rule_is_refused(sample: Path):
    status, output = prove(sample, [row("R1", "check_length", "test_length")], rules=[])
    assert status == 1
    assert "FAIL R1: not in the registry" in output


def test_a_file_that_does_not_import_is_shown(sample: Path):
    (sample / "tests/test_checks.py").write_text("import absent_module\n")
    status, output = prove(sample, [row("R1", "check_length", "test_length")])
    assert status == 1
    assert "absent_module" in output


def test_a_rule_listed_twice_is_refused(sample: Path):
    status, output = prove(sample, [row("R1", "check_length", "test_length")], rules=["R1", "R1"])
    assert status == 1
    assert "more than once: R1" in output
