"""/proc/meminfo (proc(5); Documentation/filesystems/proc.rst). Pure.

docs/procview.md has the reasons, field by field.
"""

from __future__ import annotations

from rootless.procview.memory import measure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.procview.memory import Memory
    from rootless.procview.snapshot import Snapshot

# Fields that are one entry of memory.stat (cgroup-v2.rst).
_ENTRIES = {
    b"SwapCached": b"swapcached", b"Active(anon)": b"active_anon",
    b"Inactive(anon)": b"inactive_anon", b"Active(file)": b"active_file",
    b"Inactive(file)": b"inactive_file", b"Unevictable": b"unevictable", b"Zswap": b"zswap",
    b"Zswapped": b"zswapped", b"Dirty": b"file_dirty", b"Writeback": b"file_writeback",
    b"AnonPages": b"anon", b"Mapped": b"file_mapped", b"Shmem": b"shmem",
    b"SUnreclaim": b"slab_unreclaimable", b"KernelStack": b"kernel_stack",
    b"PageTables": b"pagetables", b"SecPageTables": b"sec_pagetables", b"VmallocUsed": b"vmalloc",
    b"Percpu": b"percpu", b"AnonHugePages": b"anon_thp", b"ShmemHugePages": b"shmem_thp",
    b"FileHugePages": b"file_thp",
}  # fmt: skip
# Entries that every kernel has, and that the fields of _computed() are made of.
_NEEDED = (
    b"active_anon", b"active_file", b"inactive_anon", b"inactive_file", b"file",
    b"slab_reclaimable", b"slab_unreclaimable",
)  # fmt: skip
_COMPUTED = frozenset((
    b"MemTotal", b"MemFree", b"MemAvailable", b"Buffers", b"Cached", b"Active", b"Inactive",
    b"SwapTotal", b"SwapFree", b"KReclaimable", b"Slab", b"SReclaimable",
))  # fmt: skip
# True for whoever asks: properties of the kernel, and a pool that is free to all.
_HOST = frozenset((
    b"VmallocTotal", b"HugePages_Total", b"HugePages_Free", b"HugePages_Rsvd", b"HugePages_Surp",
    b"Hugepagesize", b"Hugetlb",
))  # fmt: skip


class Layout:
    """What of the host's lines the container gets, found out once for a kernel.

    template: a format for a mapping. entries: which entries of memory.stat are in it. host: the
    fields whose value is the host's.
    """

    __slots__ = ("entries", "host", "template")

    def __init__(self, text: bytes, stat: dict[bytes, bytes]) -> None:
        self.entries = [key for key in _NEEDED if key in stat]
        self.host: list[bytes] = []
        self.template = b"".join([self._line(line, stat) for line in text.splitlines(True)])

    def _line(self, line: bytes, stat: dict[bytes, bytes]) -> bytes:
        """The line with a place for its number; nothing for a field that cannot be told."""
        name, colon, rest = line.partition(b":")
        key = _ENTRIES.get(name, name)
        if name in _HOST:
            self.host.append(name)
        elif key in stat and key is not name:
            self.entries.append(key)
        elif name not in _COMPUTED:
            return b""
        number = rest.split()[0]
        width = rest.index(number) + len(number)
        # The blank is there also where a number needs more than its width.
        return name + colon + b" %%(%b)%dd" % (key, width - 1) + rest[width:]


def render(snapshot: Snapshot) -> bytes:
    """The text; the host's where nothing is known of the container's memory."""
    memory = measure(snapshot)
    text = snapshot.host("meminfo")
    stat = memory.stat
    if stat is None:
        return _with_swap(text, memory) if memory.swap_limited else text
    layout = snapshot.layouts.get("meminfo")
    if not isinstance(layout, Layout):
        layout = snapshot.layouts["meminfo"] = Layout(text, stat)
    values = {key: int(stat.get(key, b"0")) >> 10 for key in layout.entries}
    for name in layout.host:
        start = text.index(b"\n" + name) + len(name) + 2
        values[name] = int(text[start : text.index(b"\n", start)].split()[0])
    values.update(_computed(memory, values))
    return layout.template % values


def of_node(snapshot: Snapshot, host: bytes) -> bytes:
    """node0/meminfo of a machine with one NUMA node: the host's fields, with our figures.

    The host's text, `host`, where /proc/meminfo is the host's too.
    """
    if measure(snapshot).stat is None:
        return host
    text = render(snapshot)
    rows = [line.partition(b":") for line in text.splitlines()]
    fields = {name: value for name, _, value in rows}
    used = int(fields[b"MemTotal"].split()[0]) - int(fields[b"MemFree"].split()[0])
    fields[b"MemUsed"] = b"%16d kB" % used
    fields[b"FilePages"] = fields.get(b"Cached", b"")
    heads = [line.partition(b":")[0] for line in host.splitlines()]
    found = [(head, fields.get(head.rpartition(b" ")[2])) for head in heads]
    return b"".join([head + b":" + value + b"\n" for head, value in found if value])


def _computed(memory: Memory, entries: dict[bytes, int]) -> dict[bytes, int]:
    """In kibibytes. What is free, cached and reclaimable is never more than there is in all."""
    total, free = memory.total >> 10, memory.free >> 10
    cached = min(entries.get(b"file", 0), total - free)
    slab = min(entries.get(b"slab_reclaimable", 0), total - free - cached)
    return {
        b"MemTotal": total,
        b"MemFree": free,
        b"MemAvailable": memory.available >> 10,
        # Of block devices' pages memory.stat counts nothing apart: they are in Cached.
        b"Buffers": 0,
        b"Cached": cached,
        b"Active": entries.get(b"active_anon", 0) + entries.get(b"active_file", 0),
        b"Inactive": entries.get(b"inactive_anon", 0) + entries.get(b"inactive_file", 0),
        b"SwapTotal": memory.swap_total >> 10,
        b"SwapFree": memory.swap_free >> 10,
        b"KReclaimable": slab,
        b"SReclaimable": slab,
        b"Slab": slab + entries.get(b"slab_unreclaimable", 0),
    }


def _with_swap(text: bytes, memory: Memory) -> bytes:
    """The host's text where only swap is limited, by a group that is not the container's."""
    lines = text.splitlines(True)
    for index, line in enumerate(lines):
        if line.startswith(b"SwapTotal:"):
            lines[index] = b"SwapTotal:      %8d kB\n" % (memory.swap_total >> 10)
        elif line.startswith(b"SwapFree:"):
            lines[index] = b"SwapFree:       %8d kB\n" % (memory.swap_free >> 10)
    return b"".join(lines)
