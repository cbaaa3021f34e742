"""Which controllers a container of this user would have: those of the user's manager."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from rootless.cgroup import choice as choices
from rootless.cgroup.hierarchy import V2, Hierarchy
from rootless.engine.doctor.probes import groups
from rootless.tools import systemd

MANAGER = "/user.slice/user-1000.slice/user@1000.service"
Ask = Callable[[], str]


@pytest.fixture
def mount(tmp_path: Path) -> Path:
    """Control groups where cpuset is not delegated, and a session that has nothing."""
    for group, controllers in (
        ("", "cpuset cpu io memory pids"),
        ("/user.slice", "cpuset cpu io memory pids"),
        ("/user.slice/user-1000.slice", "cpu io memory pids"),
        (MANAGER, "cpu io memory pids"),
        ("/user.slice/user-1000.slice/session-1.scope", ""),
    ):
        folder = tmp_path / group.lstrip("/")
        folder.mkdir(exist_ok=True)
        (folder / "cgroup.controllers").write_text(f"{controllers}\n")
    return tmp_path


def host(monkeypatch: pytest.MonkeyPatch, mount: Path, answer: Ask) -> None:
    own = "/user.slice/user-1000.slice/session-1.scope"
    hierarchy = Hierarchy(V2, str(mount), own)
    monkeypatch.setattr(choices, "choose", lambda: choices.Choice(choices.SYSTEMD, hierarchy))
    monkeypatch.setattr(systemd.Manager, "absence", lambda self: None)
    monkeypatch.setattr(systemd.Manager, "read_property", lambda self, *which: answer())


def test_the_managers_own_group_is_looked_at(monkeypatch: pytest.MonkeyPatch, mount: Path) -> None:
    host(monkeypatch, mount, lambda: MANAGER)
    told = groups.look()
    assert (told["manager"], told["answer"]) == (choices.SYSTEMD, None)
    assert told["usable"] == ["cpu", "io", "memory", "pids"]
    assert list(told["missing"]) == ["cpuset"]
    reason, hint = told["missing"]["cpuset"]
    assert reason.startswith("the cpuset controller is not delegated to user@")
    # An administrator can paste it without this user's files.
    assert "Delegate=" in hint and "install" not in hint
    assert hint.splitlines()[-1].endswith("systemctl --user daemon-reexec")


def test_a_manager_that_does_not_answer_makes_no_groups(
    monkeypatch: pytest.MonkeyPatch, mount: Path
) -> None:
    def no_answer() -> str:
        raise systemd.ManagerLost("-.slice: no answer from systemd: timed out", "systemctl status")

    host(monkeypatch, mount, no_answer)
    told = groups.look()
    assert told["manager"] == choices.DISABLED and told["usable"] == []
    assert "no answer from systemd" in told["reason"]
    assert "no answer from systemd" in told["missing"]["memory"][0]


def test_a_manager_that_knows_no_such_property_is_one(
    monkeypatch: pytest.MonkeyPatch, mount: Path
) -> None:
    def refuse() -> str:
        raise systemd.ManagerRefused("UnknownProperty", "no", "-.slice: systemd refused: no")

    host(monkeypatch, mount, refuse)
    assert groups.look()["manager"] == choices.SYSTEMD
