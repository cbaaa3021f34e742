"""`rl build` where there are control groups: what RUN runs is held by the limits, and sees them."""

from __future__ import annotations

import re

import pytest

from tests.system.guest import Guest

BUILD = "rl build --no-cache --network none -t made -"
MIB = 1 << 20


def dockerfile(*steps: str) -> str:
    lines = "\\n".join(["FROM localhost/busybox", *steps])
    return f"printf '{lines}\\n'"


@pytest.mark.parametrize("kind", ["linger", "ssh", "bare"])
def test_a_step_has_the_limits_and_sees_them(guest: Guest, kind: str) -> None:
    user = guest.as_user(kind)
    look = "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max; grep MemTotal /proc/meminfo"
    done = user.run(f"{dockerfile(f'RUN {look}')} | {BUILD} -m 64m --pids-limit 50")
    try:
        said = done.stdout + done.stderr
        assert re.search(rf"^{64 * MIB}\n50\nMemTotal: +{64 * 1024} kB$", said, re.M), done
        listed = user.run("systemctl --user --no-legend list-units 'rl-*.scope'", code=None).stdout
        assert listed == "" and user.run("rl ps -aq").stdout == ""
    finally:
        user.run("rl rmi -f made")


def test_a_step_that_wants_more_is_killed_and_the_build_says_so(guest: Guest) -> None:
    user = guest.as_user("linger")
    steps = dockerfile("RUN touch /before", "RUN tail /dev/zero")
    done = user.run(f"{steps} | {BUILD} -m 32m", code=125)
    assert "out of memory: the kernel killed tail" in done.stderr, done
    assert "the container's limit of 32MiB" in done.stderr
    assert re.search(
        r"^rl: error: .*:3: RUN: the command ended with exit code 137", done.stderr, re.M
    )
    assert user.run("rl ps -aq; rl images -q made").stdout == ""


def test_a_limit_that_cannot_be_held_ends_the_build(guest: Guest) -> None:
    user = guest.as_user("su")
    done = user.run(f"{dockerfile('RUN id')} | {BUILD} -m 32m", code=125)
    assert "uid=" not in done.stdout + done.stderr
    assert "--memory 32m" in done.stderr and "hint: " in done.stderr, done
    assert user.run("rl ps -aq; rl images -q made").stdout == ""
