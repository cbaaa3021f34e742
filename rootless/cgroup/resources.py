"""The OCI document's `linux.resources` as files of cgroup v2. Pure.

What each value becomes follows crun (crun(1), "CGROUP v2"; docs/decisions/0018-cpu-shares.md); the
files are in the kernel's Documentation/admin-guide/cgroup-v2.rst.
"""

from __future__ import annotations

from rootless.errors import UsageError
from rootless.model.resources import PERIOD, THROTTLES, UNLIMITED, complete
from rootless.model.units import size_text
from rootless.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_MAX = "max"
# What divides a resource among siblings. It belongs on the container's own group too: containers
# compete there, while `payload` competes with our helpers only.
WEIGHT_FILES = ("cpu.weight", "io.bfq.weight", "io.weight")


class Setting(Value):
    """One write: `text` into `file` of a group, for which the group needs `controller`.

    flag: the wish as a command line has it ("--memory 256m"), for messages. optional: nothing that
    was asked for gets lost without it. instead: what to write where the kernel lacks `file`.
    """

    __slots__ = ("controller", "file", "flag", "instead", "optional", "text")

    def __init__(
        self,
        controller: str,
        file: str,
        text: str,
        flag: str,
        *,
        optional: bool = False,
        instead: Setting | None = None,
    ) -> None:
        self.controller = controller
        self.file = file
        self.text = text
        self.flag = flag
        self.optional = optional
        self.instead = instead


def settings(resources: dict[str, Any]) -> list[Setting]:
    """The writes that bring a group to `resources`, from any older values, in this order."""
    return [
        *_memory(resources.get("memory", {})),
        *_cpu(resources.get("cpu", {})),
        *_pids(resources.get("pids", {})),
        *_block_io(resources.get("blockIO", {})),
        # Last, so that it has the last word, as in crun.
        *_unified(resources.get("unified", {})),
    ]


def controllers(resources: dict[str, Any]) -> dict[str, str]:
    """The controllers that `resources` cannot do without → the first wish that needs each."""
    needed: dict[str, str] = {}
    for setting in settings(resources):
        if not setting.optional:
            needed.setdefault(setting.controller, setting.flag)
    return needed


def weights(resources: dict[str, Any]) -> dict[str, int]:
    """Properties of the scope (systemd.resource-control(5)): CPUWeight, IOWeight, or neither."""
    found = {}
    unified = resources.get("unified", {})
    shares = resources.get("cpu", {}).get("shares")
    io_weight = resources.get("blockIO", {}).get("weight")
    if shares:
        found["CPUWeight"] = weight_of_shares(shares)
    if io_weight:
        found["IOWeight"] = _systemd_io_weight(io_weight)
    for file, name in (("cpu.weight", "CPUWeight"), ("io.weight", "IOWeight")):
        if unified.get(file, "").isdecimal():
            found[name] = int(unified[file])
    return found


def weight_of_shares(shares: int) -> int:
    """cpu.weight (1 to 10000) for docker's and cgroup v1's cpu.shares (2 to 262144)."""
    return 1 + (max(shares, 2) - 2) * 9999 // 262142


def merge(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """`old` with what `new` mentions: the document of a container after `rl update`.

    Raises UsageError where the outcome contradicts itself.
    """
    merged = {name: dict(section) for name, section in old.items()}
    for name, section in new.items():
        merged[name] = _merge_section(merged.get(name, {}), section)
    memory = merged.get("memory")
    if memory is not None and "memory" in new:
        _check_raised(memory, new["memory"])
        return complete(merged)
    return merged


def touched(merged: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """The part of `merged` that has to be written for the wish `new`, whole where one file or one
    rule needs several values; what is not mentioned may be something that this host cannot do."""
    part = {name: merged[name] for name in new}
    for name in ("cpu", "unified"):
        wished = set(new.get(name, ()))
        if wished & {"quota", "period"}:
            wished |= {"quota", "period"}
        if wished:
            part[name] = {key: value for key, value in merged[name].items() if key in wished}
    return part


def _merge_section(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    merged = {**old, **new}
    for key in merged:
        if key.startswith("throttle") and key in old and key in new:
            rates = {(row["major"], row["minor"]): row for row in [*old[key], *new[key]]}
            merged[key] = list(rates.values())
    return merged


def _check_raised(memory: dict[str, int], new: dict[str, int]) -> None:
    """docker's rule: the limit that counts swap too does not move by itself."""
    limit, swap = new.get("limit"), memory.get("swap")
    if limit is None or "swap" in new or swap in (None, UNLIMITED):
        return
    if swap is not None and limit > swap:
        wish = f"--memory {size_text(limit)}"
        raise UsageError(
            f"{wish}: more than the container's --memory-swap {size_text(swap)}",
            hint=f"rl update {wish} --memory-swap {size_text(2 * limit)} …",
        )


def _memory(memory: dict[str, int]) -> Iterator[Setting]:
    limit, swap, low = (memory.get(key) for key in ("limit", "swap", "reservation"))
    # Before memory.max: what does not fit below a lower limit may go to the swap that comes with
    # it, instead of to the OOM killer.
    if swap is not None:
        yield _swap(limit, swap)
    if limit is not None:
        yield _sized("memory.max", limit, "--memory")
    if low is not None:
        yield _sized("memory.low", low, "--memory-reservation")


def _swap(limit: int | None, swap: int) -> Setting:
    """Kernels without swap accounting lack the file: no harm where docker's default is meant."""
    if swap == UNLIMITED or limit in (None, UNLIMITED):
        return Setting("memory", "memory.swap.max", _MAX, "--memory-swap -1", optional=True)
    text = str(swap - (limit or 0))
    wish = f"--memory-swap {size_text(swap)}"
    return Setting("memory", "memory.swap.max", text, wish, optional=swap == 2 * (limit or 0))


def _sized(file: str, size: int, name: str) -> Setting:
    if size == UNLIMITED:
        return Setting("memory", file, _MAX, f"{name} -1", optional=True)
    return Setting("memory", file, str(size), f"{name} {size_text(size)}")


def _cpu(cpu: dict[str, Any]) -> Iterator[Setting]:
    shares = cpu.get("shares")
    if shares:
        yield Setting("cpu", "cpu.weight", str(weight_of_shares(shares)), f"--cpu-shares {shares}")
    if "quota" in cpu or "period" in cpu:
        yield _bandwidth(cpu.get("quota", UNLIMITED), cpu.get("period"))
    for key in ("cpus", "mems"):
        if cpu.get(key):
            yield Setting("cpuset", f"cpuset.{key}", cpu[key], f"--cpuset-{key} {cpu[key]}")


def _bandwidth(quota: int, period: int | None) -> Setting:
    """One file for both, so that no order of old and new values can be wrong."""
    text = f"{_MAX if quota == UNLIMITED else quota} {period or PERIOD}"
    if quota == UNLIMITED:
        flag = "--cpu-quota -1" if period is None else f"--cpu-period {period}"
        return Setting("cpu", "cpu.max", text, flag, optional=True)
    if period == PERIOD:
        flag = f"--cpus {quota / PERIOD:.10g}"
    else:
        flag = f"--cpu-quota {quota}" + (f" --cpu-period {period}" if period else "")
    return Setting("cpu", "cpu.max", text, flag)


def _pids(pids: dict[str, int]) -> Iterator[Setting]:
    limit = pids.get("limit")
    if limit is None:
        return
    unlimited = limit <= 0
    text = _MAX if unlimited else str(limit)
    yield Setting("pids", "pids.max", text, f"--pids-limit {limit}", optional=unlimited)


def _block_io(block_io: dict[str, Any]) -> Iterator[Setting]:
    weight = block_io.get("weight")
    if weight:
        flag = f"--blkio-weight {weight}"
        # Each of the two schedulers that know weights has a file of its own.
        by_cost = Setting("io", "io.weight", str(1 + (weight - 10) * 9999 // 990), flag)
        yield Setting("io", "io.bfq.weight", str(weight), flag, instead=by_cost)
    for device, rates in _rates(block_io).items():
        words = " ".join(f"{key}={rate or _MAX}" for key, _, rate in rates)
        limiting = [(name, rate) for _, name, rate in rates if rate] or [(rates[0][1], 0)]
        flag = " ".join(f"--{name} {device}:{rate}" for name, rate in limiting)
        optional = not any(rate for _, _, rate in rates)
        yield Setting("io", "io.max", f"{device} {words}", flag, optional=optional)


def _rates(block_io: dict[str, Any]) -> dict[str, list[tuple[str, str, int]]]:
    """ "MAJOR:MINOR" → (key of io.max, flag, rate), …: the kernel takes one line for a device."""
    found: dict[str, list[tuple[str, str, int]]] = {}
    for name, (field, key) in THROTTLES.items():
        for row in block_io.get(field, ()):
            device = f"{row['major']}:{row['minor']}"
            found.setdefault(device, []).append((key, name, row["rate"]))
    return found


def _unified(unified: dict[str, str]) -> Iterator[Setting]:
    for file, text in unified.items():
        yield Setting(file.partition(".")[0], file, text, f"--cgroup-conf {file}={text}")


def _systemd_io_weight(weight: int) -> int:
    """IOWeight for which systemd writes `weight` into io.bfq.weight.

    The inverse of systemd's BFQ_WEIGHT, as in crun: two lines, from (1, 1) to
    (100, 100), which is the default of both, and on to (1000, 10000).
    """
    return weight if weight <= 100 else 100 + (weight - 100) * 11
