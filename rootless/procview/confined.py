"""The system calls of a file server: what it needs for its answers, and nothing else.

It answers whatever a container asks. Should one of these requests ever make it do what the
container wants, it can then open no file for writing, start no program and no process, reach no
network, send no signal, and make no memory into code.
"""

from __future__ import annotations

import errno
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_ALLOW = "SCMP_ACT_ALLOW"
_PROT_EXEC = 4  # mman-common.h
_WRITING = os.O_ACCMODE | os.O_CREAT | os.O_TRUNC
_CALLS = (
    # The connection, and warnings.
    "read", "readv", "write", "close",
    # Files of the host and of groups; what a stat(2) is depends on the C library.
    "pread64", "lseek", "fstat", "fstat64", "newfstatat", "fstatat64", "stat", "lstat", "statx",
    "readlinkat", "getdents64", "fcntl", "fcntl64",
    # Where they are not done without the kernel's help.
    "clock_gettime", "clock_gettime64", "gettimeofday",
    # Memory and the end.
    "brk", "munmap", "mremap", "madvise", "futex", "rt_sigreturn", "rt_sigprocmask",
    "restart_syscall", "exit", "exit_group",
)  # fmt: skip


def _without(argument: int, bits: int) -> list[dict[str, Any]]:
    """Only where argument number `argument` has none of `bits`."""
    return [{"index": argument, "value": bits, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]


# An OCI `linux.seccomp` document. Nothing is killed: what is refused is an error in one answer.
DOCUMENT: dict[str, Any] = {
    "defaultAction": "SCMP_ACT_ERRNO",
    "defaultErrnoRet": errno.EPERM,
    "syscalls": [
        {"names": list(_CALLS), "action": _ALLOW},
        {"names": ["openat"], "action": _ALLOW, "args": _without(2, _WRITING)},
        # musl's way.
        {"names": ["open"], "action": _ALLOW, "args": _without(1, _WRITING)},
        {"names": ["mmap", "mmap2"], "action": _ALLOW, "args": _without(2, _PROT_EXEC)},
    ],
}
# For the process that answers sysinfo(2) (rootless.procview.notified).
_NOTIFIED = {"names": ["ioctl", "poll", "ppoll", "process_vm_writev"], "action": _ALLOW}
NOTIFIED_DOCUMENT = {**DOCUMENT, "syscalls": [*DOCUMENT["syscalls"], _NOTIFIED]}
# For the process that answers calls about users as well (rootless.runtime.emulation): it looks at
# files as its callers do, notes owners beside them, and makes empty ones in the place of devices.
_EMULATING = {
    "names": [
        "openat2", "fchdir", "chroot", "setxattr", "getxattr", "removexattr", "chmod", "fchmodat",
        "mknod", "mknodat", "process_vm_readv", "prlimit64", "ugetrlimit",
    ],
    "action": _ALLOW,
}  # fmt: skip
EMULATING_DOCUMENT = {**DOCUMENT, "syscalls": [*NOTIFIED_DOCUMENT["syscalls"], _EMULATING]}
