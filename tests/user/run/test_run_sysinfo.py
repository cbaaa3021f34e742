"""--sysinfo: what the kernel says of the machine is what the view says.

Without groups only the time tells the two apart: the tests leave the container the host's clock.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.user.conftest import Rl
from tests.user.run.conftest import Leftovers, Sh

HOSTS_CLOCK = "--timens=host"


@pytest.fixture(autouse=True)
def a_host_that_is_up_for_some_time() -> None:
    """busybox says "up 0 min" of a host as well that has just booted."""
    while time.clock_gettime(time.CLOCK_BOOTTIME) < 70:
        time.sleep(1)


def test_without_it_the_kernel_answers(sh: Sh) -> None:
    assert "up 0 min" not in sh("uptime", HOSTS_CLOCK).stdout


@pytest.mark.parametrize(
    "flags",
    [
        [], ["--init"], ["--userns=keep-id"], ["--user=1000:1000"], ["--privileged"], ["-t"],
        ["--pid=host"], ["--security-opt=no-new-privileges=false"], ["--procview=off"],
        ["--security-opt=seccomp=unconfined"], ["--cap-drop=all"], ["--read-only"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_time_counts_from_the_start(sh: Sh, flags: list[str]) -> None:
    done = sh("uptime; sh -c 'uptime; :'; cat /proc/loadavg", "--sysinfo", HOSTS_CLOCK, *flags)
    *uptimes, _ = done.stdout.splitlines()
    assert len(uptimes) == 2
    assert all(" up 0 min" in line for line in uptimes), done


def test_load_and_memory_are_those_of_the_files(sh: Sh) -> None:
    script = "uptime; cat /proc/loadavg; free; head -1 /proc/meminfo; grep ^SwapTotal /proc/meminfo"
    lines = sh(script, "--sysinfo").stdout.splitlines()
    assert lines[0].rpartition(": ")[2].split(", ") == lines[1].split()[:3]
    assert lines[3].split()[1] == lines[5].split()[1]
    assert lines[4].split()[1] == lines[6].split()[1]


def test_the_container_neither_sees_nor_holds_what_answers(sh: Sh) -> None:
    script = (
        "uptime >/dev/null; ls -l /proc/[0-9]*/fd 2>/dev/null | grep -c seccomp;"
        " cat /proc/[0-9]*/comm | grep -c rl-sysinfo"
    )
    assert sh(f"{script}; true", "--init", "--sysinfo").stdout.split() == ["0", "0"]


def test_inspect_tells_of_it(rl: Rl, busybox_image: str) -> None:
    for name, flags in (("with", ["--sysinfo"]), ("without", [])):
        rl("run", "--net=none", f"--name={name}", *flags, busybox_image, "true")
    documents = json.loads(rl("inspect", "with", "without").stdout)
    assert [one["HostConfig"]["Sysinfo"] for one in documents] == [True, False]


def children_of(keeper: int, name: str) -> list[int]:
    children = Path(f"/proc/{keeper}/task/{keeper}/children").read_text().split()
    return [int(pid) for pid in children if command_of(pid) == name]


def command_of(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().rstrip("\n")
    except (FileNotFoundError, ProcessLookupError):  # before it was opened, and after
        return ""


def keeper_of(rl: Rl, leftovers: Leftovers) -> int:
    deadline = time.monotonic() + 20
    while not leftovers.live() or not (states := list(Path(rl.runtime).glob("*/*/state.json"))):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    pid: int = json.loads(states[0].read_text())["processes"]["keeper"][0]
    return pid


def status_of(pid: int) -> dict[str, list[str]]:
    rows = (row.partition(":") for row in Path(f"/proc/{pid}/status").read_text().splitlines())
    return {name: value.split() for name, _, value in rows}


def test_callers_get_answers_while_it_is_killed(
    rl: Rl, busybox_image: str, leftovers: Leftovers
) -> None:
    script = (
        "i=0; while [ $i -lt 300 ]; do uptime | grep -q ' up 0 min' || echo wrong; i=$((i+1));"
        " done; echo $i"
    )
    process = rl.popen(
        "run", "--rm", "--net=none", "--sysinfo", HOSTS_CLOCK, busybox_image, "sh", "-c", script,
        stdout=subprocess.PIPE,
    )  # fmt: skip
    keeper = keeper_of(rl, leftovers)
    killed = 0
    while process.poll() is None:
        for pid in children_of(keeper, "rl-sysinfo"):
            os.kill(pid, signal.SIGKILL)
            killed += 1
        time.sleep(0.05)
    out, _ = process.communicate(timeout=60)
    assert (out, process.returncode) == (b"300\n", 0)
    assert killed >= 3


@pytest.mark.parametrize("name", ["rl-sysinfo", "rl-view"])
def test_what_takes_the_place_of_a_dead_one_is_as_far_outside(
    rl: Rl, busybox_image: str, leftovers: Leftovers, name: str
) -> None:
    process = rl.popen("run", "--rm", "--net=none", "--sysinfo", busybox_image, "sleep", "100")
    try:
        keeper = keeper_of(rl, leftovers)
        seen = []
        for _ in range(2):
            deadline = time.monotonic() + 20
            while not (found := set(children_of(keeper, name)) - {pid for pid, _ in seen}):
                assert time.monotonic() < deadline
                time.sleep(0.02)
            (pid,) = found
            time.sleep(0.2)  # until it has given up what it may not have
            seen.append((pid, status_of(pid)))
            os.kill(pid, signal.SIGKILL)
    finally:
        rl("rm", "--force", "--all")
        process.wait(20)
    sys_ptrace = {"rl-sysinfo": f"{1 << 19:016x}", "rl-view": f"{0:016x}"}[name]
    for pid, status in seen:
        # One number: in no pid namespace below ours.
        assert status["NSpid"] == [str(pid)]
        assert (status["CapPrm"], status["CapEff"]) == ([sys_ptrace], [sys_ptrace])
        assert (status["NoNewPrivs"], status["Seccomp"]) == (["1"], ["2"])


def test_of_the_host_it_can_reach_nothing(rl: Rl, busybox_image: str, leftovers: Leftovers) -> None:
    """It is none of the user's ids, where there are others."""
    process = rl.popen("run", "--rm", "--net=none", "--sysinfo", busybox_image, "sleep", "100")
    try:
        keeper = keeper_of(rl, leftovers)
        if len(Path(f"/proc/{keeper}/uid_map").read_text().splitlines()) == 1:
            pytest.skip("needs subordinate ids")
        while not children_of(keeper, "rl-sysinfo"):
            time.sleep(0.02)
        time.sleep(0.2)
        ids = status_of(children_of(keeper, "rl-sysinfo")[0])
    finally:
        rl("rm", "--force", "--all")
        process.wait(20)
    assert str(os.getuid()) not in ids["Uid"]
    assert str(os.getgid()) not in ids["Gid"]
