"""Where a container's control group is, and that none is left: systemd's scopes and subtrees."""

from __future__ import annotations

import pytest

from tests.system.guest import Guest, Session

RUN = "rl run --rm --net none"
IMAGE = "localhost/busybox"
GROUPS = "find /sys/fs/cgroup -name 'rl-*' -user $(id -un)"
UNITS = "XDG_RUNTIME_DIR=/run/user/$(id -u) systemctl --user list-units --all --no-legend 'rl-*'"
OURS = "ps -u $(id -u) -o comm= | grep -xE 'rl-keeper|fuse-overlayfs|slirp4netns'"
# Until a container of this name is seen to run; then a moment for its network's helper.
UP = "until rl ps | grep -q {0}; do sleep 0.2; done; sleep 0.5"


def left_over(user: Session) -> str:
    """Groups, units and processes of containers, given a second to go."""
    look = f"{GROUPS}; {UNITS}; {OURS}"
    script = f'for i in 1 2 3 4 5 6 7 8 9 10; do [ -z "$({look})" ] && break; sleep 0.3; done'
    return user.run(f"{script}; {look}; true").stdout


def test_systemd_shows_the_container(guest: Guest) -> None:
    user = guest.as_user("linger")
    show = (
        "export XDG_RUNTIME_DIR=/run/user/$(id -u); systemctl --user status 'rl-*.scope' --no-pager"
        "; echo ====; systemd-cgls --no-pager /user.slice/user-$(id -u).slice"
    )
    start = f"rl run --rm --name shown {IMAGE} sleep 60 &"
    # The network's helper is moved into the group once the command runs.
    moved = "grep -qs helpers /proc/$(pgrep -u $(id -u) slirp4netns)/cgroup"
    up = f"until pgrep -xf 'sleep 60' > /dev/null && {moved}; do sleep 0.2; done"
    done = user.run(f"{start} {UP.format('shown')}; {up}; {show}; rl rm -f shown; wait")
    status, _, tree = done.stdout.partition("====")
    assert "rl container shown (localhost/busybox)" in status
    assert "Active: active (running)" in status
    for text in (status, tree):
        payload, helpers = text.index("payload"), text.index("helpers")
        assert "sleep 60" in text[payload:]
        for name in ("rl-keeper", "fuse-overlayfs", "slirp4netns"):
            assert name in (text[helpers:payload] if helpers < payload else text[helpers:])
    assert left_over(user) == ""


@pytest.mark.parametrize("kind", ["linger", "ssh", "bare", "su"])
def test_nothing_is_left_after_the_end(guest: Guest, kind: str) -> None:
    user = guest.as_user(kind)
    user.run(f"rl run --rm {IMAGE} true; {RUN} {IMAGE} false", code=1)
    assert left_over(user) == ""


@pytest.mark.parametrize("victims", ["$launcher", "$keeper", "$launcher $keeper"])
def test_a_killed_rl_leaves_no_scope(guest: Guest, victims: str) -> None:
    user = guest.as_user("linger")
    user.run(
        f"rl run --rm --name doomed {IMAGE} sleep 300 & launcher=$!; {UP.format('doomed')};"
        f" keeper=$(pgrep -u $(id -u) rl-keeper); kill -9 {victims}; wait",
        code=None,
    )
    assert left_over(user) == ""
    assert user.run("rl ps -aq").stdout == ""


def test_a_failed_start_leaves_nothing(guest: Guest) -> None:
    user = guest.as_user("linger")
    user.run(f"{RUN} {IMAGE} no-such-command", code=127)
    user.run(f"{RUN} --cpuset-cpus 0 {IMAGE} true", code=125)
    assert left_over(user) == ""
    home = user.run("getent passwd $(id -un) | cut -d: -f6").stdout.strip()
    assert user.run(f"rl ps -aq; ls {home}/.local/share/rl/containers").stdout == ""


def test_stopping_the_scope_ends_the_container(guest: Guest) -> None:
    user = guest.as_user("linger")
    command = 'trap "echo asked; exit 3" TERM; while :; do sleep 0.1; done'
    stop = "XDG_RUNTIME_DIR=/run/user/$(id -u) systemctl --user stop 'rl-*.scope'"
    done = user.run(
        f"{RUN} --name stopped {IMAGE} sh -c '{command}' & {UP.format('stopped')}; {stop}; wait $!",
        code=3,
    )
    assert done.stdout == "asked\n"
    assert left_over(user) == ""


def test_a_scope_in_a_slice_of_choice(guest: Guest) -> None:
    user = guest.as_user("linger")
    where = "--cgroup-parent work.slice --name placed"
    find = "find /sys/fs/cgroup -path '*/work.slice/rl-*' -name payload | wc -l"
    done = user.run(
        f"{RUN} {where} {IMAGE} sleep 60 & {UP.format('placed')}; {find}; rl rm -f placed; wait"
    )
    assert "1" in done.stdout.split()


def in_delegated_scope(command: str) -> str:
    return (
        "XDG_RUNTIME_DIR=/run/user/$(id -u) systemd-run --user --scope --quiet -p Delegate=yes"
        f" sh -c '{command}'"
    )


TREE = "find /sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup) -mindepth 1 -type d"
BELOW = f"{RUN} --cgroup-manager cgroupfs"


def test_a_delegated_subtree_serves_without_a_manager(guest: Guest) -> None:
    user = guest.as_user("linger")
    script = (
        f"before=$(cat /proc/self/cgroup); {BELOW} -m 64m {IMAGE} cat /sys/fs/cgroup/memory.max;"
        f" test $before = $(cat /proc/self/cgroup) && echo back; {TREE}"
    )
    assert user.run(in_delegated_scope(script)).stdout == "67108864\nback\n"


def test_limits_of_two_containers_in_one_subtree(guest: Guest) -> None:
    user = guest.as_user("linger")
    script = (
        f"{BELOW} -m 64m --name first {IMAGE} sleep 4 & {UP.format('first')};"
        f" {BELOW} --pids-limit 9 {IMAGE} cat /sys/fs/cgroup/pids.max; wait; {TREE}"
    )
    assert user.run(in_delegated_scope(script)).stdout == "9\n"


def test_a_subtree_is_cleared_after_a_crash(guest: Guest) -> None:
    user = guest.as_user("linger")
    script = (
        f"{BELOW} -m 64m --name doomed {IMAGE} sleep 300 & launcher=$!; {UP.format('doomed')};"
        " kill -9 $launcher $(pgrep -u $(id -u) rl-keeper); wait; rl ps -aq;"
        f" sleep 0.5; {TREE}"
    )
    assert user.run(in_delegated_scope(script)).stdout == ""


def test_a_container_stays_in_its_slurm_job(guest: Guest) -> None:
    """A stand-in for Slurm, which is not installed: groups as its cgroup/v2 plugin makes them."""
    user, root = guest.as_user("linger"), guest.as_user("root")
    uid = user.run("id -u").stdout.strip()
    base = "/sys/fs/cgroup/system.slice/slurmstepd.scope"
    step = f"{base}/job_5/step_0"
    shown = f"{RUN} --name job {IMAGE} sleep 60 & {UP.format('job')}; find {base} -name 'rl-*';"
    as_user = f"setpriv --reuid {uid} --regid {uid} --clear-groups env HOME=/home/rl-linger sh -c"
    enter = f"mkdir -p {step} && echo $$ > {step}/cgroup.procs && cd /"
    try:
        refused = root.run(f"{enter} && {as_user} '{RUN} -m 64m {IMAGE} true'", code=125)
        assert "Slurm" in refused.stderr
        give = f"chown -R {uid} {step}"
        done = root.run(f"{enter} && {give} && {as_user} '{shown} rl rm -f job; wait'")
        assert f"{step}/rl-" in done.stdout
    finally:
        root.run(f"sleep 0.5; find {base} -depth -type d -exec rmdir {{}} +")
