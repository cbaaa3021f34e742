"""The control group of a container that nobody looks after.

Plain files stand in for cgroupfs: they show what is asked of the group, and cannot show that the
kernel kills then, nor how long that takes (tests/system).
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from rootless.cgroup import choice as choices
from rootless.cgroup import subtree
from rootless.cgroup.group import Group
from rootless.engine import recover
from rootless.kernel import proc
from rootless.store import containers
from rootless.store.paths import Paths
from rootless.tools import idmap

ONE = "1" * 64


@pytest.fixture
def group(tmp_path: Path) -> Group:
    made = Group(f"{tmp_path}/own/rl-{ONE[:12]}")
    os.makedirs(made.top)
    made.make()
    Path(made.payload, "cgroup.kill").touch()
    Path(made.top, "cgroup.events").write_text("populated 0\nfrozen 0\n")
    return made


@pytest.fixture
def removed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The groups that were removed, each with what its processes had been told."""
    tops: list[str] = []
    monkeypatch.setattr(subtree, "remove", lambda group: tops.append(f"{told(group)}{group.top}"))
    return tops


def told(group: Group) -> str:
    return Path(group.payload, "cgroup.kill").read_text()


def test_a_group_of_our_own_is_killed_and_then_removed(group: Group, removed: list[str]) -> None:
    recover._clear_group({"manager": choices.CGROUPFS, "path": group.top}, ONE, 1)
    assert removed == [f"1{group.top}"]


def test_a_scope_is_killed_and_ends_by_itself(group: Group, removed: list[str]) -> None:
    recover._clear_group({"manager": choices.SYSTEMD, "path": group.top}, ONE, 1)
    assert told(group) == "1" and removed == []


def test_a_kernel_that_cannot_kill_groups(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before 5.14: the processes that are known have been killed one by one."""
    removed: list[str] = []
    monkeypatch.setattr(subtree, "remove", lambda group: removed.append(group.top))
    os.unlink(f"{group.payload}/cgroup.kill")
    recover._clear_group({"manager": choices.CGROUPFS, "path": group.top}, ONE, 1)
    assert removed == [group.top] and os.listdir(group.payload) == ["container"]


@pytest.mark.parametrize(
    "cgroup",
    [
        {},
        {"manager": choices.CGROUPFS, "path": ""},
        {"manager": choices.CGROUPFS, "path": "/no/such/group"},
    ],
    ids=str,
)
def test_no_group(cgroup: dict[str, str], removed: list[str]) -> None:
    recover._clear_group(cgroup, ONE, 1)
    assert removed == []


def abandon(store: Paths, group: Group) -> None:
    """A container that ran in `group` when it was cut, with its processes ended already."""
    Path(containers.directory(store, ONE)).mkdir(parents=True)
    live = Path(containers.live_directory(store, ONE))
    live.mkdir(parents=True)
    (live / "lock").touch()
    record = {"id": ONE, "name": "web", "status": "running", "remove": False}
    containers.write_record(store, record)
    cgroup = {"manager": choices.CGROUPFS, "path": group.top}
    state = {"boot": proc.boot_id(), "processes": {}, "cgroup": cgroup}
    containers.write_state(store, ONE, state)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    monkeypatch.setattr(idmap, "call", lambda function: function())
    return Paths(str(tmp_path / "store"), str(tmp_path / "run"))


def test_the_sweep_clears_the_group(store: Paths, group: Group, removed: list[str]) -> None:
    abandon(store, group)
    recover.sweep(store)
    assert removed == [f"1{group.top}"]
    assert containers.live_ids(store) == []
    assert containers.read_record(store, ONE)["status"] == "exited"


def test_a_group_that_cannot_be_cleared_is_tried_again(
    store: Paths, group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What remembers the group stays until it is gone."""
    abandon(store, group)
    busy = [True]

    def remove(group: Group) -> None:
        if busy:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), group.top)

    monkeypatch.setattr(subtree, "remove", remove)
    recover.sweep(store)
    assert containers.live_ids(store) == [ONE]
    assert containers.read_state(store, ONE)["cgroup"]["path"] == group.top
    busy.clear()
    recover.sweep(store)
    assert containers.live_ids(store) == []


def test_a_group_whose_processes_are_dying_is_waited_for(
    store: Paths, group: Group, removed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel kills a moment later; one that does not end is not forgotten."""
    abandon(store, group)
    events = Path(group.top, "cgroup.events")
    events.write_text("populated 1\nfrozen 0\n")
    monkeypatch.setattr(recover, "_SECONDS_TO_END", 0.05)
    recover.sweep(store)
    assert containers.live_ids(store) == [ONE] and removed == []
    events.write_text("populated 0\nfrozen 0\n")
    recover.sweep(store)
    assert containers.live_ids(store) == [] and removed == [f"1{group.top}"]
