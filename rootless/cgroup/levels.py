"""A group and all above it, read from the host: the one place that opens these files.

What is read is handed on as text; `binding` and `usage` make numbers of it.
"""

from __future__ import annotations

import os

from rootless.cgroup import hierarchy as hierarchies
from rootless.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# Everything that can limit, and what tells how much of it is taken.
FILES = (
    "cpu.max", "cpu.weight", "cpuset.cpus", "cpuset.cpus.effective", "cpuset.mems",
    "cpuset.mems.effective",
    "io.bfq.weight", "io.max", "io.weight", "memory.current", "memory.high", "memory.low",
    "memory.max", "memory.peak", "memory.swap.current", "memory.swap.max", "memory.swap.peak",
    "pids.current", "pids.max", "pids.peak",
)  # fmt: skip
_UNITS = (".slice", ".scope", ".service")
_SLURM = "slurmstepd.scope"


class Level(Value):
    """One group. label: what to call it; directory; files: name → text of those that it has."""

    __slots__ = ("directory", "files", "label")

    def __init__(self, label: str, directory: str, files: Mapping[str, str]) -> None:
        self.label = label
        self.directory = directory
        self.files = files


class Host(Value):
    """What the machine has. memory, swap: bytes; cpus, mems: lists such as "0-3"; pids: a count.

    A number is 0 and a list "" where the host does not tell.
    """

    __slots__ = ("cpus", "memory", "mems", "pids", "swap")

    def __init__(self, memory: int, swap: int, cpus: str, mems: str, pids: int) -> None:
        self.memory = memory
        self.swap = swap
        self.cpus = cpus
        self.mems = mems
        self.pids = pids


def read_chain(mount: str, directory: str, top: str, files: Iterable[str] = FILES) -> list[Level]:
    """The group `directory`, then each one above it, up to the root of the hierarchy at `mount`.

    top: the directory of the container's own group, "" where `directory` is somebody else's.
    """
    names = list(files)
    group = directory[len(mount) :] or "/"
    chain = []
    for one in reversed(hierarchies.ancestors(group)):
        path = hierarchies.directory(mount, one)
        chain.append(Level(label_of(one, top[len(mount) :]), path, read_files(path, names)))
    return chain


def read_files(directory: str, names: Iterable[str]) -> dict[str, str]:
    """The texts of those of the files `names` that the group has."""
    texts = ((name, read_text(f"{directory}/{name}")) for name in names)
    return {name: text for name, text in texts if text is not None}


def read_text(path: str) -> str | None:
    """A small file of the kernel's, None when it is not there or refuses to be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return None


def label_of(group: str, top: str) -> str:
    """What people call a group: the container, its unit, a step of a job.

    group: as in /proc/PID/cgroup; top: the container's own group, "" when it has none.
    """
    if top and group == top:
        return f"the container's {'scope' if top.endswith('.scope') else 'group'}"
    if top and group.startswith(f"{top}/"):
        return "the container"
    names = [name for name in group.split("/") if name]
    if not names:
        return "the root group"
    if _SLURM in names[:-1]:
        return f"Slurm's {'/'.join(names[names.index(_SLURM) + 1 :])}"
    units = [index for index, name in enumerate(names) if name.endswith(_UNITS)]
    return "/".join(names[units[-1] :]) if units else group


def read_host() -> Host:
    """What limits where no group does."""
    memory = _fields(read_text("/proc/meminfo") or "")
    nodes = "/sys/devices/system"
    counts = (read_text(f"/proc/sys/kernel/{name}") or "" for name in ("pid_max", "threads-max"))
    return Host(
        memory=memory.get("MemTotal", 0) * 1024,
        swap=memory.get("SwapTotal", 0) * 1024,
        cpus=(read_text(f"{nodes}/cpu/online") or "").strip(),
        mems=(read_text(f"{nodes}/node/online") or "").strip(),
        pids=min((int(text) for text in counts if text.strip().isdigit()), default=0),
    )


def _fields(text: str) -> dict[str, int]:
    """/proc/meminfo, in kibibytes."""
    pairs = (line.split()[:2] for line in text.splitlines())
    return {pair[0].rstrip(":"): int(pair[1]) for pair in pairs if len(pair) == 2}


def allowed(pid: int) -> tuple[str, str]:
    """The CPUs and the memory nodes that a process may use (proc(5)); "" when it is gone."""
    text = read_text(f"/proc/{pid}/status") or ""
    lines = dict(line.partition(":")[::2] for line in text.splitlines())
    cpus, mems = (lines.get(f"{name}_allowed_list", "").strip() for name in ("Cpus", "Mems"))
    return cpus, mems


def network(pid: int) -> str | None:
    """/proc/PID/net/dev of a process with a network of its own; None in the host's, or when gone.

    ns/net tells namespaces apart as well, but may be read only by who may trace the process; the
    kernel numbers the files below net/ by namespace.
    """
    path = f"/proc/{pid}/net/dev"
    try:
        if os.stat(path).st_ino == os.stat("/proc/self/net/dev").st_ino:
            return None
    except OSError:
        return None
    return read_text(path)


def device_name(number: str) -> str:
    """The block device "MAJOR:MINOR" as people call it ("/dev/sda"); `number` for one unknown."""
    try:
        return f"/dev/{os.path.basename(os.readlink(f'/sys/dev/block/{number}'))}"
    except OSError:
        return number
