"""Processes read from this host's /proc; a container's numbers from a directory made up."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from rootless.engine import processes


def this() -> processes.Process:
    found = processes.read(os.getpid())
    assert found is not None
    return found


def test_this_process() -> None:
    one = this()
    assert (one.pid, one.parent, one.process_group) == (os.getpid(), os.getppid(), os.getpgrp())
    assert one.ids("Uid") == [*os.getresuid(), os.geteuid()]
    assert one.state == "R"
    assert one.nice == os.nice(0)
    assert 0 < one.resident < one.virtual
    assert 0 < one.start <= processes.uptime()
    assert one.args == Path("/proc/self/cmdline").read_text().split("\0")[:-1]


def test_none_of_that_number() -> None:
    child = subprocess.Popen(["true"])
    child.wait()
    assert processes.read(child.pid) is None


def test_descendants() -> None:
    with subprocess.Popen(["sh", "-c", "sleep 60 & echo $!; wait"], stdout=-1, text=True) as shell:
        assert shell.stdout is not None
        sleeper = int(shell.stdout.readline())
        try:
            found = processes._descendants([os.getpid()], besides={0})
            assert {shell.pid, sleeper} <= set(found)
            spared = processes._descendants([os.getpid()], besides={shell.pid})
            assert not {shell.pid, sleeper} & set(spared)
            assert sleeper in processes._descendants([-1, shell.pid], besides={0})
            assert processes._descendants([], besides={0}) == []
        finally:
            os.kill(sleeper, 9)


@pytest.fixture
def container(tmp_path: Path) -> Path:
    for name in ("merged", "upper", "l", "layer/etc"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "l" / "0").symlink_to(tmp_path / "layer")
    (tmp_path / "layer" / "etc" / "passwd").write_text(f"web:x:{os.getuid()}:0::/:/bin/sh\n")
    return tmp_path


def user_of(container: Path) -> str:
    return processes.Inside(this(), str(container)).user(os.getuid())


def test_names_come_from_the_containers_files(container: Path) -> None:
    assert user_of(container) == "web"
    inside = processes.Inside(this(), str(container))
    assert inside.group(os.getgid()) == str(os.getgid())
    assert inside.pid(this()) == os.getpid()
    (container / "upper" / "etc").mkdir()
    (container / "upper" / "etc" / "passwd").write_text(f"changed:x:{os.getuid()}:0:\n")
    assert user_of(container) == "changed"
    (container / "passwd").write_text(f"given:x:{os.getuid()}:0:\n")
    assert user_of(container) == "given"


def test_a_link_of_the_containers_is_not_followed(container: Path) -> None:
    (container / "upper" / "etc").symlink_to("/etc")
    assert user_of(container) == str(os.getuid())
    (container / "upper" / "etc").unlink()
    (container / "upper" / "etc").mkdir()
    os.mkfifo(container / "upper" / "etc" / "passwd")
    assert user_of(container) == str(os.getuid())


@pytest.mark.parametrize("line", ["x:y", "x:y:-1:", "x:y:" + "9" * 5000, ":y:1:", "\0", "x:y:²:"])
def test_lines_that_break_the_format_are_skipped(container: Path, line: str) -> None:
    (container / "layer" / "etc" / "passwd").write_text(f"{line}\nweb:x:{os.getuid()}:0\n")
    assert user_of(container) == "web"
