"""What every benchmark uses: its name, its samples and the one line of JSON that it prints.

A benchmark is a function, plain or async, that yields lines::

    @benchmark("codec.request")
    def run() -> Iterator[Line]:
        samples = measure(parse_it, runs=1000)
        yield Line(params={"bytes": 1024}, value=samples.per_second, unit="1/s", samples=samples)

``make bench ONLY=codec`` runs all whose name is ``codec`` or begins with ``codec.``, each in a process of its own.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass

Param = str | int | float | bool

UNITS = frozenset({"1/s", "ms", "bytes", "MiB", "MiB/s", "ratio", "count"})


@dataclass(frozen=True, slots=True)
class Samples:
    """How long single calls took, in seconds."""

    seconds: tuple[float, ...]

    @property
    def per_second(self) -> float:
        """Return calls per second, one after the other."""
        return len(self.seconds) / sum(self.seconds)

    @property
    def median_ms(self) -> float:
        """Return the median in milliseconds."""
        return statistics.median(self.seconds) * 1000

    def percentile_ms(self, percent: int) -> float:
        """Return the smallest sample, in milliseconds, that is not below ``percent`` (1 to 99) % of them."""
        ranked = sorted(self.seconds)
        return ranked[-(-len(ranked) * percent // 100) - 1] * 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One figure. ``ratio``: our value over the peer's, in the same unit and of the same run."""

    params: Mapping[str, Param]
    value: float
    unit: str
    samples: Samples | None = None
    ratio: float | None = None


Benchmark = Callable[[], Iterator[Line] | AsyncIterator[Line]]

BENCHMARKS: dict[str, Benchmark] = {}


def benchmark(name: str) -> Callable[[Benchmark], Benchmark]:
    """Register a benchmark. :param name: ``area.thing``, as it is printed."""

    def register(function: Benchmark) -> Benchmark:
        if name in BENCHMARKS:
            raise ValueError(f"two benchmarks are named {name}")
        BENCHMARKS[name] = function
        return function

    return register


def measure(function: Callable[[], object], *, runs: int, warm: int = 3) -> Samples:
    """Call ``function`` ``warm`` times for nothing and then ``runs`` times, one clock reading around each."""
    for _ in range(warm):
        function()
    seconds = []
    for _ in range(runs):
        started = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - started)
    return Samples(tuple(seconds))


def render(name: str, line: Line) -> str:
    """Return the line of JSON; keys that do not apply are absent. :raises ValueError: it is not as it must be."""
    if line.unit not in UNITS:
        raise ValueError(f"{name}: unit {line.unit!r} is not one of {', '.join(sorted(UNITS))}")
    if not all(isinstance(value, (str, int, float)) for value in line.params.values()):
        raise ValueError(f"{name}: a parameter is neither text nor a number")
    if line.ratio is not None and "against" not in line.params:
        raise ValueError(f"{name}: a ratio without params.against, the peer's name")
    fields: dict[str, object] = {
        "bench": name,
        "params": dict(line.params),
        "value": _short(line.value),
        "unit": line.unit,
    }
    if line.samples:
        fields |= {f"p{percent}_ms": _short(line.samples.percentile_ms(percent)) for percent in (50, 95, 99)}
    if line.ratio is not None:
        fields["ratio"] = _short(line.ratio)
    return json.dumps(fields, allow_nan=False)


def _short(number: float) -> float:
    """Four significant digits: more would claim a precision that no run has."""
    return number if isinstance(number, int) else float(f"{number:.4g}")
