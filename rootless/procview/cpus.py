"""How many CPUs the container has, and which: one answer for every file that tells it. Pure."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from rootless.procview.snapshot import Snapshot

# Files with CPUs in them (Documentation/admin-guide/cputopology.rst; Documentation/ABI/stable/
# sysfs-devices-system-cpu and -node).
_LISTS = frozenset((b"cpulist", b"isolated", b"nohz_full", b"enabled"))
_LIST_ENDINGS = b"_cpus_list", b"_siblings_list", b"_cpu_list"
_MASKS = frozenset((
    b"cpumap", b"shared_cpu_map", b"core_cpus", b"cluster_cpus", b"die_cpus", b"package_cpus",
    b"core_siblings", b"thread_siblings", b"book_siblings", b"drawer_siblings",
))  # fmt: skip


def visible(snapshot: Snapshot) -> list[int]:
    """The host's numbers of the CPUs that the container may use; never none.

    What its cpuset and its affinity allow and the host has online, and of these the first ones, as
    many as the smallest quota on the way up is worth, rounded up.
    """
    online = snapshot.host("cpu/online")
    allowed = cpuset(snapshot)
    quotas = tuple(snapshot.level(index, "cpu.max") for index in range(snapshot.facts.depth))
    question = (online, allowed, quotas, snapshot.facts.affinity)
    known = snapshot.layouts.get("cpus")
    if isinstance(known, tuple) and known[0] == question:
        found: list[int] = known[1]
    else:
        found = _choose(parse(online) or [0], allowed, quotas, snapshot.facts.affinity)
        snapshot.layouts["cpus"] = question, found
    return found


def cpuset(snapshot: Snapshot) -> bytes | None:
    """cpuset.cpus.effective of the nearest group that has the controller: it regards all above."""
    for index in range(snapshot.facts.depth):
        text = snapshot.level(index, "cpuset.cpus.effective")
        if text:
            return text
    return None


def _choose(
    online: list[int],
    allowed: bytes | None,
    quotas: tuple[bytes | None, ...],
    affinity: frozenset[int] | None,
) -> list[int]:
    for limit in (allowed and frozenset(parse(allowed)), affinity):
        # A set without any CPU that is online is a moment of hotplug: the kernel widens it.
        online = [cpu for cpu in online if limit and cpu in limit] or online
    most = smallest_quota(quotas)
    return online if most is None else online[: max(1, -(-most // 1000))]


def smallest_quota(texts: tuple[bytes | None, ...]) -> int | None:
    """Of several cpu.max, in thousandths of a CPU; None where none limits."""
    quotas = [_millis(text) for text in texts if text]
    return min((quota for quota in quotas if quota is not None), default=None)


def _millis(text: bytes) -> int | None:
    words = text.split()
    if len(words) != 2 or not words[0].isdigit() or int(words[1]) == 0:
        return None
    # Rounded up: a third of a CPU more than 2 makes 3.
    return -(-int(words[0]) * 1000 // int(words[1]))


def parse(text: bytes) -> list[int]:
    """A list such as "0-3,8", in order (cpuset(7), "List format"); what is none is left out."""
    found: set[int] = set()
    for part in text.strip().split(b","):
        first, dash, last = part.strip().partition(b"-")
        if first.isdigit() and (last.isdigit() or not dash):
            found.update(range(int(first), int(last or first) + 1))
    return sorted(found)


def renumbered(name: bytes, text: bytes, visible: Sequence[int]) -> bytes:
    """What the host's file `name` of a CPU or a NUMA node says when only these CPUs are there.

    A list or a mask of CPUs (topology/, cache/, node0/cpulist) is one of those that are visible, by
    their numbers here; all other texts stay as they are.
    """
    if name in _LISTS or name.endswith(_LIST_ENDINGS):
        hosts = set(parse(text))
        return _as_list([index for index, cpu in enumerate(visible) if cpu in hosts])
    if name in _MASKS:
        return _mask(text, visible)
    return text


def _as_list(numbers: list[int]) -> bytes:
    parts: list[list[int]] = []
    for number in numbers:
        if parts and parts[-1][-1] == number - 1:
            parts[-1][1:] = [number]
        else:
            parts.append([number])
    return b",".join([b"-".join([b"%d" % end for end in part]) for part in parts]) + b"\n"


def _mask(text: bytes, visible: Sequence[int]) -> bytes:
    """As wide as it was: groups of eight digits (cpuset(7), "Mask format")."""
    digits = text.strip().replace(b",", b"")
    try:
        mask = int(digits, 16)
    except ValueError:
        return text
    here = sum([1 << index for index, cpu in enumerate(visible) if mask >> cpu & 1])
    plain = b"%0*x" % (len(digits), here)
    first = len(plain) % 8 or 8
    groups = [plain[:first], *(plain[at : at + 8] for at in range(first, len(plain), 8))]
    return b",".join(groups) + b"\n"


def online(snapshot: Snapshot) -> bytes:
    """online, possible and present below /sys/devices/system/cpu: numbered from 0."""
    count = len(visible(snapshot))
    return b"0-%d\n" % (count - 1) if count > 1 else b"0\n"


def offline(_: Snapshot) -> bytes:
    """A machine without a CPU that is off: an empty list."""
    return b"\n"


def names(snapshot: Snapshot) -> list[str]:
    """The directories below /sys/devices/system/cpu; visible() tells whose each one is."""
    return [f"cpu{index}" for index in range(len(visible(snapshot)))]
