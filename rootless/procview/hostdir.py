"""A directory of the host shown as it is, save single files and the numbers of CPUs.

Made for /sys/devices/system/cpu and node. Nothing outside of the descriptor that it is given can be
reached: paths are put together from names that were looked up, and opened without following any
link.
"""

from __future__ import annotations

import errno
import os
import stat

from rootless.procview import cpus, fuse
from rootless.procview.fuse import Refusal
from rootless.procview.tree import Node, dots

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from rootless.procview.tree import File

_STEP = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Node numbers of host files have this bit; those of fixed nodes are small.
_DYNAMIC = 1 << 62
# Paths kept by number; one that was pushed out is searched for.
_KEPT_PATHS = 1024
# Files of sysfs are a page long; nothing here may fill the server's memory.
_MAX_CONTENT = 1 << 17
_CPU = b"cpu"
_MAX_DIGITS = 6


class PassThrough(Node):
    """The directory of descriptor `fd` (O_PATH is enough), read-only.

    overrides: files in place of the host's, by name, present even where the host has none.
    cpus: called at each look, with the reader; its Nth number is the CPU of the host that is shown
    as cpuN, in all directories, links, lists and masks. Without it all are shown under their own
    numbers. texts: by the path of a file, what a reader gets in place of its text.
    """

    __slots__ = ("_cpus", "_fd", "_overrides", "_paths", "_texts")
    kind = fuse.DT_DIR
    valid = 0

    def __init__(
        self,
        fd: int,
        overrides: Mapping[bytes, File] | None = None,
        cpus: Callable[[int], Sequence[int]] | None = None,
        texts: Mapping[bytes, Callable[[int, bytes], bytes]] | None = None,
    ) -> None:
        super().__init__()
        self._fd = fd
        self._overrides = dict(overrides or {})
        self._cpus = cpus
        self._texts = dict(texts or {})
        self._paths: dict[int, bytes] = {}

    @property
    def attr_valid(self) -> int:
        """Nothing is remembered."""
        return 0

    def attributes(self, born: int, reader: int) -> bytes:
        """Those of a directory that anybody may list."""
        return fuse.attributes(self.number, stat.S_IFDIR | 0o555, seconds=born)

    def lookup(self, name: bytes, reader: int) -> Node:
        """An override, or the host's file behind `name`."""
        if name in self._overrides:
            return self._overrides[name]
        return self.host_node(self.host_name(name, reader))

    def listing(self, reader: int) -> bytes:
        """What the host has, with the overrides and the CPUs that are shown."""
        rows = [row for row in self.rows(b".", reader) if row[2] not in self._overrides]
        rows += [(node.number, node.kind, name) for name, node in self._overrides.items()]
        return fuse.dirents(dots(self.number) + rows)

    def below(self) -> Iterator[Node]:
        """The overrides."""
        return iter(self._overrides.values())

    def find(self, number: int) -> Node | None:
        """The host's file with `number`, also when another server gave the number out."""
        path = self._paths.get(number)
        if path is None and number & _DYNAMIC:
            path = self._search(number)
        return None if path is None else HostNode(self, path, number)

    def host_node(self, path: bytes) -> HostNode:
        """The file at `path` below the descriptor. Raises Refusal when there is none to show."""
        _kind(self.status(path).st_mode)
        number = self.number_of(path)
        self._keep(number, path)
        return HostNode(self, path, number)

    def number_of(self, path: bytes) -> int:
        """A number that every fork of this process finds for `path`: hash() has one key in all."""
        return hash((self.number, path)) & (_DYNAMIC - 1) | _DYNAMIC

    def open(self, path: bytes, flags: int) -> int:
        """A descriptor of `path`, if it is below ours without a link on the way.

        Step by step: the flags of openat2(2) are where no seccomp filter can see them.
        """
        *folders, name = path.split(b"/")
        fds = [self._fd]
        try:
            for folder in folders:
                fds.append(os.open(folder, _STEP, dir_fd=fds[-1]))
            return os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fds[-1])
        except OSError as error:
            raise Refusal(error.errno or errno.EIO) from None
        finally:
            for fd in fds[1:]:
                os.close(fd)

    def status(self, path: bytes) -> os.stat_result:
        """lstat(2) of `path`."""
        fd = self.open(path, os.O_PATH | os.O_NOFOLLOW)
        try:
            return os.fstat(fd)
        finally:
            os.close(fd)

    def rows(self, path: bytes, reader: int) -> list[tuple[int, int, bytes]]:
        """(node, DT_*, name) of what is shown of the host's directory `path`, in order."""
        numbers = self._numbers(reader)
        rows = [(node, kind, _shown(name, numbers)) for node, kind, name in self._rows(path)]
        return [(node, kind, name) for node, kind, name in rows if name]

    def shown_name(self, name: bytes, reader: int) -> bytes:
        """What the host's `name` is called here; nothing for a CPU that is not shown."""
        return _shown(name, self._numbers(reader))

    def _numbers(self, reader: int) -> dict[int, int] | None:
        if self._cpus is None:
            return None
        return {cpu: number for number, cpu in enumerate(self._cpus(reader))}

    def _rows(self, path: bytes) -> list[tuple[int, int, bytes]]:
        rows = []
        for name, kind in self._list(path):
            rows.append((self.number_of(join(path, name)), kind, name))
        return rows

    def _list(self, path: bytes) -> list[tuple[bytes, int]]:
        fd = self.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            with os.scandir(fd) as entries:
                return sorted(
                    (os.fsencode(entry.name), kind) for entry in entries if (kind := _type(entry))
                )
        except OSError as error:
            raise Refusal(error.errno or errno.EIO) from None
        finally:
            os.close(fd)

    def _keep(self, number: int, path: bytes) -> None:
        self._paths.pop(number, None)
        self._paths[number] = path
        if len(self._paths) > _KEPT_PATHS:
            del self._paths[next(iter(self._paths))]

    def _search(self, number: int) -> bytes | None:
        folders = [b"."]
        while folders:
            folder = folders.pop()
            for found, kind, name in self._rows_or_none(folder):
                if found == number:
                    path = join(folder, name)
                    self._keep(number, path)
                    return path
                if kind == fuse.DT_DIR:
                    folders.append(join(folder, name))
        return None

    def _rows_or_none(self, path: bytes) -> list[tuple[int, int, bytes]]:
        try:
            return self._rows(path)
        except Refusal:
            return []  # gone meanwhile, or not for us

    def host_name(self, name: bytes, reader: int) -> bytes:
        """What `name` is called on the host. Raises Refusal for a CPU that is not shown."""
        number = _cpu_number(name)
        if self._cpus is None or number is None:
            return name
        shown = self._cpus(reader)
        if number >= len(shown):
            raise Refusal(errno.ENOENT)
        return b"cpu%d" % shown[number]

    def text(self, path: bytes, reader: int) -> bytes:
        """The content of `path` for a reader."""
        # O_NONBLOCK: no reader may wait for a pipe that somebody put there.
        fd = self.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
        try:
            text = _read_file(fd)
        except OSError as error:
            raise Refusal(error.errno or errno.EIO) from None
        finally:
            os.close(fd)
        if path in self._texts:
            return self._texts[path](reader, text)
        if self._cpus is None:
            return text
        return cpus.renumbered(path.rpartition(b"/")[2], text, self._cpus(reader))


class HostNode(Node):
    """A file, directory or symbolic link at `path` below a PassThrough."""

    __slots__ = ("_path", "_top")
    valid = 0

    def __init__(self, top: PassThrough, path: bytes, number: int) -> None:
        super().__init__()
        self._top = top
        self._path = path
        self.number = number

    @property
    def attr_valid(self) -> int:
        """Nothing is remembered."""
        return 0

    def attributes(self, born: int, reader: int) -> bytes:
        """The host's size and time, root as the owner, nothing that may be written."""
        status = self._top.status(self._path)
        kind = stat.S_IFMT(status.st_mode)
        fixed = {stat.S_IFDIR: 0o555, stat.S_IFLNK: 0o777}
        mode = kind | fixed.get(kind, status.st_mode & 0o444)
        seconds = max(0, int(status.st_mtime))
        return fuse.attributes(self.number, mode, size=status.st_size, seconds=seconds)

    def lookup(self, name: bytes, reader: int) -> Node:
        """The file `name` in this directory of the host."""
        return self._top.host_node(join(self._path, self._top.host_name(name, reader)))

    def listing(self, reader: int) -> bytes:
        """What the host's directory has in it."""
        return fuse.dirents(dots(self.number) + self._top.rows(self._path, reader))

    def content(self, reader: int) -> bytes:
        """The file's text."""
        return self._top.text(self._path, reader)

    def target(self, reader: int) -> bytes:
        """What the symbolic link says; the reader's kernel follows it, in the container."""
        fd = self._top.open(self._path, os.O_PATH | os.O_NOFOLLOW)
        try:
            target = os.readlink(b"", dir_fd=fd)
        except OSError as error:
            raise Refusal(error.errno or errno.EIO) from None
        finally:
            os.close(fd)
        folder, slash, name = target.rpartition(b"/")
        return folder + slash + (self._top.shown_name(name, reader) or name)


def join(folder: bytes, name: bytes) -> bytes:
    """The path of `name` in `folder`, where the top is a dot."""
    return name if folder == b"." else folder + b"/" + name


def _type(entry: os.DirEntry[str]) -> int:
    """DT_* of what is shown, 0 for the rest: devices, sockets and pipes."""
    if entry.is_symlink():
        return fuse.DT_LNK
    if entry.is_dir(follow_symlinks=False):
        return fuse.DT_DIR
    return fuse.DT_REG if entry.is_file(follow_symlinks=False) else 0


def _kind(mode: int) -> None:
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode)):
        raise Refusal(errno.ENOENT)


def _cpu_number(name: bytes) -> int | None:
    """N of "cpuN" as the kernel writes it, None for every other name."""
    digits = name[len(_CPU) :]
    if not name.startswith(_CPU) or not digits.isdigit() or len(digits) > _MAX_DIGITS:
        return None
    return int(digits) if digits == b"%d" % int(digits) else None


def _shown(name: bytes, numbers: dict[int, int] | None) -> bytes:
    cpu = _cpu_number(name)
    if cpu is None or numbers is None:
        return name
    return b"cpu%d" % numbers[cpu] if cpu in numbers else b""


def _read_file(fd: int) -> bytes:
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        raise Refusal(errno.EINVAL)
    parts = []
    left = _MAX_CONTENT
    while left and (part := os.read(fd, left)):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)
