"""The figures of sysinfo(2): those of the view's texts, in the structures of each architecture."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Callable
from typing import Any

import pytest

from rootless.model.sysinfo import Figures, pack, program
from rootless.procview import loadavg, meminfo, sysinfo, uptime
from rootless.procview.cputime import CpuTimes
from rootless.procview.loadavg import LoadState
from rootless.procview.tasks import Tasks

X86_64, I386 = 0xC000003E, 0x40000003
GIB = 1 << 30
FIGURES = Figures(
    uptime=61, loads=(65536, 32768, 1), total=8 * GIB, free=4 * GIB + 4095, shared=3 << 12,
    buffers=5 << 12, total_swap=GIB, free_swap=1 << 20, procs=70_000,
)  # fmt: skip


MEMINFO = b"""MemTotal:          65536 kB
MemFree:           49152 kB
MemAvailable:      50000 kB
Buffers:               8 kB
Cached:             1024 kB
SwapTotal:         32768 kB
SwapFree:          16384 kB
Shmem:               512 kB
ShmemHugePages:        4 kB
"""


def test_they_are_those_of_the_files() -> None:
    found = sysinfo.render(MEMINFO, b"0.50 1.00 12.34 2/17 42\n", b"4.25 8.00\n")
    assert found == Figures(
        uptime=5, loads=(32768, 65536, -(-1234 * 65536 // 100)), total=64 << 20, free=48 << 20,
        shared=512 << 10, buffers=8 << 10, total_swap=32 << 20, free_swap=16 << 20, procs=17,
    )  # fmt: skip


@pytest.mark.parametrize(("text", "seconds"), [(b"0.00", 0), (b"0.01", 1), (b"61.00", 61)])
def test_time_is_rounded_up_as_the_kernels(text: bytes, seconds: int) -> None:
    assert sysinfo.render(MEMINFO, b"0.00 0.00 0.00 1/1 1", text + b" 0.00").uptime == seconds


def test_the_load_has_the_digits_of_the_file() -> None:
    """Readers multiply by a hundred and cut: 0.29 must not become 0.28."""
    for hundredths in range(400):
        text = f"{hundredths // 100}.{hundredths % 100:02d}"
        loads = sysinfo.render(MEMINFO, f"{text} 0.00 0.00 1/2 3\n".encode(), b"1.00 1.00\n").loads
        assert f"{loads[0] >> 16}.{(loads[0] & 0xFFFF) * 100 >> 16:02d}" == text


@pytest.mark.parametrize("levels", [0, 1], ids=["the host", "a group"])
def test_every_text_of_the_view_is_understood(
    machine: Any, cpu_stat: Any, memory_stat: Any, levels: int,
    fields: Callable[[bytes], dict[str, int]],
) -> None:  # fmt: skip
    group = {
        "memory.max": f"{64 << 20}\n", "memory.current": f"{20 << 20}\n",
        "memory.stat": memory_stat(shmem=1 << 20), "cpu.stat": cpu_stat(3, 1),
    }  # fmt: skip
    host = machine(*[group][:levels])
    host.threads = Tasks(2, 1, 17, 42)
    snapshot = host.after(4.25)
    texts = meminfo.render(snapshot), loadavg.render(snapshot, LoadState())
    found = sysinfo.render(*texts, uptime.render(snapshot, CpuTimes()))
    shown = fields(texts[0])
    assert (found.total, found.free) == (shown["MemTotal"] << 10, shown["MemFree"] << 10)
    assert (found.uptime, found.procs) == (5, int(texts[1].split()[3].partition(b"/")[2]))


def test_each_caller_gets_what_it_reads() -> None:
    """As the files: a group inside of the container may be another machine."""

    class Contents:
        def __init__(self, total: int) -> None:
            self.texts = {"meminfo": b"MemTotal: %d kB\n" % total, "uptime": b"1.00 1.00\n",
                          "loadavg": b"0.00 0.00 0.00 1/2 3\n"}  # fmt: skip

        def text(self, name: str) -> bytes:
            return self.texts[name]

    machines = {7: Contents(100), 8: Contents(200)}

    class Readers:
        def of(self, pid: int) -> Contents:
            return machines[pid]

    answers = sysinfo.Answers(Readers())  # type: ignore[arg-type]

    def total(pid: int) -> int:
        wide = struct.unpack_from("=Q", answers.structure(pid, X86_64), 32)[0]
        narrow = struct.unpack_from("=I", answers.structure(pid, I386), 16)[0]
        assert wide == narrow
        return int(wide) >> 10

    assert [total(7), total(8), total(7)] == [100, 200, 100]
    machines[7] = Contents(300)
    assert total(7) == 300


def test_the_structure_of_64_bits_is_the_c_librarys() -> None:
    """struct sysinfo of linux/sysinfo.h, laid out by ctypes."""
    long, ulong = ctypes.c_int64, ctypes.c_uint64

    class Struct(ctypes.Structure):
        _fields_ = [
            ("uptime", long), ("loads", ulong * 3), ("totalram", ulong), ("freeram", ulong),
            ("sharedram", ulong), ("bufferram", ulong), ("totalswap", ulong),
            ("freeswap", ulong), ("procs", ctypes.c_ushort), ("pad", ctypes.c_ushort),
            ("totalhigh", ulong), ("freehigh", ulong), ("mem_unit", ctypes.c_uint32),
        ]  # fmt: skip

    raw = pack(FIGURES, X86_64)
    assert len(raw) == ctypes.sizeof(Struct) == 112
    found = Struct.from_buffer_copy(raw)
    assert (found.uptime, list(found.loads)) == (61, [65536, 32768, 1])
    assert (found.totalram, found.freeram) == (8 * GIB, 4 * GIB + 4095)
    assert (found.sharedram, found.bufferram) == (3 << 12, 5 << 12)
    assert (found.totalswap, found.freeswap, found.procs) == (GIB, 1 << 20, 65535)
    assert (found.totalhigh, found.freehigh, found.mem_unit) == (0, 0, 1)


def test_the_structure_of_32_bits_counts_in_pages_where_bytes_are_too_many() -> None:
    form = struct.Struct("=i3I6IHH2II8x")
    assert form.size == 64
    page = os.sysconf("SC_PAGESIZE")
    found = form.unpack(pack(FIGURES, I386))
    assert found[:4] == (61, 65536, 32768, 1)
    assert found[4:6] == (8 * GIB // page, (4 * GIB + 4095) // page)
    assert found[10:] == (65535, 0, 0, 0, page)
    small = Figures(
        uptime=1, loads=(0, 0, 0), total=4 * GIB - 1, free=7, shared=0, buffers=0, total_swap=0,
        free_swap=0, procs=1,
    )  # fmt: skip
    assert form.unpack(pack(small, I386))[4:6] == (4 * GIB - 1, 7)
    assert form.unpack(pack(small, I386))[-1] == 1


ALLOWED, NOTIFIED = 0x7FFF0000, 0x7FC00000


def run_filter(code: bytes, number: int, arch: int) -> int:
    """Interpret the few instructions of classic BPF that the program has (linux/filter.h)."""
    data = struct.pack("=iI", number, arch) + bytes(56)
    value, at = 0, 0
    while True:
        kind, if_equal, otherwise, operand = struct.unpack_from("=HBBI", code, at * 8)
        at += 1
        if kind == 0x20:
            value = struct.unpack_from("=I", data, operand)[0]
        elif kind == 0x15:
            at += if_equal if value == operand else otherwise
        else:
            assert kind == 0x06
            return int(operand)


@pytest.mark.parametrize(
    ("machine", "arch", "number", "expected"),
    [
        ("x86_64", X86_64, 99, NOTIFIED),
        ("x86_64", X86_64, 0x40000063, NOTIFIED),
        ("x86_64", I386, 116, NOTIFIED),
        ("x86_64", X86_64, 116, ALLOWED),
        ("x86_64", X86_64, 0, ALLOWED),
        ("x86_64", I386, 99, ALLOWED),
        ("x86_64", I386, 0x40000063, ALLOWED),
        ("x86_64", 0xC00000B7, 179, ALLOWED),
        ("aarch64", 0xC00000B7, 179, NOTIFIED),
        ("aarch64", 0x40000028, 116, NOTIFIED),
        ("aarch64", 0xC00000B7, 116, ALLOWED),
        ("riscv64", 0xC00000F3, 179, NOTIFIED),
        ("s390x", 0x80000016, 116, NOTIFIED),
    ],
)
def test_the_filter(machine: str, arch: int, number: int, expected: int) -> None:
    assert run_filter(program(machine), number, arch) == expected


def test_a_machine_that_is_not_known_has_no_filter() -> None:
    assert program("vax") == b""
