"""Commands that run in containers by `rl exec`: a symbolic link for each, to its process.

CONTAINER-ID → BOOT:PID:STARTED, of the rl-exec that waits for the command. Links are made and read
in one system call, and never half written. They are not in the container's live directory, so that
neither a start of a command nor its end is in the way of the container's own end. A killed rl-exec
leaves its link, which means nothing any more.
"""

from __future__ import annotations

import os

from rootless.kernel import proc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.store.paths import Paths


def new_id() -> str:
    """64 hexadecimal digits, as docker's."""
    return os.urandom(32).hex()


def add(paths: Paths, container_id: str, exec_id: str, pid: int) -> None:
    """Note that process `pid` is the rl-exec of a command. Raises OSError."""
    link = _link(paths, container_id, exec_id)
    target = f"{proc.boot_id()}:{pid}:{proc.start_time(pid)}"
    try:
        os.symlink(target, link)
    except FileNotFoundError:
        os.makedirs(paths.execs, 0o700, exist_ok=True)
        os.symlink(target, link)


def remove(paths: Paths, container_id: str, exec_id: str) -> None:
    """The command has ended. Never raises."""
    try:
        os.unlink(_link(paths, container_id, exec_id))
    except OSError:
        pass  # nothing but a link to a process that is no more


def of_container(paths: Paths, container_id: str) -> dict[str, int]:
    """The commands that run in a container: id → pid of their rl-exec."""
    try:
        names = os.listdir(paths.execs)
    except FileNotFoundError:
        return {}
    boot, found = proc.boot_id(), {}
    for name in sorted(names):
        owner, _, exec_id = name.partition("-")
        if owner == container_id:
            pid = _pid_of(f"{paths.execs}/{name}", boot)
            if pid:
                found[exec_id] = pid
            else:
                remove(paths, container_id, exec_id)
    return found


def _link(paths: Paths, container_id: str, exec_id: str) -> str:
    return f"{paths.execs}/{container_id}-{exec_id}"


def _pid_of(path: str, boot: str) -> int:
    """0 where the process has ended."""
    try:
        noted, pid, started = os.readlink(path).split(":")
        return int(pid) if noted == boot and proc.is_alive(int(pid), int(started)) else 0
    except (OSError, ValueError):
        return 0
