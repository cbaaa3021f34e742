"""Limits as properties of a unit (systemd.resource-control(5)). Pure.

A reload of systemd writes what it knows of a unit into the unit's own group, delegated or not: a
limit there that systemd has not been told of is lifted by it.
"""

from __future__ import annotations

from rootless.model.resources import PERIOD, parse_list

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from rootless.cgroup.resources import Setting
    from rootless.tools.systemd import Property

_INFINITY = 2**64 - 1
_AMOUNTS = {
    "memory.max": "MemoryMax", "memory.high": "MemoryHigh", "memory.low": "MemoryLow",
    "memory.min": "MemoryMin", "memory.swap.max": "MemorySwapMax", "pids.max": "TasksMax",
}  # fmt: skip
_LISTS = {"cpuset.cpus": "AllowedCPUs", "cpuset.mems": "AllowedMemoryNodes"}


def of_settings(settings: Iterable[Setting]) -> dict[str, Property]:
    """By their names; of a file that is written twice the last. What systemd has no word for is
    left out, and so are weights: cgroup.resources.weights."""
    found = {}
    for setting in settings:
        for one in _of_file(setting.file, setting.text.strip()):
            found[one[0]] = one
    return found


def _of_file(file: str, text: str) -> list[Property]:
    if file in _AMOUNTS:
        amount = _amount(text)
        return [] if amount is None else [(_AMOUNTS[file], "t", amount)]
    if file == "cpu.max":
        return _bandwidth(text)
    if file in _LISTS:
        numbers = parse_list(text)
        return [] if numbers is None else [(_LISTS[file], "ay", _bits(numbers))]
    return []


def _amount(text: str) -> int | None:
    if text == "max":
        return _INFINITY
    return int(text) if text.isdecimal() else None


def _bandwidth(text: str) -> list[Property]:
    """Both, for systemd has them apart: microseconds per second, and the period."""
    words = text.split()
    quota = _amount(words[0]) if words else None
    period = int(words[1]) if len(words) > 1 and words[1].isdecimal() else PERIOD
    if quota is None or not period:
        return []
    per_second = quota if quota == _INFINITY else quota * 10**6 // period
    return [("CPUQuotaPerSecUSec", "t", per_second), ("CPUQuotaPeriodUSec", "t", period)]


def _bits(numbers: set[int]) -> bytes:
    """The least first, as in the value of sched_setaffinity(2)."""
    mask = sum(1 << number for number in numbers)
    return mask.to_bytes((mask.bit_length() + 7) // 8, "little")
