"""Mounts inside a root directory that an image controls (mount(2), openat2(2)).

Every target is opened with RESOLVE_IN_ROOT, so a symlink of the image leads somewhere inside the
image at worst; the mount then goes onto the descriptor (/proc/self/fd/N), which no rename can move.
"""

from __future__ import annotations

import errno
import os
import stat

from rootless.kernel import libc

# Options of fstab and of the OCI runtime-spec (config.md, "Linux mount options") that are flags:
# name → (flag, whether the name clears it).
FLAGS = {
    "ro": (libc.MS_RDONLY, False), "rw": (libc.MS_RDONLY, True),
    "nosuid": (libc.MS_NOSUID, False), "suid": (libc.MS_NOSUID, True),
    "nodev": (libc.MS_NODEV, False), "dev": (libc.MS_NODEV, True),
    "noexec": (libc.MS_NOEXEC, False), "exec": (libc.MS_NOEXEC, True),
    "sync": (libc.MS_SYNCHRONOUS, False), "async": (libc.MS_SYNCHRONOUS, True),
    "dirsync": (libc.MS_DIRSYNC, False),
    "noatime": (libc.MS_NOATIME, False), "atime": (libc.MS_NOATIME, True),
    "nodiratime": (libc.MS_NODIRATIME, False), "diratime": (libc.MS_NODIRATIME, True),
    "relatime": (libc.MS_RELATIME, False), "norelatime": (libc.MS_RELATIME, True),
    "strictatime": (libc.MS_STRICTATIME, False),
    "nosymfollow": (libc.MS_NOSYMFOLLOW, False),
    "bind": (libc.MS_BIND, False), "rbind": (libc.MS_BIND | libc.MS_REC, False),
    "defaults": (0, False),
}  # fmt: skip

PROPAGATION = {
    "private": libc.MS_PRIVATE, "rprivate": libc.MS_PRIVATE | libc.MS_REC,
    "slave": libc.MS_SLAVE, "rslave": libc.MS_SLAVE | libc.MS_REC,
    "shared": libc.MS_SHARED, "rshared": libc.MS_SHARED | libc.MS_REC,
    "unbindable": libc.MS_UNBINDABLE, "runbindable": libc.MS_UNBINDABLE | libc.MS_REC,
}  # fmt: skip

# What a user namespace may not take off a mount that it inherited (mount_namespaces(7)).
_KEPT = (
    (os.ST_RDONLY, libc.MS_RDONLY),
    (os.ST_NOSUID, libc.MS_NOSUID),
    (os.ST_NODEV, libc.MS_NODEV),
    (os.ST_NOEXEC, libc.MS_NOEXEC),
    (os.ST_NOATIME, libc.MS_NOATIME),
    (os.ST_NODIRATIME, libc.MS_NODIRATIME),
    (os.ST_RELATIME, libc.MS_RELATIME),
)
_ATTRS = (
    (libc.MS_RDONLY, libc.MOUNT_ATTR_RDONLY),
    (libc.MS_NOSUID, libc.MOUNT_ATTR_NOSUID),
    (libc.MS_NODEV, libc.MOUNT_ATTR_NODEV),
    (libc.MS_NOEXEC, libc.MOUNT_ATTR_NOEXEC),
)


class Options:
    """The option list of one mount, taken apart."""

    __slots__ = ("data", "flags", "propagation")

    def __init__(self, options: list[str]) -> None:
        self.flags = 0
        self.propagation = 0
        data = []
        for option in options:
            if option in FLAGS:
                flag, clears = FLAGS[option]
                self.flags = self.flags & ~flag if clears else self.flags | flag
            elif option in PROPAGATION:
                self.propagation = PROPAGATION[option]
            else:
                data.append(option)
        self.data = ",".join(data)


def fd_path(fd: int) -> str:
    """A path that means the file of `fd`, for calls that take no descriptor."""
    return f"/proc/self/fd/{fd}"


def open_in_root(root_fd: int, path: str, flags: int = os.O_PATH, mode: int = 0) -> int:
    """Open `path` as if `root_fd` were the root directory. Raises OSError."""
    return libc.openat2(
        root_fd, path.lstrip("/") or ".", flags, mode=mode,
        resolve=libc.RESOLVE_IN_ROOT | libc.RESOLVE_NO_MAGICLINKS,
    )  # fmt: skip


def open_target(root_fd: int, path: str, *, directory: bool) -> int:
    """A descriptor (O_PATH) of the mount point `path` below `root_fd`, created when missing."""
    try:
        return open_in_root(root_fd, path)
    except FileNotFoundError:
        pass
    parts = [part for part in path.split("/") if part not in ("", ".")]
    folders = parts if directory else parts[:-1]
    make_dirs_in_root(root_fd, folders)
    if not directory:
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW
        os.close(open_in_root(root_fd, path, flags, 0o644))
    return open_in_root(root_fd, path)


def make_dirs_in_root(root_fd: int, parts: list[str]) -> None:
    """mkdir -p below `root_fd`, with modes of 0755."""
    for count in range(1, len(parts) + 1):
        try:
            os.close(open_in_root(root_fd, "/".join(parts[:count])))
        except FileNotFoundError:
            parent = open_in_root(root_fd, "/".join(parts[: count - 1]), os.O_PATH)
            try:
                os.mkdir(parts[count - 1], 0o755, dir_fd=parent)
            except FileExistsError:
                raise OSError(
                    errno.ELOOP, "dangling symbolic link", "/" + "/".join(parts[:count])
                ) from None
            finally:
                os.close(parent)


def mount_in_root(root_fd: int, target: str, fstype: str, source: str, options: list[str]) -> None:
    """Mount a new file system of `fstype` at `target` below `root_fd`."""
    wanted = Options(options)
    fd = open_target(root_fd, target, directory=True)
    try:
        libc.mount(source, fd_path(fd), fstype, wanted.flags, wanted.data or None)
    except OSError as error:
        raise OSError(error.errno, error.strerror, target) from None
    finally:
        os.close(fd)
    if wanted.propagation:
        set_propagation(root_fd, target, wanted.propagation)


def set_propagation(root_fd: int, target: str, propagation: int) -> None:
    """Change how mount events pass at `target` below `root_fd` (mount_namespaces(7))."""
    fd = open_in_root(root_fd, target)
    try:
        libc.mount(None, fd_path(fd), None, propagation)
    finally:
        os.close(fd)


def bind_in_root(
    root_fd: int, source: str, target: str, options: list[str], *, tree: int = -1
) -> None:
    """Bind `source` of the host at `target` below `root_fd` with the flags among `options`.

    tree: a detached mount (open_tree(2)) to attach instead of `source`.
    """
    wanted = Options(options)
    is_ours = tree < 0
    if is_ours:
        recursive = libc.AT_RECURSIVE if wanted.flags & libc.MS_REC else 0
        tree = libc.open_tree(libc.AT_FDCWD, source, libc.OPEN_TREE_CLONE | recursive)
    try:
        # Before it is attached: afterwards another container with the same volume could have put
        # something else at the target, and the flags would go there (as in CVE-2021-30465).
        attributes = wanted.flags & ~(libc.MS_BIND | libc.MS_REC)
        attributes &= ~_set_attributes(tree, attributes, recursive=bool(wanted.flags & libc.MS_REC))
        _attach(tree, root_fd, target)
    finally:
        if is_ours:
            os.close(tree)
    if attributes or wanted.propagation:
        _finish_bind(root_fd, target, attributes, wanted)


def _set_attributes(fd: int, flags: int, *, recursive: bool) -> int:
    """Set those of `flags` that mount_setattr(2) knows, on a detached mount as well; which ones."""
    possible = flags & sum(flag for flag, _ in _ATTRS)
    attr = sum(attribute for flag, attribute in _ATTRS if flags & flag)
    at_flags = libc.AT_EMPTY_PATH | (libc.AT_RECURSIVE if recursive else 0)
    try:
        if possible:
            libc.mount_setattr(fd, "", at_flags, attr_set=attr)
    except OSError as error:
        if error.errno != errno.ENOSYS:
            raise
        return 0  # Linux before 5.12
    return possible


def _attach(tree: int, root_fd: int, target: str) -> None:
    fd = _open_target_for(tree, root_fd, target)
    try:
        # (What is mounted is a directory where the target is, or it cannot be mounted.)
        if _is_proc(fd) and _is_dir(fd) and not _is_proc(tree):
            # An image's volume there could answer for the kernel, to us too (CVE-2019-16884).
            raise OSError(errno.EPERM, "no directory can be mounted inside of /proc")
        empty = libc.MOVE_MOUNT_F_EMPTY_PATH | libc.MOVE_MOUNT_T_EMPTY_PATH
        libc.move_mount(tree, "", fd, "", empty)
    except OSError as error:
        raise OSError(error.errno, error.strerror, target) from None
    finally:
        os.close(fd)


def _open_target_for(tree: int, root_fd: int, target: str) -> int:
    try:
        return open_in_root(root_fd, target)
    except FileNotFoundError:
        # Not before: to ask what the source is can take long, where a program answers for it.
        return open_target(root_fd, target, directory=_is_dir(tree))


def _is_dir(fd: int) -> bool:
    return stat.S_ISDIR(os.fstat(fd).st_mode)


def _is_proc(fd: int) -> bool:
    return libc.file_system_of(fd) == libc.PROC_SUPER_MAGIC


def _finish_bind(root_fd: int, target: str, attributes: int, wanted: Options) -> None:
    fd = open_in_root(root_fd, target)
    try:
        if attributes:
            add_flags(fd, attributes, recursive=bool(wanted.flags & libc.MS_REC))
        if wanted.propagation:
            libc.mount(None, fd_path(fd), None, wanted.propagation)
    finally:
        os.close(fd)


def add_flags(fd: int, flags: int, *, recursive: bool) -> None:
    """Set mount flags (MS_RDONLY, MS_NOSUID, …) on the mount at `fd`, and on those below it.

    Kernels before 5.12 have no mount_setattr(2): there only the top mount is changed.
    """
    if _set_attributes(fd, flags, recursive=recursive) == flags:
        return
    kept_now = os.fstatvfs(fd).f_flag
    kept = sum(flag for seen, flag in _KEPT if kept_now & seen)
    libc.mount(None, fd_path(fd), None, libc.MS_REMOUNT | libc.MS_BIND | kept | flags)


def pivot_into(root_fd: int) -> None:
    """Make the mount at `root_fd` the root of this mount namespace and let go of the old one."""
    os.fchdir(root_fd)
    # The old root is stacked on the new one and taken off again: no directory is needed for it.
    libc.pivot_root(".", ".")
    libc.umount2(".", libc.MNT_DETACH)
    os.chdir("/")
