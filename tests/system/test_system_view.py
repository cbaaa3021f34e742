"""The view of the machine under limits that are enforced, by busybox's and Debian's programs."""

from __future__ import annotations

import re

import pytest

from tests.system.guest import CPUS, Guest, Session

RUN = "rl run --rm --net none"
IMAGE = "localhost/busybox"
# The guest's own programs: procps, util-linux, coreutils, Python; run by their own loader.
PROGRAMS = (
    "-v /usr:/host:ro -e PYTHONHOME=/host"
    " -e TERM=dumb -e TERMINFO_DIRS=/host/lib/terminfo:/host/share/terminfo"
)
LIBRARIES = "/host/lib/x86_64-linux-gnu"
HOST = f"{LIBRARIES}/ld-linux-x86-64.so.2 --library-path {LIBRARIES} /host/bin"
SPIN = "while :; do :; done"
MIB = 1024


def run(user: Session, flags: str, script: str) -> str:
    return user.run(f"{RUN} {flags} {IMAGE} sh -c '{script}'", timeout=120).stdout


@pytest.mark.parametrize("kind", ["linger", "ssh"])
def test_memory_is_that_of_the_limit(guest: Guest, kind: str) -> None:
    text = run(guest.as_user(kind), "-m 64m --memory-swap 96m", "cat /proc/meminfo /proc/swaps")
    rows = dict(re.findall(r"^(\w+): +(\d+) kB$", text, re.M))
    assert (rows["MemTotal"], rows["SwapTotal"]) == (str(64 * MIB), str(32 * MIB))
    assert 0 < int(rows["MemFree"]) <= int(rows["MemAvailable"]) < 64 * MIB


def test_free_of_procps_adds_up(guest: Guest) -> None:
    text = run(guest.as_user("linger"), f"-m 64m {PROGRAMS}", f"{HOST}/free -k")
    total, used, free, _, cache, _ = map(int, text.splitlines()[1].split()[1:])
    assert total == 64 * MIB
    # Pages that were read just now count as cache, and are on no list yet from which they could be
    # taken back: not "available", so "used" as well (mm/swap.c: up to 31 pages for each CPU).
    batches = CPUS * 31 * 4
    assert -batches <= total - used - free - cache <= 8, text


@pytest.mark.parametrize(("cpus", "count"), [("1", 1), ("0.5", 1), ("1.5", 2)])
def test_cpus_are_those_of_the_quota(guest: Guest, cpus: str, count: int) -> None:
    script = (
        "grep -c ^processor /proc/cpuinfo; grep -c ^cpu[0-9] /proc/stat;"
        "cat /sys/devices/system/cpu/online; ls -d /sys/devices/system/cpu/cpu[0-9]* | wc -l;"
        f"{HOST}/nproc --all; {HOST}/nproc; {HOST}/lscpu | grep ^CPU.s.:;"
        f'{HOST}/python3 -c "import os; print(os.cpu_count())"'
    )
    text = run(guest.as_user("linger"), f"--cpus {cpus} --cpu-affinity {PROGRAMS}", script)
    online = "0" if count == 1 else f"0-{count - 1}"
    number = str(count)
    expected = [number, number, online, number, number, number, "CPU(s):", number, number]
    assert text.split() == expected


def test_an_update_shows_at_the_next_reading(guest: Guest) -> None:
    look = "head -1 /proc/meminfo; grep -c ^processor /proc/cpuinfo"
    script = f"{look}; until [ -e /s/go ]; do sleep 0.1; done; {look}"
    flags = f"--name grows -m 256m --cpus 1 -v /tmp/view:/s {IMAGE}"
    done = guest.as_user("linger").run(
        f"mkdir -p /tmp/view; {RUN} {flags} sh -c '{script}' > /tmp/view/out &"
        " until [ $(wc -l < /tmp/view/out) = 2 ]; do sleep 0.1; done;"
        " rl update -m 512m --memory-swap 600m --cpus 2 grows; touch /tmp/view/go; wait;"
        " cat /tmp/view/out; rm -r /tmp/view"
    )
    words = done.stdout.replace("grows\n", "").split()
    assert words == ["MemTotal:", "262144", "kB", "1", "MemTotal:", "524288", "kB", "2"]


def test_readers_in_a_group_of_the_containers_making(guest: Guest) -> None:
    """One with limits is their machine; one without, in which systemd puts a service, is not."""
    look = "{ head -1 /proc/meminfo; cat /sys/devices/system/cpu/online; }"
    script = (
        "cd /sys/fs/cgroup; mkdir service service/small; echo 0 >service/cgroup.procs;"
        f"echo +memory +cpu >cgroup.subtree_control; {look};"
        "mkdir limited; echo 64M >limited/memory.max; echo 50000 >limited/cpu.max;"
        f"echo 0 >limited/cgroup.procs; {look}; cat /proc/stat | grep -c ^cpu[0-9];"
        f"echo 128M >limited/memory.max; head -1 /proc/meminfo;"
        f"echo 0 >service/small/cgroup.procs; {look}"
    )
    text = run(guest.as_user("linger"), "--privileged -m 256m --cpus 2", script)
    kinds = {size: ["MemTotal:", str(size * MIB), "kB"] for size in (64, 128, 256)}
    whole = [*kinds[256], "0-1"]
    assert text.split() == [*whole, *kinds[64], "0", "1", *kinds[128], *whole]


def test_the_limit_of_a_slice_above_shows(guest: Guest) -> None:
    user, root = guest.as_user("linger"), guest.as_user("root")
    unit = f"user-{user.run('id -u').stdout.strip()}.slice"
    root.run(f"systemctl set-property --runtime {unit} MemoryMax=400M CPUQuota=100%")
    try:
        text = run(user, "-m 1g", "head -1 /proc/meminfo; grep -c ^processor /proc/cpuinfo")
    finally:
        root.run(f"systemctl set-property --runtime {unit} MemoryMax=infinity CPUQuota=")
    assert text.split() == ["MemTotal:", str(400 * MIB), "kB", "1"]


def idle(text: str) -> float:
    """Percent idle in top's last picture."""
    return float(re.findall(r"([\d.]+) id", text)[-1])


def test_top_does_not_show_the_load_outside(guest: Guest) -> None:
    outside = f"timeout 20 sh -c '{SPIN}' & timeout 20 sh -c '{SPIN}' & "
    top = f"{HOST}/top -b -n 2 -d 2 | grep Cpu"
    run = f"{outside} {RUN} --cpus 1 {PROGRAMS} {IMAGE} sh -c '{top}'"
    done = guest.as_user("linger").run(run, timeout=120)
    assert idle(done.stdout) >= 80, done


def test_times_agree(guest: Guest) -> None:
    script = f"cat /proc/uptime; {HOST}/ps -o etimes= -p 1; {HOST}/uptime -p; uptime"
    text = run(guest.as_user("linger"), PROGRAMS, script)
    uptime, elapsed, pretty, busybox = text.splitlines()
    assert 0 <= float(uptime.split()[0]) < 60
    assert 0 <= int(elapsed) < 60
    assert pretty.strip() in ("up 0 minutes", "up")
    assert "up 0 min" in busybox


def test_pressure_and_load_are_the_containers_own(guest: Guest) -> None:
    user = guest.as_user("linger")
    spin = f"timeout 30 sh -c '{SPIN}' & "
    script = "sleep 3; cat /proc/loadavg; cat /proc/pressure/cpu"
    done = user.run(f"{spin} {spin} {RUN} {IMAGE} sh -c '{script}'", timeout=120)
    load, *pressure = done.stdout.splitlines()
    assert float(load.split()[0]) < 0.5, done
    assert pressure[0].startswith("some avg10=")
