"""The system calls about users that a user namespace with a single id cannot do, and their filters.

Pure. Numbers: the kernel's arch/*/syscalls tables and include/uapi/asm-generic/unistd.h. Of a
machine that is not in the table nothing is answered. x32 is none of ours: the profile of system
calls has no x32.
"""

from __future__ import annotations

import stat

from rootless.model import bpf, sysinfo
from rootless.model.bpf import Check

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    Table = dict[int, str]

# Those with ids of 16 bits, in the tables of 32 bits, end with this.
SHORT = "16"

OWNERS = ("chown", "lchown", "fchown", "fchownat")
DEVICES = ("mknod", "mknodat")
SETTERS = (
    "setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid", "setgroups",
    "setfsuid", "setfsgid",
)  # fmt: skip
GETTERS = ("getuid", "geteuid", "getgid", "getegid")
# Their answer is written into the caller's memory.
WRITERS = ("getresuid", "getresgid", "getgroups")
# Of these only some calls are meant.
PRCTL, LIMITS = "prctl", ("setrlimit", "prlimit64")
PR_SET_KEEPCAPS, RLIMIT_LOCKS = 8, 10

_ALL_BITS = 0xFFFFFFFF
_KINDS = stat.S_IFCHR, stat.S_IFBLK
# Which argument says it, what it says, and the bits of it that count.
_CHOSEN: dict[str, tuple[int, tuple[int, ...], int]] = {
    "mknod": (1, _KINDS, 0o170000),
    "mknodat": (2, _KINDS, 0o170000),
    "prctl": (0, (PR_SET_KEEPCAPS,), _ALL_BITS),
    "setrlimit": (0, (RLIMIT_LOCKS,), _ALL_BITS),
    "prlimit64": (1, (RLIMIT_LOCKS,), _ALL_BITS),
}

_X86_64: Table = {
    92: "chown", 93: "fchown", 94: "lchown", 260: "fchownat", 133: "mknod", 259: "mknodat",
    105: "setuid", 106: "setgid", 113: "setreuid", 114: "setregid", 115: "getgroups",
    116: "setgroups", 117: "setresuid", 118: "getresuid", 119: "setresgid", 120: "getresgid",
    122: "setfsuid", 123: "setfsgid", 102: "getuid", 104: "getgid", 107: "geteuid", 108: "getegid",
    157: "prctl", 160: "setrlimit", 302: "prlimit64",
}  # fmt: skip
# What the older tables of 32 bits have in common.
_SHORT: Table = {
    14: "mknod", 16: "lchown16", 23: "setuid16", 24: "getuid16", 46: "setgid16", 47: "getgid16",
    49: "geteuid16", 50: "getegid16", 70: "setreuid16", 71: "setregid16", 80: "getgroups16",
    81: "setgroups16", 95: "fchown16", 138: "setfsuid16", 139: "setfsgid16", 164: "setresuid16",
    165: "getresuid16", 170: "setresgid16", 171: "getresgid16", 182: "chown16",
    75: "setrlimit", 172: "prctl",
}  # fmt: skip
_LATER: Table = {
    198: "lchown", 199: "getuid", 200: "getgid", 201: "geteuid", 202: "getegid", 203: "setreuid",
    204: "setregid", 205: "getgroups", 206: "setgroups", 207: "fchown", 208: "setresuid",
    209: "getresuid", 210: "setresgid", 211: "getresgid", 212: "chown", 213: "setuid",
    214: "setgid", 215: "setfsuid", 216: "setfsgid",
}  # fmt: skip
_I386 = {**_SHORT, **_LATER, 297: "mknodat", 298: "fchownat", 340: "prlimit64"}
_ARM = {**_SHORT, **_LATER, 324: "mknodat", 325: "fchownat", 369: "prlimit64"}
_S390X = {
    **_LATER, 14: "mknod", 290: "mknodat", 291: "fchownat", 75: "setrlimit", 172: "prctl",
    334: "prlimit64",
}  # fmt: skip
_GENERIC: Table = {
    33: "mknodat", 54: "fchownat", 55: "fchown", 143: "setregid", 144: "setgid", 145: "setreuid",
    146: "setuid", 147: "setresuid", 148: "getresuid", 149: "setresgid", 150: "getresgid",
    151: "setfsuid", 152: "setfsgid", 158: "getgroups", 159: "setgroups", 174: "getuid",
    175: "geteuid", 176: "getgid", 177: "getegid", 164: "setrlimit", 167: "prctl",
    261: "prlimit64",
}  # fmt: skip
_PPC64LE: Table = {
    14: "mknod", 16: "lchown", 23: "setuid", 24: "getuid", 46: "setgid", 47: "getgid",
    49: "geteuid", 50: "getegid", 70: "setreuid", 71: "setregid", 80: "getgroups",
    81: "setgroups", 95: "fchown", 138: "setfsuid", 139: "setfsgid", 164: "setresuid",
    165: "getresuid", 169: "setresgid", 170: "getresgid", 181: "chown", 288: "mknodat",
    289: "fchownat", 75: "setrlimit", 171: "prctl", 325: "prlimit64",
}  # fmt: skip
TABLES: dict[int, Table] = {
    bpf.X86_64: _X86_64, bpf.I386: _I386, bpf.AARCH64: _GENERIC, bpf.ARM: _ARM,
    bpf.RISCV64: _GENERIC, bpf.LOONGARCH64: _GENERIC, bpf.PPC64LE: _PPC64LE, bpf.S390X: _S390X,
}  # fmt: skip
# uname -m → what its kernel runs.
_MACHINES = {
    "x86_64": (bpf.X86_64, bpf.I386), "i686": (bpf.X86_64, bpf.I386),
    "aarch64": (bpf.AARCH64, bpf.ARM), "armv7l": (bpf.AARCH64, bpf.ARM),
    "armv8l": (bpf.AARCH64, bpf.ARM), "riscv64": (bpf.RISCV64,),
    "loongarch64": (bpf.LOONGARCH64,), "ppc64le": (bpf.PPC64LE,), "s390x": (bpf.S390X,),
}  # fmt: skip


def name_of(arch: int, number: int) -> str:
    """The call's name, with SHORT at its end where its ids have 16 bits; "" for none of these."""
    return TABLES.get(arch, {}).get(number, "")


def answering(machine: str, *, with_sysinfo: bool = False, writes: bool = True) -> bytes:
    """The filter that has a listener answer all of them. Empty for a machine that is not known.

    writes: with those that write into memory; with_sysinfo: with sysinfo(2).
    """
    left_out = (*_CHOSEN, *(() if writes else WRITERS))
    arches = _MACHINES.get(machine, ())
    calls = {arch: _numbers(arch, bpf.NOTIFY, left_out) for arch in arches}
    if with_sysinfo:
        for arch, more in sysinfo.calls(machine):
            calls[arch] = calls.get(arch, {}) | dict.fromkeys(more, bpf.NOTIFY)
    return bpf.program(calls, {arch: _checks(arch, bpf.NOTIFY, _CHOSEN) for arch in arches})


def pretending(machine: str) -> bytes:
    """The filter that lets those that change something succeed and do nothing, for where there can
    be no listener. Empty for a machine that is not known."""
    left_out = (*_CHOSEN, *GETTERS, *WRITERS)
    arches = _MACHINES.get(machine, ())
    calls = {arch: _numbers(arch, bpf.SUCCEED, left_out) for arch in arches}
    return bpf.program(calls, {arch: _checks(arch, bpf.SUCCEED, DEVICES) for arch in arches})


def _numbers(arch: int, action: int, left_out: Iterable[str]) -> dict[int, int]:
    return {
        number: action
        for number, name in TABLES[arch].items()
        if name.removesuffix(SHORT) not in left_out
    }


def _checks(arch: int, action: int, names: Iterable[str]) -> dict[int, Check]:
    found = {name: number for number, name in TABLES[arch].items()}
    return {
        found[name]: Check(_CHOSEN[name][0], _CHOSEN[name][1], action, _CHOSEN[name][2])
        for name in names
        if name in found
    }
