"""crun's own tests on rl-oci, and on crun beside it.

Twice: as root of a user namespace, as Podman calls its runtime, with all the tests that there are;
and as the user directly, where crun's tests leave out what they take to need root. The outcome is
the table in docs/conformance.md; RL_WRITE_CONFORMANCE=1 writes it anew.
"""

from __future__ import annotations

import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conformance import crun_source, running
from tests.conformance.running import CRUN, HERE
from tests.conformance.source_package import or_skip
from tests.conformance.table import Outcomes, outcomes_of, write_or_compare

# Nobody without privileges can pass these, and Debian has no CRIU.
LEFT_OUT = {"test_checkpoint_restore.py"}
# crun waits 30 seconds for something there.
SLOW = {"test_start.py"}
AT_A_TIME = 4
# A pid of less than five digits fails it, whichever runtime runs.
LARGE_PID = "exec_write_pid_file"


@pytest.fixture(scope="module")
def source(normal_user: None) -> Path:
    return or_skip(crun_source.tests, "crun's")


class Suite:
    """The tests at `source`, some files at a time."""

    def __init__(self, source: Path, folder: Path) -> None:
        self.source = source
        self.folder = folder

    def run(self, where: str, *runtimes: str) -> list[Outcomes]:
        """The outcomes for each of `runtimes`."""
        names = {path.name for path in self.source.glob("tests/test_*.py")} - LEFT_OUT
        ordered = sorted(names, key=lambda name: (name not in SLOW, name))
        jobs = [(runtime, name) for name in ordered for runtime in runtimes]
        found: dict[str, Outcomes] = {runtime: {} for runtime in runtimes}
        with ThreadPoolExecutor(AT_A_TIME) as pool:
            results = pool.map(lambda job: self._run(job[0], where, job[1]), jobs)
            for (runtime, _), outcomes in zip(jobs, results):
                found[runtime] |= outcomes
        assert all(len(outcomes) > 80 for outcomes in found.values()), found
        return list(found.values())

    def _run(self, runtime: str, where: str, name: str) -> Outcomes:
        script = [str(HERE / "as_root.py")] if where == "namespace" else []
        # Each keeps its files below the working directory, by a pid that several may have.
        place = Path(tempfile.mkdtemp(dir=self.folder))
        (place / "tests").symlink_to(self.source / "tests")
        done = running.run(
            where,
            [sys.executable, *script, f"tests/{name}"],
            cwd=place,
            home=self.folder,
            variables={"OCI_RUNTIME": runtime, "INIT": str(self.source / "tests/init")},
            limit=110,
        )
        found = outcomes_of(done.stdout)
        assert found, (name, done.stdout, done.stderr)
        return found


@pytest.fixture(scope="module")
def suite(source: Path, folder: Path) -> Suite:
    return Suite(source, folder)


@pytest.fixture(scope="module")
def in_namespace(suite: Suite, rl_oci: str) -> list[Outcomes]:
    """crun's and ours, as root of a user namespace."""
    return suite.run("namespace", CRUN, rl_oci)


@pytest.mark.timeout(300)
def test_what_crun_passes_we_pass(in_namespace: list[Outcomes]) -> None:
    theirs, ours = in_namespace
    assert theirs.keys() == ours.keys()
    missing = [name for name in theirs if theirs[name] == "passed" and ours[name] != "passed"]
    assert missing == []


@pytest.mark.timeout(300)
def test_the_user_directly(suite: Suite, rl_oci: str) -> None:
    [outcomes] = suite.run("user", rl_oci)
    failed = {name for name, outcome in outcomes.items() if outcome == "failed"}
    assert failed - {LARGE_PID} == set()
    assert sum(outcome == "passed" for outcome in outcomes.values()) >= 50


@pytest.mark.timeout(300)
def test_the_table_in_the_docs(in_namespace: list[Outcomes]) -> None:
    theirs, ours = in_namespace
    write_or_compare("crun", theirs, ours)
