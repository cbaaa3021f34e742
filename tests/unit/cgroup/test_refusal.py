from __future__ import annotations

import errno
import os
import shlex
from typing import Any

import pytest

from rootless.cgroup import refusal, resources
from rootless.cgroup.refusal import Delegation
from rootless.errors import EXIT_ENGINE, HostError

ALL = ["cpuset", "cpu", "io", "memory", "pids"]
BY_DEFAULT = ["cpu", "memory", "pids"]
SERVICE = "/user.slice/user-1000.slice/user@1000.service"
FLAG = "--cpuset-cpus 0"


def on(delegated: list[str] = BY_DEFAULT, **changes: Any) -> Delegation:
    """Debian 12, whose systemd delegates `delegated` to a user's manager."""
    facts: dict[str, Any] = {
        "mode": "v2",
        "root_controllers": ALL,
        "chain": [
            ("/", ALL),
            ("/user.slice", delegated),
            ("/user.slice/user-1000.slice", delegated),
            (SERVICE, delegated),
        ],
        "manager": "systemd",
        "user": "ann",
        "uid": 1000,
        "linger": True,
    }
    return Delegation(**{**facts, **changes})


def explain(where: Delegation, controller: str = "cpuset", flag: str = FLAG) -> HostError:
    error = refusal.explain(controller, flag, where)
    assert error.exit_code == EXIT_ENGINE
    assert error.message.startswith(f"{flag}: ")
    assert "\n" not in error.message + error.hint
    assert error.hint
    return error


def test_a_controller_that_systemd_does_not_delegate() -> None:
    error = explain(on())
    assert error.message == (
        "--cpuset-cpus 0: the cpuset controller is not delegated to user@1000.service"
        " (--limits best-effort runs without it)"
    )
    install, reload, reexec = error.hint.split(" && ")
    source, target = shlex.split(install)[-2:]
    assert target == "/etc/systemd/system/user@.service.d/rl-delegate.conf"
    assert reload == "sudo systemctl daemon-reload"
    assert reexec == "XDG_RUNTIME_DIR=/run/user/1000 systemctl --user daemon-reexec"
    with open(source) as file:
        lines = [line.strip() for line in file if line.strip() and not line.startswith("#")]
    assert lines == ["[Service]", f"Delegate={' '.join(['cpu', 'cpuset', 'io', 'memory', 'pids'])}"]


def test_a_controller_that_the_users_systemd_does_not_know_yet() -> None:
    chain = [*on(ALL).chain, (f"{SERVICE}/app.slice", BY_DEFAULT)]
    error = explain(on(chain=chain))
    assert "has not noticed the cpuset controller yet" in error.message
    first, _, second = error.hint.partition("; or, which ends what it runs: ")
    assert first == "XDG_RUNTIME_DIR=/run/user/1000 systemctl --user daemon-reexec"
    assert second == "sudo systemctl restart user@1000.service"


@pytest.mark.parametrize(
    ("linger", "hint"),
    [
        (False, "sudo loginctl enable-linger ann"),
        (True, "systemctl status user@1000.service"),
        (None, "systemctl status user@1000.service"),
    ],
)
def test_without_a_manager(linger: bool | None, hint: str) -> None:
    where = on(manager="none", manager_reason="no systemd of user 1000 runs", linger=linger)
    error = explain(where, "memory", "--memory 256m")
    assert error.message.startswith("--memory 256m: no systemd of user 1000 runs")
    assert error.hint == hint


def test_in_a_job_of_a_batch_system() -> None:
    chain = [("/", ALL), ("/system.slice/slurmstepd.scope/job_1/step_0", ALL)]
    reason = "this process belongs to a Slurm job"
    where = on(manager="disabled", manager_reason=reason, linger=False, chain=chain)
    error = explain(where, "memory", "--memory 256m")
    assert error.message.startswith(f"--memory 256m: {reason}, whose own limits hold")
    assert "linger" not in error.hint


def test_without_a_manager_by_a_flag() -> None:
    where = on(manager="disabled", manager_reason="--cgroup-manager disabled")
    error = explain(where, "memory", "--memory 256m")
    assert error.message.startswith(
        "--memory 256m: needs a cgroup, unlike --cgroup-manager disabled"
    )
    assert "--limits best-effort" in error.hint


@pytest.mark.parametrize(
    ("mode", "words", "hint"),
    [
        ("v1", "this host has cgroup v1,", "systemd.unified_cgroup_hierarchy=1"),
        ("hybrid", "cgroup v1 beside v2 (hybrid)", "systemd.unified_cgroup_hierarchy=1"),
        ("none", "no cgroup file system is mounted", "ls -l /sys/fs/cgroup"),
    ],
)
def test_hosts_without_cgroup_v2(mode: str, words: str, hint: str) -> None:
    where = on(mode=mode, manager="disabled", manager_reason="", chain=[], root_controllers=[])
    error = explain(where, "memory", "--memory 256m")
    assert words in error.message
    assert hint in error.hint


def test_a_kernel_without_the_controller() -> None:
    where = on(root_controllers=["cpu", "pids"])
    error = explain(where, "memory", "--memory 256m")
    assert "the kernel has no memory controller" in error.message
    assert "/proc/cmdline" in error.hint


def test_where_a_tree_without_systemd_loses_it() -> None:
    chain = [("/", ALL), ("/slurm", ALL), ("/slurm/job 1", ["cpu"]), ("/slurm/job 1/step", [])]
    where = on(manager="cgroupfs", chain=chain)
    error = explain(where, "memory", "--memory 256m")
    assert "the memory controller is not passed on to /slurm/job 1" in error.message
    assert error.hint == "echo +memory | sudo tee /sys/fs/cgroup/slurm/cgroup.subtree_control"
    error = explain(where, "cpu", "--cpus 1")
    assert error.hint == "echo +cpu | sudo tee '/sys/fs/cgroup/slurm/job 1/cgroup.subtree_control'"


def test_a_namespace_root_without_the_controller() -> None:
    where = on(manager="cgroupfs", chain=[("/", ["cpu"])])
    assert "is missing here" in explain(where, "memory", "--memory 256m").message


def test_best_effort_is_offered_only_where_it_fits() -> None:
    assert "--limits best-effort" in explain(on()).message
    assert "best-effort" not in refusal.explain("cpuset", FLAG, on(), offer=False).message
    long = "--cgroup-conf " + "cpuset.cpus=" + "0," * 40 + "0"
    assert "--limits best-effort" not in explain(on(), flag=long).message


@pytest.mark.parametrize(
    ("document", "number", "words", "hint"),
    [
        ({"memory": {"limit": 1, "swap": 1}}, errno.ENOENT, "no memory.swap.max", "swapaccount=1"),
        (
            {"blockIO": {"weight": 10}}, errno.ENOENT,
            "--blkio-weight 10: this kernel has no io.weight, nor io.bfq.weight", "modprobe bfq",
        ),
        ({"unified": {"cpu.typo": "1"}}, errno.ENOENT, "this kernel has no cpu.typo", "uname"),
        ({"pids": {"limit": 5}}, errno.EINVAL, "--pids-limit 5: pids.max: Invalid argument", ""),
    ],
)  # fmt: skip
def test_what_the_kernel_refuses(
    document: dict[str, Any], number: int, words: str, hint: str
) -> None:
    setting = resources.settings(document)[0]
    error = refusal.not_written(setting.instead or setting, OSError(number, os.strerror(number)))
    assert words in error.message
    assert hint in error.hint
    assert error.exit_code == EXIT_ENGINE
