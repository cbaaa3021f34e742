"""What `rl cp` and `rl export` do inside a container's root (runtime.inside): paths and archives.

A path is resolved by openat2(2) as if the root were "/" (RESOLVE_IN_ROOT), once; from then on there
are descriptors only. A process of the container that swaps directories for links meanwhile
(CVE-2018-15664) changes what is found, never where: nothing outside of the root can be reached.
"""

from __future__ import annotations

import errno
import os
import stat

from rootless.errors import NotFoundError, RlError, UsageError
from rootless.image import decompress, extract, tarwriter
from rootless.kernel import mounts
from rootless.model import copyrule
from rootless.model.copyrule import Source, Target
from rootless.runtime import inside

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from rootless.runtime.inside import Send

_PATH = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# As in the kernel, path_resolution(7).
_MAX_LINKS = 40
# The kernel wants another try when something was renamed while it went by "..": openat2(2).
_MAX_TRIES = 1000


class Operand:
    """A path in a container as the user gave it; str() is how messages name it."""

    __slots__ = ("container", "path")

    def __init__(self, container: str, path: str) -> None:
        self.container = container
        self.path = path

    def __str__(self) -> str:
        return f"{self.container}:{self.path}"


def send_tree(root: int, source: Operand, out_fd: int, send: Send, *, follow: bool) -> None:
    """Send (its name, whether it is a directory), then write `source` as an archive to `out_fd`.

    follow: where `path` is a link, what it leads to. Raises NotFoundError, OSError.
    """
    fd, name = _open_source(root, source, follow=follow)
    is_dir = stat.S_ISDIR(os.fstat(fd).st_mode)
    send((name, is_dir))
    writer = tarwriter.TarWriter(out_fd, marks=inside.own_maps().is_single)
    writer.add_open(fd, name)
    writer.close()


def send_root(root: int, out_fd: int) -> None:
    """Write the whole root file system, and nothing that is mounted in it, to `out_fd`."""
    writer = tarwriter.TarWriter(
        out_fd, xattrs=tarwriter.all_xattrs, whole_seconds=True, one_system=True,
        marks=inside.own_maps().is_single,
    )  # fmt: skip
    folder = os.open(".", _FOLDER, dir_fd=root)
    for name in sorted(os.listdir(folder)):
        writer.add(folder, name, name)
    writer.close()


def _open_source(root: int, source: Operand, *, follow: bool) -> tuple[int, str]:
    cleaned, trail = copyrule.clean(source.path), copyrule.trailing(source.path)
    parent, _, name = cleaned.rpartition("/")
    try:
        if follow or trail or not name:
            fd = _open(root, cleaned, os.O_PATH)
        else:
            fd = os.open(name, _PATH, dir_fd=_open(root, parent, os.O_PATH | os.O_DIRECTORY))
    except OSError as error:
        raise _explained(source, error) from error
    if trail and not stat.S_ISDIR(os.fstat(fd).st_mode):
        raise _explained(source, NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)))
    return fd, "" if trail == "." else name


def _explained(what: Operand | str, error: OSError) -> RlError:
    kind = NotFoundError if error.errno in (errno.ENOENT, errno.ENOTDIR) else RlError
    return kind(f"{what}: {(error.strerror or str(error)).lower()}")


def _open(root: int, path: str, flags: int) -> int:
    for _ in range(_MAX_TRIES):
        try:
            return mounts.open_in_root(root, path, flags)
        except BlockingIOError:
            continue
    raise OSError(errno.EAGAIN, "renamed again and again")


class Incoming:
    """What is copied in. source: None for a tar stream from outside, maybe compressed, which goes
    into an existing directory. fd: the archive. keep_owners: as the archive says, else root's."""

    __slots__ = ("fd", "keep_owners", "source", "target")

    def __init__(
        self, target: Operand, source: Source | None, fd: int, *, keep_owners: bool
    ) -> None:
        self.target = target
        self.source = source
        self.fd = fd
        self.keep_owners = keep_owners

    def pieces(self) -> Iterator[bytes]:
        """The plain archive."""
        return extract.pieces(self.fd) if self.source else decompress.pieces(self.fd)


def receive_tree(root: int, incoming: Incoming, send: Send) -> None:
    """Unpack the archive at its place below `root`.

    Sends "ready" when the place is known, in the end what was left out (a list of lines).

    Raises UsageError, NotFoundError where there is no place for it, RlError that names an entry.
    """
    operand = incoming.target
    parent, target, folder = _open_target(root, operand)
    if incoming.source is None:
        if folder < 0:
            raise UsageError(f"{operand}: must be a directory", exit_code=1)
        name, old = "", ""
    else:
        name, old = copyrule.new_name(incoming.source, target), incoming.source.name
    if name:
        folder = _open_parent(root, parent, operand)
        naming = extract.Naming(os.fsencode(parent), os.fsencode(old), os.fsencode(name))
    else:
        naming = extract.Naming(os.fsencode("/".join(filter(None, (parent, target.name)))))
    owners = extract.Owners(inside.own_maps(), keep=incoming.keep_owners, special=True)
    send("ready")
    send(extract.extract(incoming.pieces(), os.dup(root), folder, naming, owners))


def _open_target(root: int, operand: Operand) -> tuple[str, Target, int]:
    """(path of the parent, the target, its descriptor if it is a directory, else -1)."""
    cleaned = copyrule.clean(operand.path)
    for _ in range(_MAX_LINKS):
        parent, _, name = cleaned.rpartition("/")
        try:
            return parent, _target(operand, name, is_dir=True), _open(root, cleaned, _FOLDER)
        except FileNotFoundError:
            return parent, _target(operand, name, is_dir=None), -1
        except NotADirectoryError:
            link = _link_at(root, parent, name)
        except OSError as error:
            raise _explained(operand, error) from error
        if not link:
            return parent, _target(operand, name, is_dir=False), -1
        cleaned = copyrule.clean(link if link.startswith("/") else f"{parent}/{link}")
    raise _explained(operand, OSError(errno.ELOOP, os.strerror(errno.ELOOP)))


def _target(operand: Operand, name: str, *, is_dir: bool | None) -> Target:
    """is_dir: None where there is nothing."""
    exists = is_dir is not None
    asserts_dir = bool(copyrule.trailing(operand.path))
    return Target(str(operand), name, exists=exists, is_dir=bool(is_dir), asserts_dir=asserts_dir)


def _link_at(root: int, parent: str, name: str) -> str:
    """Where the link `name` leads, "" when it is no link."""
    try:
        folder = _open(root, parent, os.O_PATH | os.O_DIRECTORY)
    except OSError:
        return ""
    try:
        return os.readlink(name, dir_fd=folder)
    except OSError:
        return ""
    finally:
        os.close(folder)


def _open_parent(root: int, parent: str, operand: Operand) -> int:
    try:
        return _open(root, parent, _FOLDER)
    except OSError as error:
        raise _explained(f"{operand.container}:/{parent}", error) from error
