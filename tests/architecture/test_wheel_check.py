"""The wheel's check (tests/smoke/wheel.py) can fail."""

from __future__ import annotations

import pytest

from tests.smoke.wheel import SmokeError, check_contents, check_same, expected_names

GOOD = expected_names("0.1.0")


def test_the_expected_contents_are_accepted():
    assert {"tertulia/py.typed", "tertulia_relay/py.typed", "tertulia_protocol/py.typed"} <= GOOD
    assert "tertulia-0.1.0.dist-info/licenses/LICENSE" in GOOD
    check_contents(set(GOOD), set(GOOD))


@pytest.mark.parametrize("name", ["tests/conftest.py", "tertulia/__pycache__/x.pyc"])
def test_a_file_too_much_is_found(name: str):
    with pytest.raises(SmokeError, match="too much"):
        check_contents({*GOOD, name}, GOOD)


def test_a_missing_file_is_found():
    with pytest.raises(SmokeError, match=r"missing: \['tertulia_relay/cli.py'\]"):
        check_contents(GOOD - {"tertulia_relay/cli.py"}, GOOD)


def test_an_untyped_package_is_found():
    untyped = GOOD - {"tertulia/py.typed"}
    with pytest.raises(SmokeError, match=r"no py.typed: \['client/tertulia'\]"):
        check_contents(untyped, untyped)


def test_two_different_builds_are_found(tmp_path):
    (tmp_path / "a.whl").write_bytes(b"1")
    (tmp_path / "b.whl").write_bytes(b"2")
    with pytest.raises(SmokeError, match="two builds differ"):
        check_same(tmp_path / "a.whl", tmp_path / "b.whl")
