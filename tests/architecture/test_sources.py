"""Rules about our own source files, each shown to find a planted fault."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.sources import (
    PACKAGES,
    find_excuses_without_reason,
    find_long_functions,
    find_long_modules,
    find_machine_use,
    find_primitive_use,
    find_reach,
)

ROOT = Path(__file__).resolve().parents[2]

MACHINE = ("client/tertulia/system.py",)
"""The client's one file that reads the machine's clock and draws from its random generator."""

RELAY_RULES = "server/tertulia_relay/delivery"

PRIMITIVES = {
    "client/tertulia/store/keyfile.py": "the key of the database under the passphrase: Argon2id, SecretBox",
    "protocol/tertulia_protocol/circle/primitives.py": "circles: XChaCha20-Poly1305, HPKE of letters, Argon2id",
    "protocol/tertulia_protocol/mls/ciphersuite.py": "MLS: AEADs, Ed25519; HMAC and HKDF by the standard library",
    "protocol/tertulia_protocol/mls/hpke.py": "MLS: HPKE over X25519 and over ML-KEM-768 with X25519",
    "protocol/tertulia_protocol/signing.py": "Ed25519 outside MLS",
}
"""Where ``cryptography`` and ``nacl`` are used and for what: what an auditor reads first."""

LONG_MODULES: dict[str, str] = {
    "client/tertulia/client.py": "a facade: one short method for each command, with what it promises",
    "client/tertulia/errors.py": "all that can go wrong at a member, in one list that is read as one",
}
"""Modules of more than 400 lines, and why they are not two."""

CHECKED = (*PACKAGES, "tests/support", "bench")


def plant(root: Path, path: str, text: str) -> Path:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)
    return root


def test_the_client_takes_clock_and_randomness_from_outside():
    assert find_machine_use(ROOT, "client/tertulia", allowed=MACHINE) == []


def test_the_rules_of_the_relay_take_the_clock_from_outside():
    assert find_machine_use(ROOT, RELAY_RULES, allowed=()) == []


def test_the_protocol_calls_nothing_that_reaches_out():
    assert find_reach(ROOT, "protocol/tertulia_protocol") == []


def test_primitives_are_used_in_the_listed_files_only():
    assert find_primitive_use(ROOT, allowed=PRIMITIVES) == []


def test_modules_are_short():
    assert find_long_modules(ROOT, CHECKED, reasons=LONG_MODULES) == []


def test_functions_are_short():
    assert find_long_functions(ROOT, CHECKED) == []


def test_exceptions_from_the_rules_say_why():
    assert find_excuses_without_reason(ROOT, (*CHECKED, "tests")) == []


@pytest.mark.parametrize(
    "text",
    [
        "import time\n",
        "from time import monotonic\n",
        "import asyncio\n\nasync def f():\n    await asyncio.sleep(1)\n",
        "import asyncio as a\n\nasync def f():\n    await a.sleep(1)\n",
        "from asyncio import sleep\n",
        "from secrets import token_bytes\n",
        "def f():\n    import random\n",
        "import os\nKEY = os.urandom(32)\n",
        "from os import urandom\n",
        "from datetime import datetime\nNOW = datetime.now()\n",
        "import datetime as d\nNOW = d.datetime.now()\n",
        "import uuid\nID = uuid.uuid4()\n",
        "import nacl.utils\nKEY = nacl.utils.random(32)\n",
    ],
)
def test_a_planted_use_of_the_machine_is_found(tmp_path: Path, text: str):
    plant(tmp_path, "client/tertulia/sync.py", text)
    assert len(find_machine_use(tmp_path, "client/tertulia", allowed=MACHINE)) >= 1
    assert find_machine_use(tmp_path, "client/tertulia", allowed=["client/tertulia/sync.py"]) == []


def test_what_is_no_use_of_the_machine_is_not_found(tmp_path: Path):
    plant(tmp_path, "client/tertulia/sync.py", "import asyncio\nimport os\n\nQ = asyncio.Queue()\nP = os.environ\n")
    assert find_machine_use(tmp_path, "client/tertulia", allowed=()) == []


@pytest.mark.parametrize("text", ["open('x')\n", "def f():\n    print(1)\n", "from urllib import request\n"])
def test_a_planted_reach_is_found(tmp_path: Path, text: str):
    plant(tmp_path, "protocol/tertulia_protocol/x.py", text)
    assert len(find_reach(tmp_path, "protocol/tertulia_protocol")) == 1


@pytest.mark.parametrize(
    "text", ["import nacl\n", "from cryptography.hazmat import primitives\n", "def f():\n    import nacl.secret\n"]
)
def test_a_planted_primitive_is_found(tmp_path: Path, text: str):
    plant(tmp_path, "client/tertulia/store/x.py", text)
    (fault,) = find_primitive_use(tmp_path, allowed={})
    assert "is not listed" in fault


def test_a_listed_file_without_a_primitive_is_found(tmp_path: Path):
    plant(tmp_path, "client/tertulia/x.py", "import os\n")
    (fault,) = find_primitive_use(tmp_path, allowed={"client/tertulia/x.py": "nothing"})
    assert "no primitive any more" in fault


@pytest.mark.parametrize(
    ("lines", "reasons", "found"),
    [
        (400, {}, False),
        (401, {}, True),
        (401, {"bench/x.py": "one table"}, False),
        (601, {"bench/x.py": "one table"}, True),
        (400, {"bench/x.py": "one table"}, True),
    ],
)
def test_a_planted_long_module_is_found(tmp_path: Path, lines: int, reasons: dict[str, str], *, found: bool):
    plant(tmp_path, "bench/x.py", "x = 1\n" * lines)
    assert bool(find_long_modules(tmp_path, ["bench"], reasons=reasons)) == found


@pytest.mark.parametrize(("lines", "found"), [(58, False), (59, True)])
def test_a_planted_long_function_is_found(tmp_path: Path, lines: int, *, found: bool):
    body = '    """One\n\n    two.\n    """\n' + "    x = 1\n" * lines
    plant(tmp_path, "bench/x.py", f"class C:\n    pass\n\n\nasync def f():\n{body}")
    assert bool(find_long_functions(tmp_path, ["bench"])) == found


@pytest.mark.parametrize(
    ("comment", "found"),
    [
        ("# no" + "qa: S101", True),
        ("# no" + "qa", True),
        ("# ty" + "pe: ignore[misc]", True),
        ("# no" + "qa: S101 - a test double", False),
        ("# ty" + "pe: ignore[misc]  # the stubs are wrong here", False),
    ],
)
def test_a_planted_excuse_is_found(tmp_path: Path, comment: str, *, found: bool):
    plant(tmp_path, "bench/x.py", f"x = 1  {comment}\n")
    assert bool(find_excuses_without_reason(tmp_path, ["bench"])) == found


def test_a_reason_speaks_for_the_equal_lines_that_follow_only(tmp_path: Path):
    excuse = "# no" + "qa: ARG002"
    plant(tmp_path, "bench/x.py", f"a = 1  {excuse} - not ours\nb = 1  {excuse}\nc = 1\nd = 1  {excuse}\n")
    (fault,) = find_excuses_without_reason(tmp_path, ["bench"])
    assert "line 4" in fault
