from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rootless.procview import stat, uptime
from rootless.procview.cputime import CpuTimes
from rootless.procview.tasks import Tasks

CpuStat = Callable[..., str]
ONE, TWO = "100000 100000\n", "200000 100000\n"


def lines(text: bytes) -> dict[str, list[int]]:
    """Name → numbers."""
    rows = (line.split() for line in text.decode().splitlines())
    return {name: [int(word) for word in words] for name, *words in rows}


def columns(text: bytes, name: str = "cpu") -> list[int]:
    """user nice system idle."""
    return lines(text)[name][:4]


def test_time_is_spread_over_the_cpus(machine: Any, cpu_stat: CpuStat) -> None:
    busy = machine({"cpu.stat": cpu_stat(user=8, system=4)})
    text = stat.render(busy.after(10), CpuTimes())
    assert columns(text) == [800, 0, 400, 800]
    assert columns(text, "cpu0") == columns(text, "cpu1") == [400, 0, 200, 400]
    assert "cpu2" not in lines(text)
    assert {len(row) for name, row in lines(text).items() if name.startswith("cpu")} == {10}
    assert text.startswith(b"cpu  800 0 400 800 0 0 0 0 0 0\ncpu0 400 0 200 400 0 0 0 0 0 0\n")


def test_the_host_is_not_even_read(machine: Any, cpu_stat: CpuStat) -> None:
    alone = machine({"cpu.stat": cpu_stat(1, 1)})
    stat.render(alone.after(10), CpuTimes())
    assert set(alone.asked) == {"0:cpu.stat", "0:cpuset.cpus.effective", "0:cpu.max", "cpu/online"}


def test_top_sees_the_containers_percent(machine: Any, cpu_stat: CpuStat) -> None:
    """Half of one CPU in use between two readings, whatever the host does."""
    half = machine({"cpu.stat": cpu_stat(3, 0), "cpu.max": ONE})
    times = CpuTimes()
    before = columns(stat.render(half.after(100), times))
    half.levels[0]["cpu.stat"] = cpu_stat(4, 0)
    after = columns(stat.render(half.after(102), times))
    assert [new - old for old, new in zip(before, after, strict=True)] == [100, 0, 0, 100]


def test_nice_time(machine: Any, cpu_stat: CpuStat) -> None:
    text = stat.render(machine({"cpu.stat": cpu_stat(8, 4, nice=3)}).after(10), CpuTimes())
    assert columns(text) == [500, 300, 400, 800]


def test_the_rest(machine: Any, cpu_stat: CpuStat) -> None:
    some = machine({"cpu.stat": cpu_stat(1, 1)})
    some.threads = Tasks(running=2, blocked=1, total=9, last_pid=12)
    found = lines(stat.render(some.after(10), CpuTimes()))
    # The host's boot and 15000 seconds.
    assert found["btime"] == [1795210969 + 15000]
    assert (found["procs_running"], found["procs_blocked"]) == ([2], [1])
    assert (found["intr"], found["ctxt"], found["processes"]) == ([0], [0], [0])
    assert found["softirq"] == [0] * 11


def test_more_used_than_there_was(machine: Any, cpu_stat: CpuStat) -> None:
    """LXCFS's 10^18: an unsigned subtraction of more than there is."""
    times = CpuTimes()
    over = machine({"cpu.stat": cpu_stat(30, 0), "cpu.max": ONE})
    assert columns(stat.render(over.after(10), times)) == [3000, 0, 0, 0]
    assert uptime.render(over.after(10), times) == b"10.00 0.00\n"


def test_another_number_of_cpus(machine: Any, cpu_stat: CpuStat) -> None:
    updated = machine({"cpu.stat": cpu_stat(4, 0), "cpu.max": ONE})
    times = CpuTimes()
    assert columns(stat.render(updated.after(10), times)) == [400, 0, 0, 600]
    updated.levels[0] |= {"cpu.max": TWO}
    text = stat.render(updated.after(10), times)
    assert columns(text) == [400, 0, 0, 600]
    # It came up just now.
    assert columns(text, "cpu1") == [0, 0, 0, 0]
    updated.levels[0]["cpu.stat"] = cpu_stat(6, 0)
    text = stat.render(updated.after(20), times)
    assert columns(text) == [600, 0, 0, 2400]
    assert columns(text, "cpu0") == [500, 0, 0, 1500]
    assert columns(text, "cpu1") == [100, 0, 0, 900]
    updated.levels[0]["cpu.max"] = ONE
    text = stat.render(updated.after(20), times)
    assert columns(text) == [600, 0, 0, 2400]
    assert "cpu1" not in lines(text)
    updated.levels[0] |= {"cpu.max": TWO}
    # As a CPU that was off: it goes on where it was.
    assert columns(stat.render(updated.after(30), times), "cpu1") == [100, 0, 0, 900]


def test_another_server_goes_on(machine: Any, cpu_stat: CpuStat) -> None:
    updated = machine({"cpu.stat": cpu_stat(4, 0), "cpu.max": TWO})
    times = CpuTimes()
    stat.render(updated.after(10), times)
    updated.levels[0]["cpu.max"] = ONE
    before = stat.render(updated.after(10), times)
    successor = CpuTimes()
    successor.restore(times.save())
    assert stat.render(updated.after(10), successor) == before
    assert columns(stat.render(updated.after(10), CpuTimes()))[3] < columns(before)[3]


STEPS = st.lists(
    st.tuples(
        st.integers(0, 50), st.integers(-5, 60), st.integers(-5, 60), st.integers(0, 9),
        st.integers(1, 8),
    ),
    min_size=2,
    max_size=12,
)  # fmt: skip


@given(steps=STEPS)
def test_counters_only_grow(
    steps: list[tuple[int, int, int, int, int]], machine: Any, cpu_stat: CpuStat
) -> None:
    host = machine({}, cpu__online="0-7\n")
    times, now, user, system = CpuTimes(), 0, 0, 0
    last: dict[str, list[int]] = {}
    for passed, more_user, more_system, nice, count in steps:
        now, user, system = now + passed, max(0, user + more_user), max(0, system + more_system)
        host.levels[0] = {"cpu.stat": cpu_stat(user, system, nice), "cpu.max": f"{count} 1\n"}
        found = lines(stat.render(host.after(now), times))
        assert len([name for name in found if name.startswith("cpu")]) == count + 1
        for name in (name for name in found if name.startswith("cpu")):
            old = last.get(name, [0] * 10)
            assert all(b >= a >= 0 for a, b in zip(old, found[name], strict=True)), name
            last[name] = found[name]


def test_without_a_group_of_its_own(machine: Any) -> None:
    shared = machine({"cpu.stat": "usage_usec 1\n"}, own=0)
    host = shared.files["stat"].replace("btime 1795210969", f"btime {1795210969 + 15000}")
    assert stat.render(shared.after(10), CpuTimes()).decode() == host


def test_without_a_group_of_its_own_but_a_limit_above(machine: Any) -> None:
    shared = machine({"cpuset.cpus.effective": "1\n"}, own=0)
    found = lines(stat.render(shared.after(10), CpuTimes()))
    host = lines(shared.files["stat"].encode())
    assert found["cpu"] == found["cpu0"] == host["cpu1"]
    assert "cpu1" not in found
    assert found["ctxt"] == host["ctxt"]
    assert found["intr"] == host["intr"]


def test_a_host_without_the_file(machine: Any) -> None:
    bare = machine(own=0)
    bare.files["stat"] = ""
    assert stat.render(bare.after(1), CpuTimes()) == b""


@pytest.mark.parametrize(
    ("seconds", "used", "text"),
    [(0, 0, b"0.00 0.00\n"), (0.019, 0, b"0.01 0.03\n"), (61.5, 23, b"61.50 100.00\n"),
     (-3, 0, b"0.00 0.00\n")],
)  # fmt: skip
def test_uptime(machine: Any, cpu_stat: CpuStat, seconds: float, used: int, text: bytes) -> None:
    host = machine({"cpu.stat": cpu_stat(used, 0)})
    assert uptime.render(host.after(seconds), CpuTimes()) == text


def test_idle_is_the_same_in_both_files(machine: Any, cpu_stat: CpuStat) -> None:
    host, times = machine({"cpu.stat": cpu_stat(5, 2)}), CpuTimes()
    idle = columns(stat.render(host.after(50.25), times))[3]
    assert uptime.render(host.after(50.25), times) == b"50.25 %d.%02d\n" % (idle // 100, idle % 100)


def test_uptime_where_nobody_counts(machine: Any) -> None:
    # Of 18505.19 seconds that the recorded host was idle, 98.12 were since the start.
    host = machine(host_idle_usec=18_407_070_000)
    assert uptime.render(host.after(60), CpuTimes()) == b"60.00 98.12\n"
    assert uptime.render(host.after(10), CpuTimes()) == b"10.00 20.00\n"
    host.files["uptime"] = ""
    assert uptime.render(host.after(10), CpuTimes()) == b"10.00 0.00\n"
