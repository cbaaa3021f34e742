"""The mounts of an OCI runtime document, applied inside the root (config.md, "Mounts")."""

from __future__ import annotations

import errno
import os
import stat

from rootless import log
from rootless.errors import HostError, RlError, RuntimeSetupError
from rootless.kernel import libc, mounts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def apply_mounts(root_fd: int, wanted: list[dict[str, Any]]) -> None:
    """Mount the list in its order. Raises RuntimeSetupError that names the destination."""
    for mount in wanted:
        target = mount["destination"]
        options = mount.get("options", [])
        log.effect(describe_mount(mount))
        try:
            if mount["type"] == "bind":
                mounts.bind_in_root(
                    root_fd, mount["source"], target, options, tree=mount.get("rl.tree", -1)
                )
            else:
                _mount_new(root_fd, mount, options)
        except OSError as error:
            raise _explain(mount, error) from error


def _mount_new(root_fd: int, mount: dict[str, Any], options: list[str]) -> None:
    try:
        mounts.mount_in_root(root_fd, mount["destination"], mount["type"], mount["source"], options)
    except OSError as error:
        # Without cgroup v2, or in a cgroup namespace that is not ours, a container still runs.
        if mount["type"] != "cgroup2":
            raise
        log.effect(f"no cgroup2 at {mount['destination']}: {error.strerror}")


def describe_mount(mount: dict[str, Any]) -> str:
    """A mount of the document in one line, as mount(8) would be told to make it."""
    options = ",".join(mount.get("options", []))
    return f"mount -t {mount['type']} -o {options} {mount['source']} {mount['destination']}"


def _explain(mount: dict[str, Any], error: OSError) -> RlError:
    target = mount["destination"]
    if mount["type"] == "bind" and error.errno == errno.ENOENT:
        return RuntimeSetupError(f"mount {mount['source']} on {target}: no such file or directory")
    if mount["type"] == "proc" and error.errno == errno.EPERM:
        return HostError(
            f"mount proc on {target}: not permitted: parts of the host's /proc are masked",
            hint="rl run --pid host …",
        )
    where = f" ({error.filename})" if error.filename not in (None, target) else ""
    return RuntimeSetupError(f"mount {mount['source']} on {target}{where}: {error.strerror}")


def check_proc() -> None:
    """Raises RuntimeSetupError where /proc is not the kernel's; called in the new root.

    A volume that the image declares can stand there, with files of the image, and what we read and
    write in /proc from now on matters.
    """
    fd = os.open("/proc", os.O_PATH | os.O_CLOEXEC)
    try:
        if libc.file_system_of(fd) != libc.PROC_SUPER_MAGIC:
            raise RuntimeSetupError("/proc: a volume of the image or a mount stands in its place")
    finally:
        os.close(fd)


def read_only_paths(paths: list[str]) -> None:
    """Make each path read-only; called in the new root, where /proc and /sys are ours."""
    for path in paths:
        try:
            libc.mount(path, path, None, libc.MS_BIND | libc.MS_REC)
        except FileNotFoundError:
            continue
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
        mounts.add_flags(fd, libc.MS_RDONLY, recursive=True)
        os.close(fd)


def mask_paths(paths: list[str], *, null_at_once: bool = True) -> None:
    """Hide each path: a directory under an empty read-only tmpfs, a file under /dev/null.

    null_at_once: what is at /dev/null is checked also where no file has to be hidden.
    """
    null = _open_null() if paths and null_at_once else -1
    for path in paths:
        try:
            is_dir = stat.S_ISDIR(os.stat(path).st_mode)
        except (FileNotFoundError, NotADirectoryError):
            continue  # this kernel, or this image, has no such file
        if is_dir:
            flags = libc.MS_RDONLY | libc.MS_NOSUID | libc.MS_NODEV | libc.MS_NOEXEC
            libc.mount("tmpfs", path, "tmpfs", flags, "size=0k,nr_inodes=1,mode=755")
            continue
        null = _open_null() if null < 0 else null
        libc.mount(mounts.fd_path(null), path, None, libc.MS_BIND)
    if null >= 0:
        os.close(null)


def _open_null() -> int:
    """The null device (O_PATH), and nothing that an image has put there (CVE-2025-31133)."""
    fd = os.open("/dev/null", os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    info = os.fstat(fd)
    if not stat.S_ISCHR(info.st_mode) or info.st_rdev != os.makedev(1, 3):
        raise RuntimeSetupError("/dev/null: is not the null device")
    return fd
