from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rootless.procview import source as sources
from rootless.procview import tasks
from rootless.procview.contents import FILES, Contents
from rootless.procview.page import Page
from rootless.procview.source import Host, Level, Source
from rootless.procview.tasks import Tasks

HOST = Path(__file__).parent / "data" / "linux-6.18-2cpus"
STARTED = 1_000_000_000


@pytest.fixture
def group(tmp_path: Path, cpu_stat: Any, memory_stat: Any) -> Path:
    """A payload's group below one that limits more."""
    group = tmp_path / "above" / "payload"
    group.mkdir(parents=True)
    files = {"cpu.stat": cpu_stat(3, 1), "memory.stat": memory_stat(),
             "memory.current": "104857600\n", "cpu.max": "100000 100000\n",
             "cgroup.threads": ""}  # fmt: skip
    for name, text in files.items():
        (group / name).write_text(text)
    (group.parent / "memory.max").write_text("268435456\n")
    return group


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    found = Host(str(HOST), str(HOST / "cpu"))
    yield found
    for fd in found.fds():
        os.close(fd)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """CLOCK_BOOTTIME, ten seconds after the start."""
    now = [STARTED + 10_000_000]
    for module in ("source", "contents"):
        monkeypatch.setattr(f"rootless.procview.{module}.now_usec", lambda: now[0])
    return now


@pytest.fixture
def source(host: Host, group: Path, clock: list[int]) -> Iterator[Source]:
    levels = [Level(str(group)), Level(str(group.parent))]
    found = Source(host, levels, own=1, started_usec=STARTED)
    yield found
    found.close()


def test_texts(source: Source, group: Path) -> None:
    snapshot = source.snapshot()
    assert snapshot.host("meminfo") == (HOST / "meminfo").read_bytes()
    assert snapshot.host("vmstat") == (HOST / "vmstat").read_bytes()
    assert snapshot.host("cpu/online") == b"0-1\n"
    assert snapshot.host("pressure/irq") == snapshot.host("nonsense") == b""
    assert snapshot.own("memory.current") == snapshot.level(0, "memory.current") == b"104857600\n"
    assert snapshot.level(1, "memory.max") == b"268435456\n"
    assert snapshot.own("memory.max") is None
    assert snapshot.elapsed_usec == 10_000_000


def test_a_snapshot_is_of_one_moment(source: Source, group: Path) -> None:
    first = source.snapshot()
    assert first.own("memory.current") == b"104857600\n"
    (group / "memory.current").write_text("5\n")
    assert first.own("memory.current") == b"104857600\n"
    assert source.snapshot().own("memory.current") == b"5\n"


def test_descriptors_are_kept_and_closed(source: Source) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        source.snapshot().own("memory.current")
    assert len(os.listdir("/proc/self/fd")) == before + 1
    source.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_file_that_comes_later_is_found(source: Source, group: Path, clock: list[int]) -> None:
    assert source.snapshot().own("io.stat") is None
    (group / "io.stat").write_text("")
    clock[0] += 500_000
    assert source.snapshot().own("io.stat") is None
    clock[0] += 500_000
    assert source.snapshot().own("io.stat") == b""


def test_no_own_group(host: Host, group: Path) -> None:
    shared = Source(host, [Level(str(group))], own=0, started_usec=STARTED)
    snapshot = shared.snapshot()
    assert snapshot.own("memory.current") is None
    assert snapshot.tasks() is None
    assert snapshot.level(0, "memory.current") == b"104857600\n"
    shared.close()


def test_the_real_host_is_read_whole() -> None:
    host = Host()
    for name in ("cpuinfo", "vmstat", "diskstats", "meminfo"):
        found, read = host.read(name), (Path("/proc") / name).read_bytes()
        assert found is not None
        assert found.count(b"\n") == read.count(b"\n")
    assert host.idle_usec > 0
    for fd in host.fds():
        assert not os.get_inheritable(fd)
        os.close(fd)
    # Not there any more: as a file that is missing.
    assert host.read("meminfo") is None


def test_the_clock_is_the_kernels() -> None:
    up = float(Path("/proc/uptime").read_text().split()[0])
    assert abs(sources.now_usec() / 1e6 - up) < 1


@pytest.fixture
def proc(tmp_path: Path, group: Path) -> Path:
    """Seven threads, in the group and one below it."""
    proc = tmp_path / "proc"
    states = {10: "R", 11: "S", 12: "D", 13: "R", 14: "Z", 15: "I", 16: "S"}
    for thread, state in states.items():
        (proc / str(thread)).mkdir(parents=True)
        (proc / str(thread) / "stat").write_text(f"{thread} (a) R (b) {state} 1 1 1\n")
    (proc / "16" / "status").write_text("Name:\ta\nNSpid:\t16\t7\t1\nNSpgid:\t16\t7\t1\n")
    (group / "nested" / "deeper").mkdir(parents=True)
    (group / "cgroup.threads").write_text("10\n11\n12\n")
    (group / "nested" / "cgroup.threads").write_text("13\n14\n")
    # 17 has ended meanwhile.
    (group / "nested" / "deeper" / "cgroup.threads").write_text("15\n16\n")
    return proc


def test_threads(group: Path, proc: Path) -> None:
    # The pid in the container's own namespace, not in one below that.
    assert tasks.look(str(group), str(proc)) == Tasks(2, 1, 7, 7)


def test_threads_that_ended_meanwhile(group: Path, proc: Path) -> None:
    with (group / "cgroup.threads").open("a") as file:
        file.write("17\n")
    assert tasks.look(str(group), str(proc)) == Tasks(2, 1, 8, 0)


def test_of_many_threads_some_are_looked_at(group: Path, proc: Path) -> None:
    for name in ("nested", "nested/deeper"):
        (group / name / "cgroup.threads").write_text("")
    (group / "cgroup.threads").write_text("10\n11\n" * 500)
    found = tasks.look(str(group), str(proc), most=100)
    assert found is not None
    assert found.total == 1000
    assert 480 <= found.running <= 520
    (group / "cgroup.threads").write_text("10\n11\n12\n" * 500)
    found = tasks.look(str(group), str(proc), most=90)
    assert found is not None
    assert 400 <= found.running <= 600
    assert 400 <= found.blocked <= 600


def test_a_group_without_threads_and_none(group: Path, tmp_path: Path) -> None:
    assert tasks.look(str(group)) == Tasks(0, 0, 0, 0)
    assert tasks.look(str(tmp_path / "gone")) is None


def test_every_file_has_a_text(source: Source) -> None:
    contents = Contents(source, Page())
    texts = {name: contents.text(name) for name in FILES if contents.has(name)}
    assert set(FILES) - set(texts) == {"pressure/irq"}
    assert texts["meminfo"].startswith(b"MemTotal:         262144 kB\n")
    assert texts["stat"].startswith(b"cpu  300 0 100 600 0 0 0 0 0 0\ncpu0 300")
    assert texts["uptime"] == b"10.00 6.00\n"
    assert texts["loadavg"].endswith(b" 0/0 0\n")
    assert texts["cpuinfo"].count(b"processor\t") == 1
    assert texts["cpu/online"] == texts["cpu/possible"] == texts["cpu/present"] == b"0\n"
    assert texts["cpu/offline"] == b"\n"
    assert texts["pressure/io"] == (HOST / "pressure" / "io").read_bytes()
    assert contents.cpus() == [0]


def test_a_text_holds_for_a_tick(source: Source, group: Path, clock: list[int]) -> None:
    contents = Contents(source, Page())
    first = contents.text("meminfo")
    (group / "memory.current").write_text("209715200\n")
    clock[0] += 9_999
    assert contents.text("meminfo") is first
    clock[0] += 1
    assert b"MemFree:           57344 kB" in contents.text("meminfo")


def test_contents_go_on_in_another_server(
    source: Source, group: Path, clock: list[int], cpu_stat: Any
) -> None:
    page = Page()
    first, second, third = (Contents(source, page) for _ in range(3))
    second.resume()
    assert page.kept() == b""
    (group / "cpu.max").write_text("200000 100000\n")
    first.text("stat")
    (group / "cpu.max").write_text("100000 100000\n")
    clock[0] += 20_000
    expected = first.text("stat"), first.text("loadavg")
    second.resume()
    assert (second.text("stat"), second.text("loadavg")) == expected
    # Each reading is kept before it is known to anybody.
    clock[0] += 20_000
    uptime = second.text("uptime")
    (group / "cpu.stat").write_text(cpu_stat(0, 0))
    third.resume()
    assert (third.text("uptime"), third.text("stat")) == (uptime, second.text("stat"))
