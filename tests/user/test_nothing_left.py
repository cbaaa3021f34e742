"""The check that runs after every other test of this directory must itself be able to fail."""

from __future__ import annotations

import importlib.util
import os
import resource
import subprocess
import time
from pathlib import Path

import pytest

# pytest loads a conftest under a name of its own, which cannot be imported.
_spec = importlib.util.spec_from_file_location(
    "user_conftest", Path(__file__).parent / "conftest.py"
)
assert _spec is not None and _spec.loader is not None
checks = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(checks)


@pytest.fixture
def before() -> set[tuple[int, str]]:
    return {(process.pid, process.born) for process in checks.processes()}


def wait_for_arguments(pid: int) -> None:
    """Popen returns when exec has closed its pipe, a moment before /proc shows the arguments."""
    deadline = time.monotonic() + 10
    while not Path(f"/proc/{pid}/cmdline").read_bytes():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_a_process_of_the_test_is_seen(
    short_dir: Path, before: set[tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "SECONDS_TO_END", 0.1)
    child = subprocess.Popen(
        ["tail", "-f", "/dev/null", f"{short_dir}/x"], stderr=subprocess.DEVNULL
    )
    try:
        wait_for_arguments(child.pid)
        left = checks.wait_for_no_process(str(short_dir), before)
        assert [process.pid for process in left] == [child.pid]
        checks.kill_all(left)
        assert child.wait(timeout=5) == -9
    finally:
        child.kill()
        child.wait()


def test_an_orphaned_helper_is_seen_by_its_name(before: set[tuple[int, str]]) -> None:
    me = os.getpid()
    orphan = checks.Process(me, name="slirp4netns", parent=1, state="S", born="0")
    child = checks.Process(me, name="slirp4netns", parent=me, state="S", born="0")
    assert checks.belongs_to(orphan, "/tmp/no-such", before)
    assert not checks.belongs_to(child, "/tmp/no-such", before)


def test_an_orphan_of_another_session_is_not_ours(before: set[tuple[int, str]]) -> None:
    def as_another_session() -> None:
        resource.setrlimit(resource.RLIMIT_RTTIME, (checks.MARK + 1, resource.RLIM_INFINITY))

    with subprocess.Popen(["sleep", "60"], preexec_fn=as_another_session) as other:
        orphan = checks.Process(other.pid, name="slirp4netns", parent=1, state="S", born="0")
        assert not checks.belongs_to(orphan, "/tmp/no-such", before)
        other.kill()


def test_an_orphan_is_ours_whatever_its_environment(before: set[tuple[int, str]]) -> None:
    with subprocess.Popen(["sleep", "60"], env={}) as child:
        orphan = checks.Process(child.pid, name="slirp4netns", parent=1, state="S", born="0")
        assert checks.belongs_to(orphan, "/tmp/no-such", before)
        child.kill()


def test_a_process_from_before_is_not_the_tests(short_dir: Path) -> None:
    mine = checks.Process(os.getpid(), name="rl", parent=1, state="S", born="1")
    assert not checks.belongs_to(mine, str(short_dir), {(os.getpid(), "1")})


def test_every_process_is_read_whole() -> None:
    me = next(process for process in checks.processes() if process.pid == os.getpid())
    assert (me.parent, me.state) == (os.getppid(), "R")
    assert me.name == Path("/proc/self/comm").read_text().strip()
    assert me.born.isdigit()
