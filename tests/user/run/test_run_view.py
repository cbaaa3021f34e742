"""The view of the machine in a container, on a host that gives no groups: what can be told is."""

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

FILES = ("meminfo", "cpuinfo", "stat", "uptime", "loadavg", "swaps", "diskstats", "vmstat")


def test_time_counts_from_the_start(sh: Sh) -> None:
    script = "cat /proc/uptime; grep btime /proc/stat; date +%s; cut -d' ' -f22 /proc/self/stat"
    uptime, btime, now, started = sh(script).stdout.splitlines()
    assert 0 <= float(uptime.split()[0]) < 20
    assert abs(int(btime.split()[1]) - int(now)) < 20
    # In ticks since boot: the kernel's own figures agree, for ps.
    assert int(started) < 20 * os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("reader", ["cat", "head -c 100000", "tail -n 1000"])
def test_every_way_of_reading_gives_something(sh: Sh, name: str, reader: str) -> None:
    """busybox's cat copies with sendfile(2), the others with read(2)."""
    assert len(sh(f"{reader} /proc/{name}").stdout) > 5


@pytest.mark.parametrize("flags", [["--user=1000:1000"], ["--userns=keep-id"], ["--init"], ["-t"]])
def test_who_reads_and_where_makes_no_difference(sh: Sh, flags: list[str]) -> None:
    first = sh("cat /proc/meminfo", *flags).stdout.split()
    assert first[0] == "MemTotal:" and int(first[1]) > 0


def test_the_number_of_cpus_is_the_same_everywhere(rl: Rl, busybox_image: str) -> None:
    script = (
        "grep -c ^processor /proc/cpuinfo; grep -c '^cpu[0-9]' /proc/stat; nproc;"
        "ls -d /sys/devices/system/cpu/cpu[0-9]* | wc -l;"
        "cat /sys/devices/system/cpu/online /sys/devices/system/cpu/possible"
    )
    one = sorted(os.sched_getaffinity(0))[-1]
    argv = ["taskset", "-c", str(one), *rl.argv]
    argv += ["run", "--rm", "--net=none", busybox_image, "sh", "-c", script]
    done = subprocess.run(argv, env=rl.env, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "1", "1", "1", "0", "0"]


def test_affinity_follows_the_quota(sh: Sh) -> None:
    flags = ["--cpus=1", "--limits=best-effort", "--cpu-affinity"]
    assert sh("nproc; grep -c ^processor /proc/cpuinfo", *flags).stdout.split() == ["1", "1"]


@pytest.mark.parametrize(
    ("flag", "shown"),
    [("off", []), ("meminfo,/proc/stat", ["/proc/meminfo", "/proc/stat"])],
)
def test_less_of_it(sh: Sh, flag: str, shown: list[str]) -> None:
    script = "grep '^rl ' /proc/mounts | cut -d' ' -f2; true"
    assert sh(script, f"--procview={flag}").stdout.split() == shown


def test_a_name_that_there_is_not(rl: Rl, busybox_image: str) -> None:
    done = rl("run", "--rm", "--procview", "kcore", busybox_image, "true", code=125)
    assert done.stderr.startswith(
        "rl: error: --procview kcore: there is no view of 'kcore'\nhint: "
    )


def test_nothing_of_it_can_be_changed(sh: Sh) -> None:
    script = (
        "for f in /proc/meminfo /sys/devices/system/cpu/online; do echo x > $f; done;"
        " mount -o remount,rw /proc/meminfo; echo x > /proc/meminfo; rm /proc/stat; echo tried"
    )
    done = sh(script, "--privileged")
    assert done.stdout == "tried\n"
    assert done.stderr.count("Read-only file system") >= 2, done.stderr


def test_the_container_neither_sees_nor_holds_what_answers(sh: Sh) -> None:
    script = (
        "ls -l /proc/[0-9]*/fd 2>/dev/null | grep -c fuse; cat /proc/[0-9]*/comm | grep -c view"
    )
    assert sh(f"{script}; true", "--init").stdout.split() == ["0", "0"]


def view_of(rl: Rl) -> int:
    """The process that answers for the only container."""
    (state,) = Path(rl.runtime).glob("*/*/state.json")
    pid: int = json.loads(state.read_text())["processes"]["view"][0]
    return pid


def views_of(keeper: int) -> list[int]:
    children = Path(f"/proc/{keeper}/task/{keeper}/children").read_text().split()
    return [int(pid) for pid in children if Path(f"/proc/{pid}/comm").read_text() == "rl-view\n"]


def test_readers_get_answers_while_it_is_killed(
    rl: Rl, busybox_image: str, leftovers: Leftovers
) -> None:
    script = (
        "i=0; while [ $i -lt 300 ]; do grep -q MemTotal /proc/meminfo || echo wrong;"
        " grep -q ^cpu /proc/stat || echo wrong; i=$((i+1)); done; echo $i"
    )
    process = rl.popen(
        "run", "--rm", "--net=none", "--name=v", busybox_image, "sh", "-c", script,
        stdout=subprocess.PIPE,
    )  # fmt: skip
    deadline = time.monotonic() + 20
    while not leftovers.live() or not list(Path(rl.runtime).glob("*/*/state.json")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    keeper = int(Path(f"/proc/{view_of(rl)}/stat").read_text().split()[3])
    killed = 0
    for _ in range(8):
        for pid in views_of(keeper):
            os.kill(pid, signal.SIGKILL)
            killed += 1
        time.sleep(0.15)
        if process.poll() is not None:
            break
    out, _ = process.communicate(timeout=60)
    assert (out, process.returncode) == (b"300\n", 0)
    assert killed >= 3
