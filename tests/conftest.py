"""What every test of the project is held to.

With RL_CI=1 the machine is one that has everything, so a skipped test is a defect and fails, unless
it is marked `@pytest.mark.may_skip_on_ci("reason")`.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Generator

import hypothesis
import pytest

pytest_plugins = ["pytester"]

# How long an example takes says more about the machine than about the code.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

# A shell without job control has what it starts with & ignore Ctrl-C, and what a test starts would
# inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGQUIT) is signal.SIG_IGN:
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "may_skip_on_ci(reason): the only tests that RL_CI=1 lets skip; all others fail"
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if _is_forbidden_skip(report) and not _may_skip(item):
        _fail(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if _is_forbidden_skip(report):
        _fail(report)
    return report


def _is_forbidden_skip(report: pytest.TestReport | pytest.CollectReport) -> bool:
    is_expected_failure = hasattr(report, "wasxfail")
    return os.environ.get("RL_CI") == "1" and report.skipped and not is_expected_failure


def _may_skip(item: pytest.Item) -> bool:
    mark = item.get_closest_marker("may_skip_on_ci")
    return mark is not None and bool(mark.args and mark.args[0])


def _fail(report: pytest.TestReport | pytest.CollectReport) -> None:
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    report.outcome = "failed"
    report.longrepr = f"CI must run this test, but it was skipped. {reason}"
