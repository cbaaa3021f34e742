"""sysinfo(2) of each architecture: by which numbers it is called, and the structure that it fills.

Pure. Numbers: the kernel's arch/*/syscalls tables; AUDIT_ARCH_*: linux/audit.h; the structures:
struct sysinfo of linux/sysinfo.h, for 32 bits struct compat_sysinfo of the kernel's kernel/sys.c.
"""

from __future__ import annotations

import os
import struct

from rootless.model.value import Value

_X86_64, _I386 = 0xC000003E, 0x40000003
_AARCH64, _ARM = 0xC00000B7, 0x40000028
_S390X, _S390 = 0x80000016, 0x00000016
_RISCV64, _LOONGARCH64, _PPC64LE = 0xC00000F3, 0xC0000102, 0xC0000015
_IS_64_BIT = 0x80000000  # __AUDIT_ARCH_64BIT
_X32_BIT = 0x40000000  # __X32_SYSCALL_BIT; x32 fills the structure of 64 bits

_X86 = ((_X86_64, (99, 99 | _X32_BIT)), (_I386, (116,)))
_ARM_BOTH = ((_AARCH64, (179,)), (_ARM, (116,)))
# uname -m → what its kernel runs: AUDIT_ARCH, numbers of the call. (i686, armv8l: also what a
# kernel of 64 bits says under setarch(8).)
_CALLS = {
    "x86_64": _X86,
    "i686": _X86,
    "aarch64": _ARM_BOTH,
    "armv7l": _ARM_BOTH,
    "armv8l": _ARM_BOTH,
    "riscv64": ((_RISCV64, (179,)),),
    "loongarch64": ((_LOONGARCH64, (179,)),),
    "ppc64le": ((_PPC64LE, (116,)),),
    "s390x": ((_S390X, (116,)), (_S390, (116,))),
}

# struct sock_filter (linux/filter.h) and the few instructions needed here.
_INSTRUCTION = struct.Struct("=HBBI")
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_NUMBER, _ARCH = 0, 4  # where they are in struct seccomp_data
_ALLOW, _NOTIFY = 0x7FFF0000, 0x7FC00000

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


def program(machine: str) -> bytes:
    """A seccomp filter that has sysinfo(2) answered by a listener and allows every other call.

    machine: uname -m. Empty for one that is not known here. An array of struct sock_filter.
    """
    calls = _CALLS.get(machine)
    if calls is None:
        return b""
    blocks = b"".join(_block(arch, numbers) for arch, numbers in calls)
    return _load(_ARCH) + blocks + _return(_ALLOW)


def _block(arch: int, numbers: tuple[int, ...]) -> bytes:
    """What is done for calls of `arch`; others go on behind it."""
    body = _load(_NUMBER)
    for left in range(len(numbers), 0, -1):
        body += _jump(numbers[-left], left, 0)
    body += _return(_ALLOW) + _return(_NOTIFY)
    return _jump(arch, 0, len(body) // _INSTRUCTION.size) + body


def _load(place: int) -> bytes:
    return _INSTRUCTION.pack(_LOAD, 0, 0, place)


def _jump(value: int, if_equal: int, otherwise: int) -> bytes:
    return _INSTRUCTION.pack(_JUMP_IF_EQUAL, if_equal, otherwise, value)


def _return(action: int) -> bytes:
    return _INSTRUCTION.pack(_RETURN, 0, 0, action)


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
