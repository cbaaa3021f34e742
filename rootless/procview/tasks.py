"""What the threads of a group do at the moment: running, waiting for a disk, or neither."""

from __future__ import annotations

import os

from rootless.model.value import Value

# So many are looked at, 12 microseconds each; of more, an even sample.
MOST = 256
# A container may nest groups as deep and wide as it likes.
_GROUPS = 64
_CHUNK = 1 << 16


class Tasks(Value):
    """running, blocked: threads in state R and D (proc(5)); total: all; last_pid: the pid, in the
    container, of the thread with the highest number."""

    __slots__ = ("blocked", "last_pid", "running", "total")

    def __init__(self, running: int, blocked: int, total: int, last_pid: int) -> None:
        self.running = running
        self.blocked = blocked
        self.total = total
        self.last_pid = last_pid


def look(directory: str, proc: str = "/proc", most: int = MOST) -> Tasks | None:
    """Count the threads of the group `directory` and of those below; None when it is gone."""
    threads = _threads(directory)
    if threads is None:
        return None
    # Odd, since threads often come in pairs that differ.
    step = -(-len(threads) // most) | 1
    states = [_state(f"{proc}/{thread}/stat") for thread in threads[::step]]
    running, blocked = states.count(b"R") * step, states.count(b"D") * step
    last = _inner_pid(f"{proc}/{max(threads)}/status") if threads else 0
    return Tasks(min(running, len(threads)), min(blocked, len(threads)), len(threads), last)


def _threads(directory: str) -> list[int] | None:
    pending, found, looked = [directory], [], 0
    while pending and looked < _GROUPS:
        path = pending.pop()
        text = read_text(f"{path}/cgroup.threads")
        if text is None and path is directory:
            return None
        found += [int(word) for word in (text or b"").split()]
        pending += _below(path)
        looked += 1
    return found


def _below(directory: str) -> list[str]:
    try:
        # A directory has two links, and one more for each directory in it.
        if os.stat(directory).st_nlink == 2:
            return []
        with os.scandir(directory) as entries:
            return [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []


def _state(path: str) -> bytes:
    # The name, in parentheses, may hold anything.
    return (read_text(path) or b"").rpartition(b") ")[2][:1]


def _inner_pid(path: str) -> int:
    """The second number of NSpid: as the pid namespace just below ours counts (proc(5))."""
    text = read_text(path) or b""
    pids = text.partition(b"\nNSpid:")[2].partition(b"\n")[0].split()
    return int(pids[:2][-1]) if pids else 0


def read_text(path: str) -> bytes | None:
    """A whole file of the kernel's; None when it is not there, or what it tells of has ended."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return read_whole(fd)
    except OSError:
        return None  # ended meanwhile
    finally:
        os.close(fd)


def read_whole(fd: int) -> bytes:
    """A file of the kernel's from its beginning, in as many reads as it takes. Raises OSError."""
    text = chunk = os.pread(fd, _CHUNK, 0)
    while chunk:
        chunk = os.pread(fd, _CHUNK, len(text))
        text += chunk
    return text
