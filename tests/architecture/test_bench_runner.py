"""The benchmark runner prints what others can read, and refuses what they could misread."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.common import Line, Samples, measure, render

ROOT = Path(__file__).resolve().parents[2]


def test_a_line_has_the_agreed_keys():
    samples = Samples(tuple(n / 1000 for n in range(1, 101)))
    line = Line(params={"n": 10, "against": "peer"}, value=12345.678, unit="1/s", samples=samples, ratio=0.98765)
    assert json.loads(render("mls.create", line)) == {
        "bench": "mls.create",
        "params": {"n": 10, "against": "peer"},
        "value": 12350.0,
        "unit": "1/s",
        "p50_ms": 50.0,
        "p95_ms": 95.0,
        "p99_ms": 99.0,
        "ratio": 0.9877,
    }


def test_keys_that_do_not_apply_are_absent():
    assert json.loads(render("wire.post", Line(params={}, value=512, unit="bytes"))) == {
        "bench": "wire.post",
        "params": {},
        "value": 512,
        "unit": "bytes",
    }


@pytest.mark.parametrize(
    "line",
    [
        Line(params={}, value=1.0, unit="seconds"),
        Line(params={"suite": b"1"}, value=1.0, unit="ms"),
        Line(params={}, value=1.0, unit="ms", ratio=2.0),
        Line(params={}, value=float("nan"), unit="ms"),
    ],
)
def test_a_bad_line_is_refused(line: Line):
    with pytest.raises(ValueError):  # noqa: PT011 - what is refused is ours or json's
        render("x.y", line)


def test_measure_counts_its_runs():
    calls = []
    assert len(measure(lambda: calls.append(1), runs=5, warm=2).seconds) == 5
    assert len(calls) == 7


def test_standard_output_holds_json_lines_only():
    command = [sys.executable, "-m", "bench.run", "--only", "codec"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert {line["bench"] for line in lines} == {"codec.request"}
    assert all(line["value"] > 0 for line in lines)


def test_an_unknown_name_is_refused():
    command = [sys.executable, "-m", "bench.run", "--only", "absent"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "codec.request" in done.stderr
    assert done.stdout == ""
