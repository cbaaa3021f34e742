"""How the kernel schedules a process: policy, I/O class, memory policy, personality.

By sched_setattr(2), ioprio_set(2), set_mempolicy(2), personality(2), which Python lacks.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

_libc = ctypes.CDLL(None, use_errno=True)

POLICIES = {
    "SCHED_OTHER": 0, "SCHED_FIFO": 1, "SCHED_RR": 2, "SCHED_BATCH": 3, "SCHED_ISO": 4,
    "SCHED_IDLE": 5, "SCHED_DEADLINE": 6,
}  # fmt: skip
FLAGS = {
    "SCHED_FLAG_RESET_ON_FORK": 0x01, "SCHED_FLAG_RECLAIM": 0x02, "SCHED_FLAG_DL_OVERRUN": 0x04,
    "SCHED_FLAG_KEEP_POLICY": 0x08, "SCHED_FLAG_KEEP_PARAMS": 0x10,
    "SCHED_FLAG_UTIL_CLAMP_MIN": 0x20, "SCHED_FLAG_UTIL_CLAMP_MAX": 0x40,
}  # fmt: skip
IO_CLASSES = {"IOPRIO_CLASS_RT": 1, "IOPRIO_CLASS_BE": 2, "IOPRIO_CLASS_IDLE": 3}
DOMAINS = {"LINUX": 0x0, "LINUX32": 0x8}
MEMORY_MODES = {
    "MPOL_DEFAULT": 0, "MPOL_PREFERRED": 1, "MPOL_BIND": 2, "MPOL_INTERLEAVE": 3, "MPOL_LOCAL": 4,
    "MPOL_PREFERRED_MANY": 5, "MPOL_WEIGHTED_INTERLEAVE": 6,
}  # fmt: skip
MEMORY_FLAGS = {
    "MPOL_F_NUMA_BALANCING": 1 << 13, "MPOL_F_RELATIVE_NODES": 1 << 14,
    "MPOL_F_STATIC_NODES": 1 << 15,
}  # fmt: skip

# struct sched_attr of linux/sched/types.h, its first version.
_ATTR = struct.Struct("=IIQiIQQQ")
# Numbers of system calls; others than these have the generic one (asm-generic/unistd.h).
_NUMBERS = {
    "sched_setattr": ({"x86_64": 314, "ppc64le": 355, "s390x": 345, "i686": 351}, 274),
    "ioprio_set": ({"x86_64": 251, "ppc64le": 273, "s390x": 282, "i686": 289}, 30),
    "set_mempolicy": ({"x86_64": 238, "ppc64le": 261, "s390x": 270, "i686": 276}, 237),
}
_MOST_NODES = 1024


def _number(name: str) -> int:
    machine = os.uname().machine
    if machine.startswith("armv"):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), name)
    table, generic = _NUMBERS[name]
    return table.get(machine, generic)


def _check(result: int) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def set_scheduler(
    policy: int, *, flags: int = 0, nice: int = 0, priority: int = 0,
    runtime: int = 0, deadline: int = 0, period: int = 0,
) -> None:  # fmt: skip
    """sched_setattr(2) on the calling thread; times in nanoseconds. Raises OSError."""
    attr = _ATTR.pack(_ATTR.size, policy, flags, nice, priority, runtime, deadline, period)
    _check(_libc.syscall(_number("sched_setattr"), 0, ctypes.c_char_p(attr), 0))


def set_io_priority(kind: int, priority: int) -> None:
    """ioprio_set(2) on the calling process: one of IO_CLASSES, and 0 to 7. Raises OSError."""
    who_process = 1
    _check(_libc.syscall(_number("ioprio_set"), who_process, 0, kind << 13 | priority))


def set_memory_policy(mode: int, nodes: set[int]) -> None:
    """set_mempolicy(2) on the calling thread: a mode with its flags. Raises OSError."""
    mask = sum(1 << node for node in nodes).to_bytes(_MOST_NODES // 8, "little")
    size = ctypes.c_ulong(_MOST_NODES if nodes else 0)
    place = ctypes.c_char_p(mask) if nodes else None
    _check(_libc.syscall(_number("set_mempolicy"), mode, place, size))


def set_personality(persona: int) -> None:
    """personality(2). Raises OSError."""
    _check(_libc.personality(ctypes.c_ulong(persona)))
