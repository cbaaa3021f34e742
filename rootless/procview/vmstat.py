"""/proc/vmstat out of memory.stat, memory.events and io.stat (cgroup-v2.rst). Pure.

Only what is counted for a group is there; readers know fields missing from older kernels.
"""

from __future__ import annotations

from rootless.procview.diskstats import devices
from rootless.procview.memory import PAGE, measure
from rootless.procview.snapshot import keyed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.procview.snapshot import Snapshot

# Pages here, bytes there.
_PAGES = {
    b"nr_inactive_anon": b"inactive_anon", b"nr_active_anon": b"active_anon",
    b"nr_inactive_file": b"inactive_file", b"nr_active_file": b"active_file",
    b"nr_unevictable": b"unevictable", b"nr_slab_reclaimable": b"slab_reclaimable",
    b"nr_slab_unreclaimable": b"slab_unreclaimable", b"nr_anon_pages": b"anon",
    b"nr_mapped": b"file_mapped", b"nr_file_pages": b"file", b"nr_dirty": b"file_dirty",
    b"nr_writeback": b"file_writeback", b"nr_shmem": b"shmem",
    b"nr_page_table_pages": b"pagetables", b"nr_sec_page_table_pages": b"sec_pagetables",
    b"nr_swapcached": b"swapcached",
}  # fmt: skip
# Events, which both count under one name. The rest of memory.stat is bytes.
_EVENTS = ("pg", "workingset_", "pswp", "swpin_", "swpout_", "zswp", "thp_", "numa_")
_PREFIXES = tuple(prefix.encode() for prefix in _EVENTS)


def render(snapshot: Snapshot) -> bytes:
    """The text; the host's where no group counts for the container alone."""
    own = snapshot.own_level("memory.stat")
    if own is None:
        return snapshot.host("vmstat")
    values = _values(snapshot, snapshot.memory_stat(own))
    names = snapshot.host("vmstat").split()[::2]
    return b"".join([b"%b %d\n" % (name, values[name]) for name in names if name in values])


def _values(snapshot: Snapshot, stat: dict[bytes, bytes]) -> dict[bytes, int]:
    found = {name: int(value) for name, value in stat.items() if name.startswith(_PREFIXES)}
    found |= {name: int(stat[key]) // PAGE for name, key in _PAGES.items() if key in stat}
    found[b"nr_free_pages"] = measure(snapshot).free // PAGE
    if b"kernel_stack" in stat:
        found[b"nr_kernel_stack"] = int(stat[b"kernel_stack"]) >> 10
    events = keyed(snapshot.own("memory.events") or b"")
    if b"oom_kill" in events:
        found[b"oom_kill"] = int(events[b"oom_kill"])
    return found | _blocks(snapshot.own("io.stat"))


def _blocks(text: bytes | None) -> dict[bytes, int]:
    """pgpgin and pgpgout, which are not pages but kibibytes read and written."""
    if text is None:
        return {}
    used = devices(text).values()
    return {
        b"pgpgin": sum([counters.get(b"rbytes", 0) for counters in used]) >> 10,
        b"pgpgout": sum([counters.get(b"wbytes", 0) for counters in used]) >> 10,
    }
