"""Where somebody else's test runs: as Podman calls a runtime, or as the user as they are.

usage: place.py namespace|delegated|manager|user PROGRAM [ARG…]

namespace: as root of a user namespace with all of the user's ids, on a host with cgroup v2 alone
(crun refuses a mixed one), in a pid namespace whose numbers have five digits, which one test of
crun's expects. delegated: the same, and our control group, which is the user's, is all that there
is of control groups, as it is for the host's root. manager: root of a user namespace, and nothing
else is hidden of the host and its systemd. The program gets a pseudo-terminal for its output, as
other tests want.
"""

from __future__ import annotations

import os
import pty
import select
import sys
import time

from rootless.cgroup import group as groups
from rootless.cgroup import hierarchy as hierarchies
from rootless.kernel import libc, signals
from rootless.tools import idmap

_CGROUP = "/sys/fs/cgroup"
_LARGE_PID = 20000


def _enter() -> None:
    libc.prctl(libc.PR_SET_PDEATHSIG, signals.SIGKILL)
    if sys.argv[1] == "manager":
        _run()
    libc.unshare(libc.CLONE_NEWNS | libc.CLONE_NEWPID | libc.CLONE_NEWIPC)
    libc.mount(None, "/", None, libc.MS_PRIVATE | libc.MS_REC)
    if os.path.isdir(f"{_CGROUP}/unified"):
        libc.mount(f"{_CGROUP}/unified", _CGROUP, None, libc.MS_BIND | libc.MS_REC)
    if sys.argv[1] == "delegated":
        _be_the_only_group()
    child = os.fork()
    if child == 0:
        libc.prctl(libc.PR_SET_PDEATHSIG, signals.SIGKILL)
        libc.mount("proc", "/proc", "proc", 0)
        with open("/proc/sys/kernel/ns_last_pid", "w") as file:
            file.write(str(_LARGE_PID))
        _run()
    os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def _be_the_only_group() -> None:
    """Our group becomes the root of them all; processes are in a group below, as a root has it."""
    top = hierarchies.discover().directory
    libc.unshare(libc.CLONE_NEWCGROUP)
    os.mkdir(f"{top}/tests")
    for pid in groups.pids(top):
        groups.enter(f"{top}/tests", pid)
    libc.mount(top, _CGROUP, None, libc.MS_BIND)


def _run() -> None:
    """Until the program's end: a container that it has forgotten may keep the terminal open."""
    pid, leader = pty.fork()
    if pid == 0:
        os.execvp(sys.argv[2], sys.argv[2:])
    ended = 0
    while _copy(leader) or not ended:
        if not ended:
            ended, status = os.waitpid(pid, os.WNOHANG)
    os._exit(os.waitstatus_to_exitcode(status))


def _copy(leader: int) -> bool:
    """Pass on what there is within a tenth of a second; whether there was something."""
    try:
        said = os.read(leader, 1 << 16) if select.select([leader], [], [], 0.1)[0] else b""
    except OSError:
        time.sleep(0.05)  # nobody has it open: it is ending
        return False
    os.write(1, said)
    return bool(said)


def main() -> None:
    if sys.argv[1] == "user":
        _run()
    sys.stdout.flush()
    os._exit(idmap.start(_enter).wait())


if __name__ == "__main__":
    main()
