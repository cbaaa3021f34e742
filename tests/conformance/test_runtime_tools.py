"""The validation programs of opencontainers/runtime-tools on rl-oci, and on crun beside it.

As root of a user namespace, as Podman calls its runtime. The outcome is the table in
docs/conformance.md; RL_WRITE_CONFORMANCE=1 writes it anew.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conformance import running, tools_source
from tests.conformance.running import CRUN
from tests.conformance.source_package import or_skip
from tests.conformance.table import Outcomes, read, write_or_compare

CHECK = re.compile(r"^(not ok|ok) \d+ (-|# [A-Z]+) (.*)$", re.M)
# Where a program without any check tells why it is not content.
ERROR = '\n    "error": '
# They wait for time-outs of ten seconds, so they begin first.
SLOW = ["delete", "kill", "pidfile"]
# crun 1.8 passes them on some days: it writes the state to hooks that may have ended, and dies.
CRUN_VARIES = {"poststart", "poststart_fail", "poststop", "poststop_fail"}
# Seconds; the slowest takes 14.
LIMIT = 60
# Most of what a program does is to ask once a second whether its container has ended.
AT_A_TIME = 4
AGAIN = 3


@pytest.fixture(scope="module")
def programs(normal_user: None) -> Path:
    return or_skip(tools_source.programs, "runtime-tools'")


class Report:
    """What one program has said of a runtime."""

    def __init__(self, done: subprocess.CompletedProcess[str]) -> None:
        self.text = f"{done.stdout}{done.stderr}\nexit code {done.returncode}"
        checks = CHECK.findall(done.stdout)
        self.passed = {what for verdict, kind, what in checks if (verdict, kind) == ("ok", "-")}
        failed = any((verdict, kind) == ("not ok", "-") for verdict, kind, _ in checks)
        self.outcome = "passed"
        if done.returncode or failed or (not checks and ERROR in done.stdout):
            self.outcome = "failed"
        elif checks and not self.passed:
            self.outcome = "left out"


class Suite:
    """The programs in the directory `programs`; those started have their files in `folder`."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self.programs = programs
        self.folder = folder
        found = {path.name for path in programs.iterdir() if path.suffix == ""} - {"runtimetest"}
        self.names = sorted(found, key=lambda name: (name not in SLOW, name))
        assert len(found) > 50, found

    def run(self, ours: str) -> list[dict[str, Report]]:
        """The reports by program, of crun and of the runtime `ours`.

        What is not as docs/conformance.md has it is run again, less at a time: some programs race
        with what they start (killsig with the shell's trap, poststart with its echo), and time-outs
        of ten seconds pass while a machine stands still.
        """
        reports = self._run_all(self.names, ours, AT_A_TIME)
        known = read("runtime-tools")
        for _ in range(AGAIN):
            doubtful = [
                name
                for name in self.names
                if (reports[CRUN, name].outcome, reports[ours, name].outcome)
                != known.get(name, ("passed", "passed"))
            ]
            reports |= self._run_all(doubtful, ours, 2)
        return [{name: reports[runtime, name] for name in self.names} for runtime in (CRUN, ours)]

    def _run_all(
        self, names: list[str], ours: str, at_a_time: int
    ) -> dict[tuple[str, str], Report]:
        jobs = [(runtime, name) for name in names for runtime in (CRUN, ours)]
        with ThreadPoolExecutor(at_a_time) as pool:
            return dict(zip(jobs, pool.map(lambda job: self._run(*job), jobs)))

    def _run(self, runtime: str, name: str) -> Report:
        home = Path(tempfile.mkdtemp(dir=self.folder))
        home.chmod(0o711)
        variables = {"RUNTIME": runtime, "TMPDIR": str(home)}
        command = [str(self.programs / name)]
        try:
            done = running.run("namespace", command, self.programs, home, variables, LIMIT)
        except subprocess.TimeoutExpired:
            text = f"no end after {LIMIT} seconds\n"
            done = subprocess.CompletedProcess(command, -9, text, "")
        report = Report(done)
        if runtime == CRUN and name in CRUN_VARIES:
            report.outcome = "varies"
        return report


@pytest.fixture(scope="module")
def reports(programs: Path, folder: Path, rl_oci: str) -> list[dict[str, Report]]:
    """crun's, and ours."""
    return Suite(programs, folder).run(rl_oci)


def _outcomes(reports: dict[str, Report]) -> Outcomes:
    return {name: report.outcome for name, report in reports.items()}


@pytest.mark.timeout(300)
def test_what_passes_on_crun_passes_on_rl_oci(reports: list[dict[str, Report]]) -> None:
    theirs, ours = reports
    missing = {
        name: ours[name].text
        for name, report in theirs.items()
        if report.passed - ours[name].passed or report.outcome == "passed" != ours[name].outcome
    }
    assert missing == {}


@pytest.mark.timeout(300)
def test_the_table_of_runtime_tools(reports: list[dict[str, Report]]) -> None:
    theirs, ours = reports
    write_or_compare("runtime-tools", _outcomes(theirs), _outcomes(ours))
