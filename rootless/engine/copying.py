"""`rl cp`: between a container and the host, or a tar stream (docker-cp(1)).

Two processes with a pipe between them, as docker has it between its client and its daemon: one in
the container's user namespace, which reads or writes the container's files, and this one, which
does the same with the host's as the user. What comes out of the pipe is taken for hostile.
"""

from __future__ import annotations

import os
import stat

from rootless.engine.containerfiles import ContainerFiles
from rootless.errors import NotFoundError, RlError, UsageError, describe_os_error
from rootless.image import extract, tarwriter
from rootless.kernel import rlimits
from rootless.model import copyrule
from rootless.model.copyrule import Source, Target
from rootless.runtime import containerfiles
from rootless.runtime.containerfiles import Operand

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from rootless.runtime.inside import Inside, Send
    from rootless.store.paths import Paths

_STDIN, _STDOUT = 0, 1


class Copied:
    """What was copied. size: bytes of the archive; notes: what was left out."""

    __slots__ = ("notes", "size")

    def __init__(self, size: int = 0, notes: list[str] | None = None) -> None:
        self.size = size
        self.notes = notes or []


def to_stdout(paths: Paths, container: str, path: str, *, follow: bool) -> None:
    """Write `path` of the container as a tar archive to standard output. Raises RlError."""

    def work(root: int, send: Send) -> None:
        containerfiles.send_tree(root, Operand(container, path), _STDOUT, send, follow=follow)

    with ContainerFiles(paths, container, mounts=True) as found:
        found.follow_to_end(found.enter(work))


def to_host(
    paths: Paths, container: str, path: str, destination: str, *, follow: bool, keep_owners: bool
) -> Copied:
    """Copy `path` of the container to `destination` on the host. Raises RlError."""
    target = _host_target(destination)
    read_end, write_end = os.pipe()

    def work(root: int, send: Send) -> None:
        containerfiles.send_tree(root, Operand(container, path), write_end, send, follow=follow)

    with ContainerFiles(paths, container, mounts=True) as found:
        inside = found.enter(work, (write_end,))
        os.close(write_end)
        try:
            return _take_in(inside, read_end, target, keep_owners=keep_owners)
        except OSError as error:
            raise RlError(f"container {container}: {describe_os_error(error)}") from error
        finally:
            os.close(read_end)
            inside.close()


def _take_in(inside: Inside, archive: int, target: HostTarget, *, keep_owners: bool) -> Copied:
    name, is_dir = inside.receive()
    new = copyrule.new_name(Source(name, is_dir=is_dir), target)
    folder = _open_host(os.path.dirname(target.path) if new else target.path)
    naming = extract.Naming(b"", os.fsencode(name) if new else b"", os.fsencode(new))
    # Who is not root on the host can give files to nobody else.
    keep = keep_owners and os.geteuid() == 0
    owners = extract.Owners(extract.OWN_FILES, keep=keep, special=keep_owners)
    copied = Copied()
    try:
        pieces = _counted(archive, copied)
        copied.notes = extract.extract(pieces, folder, os.dup(folder), naming, owners)
    except RlError:
        # An archive that is cut short: why, the other side knows.
        inside.finish()
        raise
    inside.finish()
    return copied


def _counted(fd: int, copied: Copied) -> Iterator[bytes]:
    for piece in extract.pieces(fd):
        copied.size += len(piece)
        yield piece


def _host_target(destination: str) -> HostTarget:
    # Links are followed, as they are the user's own: what is replaced is what they lead to.
    path = os.path.realpath(destination)
    try:
        info: os.stat_result | None = os.stat(path)
    except FileNotFoundError:
        info = None
    except OSError as error:
        raise UsageError(f"{destination}: {error.strerror}", exit_code=1) from error
    if info is None and not os.path.isdir(os.path.dirname(path)):
        raise NotFoundError(
            f"{os.path.dirname(destination.rstrip('/')) or '/'}: no such directory",
            hint=f"mkdir -p {os.path.dirname(path)}",
        )
    if info is not None and not stat.S_ISDIR(info.st_mode) and not stat.S_ISREG(info.st_mode):
        raise UsageError(f"{destination}: is neither a directory nor a file", exit_code=1)
    return HostTarget(
        destination, path, exists=info is not None,
        is_dir=info is not None and stat.S_ISDIR(info.st_mode),
    )  # fmt: skip


class HostTarget(Target):
    """A target on the host; path: without links."""

    __slots__ = ("path",)

    def __init__(self, shown: str, path: str, *, exists: bool, is_dir: bool) -> None:
        asserts_dir = bool(copyrule.trailing(shown))
        name = os.path.basename(path)
        super().__init__(shown, name, exists=exists, is_dir=is_dir, asserts_dir=asserts_dir)
        self.path = path


def _open_host(path: str) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise RlError(describe_os_error(error)) from error


def from_stdin(paths: Paths, container: str, path: str) -> Copied:
    """Unpack the tar stream on standard input, maybe compressed, into the directory `path`.

    Owners are kept. Raises RlError.
    """
    incoming = containerfiles.Incoming(Operand(container, path), None, _STDIN, keep_owners=True)

    def work(root: int, send: Send) -> None:
        containerfiles.receive_tree(root, incoming, send)

    with ContainerFiles(paths, container, mounts=True) as found:
        inside = found.enter(work)
        try:
            inside.receive()
            return Copied(notes=inside.receive())
        finally:
            inside.close()


def to_container(
    paths: Paths, source: str, container: str, path: str, *, follow: bool, keep_owners: bool
) -> Copied:
    """Copy `source` of the host to `path` in the container. Raises RlError.

    keep_owners: with the numbers that it has on the host, instead of the container's root.
    """
    fd, what = _host_source(source, follow=follow)
    read_end, write_end = os.pipe()
    incoming = containerfiles.Incoming(
        Operand(container, path), what, read_end, keep_owners=keep_owners
    )

    def work(root: int, send: Send) -> None:
        containerfiles.receive_tree(root, incoming, send)

    with ContainerFiles(paths, container, mounts=True) as found:
        inside = found.enter(work, (read_end,))
        os.close(read_end)
        try:
            with open(write_end, "wb", buffering=0):
                inside.receive()
                size = _give_out(fd, what.name, write_end)
            return Copied(size, inside.receive())
        finally:
            inside.close()


def _give_out(fd: int, name: str, archive: int) -> int:
    """Write the archive; its size. The reader may give up, and then says why."""
    rlimits.raise_open_files()
    writer = tarwriter.TarWriter(archive)
    try:
        writer.add_open(fd, name)
        writer.close()
    except BrokenPipeError:
        pass
    except OSError as error:
        raise RlError(describe_os_error(error)) from error
    return writer.size


def _host_source(source: str, *, follow: bool) -> tuple[int, Source]:
    trail = copyrule.trailing(source)
    nofollow = 0 if follow or trail else os.O_NOFOLLOW
    try:
        fd = os.open(source, os.O_PATH | os.O_CLOEXEC | nofollow)
    except OSError as error:
        kind = NotFoundError if isinstance(error, FileNotFoundError) else RlError
        raise kind(f"{source}: {error.strerror}") from error
    name = "" if trail == "." else os.path.basename(os.path.abspath(source))
    return fd, Source(name, is_dir=stat.S_ISDIR(os.fstat(fd).st_mode))
