"""The figures of sysinfo(2): those of the view's texts, in the structures of each architecture."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Callable
from typing import Any

import pytest

from rootless.model.sysinfo import Figures, pack, program
from rootless.procview import loadavg, meminfo, sysinfo
from rootless.procview.loadavg import LoadState
from rootless.procview.tasks import Tasks

X86_64, I386 = 0xC000003E, 0x40000003
GIB = 1 << 30
FIGURES = Figures(
    uptime=61, loads=(65536, 32768, 1), total=8 * GIB, free=4 * GIB + 4095, shared=3 << 12,
    buffers=5 << 12, total_swap=GIB, free_swap=1 << 20, procs=70_000,
)  # fmt: skip


def limited(machine: Any, cpu_stat: Any, memory_stat: Any) -> Any:
    group = {
        "memory.max": f"{64 << 20}\n", "memory.current": f"{20 << 20}\n",
        "memory.stat": memory_stat(shmem=1 << 20), "memory.swap.max": "0\n",
        "cpu.stat": cpu_stat(3, 1),
    }  # fmt: skip
    host = machine(group)
    host.threads = Tasks(2, 1, 17, 42)
    return host


def test_they_are_those_of_the_files(
    machine: Any, cpu_stat: Any, memory_stat: Any, fields: Callable[[bytes], dict[str, int]]
) -> None:
    snapshot = limited(machine, cpu_stat, memory_stat).after(4.25)
    found = sysinfo.render(snapshot, LoadState())
    texts = fields(meminfo.render(snapshot))
    assert (found.total, found.shared) == (64 << 20, 1 << 20)
    names = ("MemTotal", "MemFree", "Shmem", "Buffers", "SwapTotal", "SwapFree")
    values = (
        found.total, found.free, found.shared, found.buffers, found.total_swap, found.free_swap,
    )  # fmt: skip
    assert values == tuple(texts[name] << 10 for name in names)
    assert (found.uptime, found.procs) == (5, 17)


def test_the_load_has_the_digits_of_the_file(machine: Any) -> None:
    """Readers multiply by a hundred and cut: 0.29 must not become 0.28."""
    for hundredths in range(400):
        text = f"{hundredths // 100}.{hundredths % 100:02d}"
        host = machine(loadavg=f"{text} 0.00 12.34 1/2 3\n")
        load = sysinfo.render(host.after(1), LoadState()).loads[0]
        assert f"{load >> 16}.{(load & 0xFFFF) * 100 >> 16:02d}" == text


def test_the_hosts_where_there_is_no_group(
    machine: Any, fields: Callable[[bytes], dict[str, int]]
) -> None:
    host = machine()
    found = sysinfo.render(host.after(1), LoadState())
    texts = fields(host.files["meminfo"].encode())
    assert (found.total >> 10, found.free >> 10) == (texts["MemTotal"], texts["MemFree"])
    words = host.files["loadavg"].split()
    assert found.procs == int(words[3].partition("/")[2])
    assert found.loads[0] / 65536 == pytest.approx(float(words[0]), abs=0.01)


def test_the_load_goes_on_from_call_to_call(machine: Any, cpu_stat: Any, memory_stat: Any) -> None:
    host, state = limited(machine, cpu_stat, memory_stat), LoadState()
    first = sysinfo.render(host.after(5), state).loads[0]
    second = sysinfo.render(host.after(10), state).loads[0]
    assert 0 < first < second
    text = loadavg.render(host.after(10), state)
    assert float(text.split()[0]) == pytest.approx(second / 65536, abs=0.01)


def test_all_answers_of_a_tick_are_of_one_moment(machine: Any, monkeypatch: Any) -> None:
    host, now = machine(), [1_000_000]

    class Source:
        def snapshot(self) -> Any:
            snapshot = host.after(0)
            snapshot.now_usec = now[0]
            return snapshot

    monkeypatch.setattr(sysinfo, "now_usec", lambda: now[0])
    answers: Any = sysinfo.Answers(Source())  # type: ignore[arg-type]
    first, narrow = answers.structure(X86_64), answers.structure(I386)
    host.files["loadavg"] = "7.00 7.00 7.00 1/2 3\n"
    now[0] += 9_999
    assert (answers.structure(X86_64), answers.structure(I386)) == (first, narrow)
    now[0] += 1
    assert answers.structure(X86_64) != first


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
