"""Links to the processes of `rl exec`: only those that run count."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from rootless.kernel import proc
from rootless.store import execs
from rootless.store.paths import Paths


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(str(tmp_path / "s"), str(tmp_path / "r"))


def test_those_of_one_container(paths: Paths) -> None:
    assert execs.of_container(paths, "c") == {}
    execs.add(paths, "c", "1", os.getpid())
    execs.add(paths, "cc", "2", os.getppid())
    assert execs.of_container(paths, "c") == {"1": os.getpid()}
    execs.remove(paths, "c", "1")
    execs.remove(paths, "c", "1")
    assert execs.of_container(paths, "c") == {}
    assert len(execs.of_container(paths, "cc")) == 1


def test_what_has_ended_is_forgotten(paths: Paths) -> None:
    with subprocess.Popen(["sleep", "60"]) as child:
        execs.add(paths, "c", "1", child.pid)
        assert execs.of_container(paths, "c") == {"1": child.pid}
        child.kill()
    assert execs.of_container(paths, "c") == {}
    assert os.listdir(paths.execs) == []


def test_links_of_another_boot_and_nonsense(paths: Paths) -> None:
    execs.add(paths, "c", "1", os.getpid())
    me = f"{os.getpid()}:{proc.start_time(os.getpid())}"
    for number, target in enumerate((f"other-boot:{me}", "x", "a:b:c", f"{proc.boot_id()}:1:x")):
        os.symlink(target, f"{paths.execs}/c-x{number}")
    assert execs.of_container(paths, "c") == {"1": os.getpid()}


def test_ids_are_dockers() -> None:
    one, other = execs.new_id(), execs.new_id()
    assert one != other and len(one) == 64 and int(one, 16) >= 0
