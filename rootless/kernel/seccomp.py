"""Compiles an OCI `linux.seccomp` document into the program that the kernel runs.

libseccomp does the work, through ctypes and only when the cache (`rootless.runtime.seccomp`) has
no program: loading and compiling take some milliseconds. The result is an array of struct
sock_filter, for `libc.seccomp_set_mode_filter`.
"""

from __future__ import annotations

import ctypes
import errno
import os

from rootless import log
from rootless.errors import HostError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

# By its soname: ctypes.util.find_library would run ldconfig and a compiler.
_LIBRARY = "libseccomp.so.2"

# seccomp.h of libseccomp, the values of linux/seccomp.h. The low 16 bits are the error number
# (ERRNO) or the message (TRACE).
ACTIONS = {
    "SCMP_ACT_KILL": 0x00000000,
    "SCMP_ACT_KILL_THREAD": 0x00000000,
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_TRAP": 0x00030000,
    "SCMP_ACT_ERRNO": 0x00050000,
    "SCMP_ACT_NOTIFY": 0x7FC00000,
    "SCMP_ACT_TRACE": 0x7FF00000,
    "SCMP_ACT_LOG": 0x7FFC0000,
    "SCMP_ACT_ALLOW": 0x7FFF0000,
}
# All that libseccomp may know; which of them it does, it is asked.
_ARCHITECTURES = (
    "X86", "X86_64", "X32", "ARM", "AARCH64", "LOONGARCH64", "M68K", "MIPS", "MIPS64", "MIPS64N32",
    "MIPSEL", "MIPSEL64", "MIPSEL64N32", "PPC", "PPC64", "PPC64LE", "S390", "S390X", "PARISC",
    "PARISC64", "RISCV64", "SHEB", "SH",
)  # fmt: skip
_WITH_NUMBER = ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE")

OPERATORS = {
    "SCMP_CMP_NE": 1,
    "SCMP_CMP_LT": 2,
    "SCMP_CMP_LE": 3,
    "SCMP_CMP_EQ": 4,
    "SCMP_CMP_GE": 5,
    "SCMP_CMP_GT": 6,
    "SCMP_CMP_MASKED_EQ": 7,
}

# enum scmp_filter_attr
_ATTR_BAD_ARCH = 2
_ATTR_OPTIMIZE = 8
_BINARY_TREE = 2

_UNKNOWN = -1  # __NR_SCMP_ERROR
_BPF_MAXINSNS = 4096  # linux/bpf_common.h
_INSTRUCTION_SIZE = 8


class _Comparison(ctypes.Structure):
    _fields_ = [
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("datum_a", ctypes.c_uint64),
        ("datum_b", ctypes.c_uint64),
    ]


def compile_filter(document: Mapping[str, Any]) -> bytes:
    """The program of `document`, for its `architectures` (none: the machine's own).

    A call of another architecture, of x32 too where that is not among them, fails with ENOSYS.
    System calls that this libseccomp does not know are left to the default action and told to
    log.effect. Raises HostError without libseccomp, UsageError for a document that it refuses.
    """
    library = _load()
    context = library.seccomp_init(ctypes.c_uint32(_default_action(document)))
    if not context:
        raise UsageError(f"seccomp profile: defaultAction {document['defaultAction']} is refused")
    filter_ = ctypes.c_void_p(context)
    try:
        _set_attributes(library, filter_)
        _add_architectures(library, filter_, document.get("architectures") or ())
        _add_rules(library, filter_, document)
        return _export(library, filter_)
    finally:
        library.seccomp_release(filter_)


def architectures() -> list[str]:
    """Those that a document may name (SCMP_ARCH_…). Raises HostError without libseccomp."""
    library = _load()
    names = [name for name in _ARCHITECTURES
             if library.seccomp_arch_resolve_name(name.lower().encode())]  # fmt: skip
    return [f"SCMP_ARCH_{name}" for name in names]


def _load() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(_LIBRARY)
    except OSError as error:
        raise HostError(
            f"{_LIBRARY}: not installed, no seccomp filter can be made",
            hint="sudo apt-get install libseccomp2",
        ) from error
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_arch_resolve_name.restype = ctypes.c_uint32
    library.seccomp_arch_native.restype = ctypes.c_uint32
    return library


def _set_attributes(library: ctypes.CDLL, filter_: ctypes.c_void_p) -> None:
    # The library's own choice is to kill. ENOSYS is what a kernel without that ABI says.
    bad_arch = ACTIONS["SCMP_ACT_ERRNO"] | errno.ENOSYS
    _check(library.seccomp_attr_set(filter_, _ATTR_BAD_ARCH, ctypes.c_uint32(bad_arch)))
    # From 2.5 on; before, the program compares with one system call after the other. Slower only.
    library.seccomp_attr_set(filter_, _ATTR_OPTIMIZE, ctypes.c_uint32(_BINARY_TREE))


def _add_architectures(
    library: ctypes.CDLL, filter_: ctypes.c_void_p, architectures: Sequence[str]
) -> None:
    native = library.seccomp_arch_native()
    wanted = [_token(library, name) for name in architectures] or [native]
    # First out, then in: one filter cannot hold machines of both byte orders.
    if native not in wanted:
        _check(library.seccomp_arch_remove(filter_, ctypes.c_uint32(native)))
    for token in wanted:
        _check(library.seccomp_arch_add(filter_, ctypes.c_uint32(token)), allowed=(errno.EEXIST,))


def _token(library: ctypes.CDLL, name: str) -> int:
    short = name.removeprefix("SCMP_ARCH_").lower()
    token: int = library.seccomp_arch_resolve_name(short.encode())
    if not token:
        raise UsageError(f"seccomp profile: architecture {name} is unknown to {_LIBRARY}")
    return token


def _add_rules(library: ctypes.CDLL, filter_: ctypes.c_void_p, document: Mapping[str, Any]) -> None:
    default = _default_action(document)
    unknown: list[str] = []
    for rule in document.get("syscalls") or ():
        action = _action(rule["action"], rule.get("errnoRet"))
        # The library refuses a rule that only repeats the default.
        if action == default:
            continue
        alternatives = _comparisons(rule.get("args") or ())
        for name in rule["names"]:
            number = library.seccomp_syscall_resolve_name(name.encode())
            if number == _UNKNOWN:
                unknown.append(name)
                continue
            for comparisons in alternatives:
                _add_rule(library, filter_, action, number, name, comparisons)
    if unknown:
        log.effect(f"seccomp: unknown to {_LIBRARY}, left to the default: {' '.join(unknown)}")


def _add_rule(
    library: ctypes.CDLL,
    filter_: ctypes.c_void_p,
    action: int,
    number: int,
    name: str,
    comparisons: Sequence[_Comparison],
) -> None:
    array = (_Comparison * len(comparisons))(*comparisons)
    result = library.seccomp_rule_add_array(
        filter_, ctypes.c_uint32(action), number, len(comparisons), array
    )
    # EEXIST: an earlier rule says it already, as where two capabilities open the same call.
    _check(result, allowed=(errno.EEXIST,), name=name)


def _comparisons(args: Sequence[Mapping[str, Any]]) -> list[list[_Comparison]]:
    """The rules that `args` make: one, or one for each when an argument is compared twice.

    The library takes one comparison for each argument of a rule; runc and crun split such a rule,
    so that profiles count on it.
    """
    comparisons = [
        _Comparison(
            argument["index"],
            _lookup(OPERATORS, argument["op"], "operator"),
            argument["value"],
            argument.get("valueTwo", 0),
        )
        for argument in args
    ]
    if len({comparison.arg for comparison in comparisons}) < len(comparisons):
        return [[comparison] for comparison in comparisons]
    return [comparisons]


def _default_action(document: Mapping[str, Any]) -> int:
    return _action(document["defaultAction"], document.get("defaultErrnoRet"))


def _action(name: str, number: int | None) -> int:
    """The kernel's code of an action; EPERM where ERRNO has no number (runtime-spec)."""
    code = _lookup(ACTIONS, name, "action")
    if name not in _WITH_NUMBER:
        return code
    return code | (errno.EPERM if number is None else number) & 0xFFFF


def _lookup(table: Mapping[str, int], name: str, kind: str) -> int:
    if name not in table:
        raise UsageError(
            f"seccomp profile: no such {kind}: {name}", hint=f"one of: {', '.join(table)}"
        )
    return table[name]


def _export(library: ctypes.CDLL, filter_: ctypes.c_void_p) -> bytes:
    fd = os.memfd_create("seccomp")
    try:
        _check(library.seccomp_export_bpf(filter_, fd))
        program = os.pread(fd, os.fstat(fd).st_size, 0)
    finally:
        os.close(fd)
    count = len(program) // _INSTRUCTION_SIZE
    if count > _BPF_MAXINSNS:
        raise UsageError(
            f"seccomp profile: {count} instructions, more than the kernel's {_BPF_MAXINSNS}"
        )
    return program


def _check(result: int, *, allowed: Sequence[int] = (), name: str = "") -> None:
    if result < 0 and -result not in allowed:
        subject = f" {name}" if name else ""
        raise UsageError(f"seccomp profile:{subject} {os.strerror(-result)} ({_LIBRARY})")
