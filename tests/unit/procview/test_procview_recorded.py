"""A real container (-m 256m --cpus 1, a shell that counts) on Linux 6.1 with two CPUs and swap."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from rootless.procview import (
    cpuinfo,
    cpus,
    diskstats,
    loadavg,
    meminfo,
    stat,
    swaps,
    uptime,
    vmstat,
)
from rootless.procview.cputime import CpuTimes
from rootless.procview.loadavg import LoadState
from rootless.procview.tasks import Tasks

Group = Callable[[str], dict[str, str]]


@pytest.fixture
def recorded(machine: Any, recorded_group: Group) -> Any:
    # The groups above have no limits.
    above = {"memory.max": "max\n", "memory.high": "max\n", "cpu.max": "max 100000\n"}
    return machine(recorded_group("linux-6.1-payload"), above, above, host="linux-6.1-guest")


def test_meminfo(recorded: Any, fields: Callable[[bytes], dict[str, int]]) -> None:
    found = fields(meminfo.render(recorded.after(8)))
    host = fields(recorded.files["meminfo"].encode())
    # 33787904 bytes in use, of which 22792496 can be taken back.
    assert (found["MemTotal"], found["MemFree"], found["MemAvailable"]) == (262144, 229148, 251406)
    assert (found["Cached"], found["Shmem"], found["Mapped"]) == (32360, 10240, 1432)
    # 256 MB are allowed, and the host has a page less.
    assert found["SwapTotal"] == host["SwapTotal"] == 262140
    assert found["SwapFree"] == host["SwapFree"]
    assert b"none" in swaps.render(recorded.after(8))


def test_cpus(recorded: Any) -> None:
    assert cpus.online(recorded.after(8)) == b"0\n"
    assert cpuinfo.render(recorded.after(8)).count(b"processor\t: 0\n") == 1
    assert recorded.files["cpuinfo"].count("processor\t") == 2


def test_times(recorded: Any) -> None:
    times = CpuTimes()
    text = stat.render(recorded.after(8), times)
    assert text.startswith(b"cpu  632 0 29 138 0 0 0 0 0 0\ncpu0 632 0 29 138 0 0 0 0 0 0\nintr")
    assert uptime.render(recorded.after(8), times) == b"8.00 1.38\n"


def test_load(recorded: Any) -> None:
    recorded.threads = Tasks(running=1, blocked=0, total=2, last_pid=7)
    # Busy for all of the eight seconds, bar the start.
    assert loadavg.render(recorded.after(8), LoadState()) == b"0.12 0.02 0.01 1/2 7\n"


def test_disks_without_the_io_controller(recorded: Any) -> None:
    assert diskstats.render(recorded.after(8)).decode() == recorded.files["diskstats"]
    text = vmstat.render(recorded.after(8)).decode()
    assert "pgfault 1221\n" in text
    assert "pgpgin" not in text
