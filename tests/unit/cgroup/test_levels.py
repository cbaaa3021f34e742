from __future__ import annotations

import os
from pathlib import Path

import pytest

from rootless.cgroup import levels

USER = "/user.slice/user-1000.slice"
SCOPE = f"{USER}/user@1000.service/app.slice/rl-0123456789ab.scope"


@pytest.mark.parametrize(
    ("group", "top", "label"),
    [
        ("/", "", "the root group"),
        ("/", SCOPE, "the root group"),
        (f"{SCOPE}/payload", SCOPE, "the container"),
        (SCOPE, SCOPE, "the container's scope"),
        (f"{SCOPE}x", SCOPE, "app.slice/rl-0123456789ab.scopex"),
        ("/a/rl-0123456789ab", "/a/rl-0123456789ab", "the container's group"),
        (USER, SCOPE, "user-1000.slice"),
        (f"{USER}/session-3.scope", "", "session-3.scope"),
        ("/system.slice/cron.service/jobs/a", "", "cron.service/jobs/a"),
        ("/system.slice/slurmstepd.scope/job_5/step_0", "", "Slurm's job_5/step_0"),
        ("/system.slice/slurmstepd.scope/job_5/step_0/user/task_0", "",
         "Slurm's job_5/step_0/user/task_0"),
        ("/system.slice/slurmstepd.scope", "", "slurmstepd.scope"),
        ("/plain/group", "", "/plain/group"),
    ],
)  # fmt: skip
def test_labels(group: str, top: str, label: str) -> None:
    assert levels.label_of(group, top) == label


def test_the_chain_from_below(tmp_path: Path) -> None:
    deep = tmp_path / "a.slice" / "rl-1" / "payload"
    deep.mkdir(parents=True)
    (deep / "memory.max").write_text("5\n")
    (deep / "other").write_text("no business of ours")
    (tmp_path / "a.slice" / "memory.max").write_text("max\n")
    found = levels.read_chain(str(tmp_path), str(deep), str(deep.parent))
    assert [level.label for level in found] == [
        "the container", "the container's group", "a.slice", "the root group",
    ]  # fmt: skip
    assert [dict(level.files) for level in found] == [
        {"memory.max": "5\n"}, {}, {"memory.max": "max\n"}, {},
    ]  # fmt: skip
    assert found[0].directory == str(deep)
    assert found[-1].directory == str(tmp_path)
    assert len(levels.read_chain(str(tmp_path), str(tmp_path), "")) == 1


def test_the_host_has_something() -> None:
    host = levels.read_host()
    assert host.memory > 1024**2
    assert host.pids > 0
    assert host.cpus.startswith("0")
    assert levels.allowed(os.getpid())[0]
    assert levels.allowed(0) == ("", "")


def test_the_hosts_network_is_not_a_containers() -> None:
    assert levels.network(os.getpid()) is None
    assert levels.network(0) is None


def test_devices_have_names() -> None:
    assert levels.device_name("4000:7") == "4000:7"
    for number in os.listdir("/sys/dev/block")[:3]:
        name = levels.device_name(number).removeprefix("/dev/")
        assert Path(f"/sys/class/block/{name}/dev").read_text().strip() == number
