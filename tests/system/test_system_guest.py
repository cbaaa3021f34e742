"""The guest is what the other tests take it for: its kernel, its sessions, the command in it."""

from __future__ import annotations

import pytest

from tests.system.guest import KINDS, Guest
from tests.system.image import CHECKOUT

CONTAINER_USERS = [kind for kind in KINDS if kind != "root"]


def words(guest: Guest, kind: str, command: str) -> list[str]:
    return guest.as_user(kind).run(command).stdout.split()


def has_runtime_directory(guest: Guest, kind: str) -> bool:
    command = "test -d /run/user/$(id -u)"
    return guest.as_user(kind).run(command, code=None).returncode == 0


def test_cgroups_are_version_2_alone(guest: Guest) -> None:
    assert words(guest, "root", "stat -f -c %T /sys/fs/cgroup") == ["cgroup2fs"]
    assert words(guest, "root", "grep -c cgroup /proc/mounts") == ["1"]


def test_the_manager_of_a_lingering_user_has_controllers(guest: Guest) -> None:
    uid = words(guest, "linger", "id -u")[0]
    manager = f"/sys/fs/cgroup/user.slice/user-{uid}.slice/user@{uid}.service"
    controllers = words(guest, "linger", f"cat {manager}/cgroup.controllers")
    assert {"cpu", "memory", "pids"} <= set(controllers)


def test_there_are_swap_and_pressure_files(guest: Guest) -> None:
    assert words(guest, "root", "swapon --noheadings --show=NAME") == ["/dev/vdb"]
    assert "some" in words(guest, "root", "cat /proc/pressure/memory")


def test_a_service_of_a_lingering_user_is_in_no_session(guest: Guest) -> None:
    assert words(guest, "linger", "cat /proc/self/cgroup")[0].startswith("0::/system.slice/")
    assert has_runtime_directory(guest, "linger")


def test_su_opens_no_session(guest: Guest) -> None:
    cgroup = words(guest, "su", "cat /proc/self/cgroup")[0]
    assert cgroup.startswith("0::/user.slice/user-0.slice/session-")
    assert not has_runtime_directory(guest, "su")


def test_a_login_by_ssh_is_a_session(guest: Guest) -> None:
    uid = words(guest, "ssh", "id -u")[0]
    cgroup = words(guest, "ssh", "cat /proc/self/cgroup")[0]
    assert cgroup.startswith(f"0::/user.slice/user-{uid}.slice/session-")
    assert words(guest, "ssh", "echo $XDG_RUNTIME_DIR") == [f"/run/user/{uid}"]
    assert has_runtime_directory(guest, "ssh")


@pytest.mark.parametrize("kind", ["linger", "bare"])
def test_no_variable_tells_where_the_manager_is(guest: Guest, kind: str) -> None:
    names = {row.partition("=")[0] for row in words(guest, kind, "env")}
    assert names <= {"PATH", "PWD", "SHLVL", "_", "OLDPWD"}


@pytest.mark.parametrize("kind", CONTAINER_USERS)
def test_a_container_runs(guest: Guest, kind: str) -> None:
    assert words(guest, kind, "cd / && rl run --rm localhost/busybox id -u") == ["0"]


def test_the_code_is_that_of_the_checkout(guest: Guest) -> None:
    done = guest.as_user("root").run("cat /opt/rl/pyproject.toml")
    assert done.stdout == (CHECKOUT / "pyproject.toml").read_text()
