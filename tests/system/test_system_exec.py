"""`rl exec` across sessions: into the control group of a container that another one started."""

from __future__ import annotations

import pytest

from tests.system.background import IMAGE, background
from tests.system.guest import Guest

# Where each process of the user with this command line is, as the host sees it.
WHERE = "for pid in $(pgrep -u $(id -u) -xf '{}'); do cut -d: -f3 /proc/$pid/cgroup; done"
SLEEP = "sleep 4321"


@pytest.mark.parametrize(
    ("starter", "other"), [("linger", "linger"), ("ssh", "bare"), ("bare", "ssh")]
)
def test_a_command_from_another_session_is_in_the_containers_group(
    guest: Guest, starter: str, other: str
) -> None:
    with background(guest, "sleep 300", name="entered", kind=starter) as box:
        user = guest.as_user(other)
        user.run(f"rl exec -d entered {SLEEP}")
        place = user.run(WHERE.format(SLEEP)).stdout.strip()
        assert f"/sys/fs/cgroup{place}" == f"{box.group}/payload/container"
        assert user.run("rl exec entered cat /proc/self/cgroup").stdout == "0::/\n"
        # After a moment: a short command is not worth the move.
        names = f"sleep 2; for pid in $(cat {box.group}/helpers/cgroup.procs)"
        found = user.run(f"{names}; do cat /proc/$pid/comm; done").stdout.split()
        assert "rl-exec" in found
        assert "rl-exec" not in user.run("rl top entered").stdout
        box.rl("rm -f entered")
        assert user.run(WHERE.format(SLEEP)).stdout == ""


def test_without_a_session_and_a_manager(guest: Guest) -> None:
    """There the container has no group, and the command needs none."""
    user = guest.as_user("su")
    user.run(f"rl run -d --net none --name plain {IMAGE} sleep 300")
    try:
        assert user.run("rl exec plain echo inside").stdout == "inside\n"
    finally:
        user.run("rl rm -f plain")


def test_a_command_counts_for_the_containers_limits(guest: Guest) -> None:
    with background(guest, "sleep 300", "--pids-limit 8", name="limited", kind="ssh"):
        forks = "for n in 1 2 3 4 5 6 7 8 9; do sleep 5 & done"
        done = guest.as_user("bare").run(f'rl exec limited sh -c "{forks}"', code=None)
        assert done.returncode != 0
        assert "fork" in done.stderr


def test_a_command_in_a_container_that_divides_its_group(guest: Guest) -> None:
    """As a systemd in it does: no process may be in a group that passes controllers on."""
    divide = (
        "cd /sys/fs/cgroup; mkdir init; echo 1 >init/cgroup.procs;"
        " echo +memory >cgroup.subtree_control; exec sleep 300"
    )
    with background(guest, f"sh -c '{divide}'", "--privileged", name="divided", kind="ssh") as box:
        file = f"{box.group}/payload/container/cgroup.subtree_control"
        box.user.run(f"until grep -q memory {file}; do sleep 0.2; done")
        assert box.rl("exec divided cat /proc/self/cgroup").stdout == "0::/init\n"


def test_a_paused_container_is_not_entered(guest: Guest) -> None:
    with background(guest, "sleep 300", name="still") as box:
        box.rl("pause still")
        done = box.rl("exec still true", code=125)
        assert "is paused, unpause the container before exec" in done.stderr
        assert "rl unpause still" in done.stderr
        box.rl("unpause still")
        box.rl("exec still true")


def test_the_end_of_a_container_that_shares_the_hosts_pids(guest: Guest) -> None:
    with background(guest, "sleep 300", "--pid host", name="shares") as box:
        user = guest.as_user("linger")
        user.run("rl exec -d shares sh -c 'sleep 4321 & sleep 4321'")
        assert len(user.run(WHERE.format(SLEEP)).stdout.split()) == 2
        box.rl("rm -f shares")
        assert user.run(WHERE.format(SLEEP)).stdout == ""
