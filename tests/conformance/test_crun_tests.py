"""crun's own tests on rl-oci, and on crun beside it.

Twice: as root of a user namespace, as Podman calls its runtime, with all the tests that there are;
and as the user directly, where crun's tests leave out what they take to need root. The outcome is
the table in docs/conformance.md; RL_WRITE_CONFORMANCE=1 writes it anew.
"""

from __future__ import annotations

import re
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conformance import crun_source, running
from tests.conformance.running import CRUN, HERE
from tests.conformance.source_package import NotToBeHad
from tests.conformance.table import Outcomes, write_or_compare

LINE = re.compile(r"^(not ok|ok) \d+ - ([\w-]+)( #SKIP)?")
# Nobody without privileges can pass these, and Debian has no CRIU.
LEFT_OUT = {"test_checkpoint_restore.py"}
# A pid of less than five digits fails it, whichever runtime runs.
LARGE_PID = "exec_write_pid_file"


@pytest.fixture(scope="module")
def source(normal_user: None) -> Path:
    try:
        return crun_source.tests()
    except NotToBeHad as reason:
        pytest.skip(f"needs crun's source package: {reason}")


class Suite:
    """The tests at `source`, run one file after the other with `runtime`."""

    def __init__(self, source: Path, folder: Path) -> None:
        self.source = source
        self.folder = folder

    def run(self, runtime: str, where: str) -> Outcomes:
        names = sorted(path.name for path in self.source.glob("tests/test_*.py"))
        with ThreadPoolExecutor(2) as pool:
            outcomes = pool.map(
                lambda name: self._run(runtime, where, name),
                [name for name in names if name not in LEFT_OUT],
            )
            found = {name: result for each in outcomes for name, result in each.items()}
        assert len(found) > 80, found
        return found

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
        found = {}
        for line in done.stdout.splitlines():
            match = LINE.match(line)
            if match:
                verdict, test, skipped = match.groups()
                found[test] = "left out" if skipped else "passed" if verdict == "ok" else "failed"
        assert found, (name, done.stdout, done.stderr)
        return found


@pytest.fixture(scope="module")
def suite(source: Path, folder: Path) -> Suite:
    return Suite(source, folder)


@pytest.fixture(scope="module")
def in_namespace(suite: Suite, rl_oci: str) -> tuple[Outcomes, Outcomes]:
    """(crun's, ours), as root of a user namespace."""
    return suite.run(CRUN, "namespace"), suite.run(rl_oci, "namespace")


@pytest.mark.timeout(300)
def test_what_crun_passes_we_pass(in_namespace: tuple[Outcomes, Outcomes]) -> None:
    theirs, ours = in_namespace
    assert theirs.keys() == ours.keys()
    missing = [name for name in theirs if theirs[name] == "passed" and ours[name] != "passed"]
    assert missing == []


@pytest.mark.timeout(300)
def test_the_user_directly(suite: Suite, rl_oci: str) -> None:
    outcomes = suite.run(rl_oci, "user")
    failed = {name for name, outcome in outcomes.items() if outcome == "failed"}
    assert failed - {LARGE_PID} == set()
    assert sum(outcome == "passed" for outcome in outcomes.values()) >= 50


@pytest.mark.timeout(300)
def test_the_table_in_the_docs(in_namespace: tuple[Outcomes, Outcomes]) -> None:
    write_or_compare("crun", *in_namespace)
