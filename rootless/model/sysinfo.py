"""sysinfo(2) of each architecture: by which numbers it is called, and the structure that it fills.

Pure. Numbers: the kernel's arch/*/syscalls tables; AUDIT_ARCH_*: linux/audit.h; the structures:
struct sysinfo of linux/sysinfo.h, for 32 bits struct compat_sysinfo of the kernel's kernel/sys.c.
"""

from __future__ import annotations

import os
import struct

from rootless.model import bpf
from rootless.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    # AUDIT_ARCH, numbers of the call.
    Calls = tuple[tuple[int, tuple[int, ...]], ...]

_X32_BIT = 0x40000000  # __X32_SYSCALL_BIT; x32 fills the structure of 64 bits

_X86 = ((bpf.X86_64, (99, 99 | _X32_BIT)), (bpf.I386, (116,)))
_ARM_BOTH = ((bpf.AARCH64, (179,)), (bpf.ARM, (116,)))
# uname -m → what its kernel runs: AUDIT_ARCH, numbers of the call. (i686, armv8l: also what a
# kernel of 64 bits says under setarch(8).)
_CALLS: dict[str, Calls] = {
    "x86_64": _X86,
    "i686": _X86,
    "aarch64": _ARM_BOTH,
    "armv7l": _ARM_BOTH,
    "armv8l": _ARM_BOTH,
    "riscv64": ((bpf.RISCV64, (179,)),),
    "loongarch64": ((bpf.LOONGARCH64, (179,)),),
    "ppc64le": ((bpf.PPC64LE, (116,)),),
    "s390x": ((bpf.S390X, (116,)), (bpf.S390, (116,))),
}
_IS_64_BIT = 0x80000000  # __AUDIT_ARCH_64BIT

_WIDE = struct.Struct("=q3Q6QH6x2QI4x")
_NARROW = struct.Struct("=i3I6IH2x2II8x")
_MOST_PROCS = 0xFFFF
_PAGE = os.sysconf("SC_PAGESIZE")


class Figures(Value):
    """What a call tells. uptime: seconds. loads: in units of 1/65536. The others up to free_swap:
    bytes. procs: threads."""

    __slots__ = (
        "buffers",
        "free",
        "free_swap",
        "loads",
        "procs",
        "shared",
        "total",
        "total_swap",
        "uptime",
    )  # fmt: skip

    def __init__(
        self,
        *,
        uptime: int,
        loads: tuple[int, int, int],
        total: int,
        free: int,
        shared: int,
        buffers: int,
        total_swap: int,
        free_swap: int,
        procs: int,
    ) -> None:
        self.uptime = uptime
        self.loads = loads
        self.total = total
        self.free = free
        self.shared = shared
        self.buffers = buffers
        self.total_swap = total_swap
        self.free_swap = free_swap
        self.procs = procs


def calls(machine: str) -> Calls:
    """How sysinfo(2) is called on `machine` (uname -m): (AUDIT_ARCH_*, numbers), each."""
    return _CALLS.get(machine, ())


def program(machine: str) -> bytes:
    """A seccomp filter that has sysinfo(2) answered by a listener and allows every other call.

    machine: uname -m. Empty for one that is not known here. An array of struct sock_filter.
    """
    return bpf.program(
        {arch: dict.fromkeys(numbers, bpf.NOTIFY) for arch, numbers in calls(machine)}
    )


def pack(figures: Figures, arch: int) -> bytes:
    """The structure as a caller of `arch` (AUDIT_ARCH_*) expects it."""
    form = _WIDE if arch & _IS_64_BIT else _NARROW
    unit = 1 if arch & _IS_64_BIT else _unit(figures)
    memory = (
        figures.total, figures.free, figures.shared, figures.buffers,
        figures.total_swap, figures.free_swap,
    )  # fmt: skip
    procs = min(figures.procs, _MOST_PROCS)
    sizes = [size // unit for size in memory]
    return form.pack(figures.uptime, *figures.loads, *sizes, procs, 0, 0, unit)


def _unit(figures: Figures) -> int:
    """mem_unit for 32 bits: pages where bytes are too many, as the kernel has it."""
    return _PAGE if max(figures.total, figures.total_swap) >> 32 else 1
