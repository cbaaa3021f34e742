"""The container's view of its machine: mounted by the keeper, answered by a fork of it.

The answering process is outside of the container's namespaces and control group, so nothing that
the container does stops it. It has no capability, and of descriptors only the connection and files
of the host that anybody may read.
"""

from __future__ import annotations

import os

from rootless import log
from rootless.cgroup import hierarchy
from rootless.kernel import capabilities, libc, signals
from rootless.kernel.channel import close_all_but
from rootless.procview import server
from rootless.procview.contents import FILES
from rootless.procview.hostdir import PassThrough
from rootless.procview.readers import Readers
from rootless.procview.source import Host, Level, Source
from rootless.procview.tree import Directory, File
from rootless.procview.watched import Watched

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from rootless.procview.contents import Keeper
    from rootless.procview.server import Connection
    from rootless.procview.tree import Node
    from rootless.runtime.messages import Request

_SYSFS_CPUS = "/sys/devices/system/cpu"
_SYSFS_NODES = "/sys/devices/system/node"


class View:
    """A view that is mounted, and answered from `serve` on; `fd` is for poll(2), see `look`."""

    def __init__(self, request: Request) -> None:
        """Raises OSError where it cannot be mounted."""
        self._place = request["view"]
        self._seccomp = request["view_seccomp"]
        self._host = Host()
        self._cpus = _open_directory(_SYSFS_CPUS)
        self._nodes = _open_directory(_SYSFS_NODES) if os.path.isdir(_SYSFS_NODES) else -1
        self._connection: Connection = server.mount(self._place)
        self._readers = readers_of(self._host, request, self._connection.page)
        self._root = _tree(self._readers, self._cpus, self._nodes)
        self._watched = Watched(self._connection, self._fork)

    @property
    def fd(self) -> int:
        """Readable when `look` has something to do; -1 when there is nothing to watch."""
        return self._watched.fd

    @property
    def pid(self) -> int:
        """Of the process that answers, 0 without one."""
        return self._watched.pid

    @property
    def private(self) -> list[int]:
        """Descriptors that no other process may keep: one that waits for the view while it has the
        connection itself could not be killed, were the view to end."""
        folders = [fd for fd in (self._cpus, self._nodes) if fd >= 0]
        return [self._connection.fd, *folders, *self._host.fds()]

    def serve(self) -> None:
        """Have it answered from now on."""
        self._watched.begin()

    def look(self) -> None:
        """Put another process in the place of one that has died."""
        self._watched.look()

    def stop(self) -> None:
        """End it and take it off the keeper's namespace. Raises OSError."""
        self._watched.stop()
        log.effect(f"umount {self._place}")
        libc.umount2(self._place, libc.MNT_DETACH)

    def _fork(self) -> int:
        pid = os.fork()
        if pid == 0:
            self._serve()
        return pid

    def _serve(self) -> NoReturn:
        try:
            libc.prctl(libc.PR_SET_PDEATHSIG, signals.SIGKILL)
            libc.prctl_name("rl-view")
            libc.set_command_line("rl-view")
            close_all_but({0, 1, 2, *self.private})
            # It answers whatever the container asks: what it may do is read what everybody may.
            capabilities.set_sets({})
            libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)
            self._readers.container.resume()
            if self._seccomp:
                libc.seccomp_set_mode_filter(self._seccomp)
            server.serve(self._connection, self._root)
        except BaseException as error:
            log.warn(f"the view of /proc: {error!r}")
            os._exit(1)
        os._exit(0)


def begin(request: Request) -> View | None:
    """The view that `request` wants. Without one a container runs as well: a failure is told."""
    if not request["view"]:
        return None
    try:
        return View(request)
    except OSError as error:
        log.warn(f"the container sees the host's /proc: {error.strerror}")
        _leave_out(request)
        return None


def _leave_out(request: Request) -> None:
    """Of the mounts those of files that nobody makes now."""
    document, folder = request["document"], f"{request['view']}/"
    document["mounts"] = [
        mount for mount in document["mounts"] if not mount["source"].startswith(folder)
    ]


def readers_of(host: Host, request: Request, keeper: Keeper) -> Readers:
    """Who in the container gets which figures."""
    cgroup = request["cgroup"]
    found = hierarchy.discover()
    own = cgroup["container"][len(found.mount) :] if cgroup else found.own
    # From below, and without the root, which has no limits.
    above = reversed(hierarchy.ancestors(own)[1:])
    levels = [Level(hierarchy.directory(found.mount, group)) for group in above]
    cpus = sorted(os.sched_getaffinity(0))
    source = Source(
        host, levels, own=int(cgroup is not None), started_usec=request["started_ns"] // 1000,
        affinity=frozenset(cpus[: request["most_cpus"] or None]),
    )  # fmt: skip
    if cgroup is None:
        return Readers(source, keeper, "", "")
    return Readers(source, keeper, own, cgroup["container"])


def _tree(readers: Readers, cpus: int, nodes: int) -> Directory:
    """All of FILES: those of sysfs in the directory of CPUs, the others as /proc has them.

    cpus, nodes: descriptors of the host's directories, the latter -1 for a kernel without NUMA.
    """
    folders: dict[str, dict[bytes, File]] = {"": {}, "cpu": {}, "pressure": {}}
    for path in FILES:
        folder, _, name = path.rpartition("/")
        folders[folder][name.encode()] = _file(readers, path)

    def visible(reader: int) -> list[int]:
        return readers.of(reader).cpus()

    top: dict[bytes, Node] = {**folders[""], b"pressure": Directory(folders["pressure"])}
    top[b"cpus"] = PassThrough(cpus, folders["cpu"], visible)
    if nodes >= 0:
        top[b"nodes"] = PassThrough(nodes, {}, visible, _node_texts(readers))
    return Directory(top)


def _node_texts(readers: Readers) -> dict[bytes, Callable[[int, bytes], bytes]]:
    """With several nodes nobody could tell of which one a limit is."""
    if os.path.isdir(f"{_SYSFS_NODES}/node1"):
        return {}

    return {b"node0/meminfo": lambda reader, host: readers.of(reader).node_memory(host)}


def _open_directory(path: str) -> int:
    return os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def _file(readers: Readers, name: str) -> File:
    def text(reader: int) -> bytes:
        return readers.of(reader).text(name)

    return File(text, lambda reader: len(text(reader)), readers.vary)
