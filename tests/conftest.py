"""What holds for every test: hypothesis' settings by profile, what ``make soak`` runs, and that CI skips nothing."""

from __future__ import annotations

import os
from collections.abc import Generator
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, is_hypothesis_test, settings

from tests.support.scale import PROFILE, runs

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)

# A machine that is busy with other checks is no fault of the code under test: no deadlines.
_COMMON: dict[str, Any] = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow], "print_blob": True}

settings.register_profile("check", max_examples=60, **_COMMON)
settings.register_profile("soak", max_examples=runs(60, soak=2000), **_COMMON)
# `make teeth` breaks the code on purpose: it neither shrinks what it finds nor remembers it.
settings.register_profile("teeth", max_examples=60, database=None, phases=(Phase.explicit, Phase.generate), **_COMMON)
settings.load_profile(PROFILE)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave to ``make soak`` only what has larger numbers there."""
    if PROFILE != "soak":
        return
    large = [item for item in items if _is_large(item)]
    config.hook.pytest_deselected(items=[item for item in items if not _is_large(item)])
    items[:] = large


def _is_large(item: pytest.Item) -> bool:
    return item.get_closest_marker("soak") is not None or is_hypothesis_test(getattr(item, "obj", None))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    return _refuse_skip(report)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    return _refuse_skip(report)


def _refuse_skip(report: Report) -> Report:
    """Turn a skip into a failure where CI runs: there, whatever a test needs has been installed."""
    if os.environ.get("CI") == "true" and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI does not allow: {report.longrepr}"
    return report
