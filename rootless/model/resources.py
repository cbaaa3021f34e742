"""Limits as docker's flags give them and as the OCI document holds them (`linux.resources`).

Pure: what has to be looked up on the host comes in as a `Host`. Units are those of the runtime
specification (config-linux.md, "Control groups"): bytes, microseconds, counts; -1 lifts a limit.
The bounds are docker's (docker-run(1), and what its daemon verifies), so that a command line means
the same to both. A value of 0 is no wish at all, as there.
"""

from __future__ import annotations

from rootless.errors import UsageError
from rootless.model.digits import number
from rootless.model.units import parse_size, size_text
from rootless.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

MINIMUM_MEMORY = 6 * 1024 * 1024
# What --cpus is a part of; the kernel's default as well (cgroup-v2.rst, "cpu.max").
PERIOD = 100_000
UNLIMITED = -1

_MOST_BYTES = 2**63 - 1
_LEAST_QUOTA = 1000
_NANO = 10**9
# PID_MAX_LIMIT of 64-bit kernels, the most that pids.max takes besides "max".
_MOST_PIDS = 4 * 1024 * 1024
_MOST_CPUS = 65535
_MOST_SWAPPINESS = 100
_MOST_OOM_SCORE = 1000
# Flag → the list in the document's blockIO, and the key of io.max that cgroup v2 has for it.
THROTTLES = {
    "device-read-bps": ("throttleReadBpsDevice", "rbps"),
    "device-write-bps": ("throttleWriteBpsDevice", "wbps"),
    "device-read-iops": ("throttleReadIOPSDevice", "riops"),
    "device-write-iops": ("throttleWriteIOPSDevice", "wiops"),
}


class Host(Value):
    """What limits are checked against.

    cpus, mems: what is online, as the kernel lists it ("0-3,8"). device: (the flag and its value,
    a path) → (major, minor) of the whole disk; raises UsageError.
    """

    __slots__ = ("cpus", "device", "mems")

    def __init__(self, cpus: str, mems: str, device: Callable[[str, str], tuple[int, int]]) -> None:
        self.cpus = cpus
        self.mems = mems
        self.device = device


def parse(flags: Mapping[str, Any], host: Host) -> dict[str, Any]:
    """What `flags` ask for, and nothing else; each value is in its range.

    flags: name without dashes → text, a list of texts where a flag repeats, or True. Raises
    UsageError naming the flag and the value.
    """
    sections = {
        "memory": _memory(flags),
        "cpu": _cpu(flags, host),
        "pids": _pids(flags),
        "blockIO": _block_io(flags, host),
        "unified": _unified(flags.get("cgroup-conf", ())),
    }
    return {name: section for name, section in sections.items() if section}


def complete(resources: dict[str, Any]) -> dict[str, Any]:
    """`resources` with docker's default for swap, which is as much again as there is memory.

    Raises UsageError where the limits of memory contradict each other.
    """
    memory = resources.get("memory")
    if not memory:
        return resources
    limit, swap = memory.get("limit"), memory.get("swap")
    if limit is not None and swap is None:
        # In the order of a document that names both.
        memory = {"limit": limit, "swap": min(2 * limit, _MOST_BYTES), **memory}
    _check_memory(memory)
    return {**resources, "memory": memory}


def _check_memory(memory: Mapping[str, int]) -> None:
    """Raise UsageError where swap (which counts memory too) or reservation and limit disagree."""
    limit, swap, low = (memory.get(key) for key in ("limit", "swap", "reservation"))
    if swap is not None and swap != UNLIMITED:
        wish = f"--memory-swap {size_text(swap)}"
        if limit is None:
            raise UsageError(f"{wish}: needs --memory", f"--memory {size_text(swap)} {wish}")
        if swap < limit:
            raise UsageError(
                f"{wish}: less than --memory {size_text(limit)}, which is a part of it",
                hint=f"--memory {size_text(limit)} --memory-swap {size_text(2 * limit)}",
            )
    if low is not None and limit is not None and low > limit:
        raise UsageError(
            f"--memory-reservation {size_text(low)}: more than --memory {size_text(limit)}"
        )


def parse_oom_score(text: str) -> int:
    """The value of --oom-score-adj: -1000 (never killed) to 1000. Raises UsageError."""
    score = number(text.removeprefix("-"), 0, _MOST_OOM_SCORE)
    if score is None:
        raise UsageError(f"--oom-score-adj {text}: not a number from -1000 to 1000")
    return -score if text.startswith("-") else score


def parse_list(text: str) -> set[int] | None:
    """The numbers of a list such as `0-2,7` (cpuset(7), "List format"); None when it is none."""
    found: set[int] = set()
    for part in text.split(","):
        first_text, dash, last_text = part.partition("-")
        first = number(first_text, 0, _MOST_CPUS)
        last = number(last_text, 0, _MOST_CPUS) if dash else first
        if first is None or last is None or last < first:
            return None
        found.update(range(first, last + 1))
    return found


def _memory(flags: Mapping[str, Any]) -> dict[str, int]:
    _refuse_swappiness(flags.get("memory-swappiness"))
    if flags.get("oom-kill-disable"):
        raise UsageError(
            "--oom-kill-disable: cgroup v2 has no switch for it; --oom-score-adj makes it unlikely",
            hint="rl run --oom-score-adj 0 …",
        )
    swap = flags.get("memory-swap")
    found = {
        "limit": _size("memory", flags, MINIMUM_MEMORY),
        "swap": UNLIMITED if swap == "-1" else _size("memory-swap", flags),
        "reservation": _size("memory-reservation", flags, MINIMUM_MEMORY),
    }
    return {key: value for key, value in found.items() if value is not None}


def _refuse_swappiness(text: str | None) -> None:
    """-1 is docker's "as the host has it", which is all that there can be."""
    if text is None or text == "-1":
        return
    if number(text, 0, _MOST_SWAPPINESS) is None:
        raise UsageError(f"--memory-swappiness {text}: not a number from 0 to 100")
    raise UsageError(
        f"--memory-swappiness {text}: cgroup v2 has no swappiness of one container; limit its swap",
        hint="rl run --memory 256m --memory-swap 256m …",
    )


def _size(name: str, flags: Mapping[str, Any], least: int = 1) -> int | None:
    text = flags.get(name)
    if text is None:
        return None
    try:
        size = parse_size(text)
    except UsageError as error:
        raise UsageError(f"--{name} {text}: {error.message}") from None
    if size and size < least:
        raise UsageError(f"--{name} {text}: less than {size_text(least)}, which is the minimum")
    if size > _MOST_BYTES:
        raise UsageError(f"--{name} {text}: more than any host can have")
    return size or None


def _cpu(flags: Mapping[str, Any], host: Host) -> dict[str, Any]:
    found: dict[str, Any] = {
        "shares": _number("cpu-shares", flags, 2, 262144),
        **_bandwidth(flags, host),
        "cpus": _online("cpuset-cpus", flags, host.cpus, "CPUs"),
        "mems": _online("cpuset-mems", flags, host.mems, "memory nodes"),
    }
    return {key: value for key, value in found.items() if value is not None}


def _bandwidth(flags: Mapping[str, Any], host: Host) -> dict[str, int | None]:
    unlimited = flags.get("cpu-quota") == "-1"
    quota = None if unlimited else _number("cpu-quota", flags, _LEAST_QUOTA, _MOST_BYTES // 1000)
    period = _number("cpu-period", flags, 1000, 1_000_000)
    text = flags.get("cpus")
    nano = None if text is None else _nano_cpus(text, host.cpus)
    if not nano:
        return {"quota": UNLIMITED if unlimited else quota, "period": period}
    if unlimited or quota or period:
        other = "--cpu-period" if period else "--cpu-quota"
        raise UsageError(
            f"--cpus {text}: cannot be combined with {other}",
            hint=f"--cpu-quota {nano * PERIOD // _NANO} --cpu-period {PERIOD}",
        )
    return {"quota": nano * PERIOD // _NANO, "period": PERIOD}


def _nano_cpus(text: str, online: str) -> int:
    """Billionths of a CPU, counted without floating point."""
    whole_text, _, fraction = text.partition(".")
    whole = number(whole_text or "0", 0, _MOST_CPUS)
    billionths = number((fraction + "0" * 9)[: max(9, len(fraction))], 0, _NANO - 1)
    if not (whole_text or fraction) or whole is None or billionths is None:
        raise UsageError(f"--cpus {text}: not a number of CPUs, such as 1.5")
    nano = whole * _NANO + billionths
    count = len(parse_list(online) or ())
    if nano and not _NANO // 100 <= nano <= count * _NANO:
        raise UsageError(f"--cpus {text}: not from 0.01 to {count}, the CPUs of this host")
    return nano


def _number(name: str, flags: Mapping[str, Any], least: int, most: int) -> int | None:
    text = flags.get(name)
    if text is None:
        return None
    value = number(text, 0, most)
    if value is None or 0 < value < least:
        raise UsageError(f"--{name} {text}: not a number from {least} to {most}")
    return value or None


def _online(name: str, flags: Mapping[str, Any], online: str, what: str) -> str | None:
    text = flags.get(name)
    if not text:
        return None
    wanted = parse_list(text)
    if wanted is None:
        raise UsageError(f"--{name} {text}: not a list such as 0-2,7")
    if wanted - (parse_list(online) or set()):
        raise UsageError(
            f"--{name} {text}: this host has the {what} {online}", hint=f"--{name} {online}"
        )
    return str(text)


def _pids(flags: Mapping[str, Any]) -> dict[str, int]:
    text = flags.get("pids-limit")
    if text is None:
        return {}
    limit = 0 if text == "-1" else number(text, 0, _MOST_PIDS)
    if limit is None:
        raise UsageError(
            f"--pids-limit {text}: not a number from 1 to {_MOST_PIDS}, nor -1 for no limit"
        )
    return {"limit": limit or UNLIMITED}


def _block_io(flags: Mapping[str, Any], host: Host) -> dict[str, Any]:
    weight = _number("blkio-weight", flags, 10, 1000)
    found: dict[str, Any] = {} if weight is None else {"weight": weight}
    for name, (key, _) in THROTTLES.items():
        rates = {}
        for text in flags.get(name, ()):
            device, rate = _throttle(name, text, host)
            rates[device] = rate
        if rates:
            found[key] = [
                {"major": major, "minor": minor, "rate": rate}
                for (major, minor), rate in rates.items()
            ]
    return found


def _throttle(name: str, text: str, host: Host) -> tuple[tuple[int, int], int]:
    """(device, rate) of `PATH:RATE`; a rate of 0 lifts the limit."""
    path, _, rate_text = text.rpartition(":")
    if not path.startswith("/dev/"):
        raise UsageError(f"--{name} {text}: not of the form /dev/NAME:RATE")
    if name.endswith("iops"):
        rate = number(rate_text, 0, 2**32 - 1)
        if rate is None:
            raise UsageError(f"--{name} {text}: {rate_text!r} is not a number of operations")
    else:
        rate = _rate(name, text, rate_text)
    return host.device(f"--{name} {text}", path), rate


def _rate(name: str, text: str, rate_text: str) -> int:
    try:
        return min(parse_size(rate_text), _MOST_BYTES)
    except UsageError as error:
        raise UsageError(f"--{name} {text}: {error.message}") from None


def _unified(words: list[str]) -> dict[str, str]:
    """Files of cgroup v2 → what is written to each, as it is (config-linux.md, "Unified")."""
    found = {}
    for word in words:
        key, equals, value = word.partition("=")
        controller, dot, name = key.partition(".")
        if not (equals and controller and dot and name and value) or not value.isprintable():
            raise UsageError(
                f"--cgroup-conf {word!r}: not of the form CONTROLLER.FILE=VALUE",
                hint="--cgroup-conf memory.high=1073741824",
            )
        # cgroup.procs, cgroup.freeze and their like would move or stop what rl itself manages.
        if "/" in key or controller == "cgroup" or not key.isprintable():
            raise UsageError(f"--cgroup-conf {word!r}: not a file of a controller")
        found[key] = value
    return found
