from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rootless.procview import loadavg
from rootless.procview.loadavg import LoadState
from rootless.procview.tasks import Tasks

CpuStat = Callable[..., str]


def load(text: bytes) -> list[float]:
    return [float(word) for word in text.split()[:3]]


def reading(host: Any, state: LoadState, seconds: float, tasks: Tasks, used: str) -> list[float]:
    host.threads = tasks
    host.levels[0]["cpu.stat"] = used
    return load(loadavg.render(host.after(seconds), state))


IDLE = Tasks(0, 0, 3, 8)


def test_the_kernels_constants(machine: Any, cpu_stat: CpuStat) -> None:
    """One thread that runs, looked at every five seconds: 1884, 2014 and 2037 of 2048 remain."""
    host, state = machine({}), LoadState()
    expected = [0.0, 0.0, 0.0]
    for second in range(5, 305, 5):
        found = reading(host, state, second, Tasks(1, 0, 1, 1), cpu_stat(second, 0))
        constants = zip(expected, (1884, 2014, 2037), strict=True)
        expected = [old * left / 2048 + (2048 - left) / 2048 for old, left in constants]
        assert found == pytest.approx(expected, abs=0.015)
    assert found == pytest.approx([0.99, 0.63, 0.28], abs=0.01)


@pytest.mark.parametrize("threads", [1, 4])
def test_a_first_reading_late(machine: Any, cpu_stat: CpuStat, threads: int) -> None:
    """All the time as many threads as now: two CPUs' worth of use tells, though nobody looked."""
    host = machine({"cpu.max": "200000 100000"})
    used = cpu_stat(600 * min(threads, 2), 0)
    found = reading(host, LoadState(), 600, Tasks(threads, 0, threads, 1), used)
    assert found == pytest.approx([threads, threads * 0.8647, threads * 0.4866], abs=0.01)


def test_a_load_that_just_began(machine: Any, cpu_stat: CpuStat) -> None:
    """Counting now for all of the time before would be an hour of load."""
    found = reading(machine({}), LoadState(), 3600, Tasks(4, 0, 4, 1), cpu_stat(2, 0))
    # Four threads for the kernel's five seconds.
    assert found == pytest.approx([0.32, 0.066, 0.022], abs=0.02)


def test_a_load_that_is_over(machine: Any, cpu_stat: CpuStat) -> None:
    host, state = machine({}), LoadState()
    assert reading(host, state, 60, IDLE, cpu_stat(60, 0))[0] == pytest.approx(0.63, abs=0.02)
    assert reading(host, state, 120, IDLE, cpu_stat(60, 0))[0] == pytest.approx(0.21, abs=0.03)
    assert reading(host, state, 3600, IDLE, cpu_stat(60, 0)) == pytest.approx([0, 0, 0], abs=0.02)


@pytest.mark.parametrize("step", [1, 5, 30])
def test_a_reader_that_is_the_load_itself(machine: Any, cpu_stat: CpuStat, step: int) -> None:
    """It never runs while it reads, and has used a CPU all the time."""
    host, state = machine({}), LoadState()
    for second in range(step, 61, step):
        found = reading(host, state, second, IDLE, cpu_stat(second, 0))
    assert found[0] == pytest.approx(0.63, abs=0.02)


def test_threads_that_wait_for_a_disk_count(machine: Any, cpu_stat: CpuStat) -> None:
    found = reading(machine({}), LoadState(), 5, Tasks(0, 2, 2, 1), cpu_stat(0, 0))
    assert found[0] == pytest.approx(2 * 0.08, abs=0.01)


def test_the_other_fields(machine: Any, cpu_stat: CpuStat) -> None:
    host = machine({"cpu.stat": cpu_stat(0, 0)})
    host.threads = Tasks(running=2, blocked=1, total=17, last_pid=42)
    assert loadavg.render(host.after(0), LoadState()) == b"0.00 0.00 0.00 2/17 42\n"


def test_the_host_where_there_is_no_group(machine: Any) -> None:
    for host in (machine(), machine({"cpu.stat": "usage_usec 5\n"}, own=0), machine({})):
        assert loadavg.render(host.after(9), LoadState()).decode() == host.files["loadavg"]


def test_another_server_goes_on(machine: Any, cpu_stat: CpuStat) -> None:
    host, state, successor = machine({}), LoadState(), LoadState()
    reading(host, state, 60, Tasks(2, 0, 2, 1), cpu_stat(60, 0))
    successor.restore(state.save())
    busy = Tasks(1, 0, 1, 1), cpu_stat(65, 0)
    assert reading(host, successor, 70, *busy) == reading(host, state, 70, *busy)


@given(
    steps=st.lists(
        st.tuples(st.integers(-5, 4000), st.integers(0, 9), st.integers(0, 9), st.integers(-9, 99))
    )
)
def test_never_beyond_what_there_was(
    steps: list[tuple[int, int, int, int]], machine: Any, cpu_stat: CpuStat
) -> None:
    host, state, now, used, most = machine({}), LoadState(), 0, 0, 0.0
    for passed, running, blocked, busy in steps:
        now, used = now + passed, max(0, used + min(busy, 2 * passed))
        most = max(most, running + blocked, 2)
        found = reading(host, state, now, Tasks(running, blocked, 20, 1), cpu_stat(used, 0))
        assert all(0 <= value <= most + 2 for value in found)
