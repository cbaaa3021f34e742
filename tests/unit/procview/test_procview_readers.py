"""Whose figures a reader gets when a container has groups of its own making."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rootless.procview import readers as module
from rootless.procview.page import Page
from rootless.procview.readers import Readers
from rootless.procview.source import Host, Level, Source

HOST = Path(__file__).parent / "data" / "linux-6.18-2cpus"
STARTED = 1_000_000_000
GROUP = "/user.slice/rl-1.scope/payload/container"
MIB = 1 << 20


class Machine:
    """A container's group with a limit of 512 MiB, and processes in groups of it."""

    def __init__(self, top: Path, cpu_stat: Any, memory_stat: Any) -> None:
        self.proc = top / "proc"
        self.group = top / "fs" / GROUP[1:]
        self._texts = {"cpu.stat": cpu_stat(3, 1), "memory.stat": memory_stat(),
                       "memory.current": f"{100 * MIB}\n", "memory.max": f"{512 * MIB}\n",
                       "cpu.max": "max 100000\n", "cgroup.threads": ""}  # fmt: skip
        self.make("")

    def make(self, name: str, **texts: str) -> Path:
        """A group; texts: its files, with __ for the dot. Those above it have no limit."""
        folder = self.group / name
        folder.mkdir(parents=True)
        files = {"memory.max": "max\n", "memory.high": "max\n", "cpuset.cpus": "\n"}
        files = {**self._texts, **(files if name else {})}
        files |= {key.replace("__", "."): text for key, text in texts.items()}
        for file, text in files.items():
            if text:
                (folder / file).write_text(text)
        return folder

    def enter(self, pid: int, group: str) -> int:
        """Have a process in a group of the hierarchy."""
        (self.proc / str(pid)).mkdir(parents=True, exist_ok=True)
        (self.proc / str(pid) / "cgroup").write_text(f"5:memory:/elsewhere\n0::{group}\n")
        return pid

    def within(self, pid: int, name: str) -> int:
        """Have a process in a group of the container."""
        return self.enter(pid, f"{GROUP}/{name}".rstrip("/"))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    now = [STARTED + 10_000_000]
    for name in ("source", "contents", "readers"):
        monkeypatch.setattr(f"rootless.procview.{name}.now_usec", lambda: now[0])
    return now


@pytest.fixture
def box(tmp_path: Path, cpu_stat: Any, memory_stat: Any) -> Machine:
    return Machine(tmp_path, cpu_stat, memory_stat)


@pytest.fixture
def readers(box: Machine, clock: list[int]) -> Iterator[Readers]:
    host = Host(str(HOST), str(HOST / "cpu"))
    source = Source(host, [Level(str(box.group))], own=1, started_usec=STARTED)
    found = Readers(source, Page(), GROUP, str(box.group), str(box.proc))
    yield found
    source.close()
    for fd in host.fds():
        os.close(fd)


def total(readers: Readers, reader: int) -> int:
    """MemTotal, in MiB."""
    return int(readers.of(reader).text("meminfo").split()[1]) >> 10


def test_without_nested_groups_nobody_is_looked_for(readers: Readers) -> None:
    # There is no such process, nor a /proc of processes.
    assert readers.of(77) is readers.container
    assert not readers.vary()
    assert total(readers, 77) == 512


def test_a_group_with_a_limit_is_the_machine_of_its_readers(
    readers: Readers, box: Machine, cpu_stat: Any
) -> None:
    texts = {"memory__max": f"{64 * MIB}\n", "cpu__stat": cpu_stat(1, 0)}
    box.make("small", memory__current=f"{60 * MIB}\n", cpu__max="100000 100000\n", **texts)
    inside, outside = box.within(5, "small"), box.within(6, "")
    assert readers.vary()
    assert (total(readers, inside), total(readers, outside)) == (64, 512)
    assert b"MemFree:            4096 kB" in readers.of(inside).text("meminfo")
    assert readers.of(inside).cpus() == [0]
    assert readers.of(outside).cpus() == [0, 1]
    assert readers.of(inside).text("stat").startswith(b"cpu  100 0 0 900 0")
    assert readers.of(outside).text("stat").startswith(b"cpu  300 0 100 1600 0")
    # The time since the start stays the container's: that of its clock.
    assert readers.of(inside).text("uptime").startswith(b"10.00 ")


@pytest.mark.parametrize(
    "limit",
    [
        {"memory__max": f"{64 * MIB}\n"},
        {"memory__high": f"{64 * MIB}\n"},
        {"memory__swap__max": "0\n"},
        {"cpu__max": "50000 100000\n"},
        {"cpuset__cpus": "0\n"},
    ],
)
def test_what_is_a_limit(readers: Readers, box: Machine, limit: dict[str, str]) -> None:
    box.make("limited", **limit)
    box.make("services", cpu__max="max 100000\n")
    assert readers.of(box.within(5, "limited")) is not readers.container
    assert readers.of(box.within(6, "services")) is readers.container


def test_the_nearest_limit_decides_and_the_smallest_holds(readers: Readers, box: Machine) -> None:
    box.make("a", memory__max=f"{64 * MIB}\n")
    box.make("a/b")
    box.make("a/wide", memory__max=f"{256 * MIB}\n", memory__current=f"{MIB}\n")
    box.make("a/b/c", memory__max="", memory__stat="", memory__current="")
    assert readers.of(box.within(5, "a/b/c")) is readers.of(box.within(6, "a"))
    wide = readers.of(box.within(7, "a/wide"))
    assert wide is not readers.of(6)
    assert wide.text("meminfo").startswith(b"MemTotal:          65536 kB")


def test_a_group_without_the_controller_uses_the_one_above(readers: Readers, box: Machine) -> None:
    box.make("cpus", cpu__max="100000 100000\n", memory__max="", memory__current="",
             memory__stat="")  # fmt: skip
    reader = readers.of(box.within(5, "cpus"))
    assert reader.cpus() == [0]
    assert reader.text("meminfo") == readers.container.text("meminfo")
    assert reader.text("vmstat") == readers.container.text("vmstat")


@pytest.mark.parametrize(
    "group",
    ["/", "/user.slice/rl-2.scope/payload/container/small", f"{GROUP}-2/small", "/../../small", ""],
)
def test_a_reader_elsewhere_gets_the_containers(readers: Readers, box: Machine, group: str) -> None:
    box.make("small", memory__max=f"{64 * MIB}\n")
    assert readers.of(box.enter(5, group)) is readers.container
    # From outside of the pid namespace, and one that has ended.
    assert readers.of(0) is readers.of(99) is readers.container


def test_the_containers_own_group_has_to_be_known(box: Machine, clock: list[int]) -> None:
    box.make("small", memory__max=f"{64 * MIB}\n")
    host = Host(str(HOST), str(HOST / "cpu"))
    source = Source(host, [Level(str(box.group))], own=0, started_usec=STARTED)
    found = Readers(source, Page(), "", "", str(box.proc))
    assert found.of(box.within(5, "small")) is found.container
    source.close()
    for fd in host.fds():
        os.close(fd)


def test_a_limit_shows_when_it_comes_and_goes(
    readers: Readers, box: Machine, clock: list[int]
) -> None:
    small = box.make("small")
    reader = box.within(5, "small")
    assert total(readers, reader) == 512
    for text, expected in ((f"{64 * MIB}\n", 64), (f"{32 * MIB}\n", 32), ("max\n", 512)):
        (small / "memory.max").write_text(text)
        clock[0] += 10_000
        assert total(readers, reader) == expected


def test_a_new_group_of_an_old_name_starts_anew(
    readers: Readers, box: Machine, clock: list[int]
) -> None:
    old = box.make("small", memory__max=f"{64 * MIB}\n")
    reader = box.within(5, "small")
    assert total(readers, reader) == 64
    old.rename(box.group.parent / "gone")
    clock[0] += 10_000
    assert readers.of(reader) is readers.container
    box.make("small", memory__max=f"{32 * MIB}\n")
    clock[0] += 10_000
    assert total(readers, reader) == 32


def test_descriptors_are_bounded(readers: Readers, box: Machine, clock: list[int]) -> None:
    names = ["/".join([f"g{number}", *"abcdefghijklmno"]) for number in range(30)]
    for number, name in enumerate(names):
        for depth in range(1, 17):
            box.make("/".join(name.split("/")[:depth]), memory__max=f"{(300 - number) * MIB}\n")
    before = len(os.listdir("/proc/self/fd"))
    for number, name in enumerate(names):
        for text in ("meminfo", "stat", "vmstat", "cpuinfo"):
            assert readers.of(box.within(100 + number, name)).text(text)
        assert total(readers, 100 + number) == 300 - number
    assert len(os.listdir("/proc/self/fd")) - before < 800
    # One that was pushed out comes back, within the same tick.
    assert total(readers, 100) == 300
    for machine in readers._machines.values():
        machine.source.close()
    assert len(os.listdir("/proc/self/fd")) - before < 30


def test_names_may_be_any_bytes(readers: Readers, box: Machine) -> None:
    name = os.fsdecode(b"\xff 0::sp ace")
    box.make(name, memory__max=f"{64 * MIB}\n")
    (box.proc / "5").mkdir(parents=True)
    (box.proc / "5" / "cgroup").write_bytes(os.fsencode(f"0::{GROUP}/{name}\n"))
    assert total(readers, 5) == 64


def test_choices_hold_for_a_tick(
    readers: Readers, box: Machine, clock: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    box.make("small", memory__max=f"{64 * MIB}\n")
    reader = box.within(5, "small")
    looked = []
    monkeypatch.setattr(module, "_limits", lambda directory: looked.append(directory) or True)
    for _ in range(3):
        assert total(readers, reader) == 64
    clock[0] += 10_000
    assert total(readers, reader) == 64
    assert len(looked) == 2
