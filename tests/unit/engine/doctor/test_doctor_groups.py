from __future__ import annotations

from typing import Any

from rootless.engine.doctor import groups
from rootless.engine.doctor.finding import ADMINISTRATOR, REDUCED, WORKS, YOU, Finding

INSTALL = "sudo mkdir -p …\nsudo tee … <<'END'"


def judge(**changed: Any) -> list[Finding]:
    usual: dict[str, Any] = {
        "mode": "v2", "manager": "systemd", "reason": "", "job": "", "missing": {},
        "usable": ["memory", "cpu", "pids", "cpuset", "io"], "linger": True, "booted": True,
        "answer": None, "user": "alice",
    }  # fmt: skip
    return groups.judge({**usual, **changed})


def named(found: list[Finding], check: str) -> Finding:
    return next(finding for finding in found if finding.check == check)


def test_all_works() -> None:
    found = judge()
    assert {finding.state for finding in found} == {WORKS}
    assert named(found, "controllers").found == "memory, cpu, pids, cpuset, io"


def test_no_limits_at_all() -> None:
    hint = "boot with systemd.unified_cgroup_hierarchy=1 on the kernel's command line"
    missing = {name: ["this host has cgroup v1", hint] for name in ("memory", "cpu")}
    (found,) = judge(mode="v1", manager="disabled", reason="v1", usable=[], missing=missing)
    assert found.state == REDUCED and found.found == "this host has cgroup v1"
    assert found.fix is not None and found.fix.whom == ADMINISTRATOR
    assert found.fix.command == f"# {hint}"


def test_what_has_one_cause_is_told_once() -> None:
    missing = {name: [f"the {name} controller is not delegated", INSTALL] for name in ("cpu", "io")}
    found = judge(usable=["memory", "pids"], missing=missing)
    rows = [finding for finding in found if finding.check == "controllers"]
    assert len(rows) == 1
    assert rows[0].meaning == "no limits of cpu and io; there are those of memory, pids"
    assert rows[0].fix is not None and rows[0].fix.command == INSTALL


def test_linger_is_the_users_own_to_change() -> None:
    found = named(judge(linger=False), "linger")
    assert found.state == REDUCED
    assert found.fix is not None and found.fix.whom == YOU
    assert found.fix.command == "loginctl enable-linger alice"


def test_groups_below_our_own() -> None:
    found = judge(manager="cgroupfs", reason="there is no systemd manager of yours", linger=None)
    assert named(found, "limits").state == WORKS
    assert "no systemd manager" in named(found, "limits").found
    assert not [finding for finding in found if finding.check == "linger"]


def test_a_job() -> None:
    found = named(judge(manager="cgroupfs", job="Slurm"), "limits")
    assert found.found == "groups below this Slurm job's, whose own limits hold"


def test_no_cgroup_file_system() -> None:
    missing = {"memory": ["no cgroup file system is mounted", "ls -l /sys/fs/cgroup"]}
    (found,) = judge(mode="none", manager="disabled", usable=[], missing=missing)
    assert found.fix is not None and found.fix.command.startswith("sudo mount -t cgroup2")
