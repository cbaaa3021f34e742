"""Where somebody else's test runs: as Podman calls a runtime, or as the user as they are.

usage: place.py namespace|user PROGRAM [ARG…]

namespace: as root of a user namespace with all of the user's ids, on a host with cgroup v2 alone
(crun refuses a mixed one), in a pid namespace whose numbers have five digits, which one test of
crun's expects. The program gets a pseudo-terminal for its output, as other tests want.
"""

from __future__ import annotations

import os
import pty
import sys

from rootless.kernel import libc
from rootless.tools import idmap

_CGROUP = "/sys/fs/cgroup"
_LARGE_PID = 20000


def _enter() -> None:
    libc.unshare(libc.CLONE_NEWNS | libc.CLONE_NEWPID | libc.CLONE_NEWIPC)
    libc.mount(None, "/", None, libc.MS_PRIVATE | libc.MS_REC)
    if os.path.isdir(f"{_CGROUP}/unified"):
        libc.mount(f"{_CGROUP}/unified", _CGROUP, None, libc.MS_BIND | libc.MS_REC)
    child = os.fork()
    if child == 0:
        libc.mount("proc", "/proc", "proc", 0)
        with open("/proc/sys/kernel/ns_last_pid", "w") as file:
            file.write(str(_LARGE_PID))
        _run()
    os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def _run() -> None:
    status = pty.spawn(sys.argv[2:])
    os._exit(os.waitstatus_to_exitcode(status))


def main() -> None:
    if sys.argv[1] == "user":
        _run()
    sys.stdout.flush()
    os._exit(idmap.start(_enter).wait())


if __name__ == "__main__":
    main()
