"""Running containers as seen from outside, on a directory that looks like a group."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from rootless.engine import live, pause, update
from rootless.errors import HostError, NotFoundError, RlError, UsageError
from rootless.kernel import proc
from rootless.store import containers
from rootless.store.paths import Paths

ID = "a" * 64


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(str(tmp_path / "store"), str(tmp_path / "run"))


def add(paths: Paths, *, group: str = "", started: int | None = None, **more: Any) -> None:
    """A container whose first process is this one; group: the directory of its group."""
    os.makedirs(containers.directory(paths, ID))
    containers.write_record(paths, {"id": ID, "status": "running", **more})
    os.makedirs(containers.live_directory(paths, ID))
    if started is None:
        started = proc.start_time(os.getpid())
    state = {
        "boot": proc.boot_id(), "processes": {"init": [os.getpid(), started]},
        "cgroup": {"manager": "cgroupfs", "path": group} if group else {},
    }  # fmt: skip
    containers.write_state(paths, ID, state)


@pytest.fixture
def group(tmp_path: Path) -> Path:
    payload = tmp_path / "group" / "payload"
    (payload / "container").mkdir(parents=True)
    (payload / "cgroup.events").write_text("populated 1\nfrozen 0\n")
    (payload / "cgroup.freeze").write_text("0\n")
    return payload


def fill(group: Path) -> None:
    """The kernel's files for a limit on processes."""
    (group / "cgroup.controllers").write_text("pids memory\n")
    for directory in (group, group / "container"):
        (directory / "pids.max").write_text("max\n")


def freeze(group: Path, *, by: str = "1") -> None:
    (group / "cgroup.events").write_text("populated 1\nfrozen 1\n")
    (group / "cgroup.freeze").write_text(f"{by}\n")


def test_a_container_that_runs(paths: Paths, group: Path) -> None:
    add(paths, group=str(group.parent))
    found = live.find(paths, "aaa")
    assert (found.id, found.text, found.manager) == (ID, "aaa", "cgroupfs")
    assert found.pid("init") == os.getpid() and found.pid("server") == 0
    assert found.group is not None and found.group.payload == str(group)
    assert [one.id for one in live.find_all(paths)] == [ID]


def test_a_pid_of_somebody_else(paths: Paths) -> None:
    add(paths, started=1)
    assert live.find_all(paths) == []
    with pytest.raises(RlError, match="aaa: is not running"):
        live.find(paths, "aaa")


def test_none_of_that_name(paths: Paths) -> None:
    with pytest.raises(NotFoundError):
        live.find(paths, "aaa")


def test_status(paths: Paths, group: Path) -> None:
    add(paths, group=str(group.parent))
    record = {"id": ID, "status": "running"}
    assert live.status(paths, record) == "running"
    freeze(group)
    assert live.status(paths, record) == "paused"
    assert live.status(paths, {**record, "status": "exited"}) == "exited"
    (group / "cgroup.events").unlink()
    assert live.status(paths, record) == "running"


def test_without_a_group(paths: Paths) -> None:
    add(paths)
    with pytest.raises(HostError, match=r"aaa: rl pause needs a cgroup of its own[:,] \w+"):
        pause.pause(live.find(paths, "aaa"))


def test_pausing_twice(paths: Paths, group: Path) -> None:
    add(paths, group=str(group.parent))
    with pytest.raises(RlError, match="aaa: is not paused"):
        pause.unpause(live.find(paths, "aaa"))
    freeze(group)
    with pytest.raises(RlError, match="aaa: is already paused") as caught:
        pause.pause(live.find(paths, "aaa"))
    assert caught.value.hint == "rl unpause aaa"
    assert (group / "cgroup.freeze").read_text() == "1\n"


def test_a_group_that_does_not_stop_is_let_go(
    paths: Paths, group: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that nobody changes stands for processes that wait for a dead server."""
    monkeypatch.setattr(pause, "_SECONDS", 0.01)
    monkeypatch.setattr("rootless.cgroup.group.wait_readable", lambda *_, **__: [])
    add(paths, group=str(group.parent))
    with pytest.raises(HostError, match="does not stop within"):
        pause.pause(live.find(paths, "aaa"))
    assert (group / "cgroup.freeze").read_text().startswith("0")


def test_the_group_above_is_named(
    paths: Paths, group: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rootless.cgroup.group.wait_readable", lambda *_, **__: [])
    add(paths, group=str(group.parent))
    freeze(group, by="0")
    (group.parent / "cgroup.freeze").write_text("1\n")
    with pytest.raises(HostError, match="a group above it is frozen") as caught:
        pause.unpause(live.find(paths, "aaa"))
    assert caught.value.hint == f"echo 0 > {group.parent}/cgroup.freeze"


def test_an_update_of_what_does_not_run_is_for_its_next_start(paths: Paths) -> None:
    os.makedirs(containers.directory(paths, ID))
    old = {"memory": {"limit": 1 << 27, "swap": 1 << 28}}
    containers.write_record(paths, {"id": ID, "status": "exited", "resources": old})
    update.update(paths, "aaa", {"pids": {"limit": 5}})
    assert containers.read_record(paths, ID)["resources"] == {**old, "pids": {"limit": 5}}
    with pytest.raises(UsageError, match="more than the container's --memory-swap"):
        update.update(paths, "aaa", {"memory": {"limit": 1 << 29}})
    assert containers.read_record(paths, ID)["resources"]["memory"] == old["memory"]


def test_an_update_while_it_starts_is_refused(paths: Paths) -> None:
    os.makedirs(containers.directory(paths, ID))
    containers.write_record(paths, {"id": ID, "status": "running"})
    os.makedirs(containers.live_directory(paths, ID))
    with pytest.raises(RlError, match="just starting or ending"):
        update.update(paths, "aaa", {"pids": {"limit": 5}})
    assert "resources" not in containers.read_record(paths, ID)


def test_an_update_writes_the_group_and_then_the_record(paths: Paths, group: Path) -> None:
    fill(group)
    add(paths, group=str(group.parent), resources={"cpu": {"cpus": "0"}})
    # The CPUs, which this group has no controller for, were asked for with best effort.
    update.update(paths, "aaa", {"pids": {"limit": 5}})
    for directory in (group, group / "container"):
        assert (directory / "pids.max").read_text().startswith("5")
    record = containers.read_record(paths, ID)
    assert record["resources"] == {"cpu": {"cpus": "0"}, "pids": {"limit": 5}}


def test_a_refused_update_changes_nothing(paths: Paths, group: Path) -> None:
    fill(group)
    add(paths, group=str(group.parent))
    wish = {"pids": {"limit": 5}, "unified": {"memory.nothing": "1"}}
    with pytest.raises(HostError, match=r"memory\.nothing"):
        update.update(paths, "aaa", wish)
    for directory in (group, group / "container"):
        assert (directory / "pids.max").read_text().startswith("max")
    assert "resources" not in containers.read_record(paths, ID)
