from __future__ import annotations

import errno
from typing import Any

import pytest

from rootless.engine.doctor import namespaces
from rootless.engine.doctor.finding import ADMINISTRATOR, BROKEN, WORKS, Finding
from rootless.tools import userns_forbidden

KINDS = {"network": 0, "uts": 0, "ipc": 0, "cgroup": 0, "pid": 0, "time": 0}


def facts(**changed: Any) -> dict[str, Any]:
    usual: dict[str, Any] = {
        "kernel": "6.1.0", "has_openat2": True, "cause": "", "reason": "", "command": "",
        "kinds": KINDS, "proc": 0, "filter": None, "container": "", "modules": [], "label": "",
    }  # fmt: skip
    return {**usual, **changed}


def judge(**changed: Any) -> dict[str, Finding]:
    found = namespaces.judge(facts(**changed), "PROFILE")
    return {finding.check: finding for finding in found}


def test_all_works() -> None:
    found = judge()
    assert {finding.state for finding in found.values()} == {WORKS}
    assert list(found) == ["kernel", "user-namespaces", "namespaces", "proc", "seccomp"]


def test_an_old_kernel() -> None:
    found = judge(kernel="4.18.0", has_openat2=False)["kernel"]
    assert found.state == BROKEN and found.found == "Linux 4.18.0 is too old"
    assert found.fix is not None and "Linux 5.6" in found.fix.command


def test_a_sysctl_is_set_for_good() -> None:
    command = "sudo sysctl -w kernel.unprivileged_userns_clone=1"
    found = judge(cause=userns_forbidden.CLONE, reason="forbidden", command=command)
    fix = found["user-namespaces"].fix
    assert fix is not None and fix.whom == ADMINISTRATOR
    assert fix.command == (
        "echo kernel.unprivileged_userns_clone=1 | sudo tee -a /etc/sysctl.d/99-rl.conf"
        " && sudo sysctl -p /etc/sysctl.d/99-rl.conf"
    )
    # What is made in them was not tried.
    assert "namespaces" not in found and "proc" not in found


def test_apparmor_has_a_profile_and_another_way() -> None:
    command = "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
    found = judge(cause=userns_forbidden.APPARMOR, reason="AppArmor …", command=command)
    fix = found["user-namespaces"].fix
    assert fix is not None
    first, second = fix.command.splitlines()
    assert first == "PROFILE"
    assert second.startswith("# or, for every program: echo kernel.apparmor_restrict")


@pytest.mark.parametrize(
    "cause",
    [userns_forbidden.CONTAINER, userns_forbidden.CHROOT, userns_forbidden.SECCOMP],
)
def test_every_cause_is_told_to_the_administrator(cause: str) -> None:
    fix = judge(cause=cause, reason="no", command="docker run …")["user-namespaces"].fix
    assert fix is not None and fix.whom == ADMINISTRATOR and fix.command


def test_a_kind_that_every_container_has() -> None:
    found = judge(kinds={**KINDS, "pid": errno.ENOSPC})["namespaces"]
    assert found.state == BROKEN
    assert found.found == "pid: the limit user.max_pid_namespaces is reached"
    assert found.fix is not None and "user.max_pid_namespaces=28633" in found.fix.command


def test_time_is_not_needed_and_the_network_is_told_of_elsewhere() -> None:
    found = judge(kinds={**KINDS, "time": errno.EINVAL, "network": errno.ENOSPC})["namespaces"]
    assert found.state == WORKS and "uptime" in found.found


def test_a_masked_proc() -> None:
    found = judge(proc=errno.EPERM, container="podman")["proc"]
    assert found.state == BROKEN and "--pid host" in found.meaning
    assert found.fix is not None and found.fix.command.startswith("# podman run")


def test_no_libseccomp() -> None:
    found = judge(filter=["libseccomp.so.2: not installed", "sudo apt-get install libseccomp2"])
    assert found["seccomp"].state == BROKEN
    assert found["seccomp"].fix is not None
    assert found["seccomp"].fix.command == "sudo apt-get install libseccomp2"


def test_what_stands_around_is_told() -> None:
    found = judge(container="docker", modules=["apparmor"], label="unconfined")
    assert found["container"].found.endswith("(docker)")
    assert found["security-modules"].found == "apparmor (this process: unconfined)"
