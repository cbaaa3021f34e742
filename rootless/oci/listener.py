"""The listener of a seccomp filter: installed, and sent to who answers (config-linux.md, "Container
Process State")."""

from __future__ import annotations

import os
import time

from rootless.errors import RuntimeSetupError
from rootless.kernel import libc, notify, signals
from rootless.oci import fdsocket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    from rootless.oci.statedir import Record

# As crun and runc have it, and the specification's own example.
_VERSION = "0.2.0"
_NEW_LISTENER = 8
_CLONE_FILES = 0x400
_STEP, _STEPS = 0.001, 5000


def state_of(record: Record, pid: int, metadata: str, status: str) -> dict[str, Any]:
    """What is sent along for the process `pid` of a container whose state is `status`."""
    return {
        "ociVersion": _VERSION, "fds": ["seccompFd"], "pid": pid, "metadata": metadata,
        "state": record.document(status),
    }  # fmt: skip


def install(program: bytes, flags: int, connected: int, state: dict[str, Any]) -> None:
    """Install the filter and send its listener with `state` over the socket `connected`.

    A child that shares our descriptors, from before the filter, sends it: that may stop any system
    call of ours until somebody answers. Raises OSError, RuntimeSetupError.
    """
    number = _next_descriptor()
    helper = libc.fork_into(_CLONE_FILES)
    if helper == 0:
        _send_when_there(number, connected, state)
    try:
        notify.install_filter(program, flags | _NEW_LISTENER)
    except OSError:
        os.kill(helper, signals.SIGKILL)
        os.waitpid(helper, 0)
        raise
    if os.waitpid(helper, 0)[1]:
        raise RuntimeSetupError("linux.seccomp.listenerPath: nobody took the listener")
    os.close(number)


def _next_descriptor() -> int:
    """The kernel gives the lowest number that is free (open(2))."""
    number = os.dup(0)
    os.close(number)
    return number


def _send_when_there(number: int, connected: int, state: dict[str, Any]) -> NoReturn:
    code = 1
    try:
        libc.prctl(libc.PR_SET_PDEATHSIG, signals.SIGKILL)
        for _ in range(_STEPS):
            if _is_open(number):
                fdsocket.send(connected, state, [number])
                code = 0
                break
            time.sleep(_STEP)
    finally:
        os._exit(code)


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True
