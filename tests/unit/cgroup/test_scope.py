"""What systemd is asked for, and what is made of its answer; the manager itself is made up here.

Its wire format is in tests/unit/tools, a real one in tests/system.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from rootless.cgroup import hierarchy as hierarchies
from rootless.cgroup import scope
from rootless.cgroup.group import Group
from rootless.cgroup.hierarchy import Hierarchy
from rootless.cgroup.scope import Scope
from rootless.errors import HostError
from rootless.tools import systemd

HIERARCHY = Hierarchy(hierarchies.V2, "/cg", "/user.slice/session-1.scope")
OURS = "/user.slice/user-1000.slice/user@1000.service/app.slice/rl-1.scope"
DEFAULTS = [
    ("Description", "s", "a container"),
    ("Delegate", "b", True),
    ("CollectMode", "s", "inactive-or-failed"),
    ("TimeoutStopUSec", "t", 10_000_000),
    ("TasksMax", "t", 2**64 - 1),
]


class Manager:
    """Notes what it is asked, in the place of tools.systemd.Manager; also its own job."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.failure: HostError | None = None
        self.seconds: float | None = None

    def __call__(self, *, seconds: float | None = None) -> Manager:
        self.seconds = seconds
        return self

    def start_scope(self, unit: str, pids: Sequence[int], properties: Sequence[Any]) -> Manager:
        self.asked.append(("start", unit, list(pids), list(properties)))
        return self

    def wait(self) -> None:
        self.asked.append(("wait",))
        if self.failure:
            raise self.failure

    def close(self) -> None:
        self.asked.append(("close",))

    def attach(self, unit: str, child: str, pids: Sequence[int]) -> None:
        self.asked.append(("attach", unit, child, list(pids)))

    def set_properties(self, unit: str, properties: Sequence[Any]) -> None:
        self.asked.append(("set", unit, list(properties)))


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> Manager:
    made = Manager()
    monkeypatch.setattr(systemd, "Manager", made)
    return made


def ask(needed: bool = False, **changes: Any) -> Scope:
    options: dict[str, Any] = {"description": "a container", "weights": {}, "hierarchy": HIERARCHY}
    return Scope("rl-1", 42, needed=needed, **{**options, **changes})


def put_into(monkeypatch: pytest.MonkeyPatch, group: str) -> None:
    """The group of process 42, as the kernel would tell it."""
    monkeypatch.setattr(hierarchies, "group_of", lambda pid: group if pid == 42 else "")


def test_the_question_is_asked_at_once_and_not_waited_for(manager: Manager) -> None:
    ask()
    assert manager.asked == [("start", "rl-1.scope", [42], DEFAULTS)]


def test_the_wishes_are_properties(manager: Manager) -> None:
    ask(slice_name="batch.slice", weights={"CPUWeight": 39, "IOWeight": 1})
    wished = [("Slice", "s", "batch.slice"), ("CPUWeight", "t", 39), ("IOWeight", "t", 1)]
    assert manager.asked == [("start", "rl-1.scope", [42], [*DEFAULTS, *wished])]


def test_who_cannot_do_without_waits_longer(manager: Manager) -> None:
    ask()
    patience = manager.seconds
    ask(needed=True)
    assert patience is not None and manager.seconds is not None
    assert 0 < patience < manager.seconds < 25


def test_the_group_is_where_the_process_is(
    manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_into(monkeypatch, OURS)
    group = ask().wait()
    assert isinstance(group, Group) and group.top == f"/cg{OURS}"
    assert manager.asked[1:] == [("wait",)]


@pytest.mark.parametrize(
    "group", ["/user.slice/session-1.scope", "/a/xrl-1.scope", f"{OURS}/payload", ""]
)
def test_a_process_that_systemd_has_put_elsewhere(
    manager: Manager, monkeypatch: pytest.MonkeyPatch, group: str
) -> None:
    put_into(monkeypatch, group)
    asked = ask()
    with pytest.raises(HostError) as caught:
        asked.wait()
    assert caught.value.message == f"rl-1.scope: systemd has put process 42 into {group}"


def test_a_job_that_fails(manager: Manager, monkeypatch: pytest.MonkeyPatch) -> None:
    put_into(monkeypatch, OURS)
    manager.failure = systemd.ManagerLost("rl-1.scope: no answer")
    asked = ask()
    with pytest.raises(systemd.ManagerLost, match="no answer"):
        asked.wait()


def test_attach_names_the_group_below_the_unit(manager: Manager) -> None:
    ask().attach(f"/cg{OURS}/helpers", 77)
    assert manager.asked[1:] == [("attach", "rl-1.scope", "/helpers", [77])]


def test_a_process_enters_a_running_container(manager: Manager) -> None:
    group = Group(f"/cg{OURS}")
    scope.enter(group, 78, group.container)
    assert manager.asked == [("attach", "rl-1.scope", "/payload/container", [78])]


def test_forget_lets_the_job_go(manager: Manager) -> None:
    ask().forget()
    assert manager.asked[1:] == [("close",)]


def test_weights_of_a_running_scope(manager: Manager) -> None:
    scope.set_weights(Group(f"/cg{OURS}"), {"CPUWeight": 39, "IOWeight": None})
    # systemd's own "not set": the largest number of 64 bits.
    expected = [("CPUWeight", "t", 39), ("IOWeight", "t", 0xFFFF_FFFF_FFFF_FFFF)]
    assert manager.asked == [("set", "rl-1.scope", expected)]


def test_no_weights_no_question(manager: Manager) -> None:
    scope.set_weights(Group(f"/cg{OURS}"), {})
    assert manager.asked == []
