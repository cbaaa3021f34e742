"""RL_CI=1 turns a skip into a failure: tests/conftest.py run on small suites of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

POLICY = (Path(__file__).parents[1] / "conftest.py").read_text().replace("pytest_plugins", "_")

SKIPS_WHILE_RUNNING = "import pytest\ndef test_it(): pytest.skip('no FUSE here')\n"
SKIPS_BY_MARK = (
    "import pytest\n@pytest.mark.skipif(True, reason='no FUSE here')\ndef test_it(): ...\n"
)
SKIPS_AT_IMPORT = "import pytest\npytest.skip('no FUSE here', allow_module_level=True)\n"
EXPECTED_TO_FAIL = "import pytest\n@pytest.mark.xfail\ndef test_it(): assert False\n"
WITHOUT_REASON = "@pytest.mark.may_skip_on_ci\ndef test_it(): pytest.skip('no KVM')\n"
MAY_SKIP = "import pytest\n" + WITHOUT_REASON.replace("_ci", "_ci('needs KVM')")
MAY_SKIP_WITHOUT_REASON = "import pytest\n" + WITHOUT_REASON


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):
    def run_suite(source: str, *, ci: bool) -> dict[str, int]:
        monkeypatch.setenv("RL_CI", "1" if ci else "")
        pytester.makeconftest(POLICY)
        pytester.makepyfile(source)
        result = pytester.runpytest_inprocess("--strict-markers", "-p", "no:cacheprovider")
        return result.parseoutcomes()

    return run_suite


@pytest.mark.parametrize(
    ("source", "outcome"),
    [(SKIPS_WHILE_RUNNING, "failed"), (SKIPS_BY_MARK, "errors"), (SKIPS_AT_IMPORT, "errors")],
    ids=["while running", "by mark", "at import"],
)
def test_a_skip_fails_on_ci(run, source: str, outcome: str) -> None:
    assert run(source, ci=True) == {outcome: 1}


@pytest.mark.parametrize(
    "source",
    [SKIPS_WHILE_RUNNING, SKIPS_BY_MARK, SKIPS_AT_IMPORT],
    ids=["while running", "by mark", "at import"],
)
def test_a_skip_is_a_skip_elsewhere(run, source: str) -> None:
    assert run(source, ci=False) == {"skipped": 1}


def test_a_marked_test_may_skip_on_ci(run) -> None:
    assert run(MAY_SKIP, ci=True) == {"skipped": 1}


def test_the_mark_must_give_a_reason(run) -> None:
    assert run(MAY_SKIP_WITHOUT_REASON, ci=True) == {"failed": 1}


def test_an_expected_failure_is_no_skip(run) -> None:
    assert run(EXPECTED_TO_FAIL, ci=True) == {"xfailed": 1}


def test_the_reason_is_shown(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RL_CI", "1")
    pytester.makeconftest(POLICY)
    pytester.makepyfile(SKIPS_WHILE_RUNNING)
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider")
    result.stdout.fnmatch_lines(["*CI must run this test*no FUSE here*"])
