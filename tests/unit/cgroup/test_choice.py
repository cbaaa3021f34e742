"""Who makes a container's group. The host is made up; what a real one answers: tests/system."""

from __future__ import annotations

from pathlib import Path

import pytest

from rootless.cgroup import choice as choices
from rootless.cgroup import hierarchy as hierarchies
from rootless.cgroup.choice import CGROUPFS, DISABLED, SYSTEMD, Choice
from rootless.cgroup.hierarchy import HYBRID, NONE, V1, V2, Hierarchy
from rootless.errors import EXIT_ENGINE, HostError
from rootless.tools import systemd

SLURM = "/system.slice/slurmstepd.scope/job_7/step_0/user/task_0"
NO_SYSTEMD = systemd.ManagerUnreachable(systemd.NO_SYSTEMD, "/run/x: systemd does not run here")


@pytest.fixture
def mount(tmp_path: Path) -> str:
    return str(tmp_path)


def make_host(
    monkeypatch: pytest.MonkeyPatch,
    hierarchy: Hierarchy,
    *,
    has_systemd: bool = False,
    is_ours: bool = False,
) -> None:
    """is_ours: whether we may make groups below our own."""
    if is_ours:
        directory = Path(hierarchy.directory)
        directory.mkdir(parents=True)
        for name in ("cgroup.procs", "cgroup.subtree_control"):
            (directory / name).touch()
    monkeypatch.setattr(hierarchies, "discover", lambda: hierarchy)
    absence = None if has_systemd else NO_SYSTEMD
    monkeypatch.setattr(systemd.Manager, "absence", lambda self: absence)


@pytest.mark.parametrize("is_ours", [True, False])
def test_systemd_comes_first(mount: str, monkeypatch: pytest.MonkeyPatch, is_ours: bool) -> None:
    hierarchy = Hierarchy(V2, mount, "/a")
    make_host(monkeypatch, hierarchy, has_systemd=True, is_ours=is_ours)
    assert choices.choose() == choices.choose(SYSTEMD) == Choice(SYSTEMD, hierarchy)
    assert choices.choose().is_systemd


def test_without_systemd_our_own_group(mount: str, monkeypatch: pytest.MonkeyPatch) -> None:
    hierarchy = Hierarchy(V2, mount, "/a")
    make_host(monkeypatch, hierarchy, is_ours=True)
    found = choices.choose()
    assert found == Choice(CGROUPFS, hierarchy, base=f"{mount}/a", reason=NO_SYSTEMD.message)
    assert not found.is_systemd


def test_nobody(mount: str, monkeypatch: pytest.MonkeyPatch) -> None:
    hierarchy = Hierarchy(V2, mount, "/a")
    make_host(monkeypatch, hierarchy)
    assert choices.choose() == Choice(DISABLED, hierarchy, reason=NO_SYSTEMD.message)


def test_the_user_insists_on_our_own(mount: str, monkeypatch: pytest.MonkeyPatch) -> None:
    hierarchy = Hierarchy(V2, mount, "/a")
    make_host(monkeypatch, hierarchy, has_systemd=True, is_ours=True)
    assert choices.choose(CGROUPFS) == Choice(CGROUPFS, hierarchy, base=f"{mount}/a")


def test_the_user_wants_none(mount: str, monkeypatch: pytest.MonkeyPatch) -> None:
    hierarchy = Hierarchy(V2, mount, "/a")
    make_host(monkeypatch, hierarchy, has_systemd=True, is_ours=True)
    expected = Choice(DISABLED, hierarchy, reason="--cgroup-manager disabled")
    assert choices.choose(DISABLED) == expected


def test_a_job_is_not_left(mount: str, monkeypatch: pytest.MonkeyPatch) -> None:
    hierarchy = Hierarchy(V2, mount, SLURM)
    make_host(monkeypatch, hierarchy, has_systemd=True)
    reason = "this process belongs to a Slurm job"
    assert choices.choose() == Choice(DISABLED, hierarchy, reason=reason)
    make_host(monkeypatch, hierarchy, has_systemd=True, is_ours=True)
    assert choices.choose() == Choice(CGROUPFS, hierarchy, base=mount + SLURM, reason=reason)
    assert choices.choose(SYSTEMD).manager == SYSTEMD


@pytest.mark.parametrize(
    ("group", "job"),
    [
        (SLURM, "Slurm"),
        ("/pbs_jobs.service/jobid/3", "PBS"),
        ("/user.slice/slurmstepd.scope.d", ""),
        ("/user.slice/user-1000.slice", ""),
        ("/", ""),
        ("", ""),
    ],
)
def test_jobs(group: str, job: str) -> None:
    assert choices.job_around(group) == job


@pytest.mark.parametrize(
    ("mode", "reason"),
    [
        (HYBRID, "this host has cgroup v1 and v2 side by side, and all controllers are v1's"),
        (V1, "this host has cgroup v1, which gives a normal user nothing"),
        (NONE, "no cgroup file system is mounted"),
    ],
)
def test_hosts_without_version_2(
    mount: str, monkeypatch: pytest.MonkeyPatch, mode: str, reason: str
) -> None:
    """Also where systemd answers: a scope of its would limit nothing, and is no group of ours."""
    hierarchy = Hierarchy(mode, mount, "/a")
    make_host(monkeypatch, hierarchy, has_systemd=True, is_ours=True)
    assert choices.choose() == Choice(DISABLED, hierarchy, reason=reason)
    for wished in (SYSTEMD, CGROUPFS):
        with pytest.raises(HostError) as caught:
            choices.choose(wished)
        assert caught.value.message == f"--cgroup-manager {wished}: {reason}"
        assert caught.value.hint == "rl run --cgroup-manager disabled …"
        assert caught.value.exit_code == EXIT_ENGINE


@pytest.mark.parametrize(
    ("own", "shown"), [("/user.slice", "/user.slice"), ("", "of this process")]
)
def test_a_wish_that_cannot_be_met(
    mount: str, monkeypatch: pytest.MonkeyPatch, own: str, shown: str
) -> None:
    make_host(monkeypatch, Hierarchy(V2, mount, own))
    with pytest.raises(HostError) as caught:
        choices.choose(SYSTEMD)
    assert caught.value.message == f"--cgroup-manager systemd: {NO_SYSTEMD.message}"
    with pytest.raises(HostError) as caught:
        choices.choose(CGROUPFS)
    expected = f"--cgroup-manager cgroupfs: the cgroup {shown} is not ours to divide"
    assert caught.value.message == expected


@pytest.mark.parametrize("is_ours", [True, False])
def test_systemd_that_did_not_answer(
    mount: str, monkeypatch: pytest.MonkeyPatch, is_ours: bool
) -> None:
    make_host(monkeypatch, Hierarchy(V2, mount, "/a"), has_systemd=True, is_ours=is_ours)
    left = choices.without_systemd(choices.choose(), "no answer")
    assert left.reason == "no answer"
    expected = (CGROUPFS, f"{mount}/a") if is_ours else (DISABLED, "")
    assert (left.manager, left.base) == expected
