from __future__ import annotations

from typing import Any

import pytest

from rootless.cgroup import properties, resources

INFINITY = 2**64 - 1


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({}, {}),
        (
            {"memory": {"limit": 64, "swap": 96, "reservation": 8}, "pids": {"limit": 9}},
            {"MemoryMax": 64, "MemorySwapMax": 32, "MemoryLow": 8, "TasksMax": 9},
        ),
        ({"pids": {"limit": -1}}, {"TasksMax": INFINITY}),
        (
            {"cpu": {"quota": 30000, "period": 20000}},
            {"CPUQuotaPerSecUSec": 1_500_000, "CPUQuotaPeriodUSec": 20000},
        ),
        (
            {"cpu": {"quota": -1}},
            {"CPUQuotaPerSecUSec": INFINITY, "CPUQuotaPeriodUSec": 100_000},
        ),
        (
            {"memory": {"limit": 64}, "unified": {"memory.max": "32", "memory.high": "max"}},
            {"MemoryMax": 32, "MemoryHigh": INFINITY},
        ),
        ({"cpu": {"cpus": "0,9"}}, {"AllowedCPUs": b"\x01\x02"}),
        # Not numbers as systemd has them, or none of its properties.
        ({"unified": {"memory.max": "1g", "memory.oom.group": "1", "cpu.max": ""}}, {}),
    ],
    ids=str,
)
def test_what_systemd_is_told(wanted: dict[str, Any], expected: dict[str, Any]) -> None:
    found = properties.of_settings(resources.settings(wanted))
    assert {name: value for name, (_, _, value) in found.items()} == expected
    assert all(name == one[0] for name, one in found.items())
