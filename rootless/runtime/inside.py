"""A process of ours in a container's user namespace, with the container's root file system open.

For `rl cp`, `rl export` and `rl diff`: what it does there it does with the ids and the rights of
the container's root, never with more. For a container that runs it joins the user namespace alone,
so that no process of the container sees it, and reaches the files through descriptors. For one that
does not run it mounts the root file system as the keeper would, in a mount namespace of its own
that ends with it.
"""

from __future__ import annotations

import marshal
import os

from rootless.errors import RlError, RuntimeSetupError, from_fields, to_fields
from rootless.kernel import libc, mounts, proc, rlimits, signals
from rootless.kernel.channel import close_all_but
from rootless.model.idmap import IdMaps, parse_map
from rootless.runtime import rootfs
from rootless.tools import idmap, spawn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, BinaryIO

    from rootless.runtime.messages import RootfsRequest

    Send = Callable[[Any], None]
    # What is done there: gets the root's descriptor, and what its owner receives.
    Work = Callable[[int, Send], None]

_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


class Running:
    """A running container: its first process, and its keeper where that is to be looked through.

    merged: the root file system's path in the keeper's mount namespace, without what is mounted in
    the container; "" for the container's own view.
    """

    __slots__ = ("init", "keeper", "merged")

    def __init__(
        self, init: tuple[int, int], keeper: tuple[int, int] = (0, 0), merged: str = ""
    ) -> None:
        self.init = init
        self.keeper = keeper
        self.merged = merged

    def enter(self) -> int:
        """Join the container's user namespace; the descriptor of its root. RuntimeSetupError."""
        try:
            init = _open_process(*self.init)
            if not self.merged:
                _join_user_namespace(init)
                return os.open("root", _FOLDER, dir_fd=init)
            keeper = _open_process(*self.keeper)
            _join_user_namespace(keeper)
            host_root = os.open("root", _FOLDER, dir_fd=keeper)
            root = os.open(self.merged.lstrip("/"), _FOLDER, dir_fd=host_root)
            _join_user_namespace(init)
            return root
        except OSError as error:
            raise RuntimeSetupError(f"entering the container: {error.strerror}", "rl ps") from error


def _open_process(pid: int, started: int) -> int:
    """The directory of that very process in /proc: whoever gets its number later is not there."""
    folder = os.open(f"/proc/{pid}", _FOLDER)
    if not proc.is_alive(pid, started):
        raise ProcessLookupError(3, "it has ended")
    return folder


def _join_user_namespace(process: int) -> None:
    there = os.open("ns/user", os.O_RDONLY | os.O_CLOEXEC, dir_fd=process)
    try:
        if not os.path.samestat(os.fstat(there), os.stat("/proc/self/ns/user")):
            libc.setns(there, libc.CLONE_NEWUSER)
            _become_root()
    finally:
        os.close(there)


def _become_root() -> None:
    """Be 0:0 where the namespace has that; where it has one id alone, capabilities are enough."""
    changes: list[Callable[[], None]] = [
        lambda: os.setgroups([]),
        lambda: os.setresgid(0, 0, 0),
        lambda: os.setresuid(0, 0, 0),
    ]
    for change in changes:
        try:
            change()
        except OSError:
            continue
    libc.prctl(libc.PR_SET_DUMPABLE, 1)


class Stopped:
    """A container that does not run: what its root file system is made of.

    binds: mounts of its OCI document to have as well. inner: the maps of a nested user namespace.
    """

    __slots__ = ("binds", "inner", "read_only", "request")

    def __init__(
        self,
        request: RootfsRequest,
        binds: list[dict[str, Any]],
        inner: IdMaps | None,
        *,
        read_only: bool,
    ) -> None:
        self.request = request
        self.binds = binds
        self.inner = inner
        self.read_only = read_only

    def mount(self) -> tuple[rootfs.Rootfs, int]:
        """Make the root file system in a new mount namespace; it and its descriptor."""
        from rootless.runtime import keeper
        from rootless.runtime.mounting import apply_mounts

        keeper.leave_mounts_of_host()
        made = rootfs.make(self.request)
        root = os.open(made.path, _FOLDER)
        try:
            apply_mounts(root, self.binds)
            if self.read_only:
                mounts.add_flags(root, libc.MS_RDONLY, recursive=False)
        except BaseException:
            made.unmount(discard=True)
            raise
        return made, root


_DONE = "done"


class Report:
    """Where the process sends what its owner receives, values of the types that marshal carries."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def send(self, value: Any) -> None:
        """Send one value."""
        self._put(("ok", value))

    def guard(self, action: Callable[[], None]) -> None:
        """Do `action`; what it raises is told to the owner instead."""
        try:
            action()
        except RlError as error:
            self._put(("rl", to_fields(error)))
        except OSError as error:
            self._put(("os", (error.errno, error.strerror, error.filename)))

    def _put(self, told: tuple[str, Any]) -> None:
        try:
            os.write(self.fd, marshal.dumps(told))
        except BrokenPipeError:
            pass  # the owner has given up


class Inside:
    """The process, seen from its owner: `receive` what it sends, `wait` for its end."""

    def __init__(self, child: spawn.Child, report: BinaryIO) -> None:
        self._child = child
        self._report = report

    def receive(self) -> Any:
        """The next value. Raises the RlError or OSError that ended the work instead."""
        try:
            kind, value = marshal.load(self._report)
        except (EOFError, ValueError, TypeError):
            raise RlError("a helper process inside the container was killed") from None
        if kind == "os":
            raise OSError(*value)
        if kind == "rl":
            raise from_fields(*value)
        return value

    def finish(self) -> None:
        """Receive what is left, until the work has ended. Raises what `receive` raises."""
        while self.receive() != _DONE:
            pass

    def kill(self) -> None:
        """End it, and all that it has started, where nothing that it reads or writes would."""
        self._child.kill()

    def close(self) -> None:
        """Wait for its end; the caller has closed the streams that it reads or writes."""
        if not self._report.closed:
            self._report.close()
            self._child.wait()


def enter_running(container: Running, work: Work, keep: Sequence[int] = ()) -> Inside:
    """Start `work` in a running container. keep: the descriptors that it needs."""

    def do(report: Report, owner: int) -> None:
        root = container.enter()
        _die_with(owner)
        work(root, report.send)

    return _start(_fork, do, keep)


def enter_stopped(container: Stopped, work: Work, keep: Sequence[int] = ()) -> Inside:
    """Mount the root file system of a container that does not run, and start `work` in it.

    The caller holds the container's live lock. Raises HostError.
    """

    def do(report: Report, owner: int) -> None:
        _die_with(owner)
        made, root = container.mount()
        try:
            _do_apart(container.inner, lambda: work(root, report.send), report)
        finally:
            os.close(root)
            os.chdir("/")
            made.unmount(discard=False, with_all_below=True)

    return _start(idmap.start, do, keep)


def _do_apart(inner: IdMaps | None, work: Callable[[], None], report: Report) -> None:
    """Do it in a process of its own: what it has opened is closed with it, or nothing could be
    unmounted. inner: in a nested user namespace."""
    owner = os.getpid()

    def body() -> None:
        _die_with(owner)
        report.guard(work)

    child = _fork(body) if inner is None else idmap.start(body, inner)
    if child.wait():
        raise RlError("a helper process inside the container was killed")


def _start(
    begin: Callable[[Callable[[], None]], spawn.Child],
    do: Callable[[Report, int], None],
    keep: Sequence[int],
) -> Inside:
    read_end, write_end = os.pipe()
    owner = os.getpid()

    def body() -> None:
        # A copy of the other end of a pipe would keep it from ever ending.
        close_all_but((write_end, *keep))
        # Ctrl-C is for the owner: its end of the streams closes, or it ends and this does, too.
        signals.signal(signals.SIGINT, signals.SIG_IGN)
        rlimits.raise_open_files()
        report = Report(write_end)
        report.guard(lambda: do(report, owner))
        report.send(_DONE)

    try:
        child = begin(body)
    except BaseException:
        os.close(read_end)
        raise
    finally:
        os.close(write_end)
    return Inside(child, open(read_end, "rb"))


def _fork(body: Callable[[], None]) -> spawn.Child:
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            body()
            code = 0
        finally:
            os._exit(code)
    return spawn.Child(pid)


def _die_with(owner: int) -> None:
    """End when `owner` does; to be said again after a change of ids, with which it is forgotten."""
    libc.prctl(libc.PR_SET_PDEATHSIG, signals.SIGKILL)
    if os.getppid() != owner:
        os._exit(1)


def own_maps() -> IdMaps:
    """The id maps of the user namespace that this process is in."""
    with open("/proc/self/uid_map") as uids, open("/proc/self/gid_map") as gids:
        return IdMaps(parse_map(uids.read()), parse_map(gids.read()))
