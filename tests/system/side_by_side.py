"""What the view of /proc and LXCFS say of one container at one moment, field by field.

    ./dev guest up; .venv/bin/python3 -m tests.system.side_by_side     # prints a table of it

The reader of ours is in the container. That of LXCFS is root, in the container's pid namespace,
which is how LXCFS knows whose files it reads. docs/procview.md has a row for each field, and says
in the last column where LXCFS differs, and how.
"""

from __future__ import annotations

import re
import shlex
from fnmatch import fnmatchcase

from tests.system import guest as guests
from tests.system import image as images

PAGE_OF_FIELDS = images.CHECKOUT / "docs/procview.md"
THE_SAME = "the same"
FILES = (
    "meminfo", "swaps", "stat", "uptime", "loadavg", "cpuinfo", "diskstats", "vmstat",
    "pressure/cpu", "pressure/memory", "pressure/io", "slabinfo",
)  # fmt: skip
CPU_FILES = ("online", "possible", "present", "offline")
MEMORY, SWAP, CPUS = "256m", "384m", "1"
# Memory of every kind, traffic with the disk, and a load that LXCFS has the time to notice.
LOAD = """
head -c 20971520 /dev/zero > /dev/shm/shared
dd if=/dev/zero of=/s/written bs=1M count=16 conv=fsync
dd if=/s/written of=/dev/null bs=1M iflag=direct
dd if=/dev/zero of=/s/dirty bs=1M count=8
python3 - <<'END' &
import mmap, time
anonymous = mmap.mmap(-1, 48 << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
anonymous.madvise(mmap.MADV_HUGEPAGE)
anonymous.write(bytes(48 << 20))
file = open("/s/written", "rb")
mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
touched = sum(mapped[::4096])
time.sleep(300)
END
(while :; do :; done) & (while :; do :; done) &
end=$(($(date +%s) + 8)); until [ "$(date +%s)" -ge $end ]; do sleep 0.5; done
kill -STOP $! $(($! - 1)) # from here on little moves
touch /s/ready
until [ -e /s/go ]; do sleep 0.1; done
"""
COPY = """
copy() { # FROM TO: the files of a /proc
    for file in FILES; do cat $1/$file > $2/$(echo proc/$file | tr / :) 2>/dev/null; done
}
copy_cpus() {
    for file in CPU_FILES; do cat $1/$file > $2/cpu:$file; done; ls $1 > $2/cpu:directory
}
""".replace("CPU_FILES", " ".join(CPU_FILES)).replace("FILES", " ".join(FILES))
INSIDE = f"""
{COPY}
{LOAD}
mkdir -m 777 /s/ours
copy /proc /s/ours; copy_cpus /sys/devices/system/cpu /s/ours
touch /s/done; sleep 300
"""
# The service has all controllers, which no user's own systemd is given by default.
OUTSIDE = f"""
set -eu
{COPY}
cd $(mktemp -d); chmod 777 .; mkdir -m 777 s lxcfs s/lxcfs
cat > in.sh
# LXCFS mounts cgroup2 without options, which takes them from the mount that is there.
options=$(findmnt -no FS-OPTIONS /sys/fs/cgroup)
lxcfs -f -l --enable-cfs --enable-pidfd --pidfile=$PWD/pid $PWD/lxcfs > log 2>&1 &
lxcfs=$!
give_back() {{ mount -o remount,$options /sys/fs/cgroup; }}
end() {{ systemctl stop rl-side; kill $lxcfs; wait; give_back; rm -r $PWD; }}
trap end EXIT
systemd-run --quiet --collect --unit=rl-side --uid=rl-su --property=Delegate=yes \
    --setenv=HOME=/home/rl-su --working-directory=$PWD \
    rl run --rm --net none -m {MEMORY} --memory-swap {SWAP} --cpus {CPUS} --name side \
    -v $PWD/s:/s -v $PWD/in.sh:/in.sh:ro \
    -v /usr:/usr:ro -v /usr/lib:/lib:ro -v /usr/lib64:/lib64:ro -e PATH=/usr/bin:/bin \
    localhost/busybox sh /in.sh
wait_for() {{ until [ -e s/$1 ]; do systemctl is-active --quiet rl-side; sleep 0.1; done; }}
until pid=$(pgrep -xf 'sh /in.sh' | head -n 1) && [ "$pid" ]; do sleep 0.1; done
as_lxcfs() {{ nsenter --pid --target=$pid sh -c "$(declare -f copy copy_cpus); $1"; }}
as_lxcfs 'cat lxcfs/proc/loadavg > /dev/null' # its count begins at the first reading
wait_for ready
touch s/go
as_lxcfs 'copy lxcfs/proc s/lxcfs; copy_cpus lxcfs/sys/devices/system/cpu s/lxcfs'
wait_for done
cd s; tail -n +1 ours/* lxcfs/*; cat ../log >&2
"""


def take(guest: guests.Guest) -> tuple[dict[str, str], dict[str, str]]:
    """The texts of ours and of LXCFS: "proc:meminfo" or "cpu:online" → text."""
    command = f"bash -c {shlex.quote(OUTSIDE)}"
    said = guest.as_user("root").run(command, input=INSIDE, timeout=180).stdout
    parts = re.split(r"^==> (ours|lxcfs)/(\S+) <==\n", said, flags=re.M)[1:]
    texts: dict[str, dict[str, str]] = {"ours": {}, "lxcfs": {}}
    for who, name, text in zip(*[iter(parts)] * 3, strict=True):
        texts[who][name] = text.strip("\n")
    return texts["ours"], texts["lxcfs"]


def fields(texts: dict[str, str]) -> dict[tuple[str, str], float | str]:
    """(file, field) → what it says, as a number where it is one; no entry where it says nothing."""
    found: dict[tuple[str, str], float | str] = {}
    for name, text in texts.items():
        folder, _, file = name.partition(":")
        file = file.replace(":", "/")
        known = TAKERS.get(file.partition("/")[0], _whole)
        taken = _cpu(text, file) if folder == "cpu" else known(text)
        found |= {(folder if folder == "cpu" else file, field): row for field, row in taken.items()}
    return found


Fields = dict[str, float | str]


def _whole(text: str) -> Fields:
    return {"all": text} if text else {}


def _meminfo(text: str) -> Fields:
    return {name: int(value) for name, value in re.findall(r"^(\S+): +(\d+)", text, re.M)}


def _swaps(text: str) -> Fields:
    rows = [row.split() for row in text.splitlines()[1:]]
    return {"areas": len(rows), "Size": sum(int(row[2]) for row in rows),
            "Used": sum(int(row[3]) for row in rows)}  # fmt: skip


def _stat(text: str) -> Fields:
    rows = {name: values.split() for name, values in re.findall(r"^(\w+) +(.*)$", text, re.M)}
    columns = "user nice system idle iowait irq softirq steal guest guest_nice".split()
    found: Fields = {
        f"cpu {at}": int(row) for at, row in zip(columns, rows.pop("cpu"), strict=True)
    }
    found["cpuN"] = sum(1 for name in rows if name.startswith("cpu"))
    return found | {name: int(row[0]) for name, row in rows.items() if not name.startswith("cpu")}


def _uptime(text: str) -> Fields:
    since, idle = text.split()
    return {"uptime": float(since), "idle": float(idle)}


def _loadavg(text: str) -> Fields:
    one, five, fifteen, tasks, last = text.split()
    running, _, total = tasks.partition("/")
    return {"1 minute": float(one), "5 minutes": float(five), "15 minutes": float(fifteen),
            "running": int(running), "threads": int(total), "last pid": int(last)}  # fmt: skip


def _cpuinfo(text: str) -> Fields:
    blocks = text.split("\n\n")
    rows = dict(re.findall(r"^(\S.*?)\s*: *(.*)$", blocks[-1], re.M))
    del rows["processor"]
    return {"processors": len(blocks), **{name.split("\t")[0]: row for name, row in rows.items()}}


def _diskstats(text: str) -> Fields:
    rows = [row.split()[3:] for row in text.splitlines()]
    columns = (
        "reads reads_merged read_sectors read_ms writes writes_merged written_sectors write_ms"
        " in_flight io_ms weighted_ms"
    ).split()
    sums = {name: sum(int(row[at]) for row in rows) for at, name in enumerate(columns)}
    return {"disks": len(rows), **sums}


def _pressure(text: str) -> Fields:
    return {
        f"{who} {name}": float(value)
        for who, row in re.findall(r"^(some|full) (.*)$", text, re.M)
        for name, value in re.findall(r"(\w+)=([\d.]+)", row)
    }


def _cpu(text: str, file: str) -> Fields:
    if file != "directory":
        return {file: text}
    return {"cpuN": sum(1 for name in text.split() if re.fullmatch(r"cpu\d+", name))}


TAKERS = {
    "meminfo": _meminfo, "swaps": _swaps, "stat": _stat, "uptime": _uptime, "loadavg": _loadavg,
    "cpuinfo": _cpuinfo, "diskstats": _diskstats, "pressure": _pressure,
}  # fmt: skip


class Row:
    """One field: what the two say (None: nothing), and what the page says of LXCFS."""

    def __init__(
        self, file: str, field: str, ours: float | str | None, theirs: float | str | None,
        reason: str | None,
    ) -> None:  # fmt: skip
        self.file, self.field, self.ours, self.theirs = file, field, ours, theirs
        self.reason = reason

    @property
    def equal(self) -> bool:
        """Whether the difference is none, or one that the time between two readings makes."""
        if isinstance(self.ours, str) or isinstance(self.theirs, str):
            return self.ours == self.theirs
        if self.ours is None or self.theirs is None:
            return False
        return abs(self.ours - self.theirs) <= TOLERANCES.get((self.file, self.field), 0)

    @property
    def explained(self) -> bool:
        """Whether the page has a row for the field that is not contradicted."""
        if self.reason is None:
            return False
        return self.equal or not self.reason.startswith(THE_SAME)

    def __repr__(self) -> str:
        said = [str(value)[:30].partition("\n")[0] for value in (self.ours, self.theirs)]
        verdict = "equal" if self.equal else f"differs: {self.reason}"
        return f"{self.file:16} {self.field:18} {said[0]:>16} {said[1]:>16}  {verdict}"


# Under emulation the readings are a second apart, and what CPUs have charged in advance, 64 pages
# each, and the readers themselves come and go.
MOVING = (
    "MemFree", "Cached", "Active", "Inactive", "Active(anon)", "Inactive(anon)", "Active(file)",
    "Inactive(file)", "AnonPages",
)  # fmt: skip
TOLERANCES = {
    **{("meminfo", name): 2048.0 for name in MOVING},
    ("uptime", "uptime"): 3.0,
    ("loadavg", "threads"): 3.0,
}


def documented(page: str) -> list[tuple[str, str, str]]:
    """The tables of docs/procview.md: file, field or pattern of fields, what it says of LXCFS."""
    found = []
    for section in re.split(r"^## ", page, flags=re.M)[1:]:
        file = section.partition("\n")[0]
        for names, _, theirs in re.findall(r"^\| (.*?) \| (.*) \| (.*?) \|$", section, re.M):
            if names != "field":
                found += [(file, name.replace("\\*", "*"), theirs) for name in names.split(", ")]
    return found


def compare(ours: dict[str, str], theirs: dict[str, str], page: str) -> list[Row]:
    """All fields of either, with what the page says of them."""
    mine, other = fields(ours), fields(theirs)
    reasons = documented(page)
    return [
        Row(*key, mine.get(key), other.get(key), _reason(*key, reasons))
        for key in sorted({*mine, *other})
    ]


def _reason(file: str, field: str, reasons: list[tuple[str, str, str]]) -> str | None:
    for section, pattern, theirs in reasons:
        if section == file.partition("/")[0] and fnmatchcase(field, pattern):
            return theirs
    return None


def main() -> None:
    """Print the rows, those that differ last."""
    guest = guests.running()
    if guest is None:
        raise SystemExit("no guest runs: ./dev guest up")
    print(f"{'file':16} {'field':18} {'ours':>16} {'LXCFS':>16}")
    for row in sorted(
        compare(*take(guest), PAGE_OF_FIELDS.read_text()), key=lambda row: not row.equal
    ):
        print(row)


if __name__ == "__main__":
    main()
