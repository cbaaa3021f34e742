"""Podman with rl-oci for its runtime, where a user has a systemd: groups and their limits."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.system.guest import Guest, Session

IMAGE = "localhost/busybox"
# Both are there for who has logged in; podman and systemctl look for their manager by them.
MANAGER = (
    "export XDG_RUNTIME_DIR=/run/user/$(id -u)"
    " DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/$(id -u)/bus; cd;"
)
GROUP = "/sys/fs/cgroup$(p inspect -f '{{.State.CgroupPath}}' life)"


class Podman:
    """podman of one user."""

    def __init__(self, user: Session) -> None:
        self.user = user
        self.flags = "--runtime /usr/local/bin/rl-oci"

    def __call__(self, script: str, *, code: int = 0) -> list[str]:
        """The lines of a shell script, in which `p` is podman with rl-oci."""
        p = f'p() {{ podman {self.flags} "$@"; }};'
        done = self.user.run(f"{MANAGER} {p} {script}", code=code, timeout=240)
        return done.stdout.splitlines()

    def left_over(self) -> list[str]:
        """What is left of containers: groups, units, processes, mounts, states."""
        look = (
            "find /sys/fs/cgroup -user $(id -u) -name '*libpod*';"
            " systemctl --user list-units --all --no-legend '*libpod*';"
            " ps -u $(id -u) -o comm= | grep -xE 'conmon|rl-oci|slirp4netns|sleep|httpd';"
            # podman's own waits for the next podman; it is another one without a directory.
            " ps -u $(id -u) -o args= | grep '^/catatonit';"
            " p unshare grep -E 'libpod|/merged' /proc/self/mountinfo;"
            " ls -A $XDG_RUNTIME_DIR/rl-oci"
        )
        # systemd forgets a scope a moment after its last process.
        again = f'for i in 1 2 3 4 5; do [ "$({look})" ] || break; sleep 0.5; done'
        return self(f"{again}; {look}; true")


@pytest.fixture(params=["ssh"])
def podman(guest: Guest, request: pytest.FixtureRequest) -> Iterator[Podman]:
    program = Podman(guest.as_user(request.param))
    make = f"rl run --rm --net none {IMAGE} true; rl save {IMAGE} | p load -q"
    program(f"p image exists {IMAGE} || {{ {make}; }}")
    yield program
    program("p pod rm -fa -t 0; p rm -fa -t 0")


def test_a_life(podman: Podman) -> None:
    limits = "-m 64m --memory-swap 96m --cpus 0.5 --pids-limit 20"
    serve = "trap 'exit 3' TERM; echo up; while :; do sleep 0.1; done"
    # systemd writes there what it knows of a unit, and nothing else, when it reads it again.
    files = (
        f"systemctl --user daemon-reload; cd {GROUP};"
        " echo $(cat memory.max memory.swap.max cpu.max pids.max); cd"
    )
    runtime, group, *shown = podman(
        f'p run -d --name life --net none {limits} {IMAGE} sh -c "{serve}" >/dev/null;'
        " p inspect -f '{{.OCIRuntime}}' life;"
        f" echo {GROUP}; {files}; p update --cpus 0.25 --cpu-shares 512 life >/dev/null; {files}"
    )
    assert runtime == "/usr/local/bin/rl-oci"
    assert ".service/user.slice/libpod-" in group and group.endswith(".scope")
    assert shown == [f"67108864 33554432 {quota} 100000 20" for quota in (50000, 25000)]
    assert podman(
        "p exec life sh -c 'cat /proc/self/cgroup /sys/fs/cgroup/pids.max; exit 5'; echo $?;"
        " p exec -t life tty; p logs life; p top life comm"
    ) == ["0::/", "20", "5", "/dev/pts/0", "up", "COMMAND", "sh", "sleep"]
    *states, use = podman(
        "p pause life >/dev/null; p ps -a --format '{{.State}}'; p unpause life >/dev/null;"
        " p ps -a --format '{{.State}}';"
        " p stats --no-stream --format '{{.PIDs}} {{.MemUsage}}' life"
    )
    assert states[0] == "Paused" and states[1].startswith("Up")
    assert use.startswith(("1 ", "2 ")) and use.endswith(" / 67.11MB"), use
    ended = podman("p stop life; p inspect -f '{{.State.ExitCode}}' life; p rm life")
    assert ended[:2] == ["life", "3"]
    assert podman.left_over() == []


@pytest.mark.parametrize("podman", ["linger"], indirect=True)
def test_limits_are_enforced(podman: Podman) -> None:
    forks = "for i in 1 2 3 4 5 6 7 8 9; do sleep 3 & done; wait"
    assert podman(
        f"p run --rm --net none -m 32m --memory-swap 32m {IMAGE} tail /dev/zero; echo $?;"
        f" p run --rm --net none --pids-limit 5 {IMAGE} sh -c '{forks}' 2>&1; true"
    ) == ["137", "sh: can't fork: Resource temporarily unavailable"]
    # As a systemd in the container does it; no process may be in a group that passes them on.
    divide = (
        "cd /sys/fs/cgroup; mkdir init; echo 1 >init/cgroup.procs;"
        " echo +memory >cgroup.subtree_control; exec sleep 60"
    )
    divided = f"grep -q memory {GROUP}/cgroup.subtree_control"
    assert (
        podman(
            f"p run -d --name life --net none --privileged {IMAGE} sh -c '{divide}' >/dev/null;"
            f" until {divided}; do sleep 0.2; done; p exec life cat /proc/self/cgroup;"
            " p rm -f -t 0 life"
        )[0]
        == "0::/init"
    )
    assert podman.left_over() == []


def test_a_build_and_a_pod(podman: Podman) -> None:
    build = f"FROM {IMAGE}\\nRUN grep -c . /proc/self/cgroup >/made\\nCMD cat /made\\n"
    built = podman(
        f"printf '{build}' | p build -q --net none -t made - >/dev/null;"
        " p run --rm --net none made; p rmi -f made"
    )
    assert built[0] == "1"
    server = "mkdir /w && echo served >/w/f && exec httpd -f -p 127.0.0.1:80 -h /w"
    client = "until wget -qO- http://127.0.0.1/f 2>/dev/null; do sleep 0.2; done"
    served, state = podman(
        "p pod create --net none --name pod >/dev/null;"
        f" p run -d --pod pod --name server {IMAGE} sh -c '{server}' >/dev/null;"
        f" p run --rm --pod pod {IMAGE} sh -c '{client}';"
        " p pod ps --format '{{.Status}} {{.NumberOfContainers}}'; p pod rm -f -t 0 pod >/dev/null"
    )
    assert (served, state) == ("served", "Running 2")
    assert podman.left_over() == []


def test_without_a_manager(podman: Podman) -> None:
    """Podman names no group then, and ours holds podman: it passes no controllers on."""
    podman.flags += " --cgroup-manager cgroupfs"
    assert podman(
        f"p run -d --name life --net none {IMAGE} sleep 60 >/dev/null; p exec life echo there;"
        " p stop -t 0 life; p inspect -f '{{.State.ExitCode}}' life; p rm life"
    )[:3] == ["there", "life", "137"]
    refused = podman(f"p run --rm --net none -m 64m {IMAGE} true 2>&1", code=126)
    assert "the requested cgroup controller `memory` is not available in" in refused[0], refused
    assert podman.left_over() == []
