"""Our own interpreter out of reach of containers: executed anew from a sealed copy in memory.

Who enters a container that runs cannot check first what it then executes: the container changes the
file in between. With a link to /proc/self/exe it would have our interpreter executed there, and
could open and later overwrite that file of the host (CVE-2019-5736). A sealed copy it may have.
"""

from __future__ import annotations

import os
import sys

from rootless import log
from rootless.kernel import libc

_NAME = "rl"
_SELF = "/proc/self/exe"
_ALL_AT_ONCE = 1 << 30
# linux/memfd.h, since 6.3; needed where vm.memfd_noexec is 1.
_MFD_EXEC = 0x10


def run_from_copy() -> None:
    """Return as a process whose interpreter nobody in a container could overwrite.

    Where that file is somebody else's, usually root's, that is so already. Else this process is
    executed anew, with the same arguments: to be called before anything was done. Where the host
    allows no programs in memory (vm.memfd_noexec=2) what is left is payload.refuse_interpreter.
    """
    if os.readlink(_SELF).startswith("/memfd:"):
        libc.prctl_name(_NAME)  # else the number of a descriptor
        return
    # A copy's mode says nothing: its seals count.
    if not os.access(_SELF, os.W_OK):
        return
    try:
        os.execve(_sealed_copy(), sys.orig_argv, os.environ)
    except OSError as error:
        log.effect(f"no copy of {os.readlink(_SELF)} in memory: {error.strerror}")


def _sealed_copy() -> int:
    import fcntl

    source = os.open(_SELF, os.O_RDONLY | os.O_CLOEXEC)
    copy = _memory_file()
    while os.sendfile(copy, source, None, _ALL_AT_ONCE):
        pass
    os.close(source)
    seals = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
    fcntl.fcntl(copy, fcntl.F_ADD_SEALS, seals)
    return copy


def _memory_file() -> int:
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        return os.memfd_create(_NAME, flags | _MFD_EXEC)
    except OSError:
        return os.memfd_create(_NAME, flags)
