"""What programs of Debian's packages say in a container, from its limits, also when these change.

They are the guest's own, bound over the image's /usr; they look into /proc and sysfs themselves.
"""

from __future__ import annotations

import re

import pytest

from tests.system.background import background
from tests.system.guest import Guest
from tests.system.guest import Session as User

DEBIAN = (
    "-v /usr:/usr:ro -v /usr/lib:/lib:ro -v /usr/lib64:/lib64:ro"
    " -v /etc/java-17-openjdk:/etc/java-17-openjdk:ro"
    " -e PATH=/usr/lib/jvm/default-java/bin:/usr/bin:/usr/sbin:/bin -e TERM=xterm"
)
IMAGE = "localhost/busybox"
SHARED = "/tmp/view-programs"
SPIN = "while :; do :; done"
MIB = 1 << 20
# For two seconds on a terminal of its own; then only its letters.
HTOP = r"""
import fcntl, os, pty, re, struct, sys, termios, time, threading
pid, terminal = pty.fork()
if not pid:
    time.sleep(0.3)
    os.execvp("htop", ["htop", "--no-color", "--delay=5"])
fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("4H", 40, 120, 0, 0))
threading.Timer(2, os.write, (terminal, b"q")).start()
said = b""
try:
    while chunk := os.read(terminal, 65536):
        said += chunk
except OSError:
    pass  # the end of a terminal
print(re.sub(r"\x1b(\[[0-9;?]*[a-zA-Z]|[()].|[=>])", " ", said.decode(errors="replace")))
"""
NODE = "console.log(os.cpus().length, os.totalmem(), os.freemem(), os.uptime())"
# -Xint: compiling costs more than it gives in a second, most of all under emulation.
JAVA = "java -Xint -Xlog:gc+init=info -XX:+PrintFlagsFinal -XshowSettings:system -version 2>&1"
COMMANDS = {
    "free": "free -b",
    "top": "top -b -n 1 | head -n 5",
    "uptime": "uptime; busybox uptime",
    "vmstat": "vmstat; vmstat -s -S K",
    "busybox": "busybox top -b -n 1 | head -n 3",
    "htop": "python3 /s/htop.py",
    "lscpu": "lscpu",
    "getconf": "getconf _NPROCESSORS_CONF; getconf _NPROCESSORS_ONLN",
    "python": "python3 -c 'import os; print(os.cpu_count())'",
    "java": JAVA + " | grep -E 'CPU|Memory|MaxHeapSize'",
    "node": f'node -e "{NODE}"',
}
# What they say of two seconds; the first look of a program is at all the time up to now.
OF_NOW = {
    "top": "top -b -n 2 -d 2 | grep -E '^(top|%Cpu)'",
    "vmstat": "vmstat 2 2",
    "busybox": "busybox top -b -n 2 -d 2 | grep CPU:",
    "htop": "python3 /s/htop.py",
    "uptime": "uptime",
}
TWO_LOOKS = """
sh /s/look > /s/first
touch /s/ready; until [ -e /s/go ]; do sleep 0.1; done
sh /s/look > /s/second
touch /s/done
"""


def script(commands: dict[str, str]) -> str:
    return "".join(f"echo '==> {name}'\n{command}\n" for name, command in commands.items())


VMSTAT = r"^" + r" *(\d+)" * 17 + r" *\d*$"


class Machine:
    """Limits, and what each program said under them."""

    def __init__(self, text: str, *, mib: int, swap: int, cpus: int) -> None:
        parts = re.split(r"^==> (\w+)\n", text, flags=re.M)[1:]
        self.said = dict(zip(parts[::2], parts[1::2], strict=True))
        self.bytes, self.swap, self.cpus = mib * MIB, swap * MIB, cpus

    def numbers(self, program: str, pattern: str) -> list[float]:
        """The groups of the pattern's last match in what a program said."""
        found = list(re.finditer(pattern, self.said[program], re.M))
        assert found, self.said[program]
        return [float(text) for text in found[-1].groups()]


@pytest.fixture(scope="module")
def user(session_guest: Guest) -> User:
    """Who has the scripts in SHARED."""
    user = session_guest.as_user("linger")
    user.run(f"rm -rf {SHARED}; mkdir -m 777 {SHARED}")
    for name, text in (("look", script(COMMANDS)), ("htop.py", HTOP), ("looks", TWO_LOOKS)):
        user.run(f"cat > {SHARED}/{name}", input=text)
    return user


@pytest.fixture(scope="module")
def machines(session_guest: Guest, user: User) -> dict[str, Machine]:
    """One container before and after `rl update`."""
    flags = f"-m 256m --memory-swap 384m --cpus 1 {DEBIAN} -v {SHARED}:/s"
    until = "for _ in $(seq 300); do [ -e {}/{} ] && exit; sleep 0.2; done; exit 1"
    with background(session_guest, "sh /s/looks", flags, name="machine") as one:
        user.run(until.format(SHARED, "ready"), timeout=90)
        one.rl("update -m 512m --memory-swap 640m --cpus 2 machine")
        user.run(f"touch {SHARED}/go; {until.format(SHARED, 'done')}", timeout=90)
    first, second = (user.run(f"cat {SHARED}/{name}").stdout for name in ("first", "second"))
    return {
        "first": Machine(first, mib=256, swap=128, cpus=1),
        "updated": Machine(second, mib=512, swap=128, cpus=2),
    }


@pytest.fixture(params=["first", "updated"])
def machine(request: pytest.FixtureRequest, machines: dict[str, Machine]) -> Machine:
    return machines[request.param]


def test_free(machine: Machine) -> None:
    columns = r"^Mem: +(\d+) +(\d+) +(\d+) +\d+ +(\d+) +(\d+)$"
    total, used, free, cache, available = machine.numbers("free", columns)
    assert total == machine.bytes
    assert total - used - free - cache == pytest.approx(0, abs=8192)
    assert free <= available < total
    assert machine.numbers("free", r"^Swap: +(\d+)") == [machine.swap]


def test_top(machine: Machine) -> None:
    pattern = r"^MiB Mem : +([\d.]+) total, +([\d.]+) free, +([\d.]+) used, +([\d.]+) buff"
    total, free, used, cache = machine.numbers("top", pattern)
    assert total * MIB == machine.bytes
    assert free + used + cache == pytest.approx(total, abs=0.3)


def test_vmstat(machine: Machine) -> None:
    assert machine.numbers("vmstat", r"^ +(\d+) K total memory") == [machine.bytes / 1024]
    row = machine.numbers("vmstat", VMSTAT)
    assert 0 < row[3] + row[5] <= machine.bytes / 1024  # free, cache


def test_uptime(machine: Machine) -> None:
    """By /proc/uptime, and by sysinfo(2)."""
    minutes = re.findall(r" up +(\d+) min,", machine.said["uptime"])
    assert len(minutes) == 2
    assert all(int(text) <= 2 for text in minutes)


def test_top_of_busybox(machine: Machine) -> None:
    used, free = machine.numbers("busybox", r"^Mem: (\d+)K used, (\d+)K free")
    assert (used + free) * 1024 == machine.bytes


def cpu_bars(said: str) -> list[float]:
    """Percent in the first picture: "0[||| 25.0%]", alone "CPU[||| 25.0%]"."""
    return [float(text) for text in re.findall(r"\b(?:CPU|\d) +\[[^]]*?([\d.]+)% *\]", said)]


def test_htop(machine: Machine) -> None:
    said = machine.said["htop"]
    size = f"{machine.bytes // MIB}M"
    assert re.search(rf"[\d.]+M/{size}", said), said
    assert len(cpu_bars(said)) == machine.cpus, said


def test_lscpu(machine: Machine) -> None:
    assert machine.numbers("lscpu", r"^CPU\(s\): +(\d+)$") == [machine.cpus]
    assert re.findall(r"^On-line.*: +(\S+)$", machine.said["lscpu"], re.M) == (
        ["0"] if machine.cpus == 1 else ["0,1"]
    )
    assert "Off-line" not in machine.said["lscpu"]


def test_glibc_and_python(machine: Machine) -> None:
    counts = machine.said["getconf"].split() + machine.said["python"].split()
    assert counts == [str(machine.cpus)] * 3


def test_java(machine: Machine) -> None:
    """The second number is what Runtime.availableProcessors() gives when nothing has changed."""
    cpus = machine.numbers("java", r"gc,init *\] CPUs: (\d+) total, (\d+) available")
    assert cpus == [machine.cpus] * 2
    assert machine.numbers("java", r"Effective CPU Count: (\d+)") == [machine.cpus]
    assert machine.numbers("java", r"gc,init *\] Memory: (\d+)M") == [machine.bytes // MIB]
    (heap,) = machine.numbers("java", r"MaxHeapSize += (\d+)")
    assert machine.bytes / 5 < heap < machine.bytes * 0.6


def test_node(machine: Machine) -> None:
    cpus, total, free, uptime = map(float, machine.said["node"].split())
    assert (cpus, total) == (machine.cpus, machine.bytes)
    assert total * 0.5 < free < total
    assert 0 < uptime < 180


def test_a_load_inside_and_a_heavier_one_outside(guest: Guest, user: User) -> None:
    """Inside half of a CPU is used at any time, whoever looks; outside nothing is idle."""
    outside = f"for _ in 1 2; do timeout 60 sh -c '{SPIN}' & done"
    run = f"rl run --rm -i --net none --cpus 0.5 {DEBIAN} -v {SHARED}:/s {IMAGE} sh"
    look = "(sleep 8; top -b -n 2 -d 2 | grep %Cpu; cat /proc/loadavg) > {}/outside &"
    done = user.run(
        f"{outside}; {look.format(SHARED)} {run}; pkill -xf 'sh -c {SPIN}'; cat {SHARED}/outside",
        input=f"({SPIN}) &\n{script(OF_NOW)}", timeout=120,
    )  # fmt: skip
    machine = Machine(done.stdout, mib=0, swap=0, cpus=1)
    half = pytest.approx(50, abs=15)
    assert machine.numbers("top", r"^%Cpu.* ([\d.]+) id")[0] == half
    user_time, system_time = machine.numbers("vmstat", VMSTAT)[12:14]
    assert user_time + system_time == half
    assert machine.numbers("busybox", r"^CPU: .* (\d+)% idle")[0] == half
    (bar,) = cpu_bars(machine.said["htop"])
    assert bar == pytest.approx(50, abs=25)  # of a fraction of a second
    assert 0.1 <= machine.numbers("uptime", r"load average: ([\d.]+)")[0] <= 1.5
    assert machine.numbers("uptime", r"%Cpu.* ([\d.]+) id")[0] <= 5, "of the guest"


def test_a_limit_of_the_slice_above(guest: Guest) -> None:
    """With no limit of the container's own, programs say what the slice leaves them."""
    user, root = guest.as_user("linger"), guest.as_user("root")
    names = ("free", "top", "vmstat", "busybox", "lscpu", "getconf", "python", "node")
    unit = f"user-{user.run('id -u').stdout.strip()}.slice"
    root.run(f"systemctl set-property --runtime {unit} MemoryMax=400M CPUQuota=100%")
    try:
        run = f"rl run --rm -i --net none {DEBIAN} {IMAGE} sh"
        text = user.run(
            run, input=script({name: COMMANDS[name] for name in names}), timeout=120
        ).stdout
    finally:
        root.run(f"systemctl set-property --runtime {unit} MemoryMax=infinity CPUQuota=")
    machine = Machine(text, mib=400, swap=0, cpus=1)
    assert machine.numbers("free", r"^Mem: +(\d+)") == [machine.bytes]
    assert machine.numbers("top", r"^MiB Mem : +([\d.]+) total") == [400]
    assert machine.numbers("vmstat", r"^ +(\d+) K total memory") == [machine.bytes / 1024]
    used, free = machine.numbers("busybox", r"^Mem: (\d+)K used, (\d+)K free")
    assert (used + free) * 1024 == machine.bytes
    test_lscpu(machine)
    test_glibc_and_python(machine)
    assert machine.said["node"].split()[:2] == ["1", str(machine.bytes)]
