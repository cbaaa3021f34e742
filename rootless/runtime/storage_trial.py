"""Which storage driver works on this host and this store: each is mounted there, and used.

What containers do to their files is done once: a file of a layer is changed, given away, renamed;
a directory is removed and made anew. Kernels and file systems differ in all of that: overlay needs
an upper directory with extended attributes on a file system that it likes, NFS is none.
"""

from __future__ import annotations

import errno
import os

from rootless.errors import HostError, RlError, StoreError
from rootless.kernel import libc
from rootless.runtime import namespaces, rootfs
from rootless.store import blobs, layers, trees
from rootless.tools import idmap

# An empty directory as a squashfs file, made by mksquashfs 4.5.1 with -comp gzip -nopad.
_EMPTY_FILE = bytes.fromhex(
    "6873717301000000000000000000020000000000010011004002010004000000000000000000000085000000"
    "000000007d00000000000000ffffffffffffffff600000000000000077000000000000007700000000000000"
    "ffffffffffffffff150078da636478cbc8000530061310334369001c6f00f804800000000077000000000000"
    "00"
)
# What a mount answers whose server has ended.
_ENDED = (errno.ENOTCONN, errno.ECONNABORTED)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from rootless.store.paths import Paths


def run(paths: Paths, drivers: Sequence[str], program: str) -> list[tuple[str, str]]:
    """Try `drivers` until one works: (driver, reason against it, "" for the last if it works).

    program: fuse-overlayfs. Raises StoreError where nothing can be written at all, HostError
    without user namespaces.
    """
    blobs.ensure_layout(paths)
    with layers.Workspace(paths) as workspace:
        try:
            found: list[list[str]] = idmap.call(lambda: inside(workspace.path, drivers, program))
        except OSError as error:
            raise StoreError(f"{paths.root}: {error.strerror}") from error
    return [(driver, reason) for driver, reason in found]


def inside(folder: str, drivers: Sequence[str], program: str) -> list[list[str]]:
    """The trial in the directory `folder`, as root of the user namespace.

    The calling process has a mount namespace of its own afterwards.
    """
    libc.unshare(libc.CLONE_NEWNS)
    namespaces.keep_mounts_inside()
    found = []
    for driver in drivers:
        found.append([driver, _reason_against(driver, f"{folder}/{driver}", program)])
        # Here, where it is allowed to.
        trees.remove_tree(f"{folder}/{driver}")
        if not found[-1][1]:
            break
    return found


def _reason_against(driver: str, folder: str, program: str) -> str:
    _make_layer(folder)
    try:
        made = rootfs.make(
            {"driver": driver, "path": folder, "layers": 1, "program": program,
             "uid_shift": (), "gid_shift": (), "squash": None}
        )  # fmt: skip
    except (RlError, OSError) as error:
        return _text(error)
    try:
        _use(made.path)
        return ""
    except (RlError, OSError) as error:
        return made.complaint() if made.server_pids and _is_dead(error) else _text(error)
    finally:
        os.chdir("/")
        made.unmount(discard=True, with_all_below=True)


def squash(paths: Paths, program: str) -> str:
    """Why squashfuse_ll, `program`, mounts no file; "" if it does. Raises StoreError, HostError."""
    from rootless.tools import squashfuse

    blobs.ensure_layout(paths)
    with layers.Workspace(paths) as workspace:
        folder = workspace.path
        with open(f"{folder}/file", "xb") as file:
            file.write(_EMPTY_FILE)
        os.mkdir(f"{folder}/mount")

        def inside_namespace() -> str:
            libc.unshare(libc.CLONE_NEWNS)
            namespaces.keep_mounts_inside()
            path = f"{folder}/file"
            try:
                squashfuse.mount(program, path, f"{folder}/mount").kill()
            except (RlError, OSError) as error:
                # The file is ours, and of no interest.
                return _text(error).removeprefix(f"{path}: cannot be mounted: ")
            return ""

        return str(idmap.call(inside_namespace))


def _is_dead(error: RlError | OSError) -> bool:
    return isinstance(error, OSError) and error.errno in _ENDED


def _text(error: RlError | OSError) -> str:
    if isinstance(error, RlError):
        if not isinstance(error.__cause__, OSError):
            return error.message
        error = error.__cause__
    return (error.strerror or str(error)).lower()


def _make_layer(folder: str) -> None:
    for name in ("", "/l", "/layer", "/layer/dir", "/upper", "/work", "/merged"):
        os.mkdir(folder + name, 0o755)
    os.symlink(f"{folder}/layer", f"{folder}/l/0")
    for name in ("file", "dir/inner"):
        fd = os.open(f"{folder}/layer/{name}", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o755)
        os.write(fd, b"of the layer")
        os.close(fd)


def _use(root: str) -> None:
    """Raises OSError, HostError."""
    path = f"{root}/file"
    os.stat(path)  # access(2) below says nothing of its reasons
    if not os.access(path, os.X_OK):
        raise HostError("programs cannot be executed there (mounted noexec)")
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    os.write(fd, b", changed")
    os.close(fd)
    if not idmap.canonical_maps().is_single:
        os.chown(path, 1, 1)
    os.rename(path, f"{root}/renamed")
    os.unlink(f"{root}/dir/inner")
    os.rmdir(f"{root}/dir")
    os.mkdir(f"{root}/dir", 0o755)
    if os.listdir(f"{root}/dir") or sorted(os.listdir(root)) != ["dir", "renamed"]:
        raise HostError("what was removed comes back")
