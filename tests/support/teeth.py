"""``make teeth``: every security check has a test that fails when that check alone is off.

For each row of tests/teeth/*.toml the named test is run twice: as it is (it must pass) and with the named check
switched off (it must fail, in the test's own code, after the check was reached). docs/protocol/rules*.md list the
rules; a rule without a row fails, and so does a row without a rule.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.teeth_rows import Row, TableError, missing_rows, read_registry, read_rows
from tests.support.teeth_run import CRASHES, Job, Outcome, run_jobs


class Prover:
    """A pytest plugin that takes over after collection."""

    def __init__(self, rows: Sequence[Row], *, parallel: int) -> None:
        """:param rows: what to prove. :param parallel: how many children run at once."""
        self.rows = rows
        self.faults: list[str] = []
        self.proven = 0
        self._parallel = parallel
        self._uncollected: dict[str, str] = {}
        self._controls: dict[str, Outcome] = {}

    def pytest_configure(self, config: pytest.Config) -> None:
        """Keep the tests' own options out of the parent's output."""
        config.option.durations = None

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Remember why a file could not be collected."""
        if report.failed:
            self._uncollected[report.nodeid.partition("::")[0]] = report.longreprtext

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Prove every row. :returns: True: nobody else runs the items."""
        tests = {row.test: _matching(session.items, row.test) for row in self.rows}
        runnable = [row for row in self.rows if tests[row.test]]
        for row in self.rows:
            if not tests[row.test]:
                self._fault(row, self._uncollected.get(row.path, "there is no such test"))
        limits = {row.test: max(r.timeout for r in runnable if r.test == row.test) for row in runnable}
        run_jobs(
            [Job(name=test, timeout=limit, items=tests[test]) for test, limit in limits.items()],
            parallel=self._parallel,
            done=lambda job, outcome: self._controls.__setitem__(job.name, outcome),
        )
        sound = {str(number): row for number, row in enumerate(runnable) if self._check_control(row)}
        run_jobs(
            [
                Job(name=number, off=row.off, returns=row.returns, timeout=row.timeout, items=tests[row.test])
                for number, row in sound.items()
            ],
            parallel=self._parallel,
            done=lambda job, outcome: self._judge(sound[job.name], outcome),
        )
        return True

    def _check_control(self, row: Row) -> bool:
        control = self._controls[row.test]
        if control.timed_out:
            self._fault(row, f"the test takes longer than {row.timeout:g} s with the check on", control.output)
        elif control.failed or control.broken:
            self._fault(row, f"the test fails with the check on: {_summary(control)}", control.output)
        return not (control.timed_out or control.failed or control.broken)

    def _judge(self, row: Row, outcome: Outcome) -> None:
        fault = find_fault(row, outcome)
        if fault:
            self._fault(row, fault, outcome.output)
        else:
            self.proven += 1
            sys.stdout.write(f"ok {row.rule} {row.test} ({outcome.seconds:.2f} s)\n")

    def _fault(self, row: Row, reason: str, output: str = "") -> None:
        self.faults.append(f"{row.rule}: {reason}")
        sys.stdout.write(f"FAIL {row.rule} {row.test}: {reason} [{row.source}]\n")
        for line in output.splitlines()[-30:]:
            sys.stdout.write(f"    {line}\n")


def find_fault(row: Row, outcome: Outcome) -> str:
    """Return why the run with the check off proves nothing, or an empty string if it proves the row."""
    if outcome.timed_out:
        return "" if row.timeout_ok else f"no answer in {row.timeout:g} s with the check off (timeout_ok is not stated)"
    if outcome.broken:
        return f"not the test itself, but something around it broke: {_summary(outcome)}"
    if outcome.unreached:
        return f"the test never reaches {', '.join(outcome.unreached)}"
    if not outcome.failed:
        return "toothless: the test passes with the check off"
    if set(outcome.failed) <= set(CRASHES) and not row.crash_ok:
        return (
            f"the test dies of {outcome.failed[0]}: the stub's answer does not fit, which proves nothing "
            "(state returns, or crash_ok with the reason)"
        )
    return ""


def _summary(outcome: Outcome) -> str:
    return "; ".join([*outcome.broken, *outcome.failed])


def _matching(items: Sequence[pytest.Item], test: str) -> tuple[pytest.Item, ...]:
    """Return the items of a node id: the test itself, all its parameters, or all of its class."""
    return tuple(item for item in items if item.nodeid == test or item.nodeid.startswith((f"{test}[", f"{test}::")))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make teeth", description=__doc__)
    parser.add_argument("--root", type=Path, default=Path.cwd(), help="the project's folder")
    parser.add_argument("--only", default="", help="prove only the rules that begin so")
    parser.add_argument("--parallel", type=int, default=os.cpu_count() or 1)
    return parser.parse_args()


def main() -> int:
    """Run everything and return the exit status."""
    options = _options()
    started = time.monotonic()
    os.chdir(options.root)
    os.environ["TERTULIA_PROFILE"] = "teeth"
    try:
        registry = read_registry(Path("docs/protocol"))
        rows = read_rows(Path("tests/teeth"))
    except TableError as error:
        sys.stdout.write(f"FAIL {error}\n")
        return 1
    missing = missing_rows(registry, rows)
    for line in missing:
        sys.stdout.write(f"FAIL {line}\n")
    prover = Prover([row for row in rows if row.rule.startswith(options.only)], parallel=options.parallel)
    status = _collect_and_prove(prover)
    faults = len(missing) + len(prover.faults)
    sys.stdout.write(
        f"teeth: {len(registry)} rules, {len(prover.rows)} rows, {prover.proven} proven, {faults} faults "
        f"in {time.monotonic() - started:.1f} s\n"
    )
    return 1 if faults or status else 0


def _collect_and_prove(prover: Prover) -> int:
    files = sorted({row.path for row in prover.rows if Path(row.path).is_file()})
    if not files:
        for row in prover.rows:
            prover.faults.append(row.rule)
            sys.stdout.write(f"FAIL {row.rule} {row.test}: there is no such file\n")
        return 0
    arguments = ["--capture=no", "--continue-on-collection-errors", "--rootdir=."]
    arguments += [f"-pno:{plugin}" for plugin in ("cacheprovider", "terminal", "xdist", "cov")]
    status = pytest.main([*arguments, *files], plugins=[prover])
    # TESTS_FAILED: a file could not be collected, which its rows have already said.
    return 0 if status in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED} else int(status)


if __name__ == "__main__":
    sys.exit(main())
