from __future__ import annotations

import os
import subprocess

from rootless.kernel import proctable
from rootless.kernel.proctable import Process

PAGE = os.sysconf("SC_PAGESIZE")
TICK = 1_000_000 // os.sysconf("SC_CLK_TCK")


def stat(name: str, *, state: str = "S", parent: int = 1) -> str:
    times = "5 6 7 8"
    return f"42 ({name}) {state} {parent} 42 42 0 -1 4 1 2 3 4 {times} 20 0 3 0 99 4096 10 18446"


def test_a_line() -> None:
    expected = Process(parent=1, cpu_usec=26 * TICK, threads=3, rss=10 * PAGE)
    assert proctable.parse_stat(stat("sleep")) == expected
    assert proctable.parse_stat(stat("a) S 9 (b")) == expected


def test_who_has_ended_uses_nothing() -> None:
    assert proctable.parse_stat(stat("x", state="Z")) is None
    assert proctable.parse_stat("") is None
    assert proctable.parse_stat("1 (x) S 1") is None


def test_a_family() -> None:
    table = {pid: Process(parent, pid, 1, 0) for pid, parent in
             ((1, 0), (10, 1), (11, 10), (12, 11), (20, 1))}  # fmt: skip
    assert sorted(one.cpu_usec for one in proctable.family(table, 10)) == [10, 11, 12]
    assert proctable.family(table, 99) == []


def test_this_process_and_its_child_are_there() -> None:
    with subprocess.Popen(["sleep", "9"]) as child:
        table = proctable.read()
        child.kill()
    assert table[child.pid].parent == os.getpid()
    assert table[child.pid] in proctable.family(table, os.getpid())
    assert table[os.getpid()].rss > PAGE
