"""The view of the machine in a container, on a host that gives no groups: what can be told is."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.user.conftest import Rl
from tests.user.run.conftest import Background, Sh, wait_until

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


def test_what_is_said_of_a_cpu_and_of_memory_nodes_has_its_number(
    rl: Rl, busybox_image: str
) -> None:
    if not os.path.isdir("/sys/devices/system/node"):
        pytest.skip("needs a kernel with NUMA")
    script = (
        "cd /sys/devices/system; cat cpu/cpu0/topology/*_list cpu/cpu0/topology/core_siblings;"
        "cat node/node*/cpulist; ls -d node/node*/cpu[0-9]*; cat cpu/cpu0/node*/cpu0/online"
    )
    one = sorted(os.sched_getaffinity(0))[-1]
    argv = ["taskset", "-c", str(one), *rl.argv]
    argv += ["run", "--rm", "--net=none", busybox_image, "sh", "-c", script]
    done = subprocess.run(argv, env=rl.env, capture_output=True, text=True, check=False)
    numbers = [word.lstrip("0,") for word in done.stdout.split() if not word.startswith("node/")]
    assert set(numbers) == {"", "1"}
    links = [word for word in done.stdout.split() if word.startswith("node/")]
    assert len(links) == 1 and links[0].endswith("/cpu0")


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


def test_a_trigger_for_pressure_is_refused_and_the_file_still_read(sh: Sh) -> None:
    script = (
        "for f in /proc/pressure/*; do echo some 150000 1000000 >$f || cat $f >/dev/null; done;"
        " ls /proc/pressure | wc -l"
    )
    done = sh(script)
    if not int(done.stdout):
        pytest.skip("the kernel counts no pressure (boot option psi=1)")
    assert done.stderr.count("Read-only file system") == int(done.stdout)
    assert len(done.stderr.splitlines()) == int(done.stdout), done.stderr


def test_the_container_neither_sees_nor_holds_what_answers(sh: Sh) -> None:
    script = (
        "ls -l /proc/[0-9]*/fd 2>/dev/null | grep -c fuse; cat /proc/[0-9]*/comm | grep -c view"
    )
    assert sh(f"{script}; true", "--init").stdout.split() == ["0", "0"]


def test_what_answers_may_do_little_and_still_answers_for_everything(
    background: Callable[..., Background], work: Path
) -> None:
    script = (
        "cd /sys/devices/system/cpu; ls -lR . >/w/list 2>/w/errors;"
        " find . -type f | while read f; do cat $f; done >/w/texts 2>>/w/errors;"
        " cat /proc/pressure/*; echo done; exec sleep 60"
    )
    container = background(script, "--net=none", f"--volume={work}:/w")
    status = Path(f"/proc/{Running(container).view()}/status").read_text()
    found = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert (found["Seccomp"].strip(), found["NoNewPrivs"].strip()) == ("2", "1")
    assert {int(found[name], 16) for name in ("CapPrm", "CapEff", "CapInh")} == {0}
    # What a call too few would be; other errors are the host's.
    assert "Operation not permitted" not in (work / "errors").read_text()
    assert (work / "list").read_text().count("\n") > 50
    assert (work / "texts").read_text().count("\n") > 50
    assert container.end() == 128 + signal.SIGKILL


class Running:
    """A container whose view is looked at from outside."""

    def __init__(self, container: Background) -> None:
        self.keeper = container.pid("keeper")

    def view(self) -> int:
        """The process that answers, once there is one."""
        return int(str(wait_until(self._views)).strip("[]"))

    def _views(self) -> list[int]:
        children = Path(f"/proc/{self.keeper}/task/{self.keeper}/children").read_text().split()
        return [int(pid) for pid in children if name_of(pid) == "rl-view\n"]


def name_of(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text()
    except OSError:
        return ""  # just killed


# Reads files of the view until it is told to stop, each as a whole, and looks whether that is what
# it has to be. How many it has read is the last thing that it says.
READER = """
function check(file, first, last, least,    line, count, result) {
    while ((result = (getline line < file)) > 0) {
        if (!count++ && line !~ first) print "begins wrong:", file, line
    }
    if (result < 0 || close(file)) print "failed:", file
    if (line !~ last || count < least) print "ends wrong:", file, count, line
    read++
}
BEGIN {
    while (system("test -e /w/stop")) for (i = 0; i < 20; i++) {
        check("/proc/meminfo", "^MemTotal: +[0-9]+ kB$", "^[A-Za-z0-9_]+: +[0-9]+( kB)?$", 10)
        check("/proc/stat", "^cpu  [0-9]+ ", "^softirq [0-9]", 9)
        check("/proc/uptime", "^[0-9]+[.][0-9]+ [0-9]+[.][0-9]+$", "^[0-9]", 1)
        check("/proc/cpuinfo", "^processor", ".?", 3)
        check("/sys/devices/system/cpu/online", "^0", "^[0-9-]+$", 1)
    }
    print "read", read
}
"""
READERS = 4
KILLS = 100


def test_readers_get_answers_while_it_is_killed_a_hundred_times(
    background: Callable[..., Background], work: Path
) -> None:
    (work / "reader.awk").write_text(READER)
    script = (
        "echo started;"
        f" for i in $(seq {READERS}); do awk -f /w/reader.awk >/w/said$i 2>&1 & done; wait;"
        " cat /proc/meminfo >/w/last; exec sleep 60"
    )
    container = background(script, "--net=none", f"--volume={work}:/w")
    running = Running(container)
    wait_until(lambda: len(list(work.glob("said*"))) == READERS)
    chance = random.Random(4)
    killed = set()
    for _ in range(KILLS):
        pid = running.view()
        killed.add(pid)
        # From its first moments, when it takes over what the last one left, to full work.
        time.sleep(chance.uniform(0, 0.02))
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda pid=pid: pid not in running._views())
    assert len(killed) == KILLS
    (work / "stop").touch()
    wait_until((work / "last").exists, 30)
    for number in range(1, READERS + 1):
        said = (work / f"said{number}").read_text().split()
        assert said[0] == "read" and len(said) == 2, said
        assert int(said[1]) > KILLS
    # Nothing waits for an answer that never comes: all of it ends.
    assert container.end() == 128 + signal.SIGKILL
    assert not Path(f"/proc/{running.keeper}").exists()


def test_an_idle_container_does_not_wake_anything_up(
    background: Callable[..., Background], work: Path
) -> None:
    os.mkfifo(work / "pipe")
    script = "cat /proc/meminfo; cat /w/pipe; cat /proc/stat >/w/stat; exec sleep 60"
    container = background(script, "--net=none", f"--volume={work}:/w")
    running = Running(container)
    pids = {"keeper": running.keeper, "view": running.view(), "server": container.pid("server")}
    time.sleep(1)  # for what is done just after the start
    before = {name: switches(pid) for name, pid in pids.items()}
    time.sleep(3)
    assert {name: switches(pid) for name, pid in pids.items()} == before
    # The same counter, when there is something to do.
    (work / "pipe").write_text("")
    wait_until(lambda: (work / "stat").exists() and (work / "stat").read_text())
    assert switches(pids["view"]) > before["view"]
    container.end()


def switches(pid: int) -> int:
    """How often a process went to sleep, so: woke up."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (count,) = (line.split()[1] for line in lines if line.startswith("voluntary_ctxt"))
    return int(count)
