"""A start on a host that gives a user no control group: cgroup v1, hybrid, or none mounted.

There no limit can hold, so it is refused with the reason; everything else runs as without cgroups.
Hosts with cgroup v2 are in tests/system.
"""

from __future__ import annotations

import json
import os

import pytest

from rootless.cgroup import choice as choices
from rootless.cgroup import hierarchy as hierarchies
from tests.user.conftest import Rl

# What the two messages say of each kind of host.
REFUSALS = {
    hierarchies.HYBRID: "this host has cgroup v1 beside v2 (hybrid), where a user has no limits",
    hierarchies.V1: "this host has cgroup v1, where a user has no limits",
    hierarchies.NONE: "no cgroup file system is mounted",
}
ABSENCES = {
    hierarchies.HYBRID: "this host has cgroup v1 and v2 side by side, and all controllers are v1's",
    hierarchies.V1: "this host has cgroup v1, which gives a normal user nothing",
    hierarchies.NONE: "no cgroup file system is mounted",
}
MIB = 1 << 20

pytestmark = pytest.mark.may_skip_on_ci("hosts with cgroup v2 are what tests/system is for")


@pytest.fixture
def mode() -> str:
    found = hierarchies.discover().mode
    if found == hierarchies.V2:
        pytest.skip("needs a host without cgroup v2, or with cgroup v1 beside it")
    return found


def run(rl: Rl, image: str, *flags: str, code: int = 0) -> tuple[str, list[str]]:
    """A container that says hello: its output, and the lines of rl's own."""
    done = rl("run", "--rm", "--net=none", *flags, image, "echo", "hello", code=code)
    return done.stdout, done.stderr.splitlines()


def refused(rl: Rl, image: str, *flags: str) -> list[str]:
    """The lines that a start is refused with, without the way to the doctor; nothing is left."""
    stdout, lines = run(rl, image, *flags, code=125)
    assert stdout == ""
    assert files_of_containers(rl) == []
    return [line for line in lines if not line.startswith("hint: rl doctor")]


def files_of_containers(rl: Rl) -> list[str]:
    """Processes and mounts are looked for after every test of this directory."""
    places = (rl.paths.containers, rl.paths.names, rl.paths.running)
    return [f"{place}/{name}" for place in places if os.path.isdir(place)
            for name in os.listdir(place)]  # fmt: skip


@pytest.mark.parametrize(
    "flags",
    [
        ("-m", "64m"),
        ("--memory-reservation", "64m"),
        ("--cpus", "0.5"),
        ("--cpu-shares", "512"),
        ("--cpuset-cpus", "0"),
        ("--pids-limit", "9"),
        ("--blkio-weight", "500"),
        ("--cgroup-conf", "memory.high=1073741824"),
    ],
    ids=lambda flags: flags[0],
)
def test_a_limit_is_refused(rl: Rl, busybox_image: str, mode: str, flags: tuple[str, str]) -> None:
    wish = " ".join(flags).replace("-m ", "--memory ")
    error, hint = refused(rl, busybox_image, *flags)
    assert error.startswith(f"rl: error: {wish}: {REFUSALS[mode]}")
    assert hint.startswith("hint: ")


def test_a_refused_container_that_was_to_stay_leaves_its_name_free(
    rl: Rl, busybox_image: str, mode: str
) -> None:
    for _ in range(2):
        rl("run", "--name=web", "--net=none", "-m", "64m", busybox_image, "true", code=125)
        assert files_of_containers(rl) == []
    rl("run", "--rm", "--name=web", "--net=none", busybox_image, "true")


def test_the_first_of_several_limits_is_named(rl: Rl, busybox_image: str, mode: str) -> None:
    lines = refused(rl, busybox_image, "--pids-limit", "9", "-m", "64m", "--cpus", "0.5")
    assert [line.partition(":")[0] for line in lines] == ["rl", "hint"]
    assert lines[0].startswith("rl: error: --memory 64m: ")


def test_best_effort_warns_and_runs(rl: Rl, busybox_image: str, mode: str) -> None:
    stdout, lines = run(rl, busybox_image, "--limits", "best-effort", "-m", "64m")
    assert stdout == "hello\n"
    (warning,) = lines
    assert warning.startswith(f"rl: warning: not enforced: --memory 64m: {REFUSALS[mode]}")
    assert "best-effort" not in warning


def test_best_effort_names_each_wish_once(rl: Rl, busybox_image: str, mode: str) -> None:
    flags = ("--limits=best-effort", "-m", "64m", "--cpus", "0.5", "--cpu-shares", "512")
    _, lines = run(rl, busybox_image, *flags)
    named = [line.removeprefix("rl: warning: not enforced: ").partition(":")[0] for line in lines]
    # One for each controller.
    assert named == ["--memory 64m", "--cpu-shares 512"]


def test_best_effort_without_a_wish_says_nothing(rl: Rl, busybox_image: str) -> None:
    assert run(rl, busybox_image, "--limits", "best-effort") == ("hello\n", [])


@pytest.mark.parametrize(
    "flags",
    [
        (),
        ("--cgroup-manager", "disabled"),
        ("--cgroups", "disabled"),
        ("--pids-limit", "-1"),
        ("-m", "0"),
        ("--cgroupns", "host"),
    ],
    ids=" ".join,
)
def test_without_a_limit_it_runs_and_says_nothing(
    rl: Rl, busybox_image: str, flags: tuple[str, ...]
) -> None:
    assert run(rl, busybox_image, *flags) == ("hello\n", [])


@pytest.mark.parametrize("manager", [choices.SYSTEMD, choices.CGROUPFS])
@pytest.mark.parametrize("limits", ["strict", "best-effort"])
def test_a_manager_that_cannot_work_is_refused(
    rl: Rl, busybox_image: str, mode: str, manager: str, limits: str
) -> None:
    error, hint = refused(rl, busybox_image, "--cgroup-manager", manager, "--limits", limits)
    assert error == f"rl: error: --cgroup-manager {manager}: {ABSENCES[mode]}"
    assert hint == "hint: rl run --cgroup-manager disabled …"


def test_a_limit_and_no_cgroup_contradict_each_other(rl: Rl, busybox_image: str, mode: str) -> None:
    error, hint = refused(rl, busybox_image, "--cgroup-manager", "disabled", "-m", "64m")
    expected = "--memory 64m: needs a cgroup, which --cgroup-manager disabled rules out"
    assert error == f"rl: error: {expected}"
    words = hint.removeprefix("hint: rl run ").removesuffix(" …").split()
    stdout, (warning,) = run(rl, busybox_image, *words, "-m", "64m")
    assert stdout == "hello\n" and "--memory 64m" in warning


def test_a_slice_needs_systemd(rl: Rl, busybox_image: str, mode: str) -> None:
    (error,) = refused(rl, busybox_image, "--cgroup-parent", "batch.slice")
    expected = f"--cgroup-parent batch.slice: no systemd here: {ABSENCES[mode]}"
    assert error == f"rl: error: {expected}"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("-m abc", "--memory abc: "),
        ("-m 1", "--memory 1: less than 6m"),
        ("-m -5m", "--memory -5m: "),
        ("--memory-swap 1g", "--memory-swap 1g: needs --memory"),
        ("-m 64m --memory-swap 32m", "--memory-swap 32m: less than --memory 64m"),
        ("--memory-reservation 1k", "--memory-reservation 1k: less than 6m"),
        ("--memory-swappiness 101", "--memory-swappiness 101: "),
        ("--oom-kill-disable", "--oom-kill-disable: "),
        ("--oom-score-adj 1001", "--oom-score-adj 1001: "),
        ("--cpus abc", "--cpus abc: not a number of CPUs"),
        ("--cpus 4096", "--cpus 4096: "),
        ("--cpus 1 --cpu-quota 5000", "--cpus 1: cannot be combined with --cpu-quota"),
        ("--cpu-period 1", "--cpu-period 1: "),
        ("--cpu-quota 1", "--cpu-quota 1: "),
        ("--cpu-shares 1", "--cpu-shares 1: "),
        ("--cpuset-cpus 3-1", "--cpuset-cpus 3-1: "),
        ("--cpuset-cpus 4096", "--cpuset-cpus 4096: this host has the CPUs "),
        ("--cpuset-mems x", "--cpuset-mems x: "),
        ("--pids-limit x", "--pids-limit x: not a number"),
        ("--blkio-weight 5", "--blkio-weight 5: "),
        ("--device-read-bps /dev/null:1m", "--device-read-bps /dev/null:1m: "),
        ("--device-write-bps /dev/no-such:1m", "--device-write-bps /dev/no-such:1m: "),
        ("--device-read-iops x", "--device-read-iops x: "),
        ("--device-write-iops /dev/null:-1", "--device-write-iops /dev/null:-1: "),
        ("--cgroup-conf x", "--cgroup-conf 'x': "),
        ("--cgroup-conf cgroup.freeze=1", "--cgroup-conf 'cgroup.freeze=1': "),
        ("--cgroup-conf memory/../x.y=1", "--cgroup-conf 'memory/../x.y=1': "),
        ("--cgroup-parent ../x", "--cgroup-parent '../x': "),
        ("--cgroup-manager runit", "rl run: Invalid value for '--cgroup-manager': 'runit'"),
        ("--cgroups split", "rl run: Invalid value for '--cgroups': 'split'"),
        ("--limits lax", "rl run: Invalid value for '--limits': 'lax'"),
    ],
)
def test_nonsense_is_one_line(rl: Rl, busybox_image: str, flags: str, message: str) -> None:
    """Also with --limits best-effort, which is about hosts and not about command lines."""
    lines = refused(rl, busybox_image, *flags.split())
    assert lines[0].startswith(f"rl: error: {message}")
    assert [line for line in lines[1:] if not line.startswith("hint: ")] == []
    assert len(lines) <= 2
    if "--limits" not in flags:
        assert refused(rl, busybox_image, "--limits=best-effort", *flags.split()) == lines


def test_a_dry_run_shows_the_limits(rl: Rl, busybox_image: str, mode: str) -> None:
    flags = ("-m", "64m", "--memory-swap", "96m", "--cpus", "0.5", "--pids-limit", "9")
    done = rl("run", "--dry-run", "--limits", "best-effort", *flags, busybox_image, "true")
    effects = [line.removeprefix("+ ") for line in done.stderr.splitlines()]
    assert f"control group: none, {ABSENCES[mode]}" in effects
    assert not any("payload/" in line for line in effects)
    assert sum("not enforced: --" in line for line in effects) == 3
    linux = json.loads(done.stdout)["linux"]
    assert linux["resources"] == {
        "memory": {"limit": 64 * MIB, "swap": 96 * MIB},
        "cpu": {"quota": 50000, "period": 100000},
        "pids": {"limit": 9},
    }
    assert "cgroupsPath" not in linux
    assert files_of_containers(rl) == []


def test_a_dry_run_refuses_what_a_run_refuses(rl: Rl, busybox_image: str) -> None:
    done = rl("run", "--dry-run", "-m", "64m", busybox_image, "true", code=125)
    assert done.stdout == ""
    assert done.stderr.startswith("rl: error: --memory 64m: ")


def test_a_dry_run_without_limits_has_no_resources(rl: Rl, busybox_image: str) -> None:
    done = rl("run", "--dry-run", busybox_image, "true")
    assert "payload/" not in done.stderr
    assert "resources" not in json.loads(done.stdout)["linux"]


def test_a_container_that_stays_remembers_what_it_asked_for(
    rl: Rl, busybox_image: str, mode: str
) -> None:
    flags = ("--limits=best-effort", "-m", "64m", "--cpus", "0.5")
    rl("run", "--name=web", "--net=none", *flags, busybox_image, "true")
    (found,) = json.loads(rl("inspect", "web").stdout)
    assert found["HostConfig"]["Memory"] == 64 * MIB
    assert found["HostConfig"]["CpuQuota"] == 50000
    rl("rm", "web")
