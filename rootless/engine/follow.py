"""Following the logs of containers until these have ended, asleep while nothing happens."""

from __future__ import annotations

import os
import select
import time

from rootless.engine import recover
from rootless.engine.pump import milliseconds, poll
from rootless.errors import NotFoundError
from rootless.kernel import proc
from rootless.kernel.inotify import Watch, sees_all_of
from rootless.store import containers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.store.paths import Paths

# While one of these is in the record there may be more output.
_UP = ("running", "paused", "restarting")
_REMOVED = "removed"
# How often to look where nobody tells of changes: on a network file system, without inotify.
_LOOK_S = 1.0
# Between the end of a container's processes and the note of it in its record, or the other way.
_GRACE_S = 2.0
_GRACE_LOOK_S = 0.1


class Life:
    """Whether a container may still say something.

    Its record tells, which whoever looks after it replaces at the end; the processes that do look
    after it tell of that by their own ends, should it not come to the note.
    """

    def __init__(self, paths: Paths, container_id: str) -> None:
        self._paths = paths
        self._id = container_id
        self._pidfds: list[int] = []
        self._alone_since = 0.0
        self._seen: tuple[int, int] | None = None
        self._status = ""
        self._is_here = True
        self._supervised = False

    @property
    def fds(self) -> list[int]:
        """Become readable when a process that looks after the container ends."""
        return self._pidfds

    @property
    def next_look(self) -> float | None:
        """Seconds after which to ask again although nothing was heard; None for never."""
        return _GRACE_LOOK_S if self._alone_since else None

    def is_over(self) -> bool:
        """Whether everything that the container will ever say is in its log."""
        if self._read_status() not in _UP:
            return self._is_settled()
        if not self._is_here:
            return False  # its processes are another machine's; the record has to tell
        self._drop_ended()
        if not self._pidfds:
            self._open_pidfds()
        if self._pidfds:
            self._alone_since = 0.0
            return False
        return self._is_left_alone()

    def close(self) -> None:
        """Let go of the processes."""
        for fd in self._pidfds:
            os.close(fd)
        self._pidfds = []

    def _read_status(self) -> str:
        """The status in the record, which is read again when it was replaced."""
        path = f"{containers.directory(self._paths, self._id)}/container.json"
        try:
            info = os.stat(path)
            if self._seen != (info.st_ino, info.st_mtime_ns):
                record = containers.read_record(self._paths, self._id)
                self._status = str(record["status"])
                self._is_here = record["host"] == proc.host()
                self._seen = (info.st_ino, info.st_mtime_ns)
        except (FileNotFoundError, NotFoundError):
            self._status = _REMOVED
        return self._status

    def _drop_ended(self) -> None:
        ended = poll(dict.fromkeys(self._pidfds, select.POLLIN), 0)
        for fd in ended:
            os.close(fd)
            self._pidfds.remove(fd)

    def _open_pidfds(self) -> None:
        state = containers.read_state(self._paths, self._id)
        if state.get("boot") != proc.boot_id():
            return
        self._supervised = "supervisor" in state.get("processes", {})
        for name in ("supervisor", "keeper"):
            pid, started = state.get("processes", {}).get(name, (0, 0))
            fd = proc.open_pidfd(pid, started)
            if fd >= 0:
                self._pidfds.append(fd)

    def _is_settled(self) -> bool:
        """A supervisor that has noted the end notes a restart a moment later, or ends as well."""
        self._drop_ended()
        if self._status == _REMOVED or not (self._supervised and self._pidfds):
            return True
        return self._has_waited()

    def _has_waited(self) -> bool:
        """Whether the grace is over, which begins with the first call."""
        now = time.monotonic()
        self._alone_since = self._alone_since or now
        return now - self._alone_since >= _GRACE_S

    def _is_left_alone(self) -> bool:
        if not self._has_waited():
            return False
        recover.tidy(self._paths)
        recover.heal_records(self._paths)
        # Held: a start that has not written its state yet.
        self._alone_since = 0.0
        return self._read_status() not in _UP or not self._is_held()

    def _is_held(self) -> bool:
        lock = containers.live_lock(self._paths, self._id)
        try:
            return not lock.acquire()
        except FileNotFoundError:
            return False
        finally:
            lock.release()


class Followed:
    """One container to follow. print_new: writes what has come, told whether it is the last
    time. fds: tell of news besides those
    of the watched `directories`."""

    def __init__(
        self,
        life: Life,
        print_new: Callable[[bool], None],
        directories: list[str],
        fds: Callable[[], list[int]],
    ) -> None:
        self.life = life
        self.print_new = print_new
        self.directories = directories
        self.fds = fds


def follow(
    followed: list[Followed], reader: int, until: float | None, flush: Callable[[], None]
) -> None:
    """Print what comes until every container has ended, or until `until` (seconds since 1970).

    reader: a descriptor whose hang-up ends it at once: that of who reads. flush: called before
    each wait.
    """
    watch = Watch()
    try:
        left = list(followed)
        while left:
            # Before the look at the files: nobody is woken by what came between a look and a wait.
            watched = _watch(watch, left)
            watch.clear()
            left = [one for one in left if not _print_one(one)]
            flush()
            if not left or (until is not None and time.time() >= until):
                return
            fds = [fd for one in left for fd in (*one.life.fds, *one.fds())]
            masks = {**dict.fromkeys([watch.fd, *fds], select.POLLIN), reader: 0}
            if poll(masks, _timeout_ms(left, until, watched=watched)).get(reader, 0):
                raise BrokenPipeError
    finally:
        watch.close()
        for one in followed:
            one.life.close()


def _print_one(one: Followed) -> bool:
    """Print what has come; whether that was the last of it."""
    is_over = one.life.is_over()
    one.print_new(is_over)
    return is_over


def _watch(watch: Watch, followed: list[Followed]) -> bool:
    """Watch what can be watched; whether it tells of everything."""
    complete = True
    for directory in (name for one in followed for name in one.directories):
        try:
            watch.add(directory)
        except OSError:
            complete = False
        else:
            complete = complete and sees_all_of(directory)
    return complete


def _timeout_ms(followed: list[Followed], until: float | None, *, watched: bool) -> int | None:
    waits = [one.life.next_look for one in followed]
    waits.append(None if until is None else until - time.time())
    waits.append(None if watched else _LOOK_S)
    known = [wait for wait in waits if wait is not None]
    return milliseconds(min(known)) if known else None
