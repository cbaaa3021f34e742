"""The mounts of a runtime document, made below the root of a container that any caller describes.

Other than rl's own containers (runtime.mounting), these come with every option of the specification
and with what callers expect a runtime to do where a user namespace may not: /sys and /proc of the
host where ours cannot be mounted, a cgroup tree in the place of a new mount.
"""

from __future__ import annotations

import errno
import os
import stat

from rootless import log
from rootless.errors import RuntimeSetupError
from rootless.kernel import libc, mounts
from rootless.oci.mountoptions import MountOptions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.oci.mountoptions import Attributes

    Mount = dict[str, Any]

_HOST_CGROUP = "/sys/fs/cgroup"
# Where the kernel refuses a new mount of these, in a namespace that is not ours, the host's serves.
_STAND_INS = {"sysfs": "/sys", "proc": "/proc", "mqueue": "/dev/mqueue"}


class Trees:
    """Detached mounts that the runtime's own process has opened, by the number of the mount: what
    the container's root, another user, could not reach, or whose ids are mapped."""

    __slots__ = ("by_number", "root")

    def __init__(self) -> None:
        self.root = -1
        self.by_number: dict[int, int] = {}


def apply(root_fd: int, wanted: list[Mount], trees: Trees, *, own_cgroups: bool) -> None:
    """Mount the list in its order. Raises RuntimeSetupError that names the destination.

    own_cgroups: there is a cgroup namespace of the container's own.
    """
    for number, mount in enumerate(wanted):
        options = MountOptions(mount["options"])
        log.effect(f"mount {mount['type'] or 'bind'} {mount['source']} {mount['destination']}")
        try:
            if options.is_bind or mount["type"] == "bind":
                bind(root_fd, mount, options, trees.by_number.get(number, -1))
            elif mount["type"] in ("cgroup", "cgroup2"):
                _mount_cgroup(root_fd, mount, options, own=own_cgroups)
            else:
                _mount_or_stand_in(root_fd, mount, options)
        except OSError as error:
            raise _explain(mount, error) from error


def _explain(mount: Mount, error: OSError) -> RuntimeSetupError:
    where = f" ({error.filename})" if error.filename not in (None, mount["destination"]) else ""
    reason = (error.strerror or "").lower()
    return RuntimeSetupError(
        f"mount {mount['source'] or mount['type']} on {mount['destination']}{where}: {reason}"
    )


def bind(root_fd: int, mount: Mount, options: MountOptions, tree: int = -1) -> None:
    """Bind mount["source"], or the detached `tree` of it. Raises OSError."""
    is_ours = tree < 0
    if is_ours:
        tree = open_tree(mount["source"], recursive=options.is_recursive)
    try:
        # Before it is attached: nobody can change the place meanwhile (CVE-2021-30465).
        _set(tree, options.below, recursive=True)
        _set(tree, options.top, recursive=False)
        _attach(tree, root_fd, mount["destination"])
    finally:
        if is_ours:
            os.close(tree)
    _propagate(root_fd, mount["destination"], options)


def is_mapped(mount: Mount) -> bool:
    """Whether the ids of a bind are to be mapped."""
    words = {word.partition("=")[0] for word in mount["options"]}
    return bool({"idmap", "ridmap"} & words or mount.get("uidMappings") or mount.get("gidMappings"))


def open_tree(source: str, *, recursive: bool) -> int:
    """A detached copy of the mount at `source`. Raises OSError."""
    flags = libc.OPEN_TREE_CLONE | (libc.AT_RECURSIVE if recursive else 0)
    return libc.open_tree(libc.AT_FDCWD, source, flags)


def _set(tree: int, attributes: Attributes, *, recursive: bool) -> None:
    if not (attributes.set or attributes.cleared):
        return
    flags = libc.AT_EMPTY_PATH | (libc.AT_RECURSIVE if recursive else 0)
    try:
        libc.mount_setattr(tree, "", flags, attr_set=attributes.set, attr_clr=attributes.cleared)
    except PermissionError:
        # What the host has set on a mount stays (mount_namespaces(7)); nothing gets looser by it.
        rest = attributes.without_atime()
        log.effect("mount_setattr: the host's own attributes of this mount stay")
        libc.mount_setattr(tree, "", flags, attr_set=rest.set)


def _attach(tree: int, root_fd: int, target: str) -> None:
    is_dir = stat.S_ISDIR(os.fstat(tree).st_mode)
    fd = open_target(root_fd, target, directory=is_dir)
    try:
        if is_dir and _is_proc(fd) and target != "/proc" and not _is_proc(tree):
            # A directory there could answer for the kernel, to us too (CVE-2019-16884).
            raise OSError(errno.EPERM, "no directory can be mounted inside of /proc")
        empty = libc.MOVE_MOUNT_F_EMPTY_PATH | libc.MOVE_MOUNT_T_EMPTY_PATH
        libc.move_mount(tree, "", fd, "", empty)
    finally:
        os.close(fd)


def open_target(root_fd: int, target: str, *, directory: bool) -> int:
    """`mounts.open_target`, which makes what is missing; also where a dangling link leads to."""
    try:
        return mounts.open_target(root_fd, target, directory=directory)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.EEXIST):
            raise
    return mounts.open_target(root_fd, _follow(root_fd, target), directory=directory)


def _follow(root_fd: int, target: str) -> str:
    """Where the link `target` points, inside the root: as if that were the root directory."""
    for _ in range(40):
        folder, name = os.path.split(target)
        parent = mounts.open_in_root(root_fd, folder)
        try:
            text = os.readlink(name, dir_fd=parent)
        except OSError:
            return target
        finally:
            os.close(parent)
        target = os.path.normpath(os.path.join("/", folder, text))
        if not _is_link(root_fd, target):
            return target
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), target)


def _is_link(root_fd: int, path: str) -> bool:
    try:
        parent = mounts.open_in_root(root_fd, os.path.dirname(path))
    except OSError:
        return False
    try:
        info = os.stat(os.path.basename(path), dir_fd=parent, follow_symlinks=False)
        return stat.S_ISLNK(info.st_mode)
    except OSError:
        return False
    finally:
        os.close(parent)


def _is_proc(fd: int) -> bool:
    return libc.file_system_of(fd) == libc.PROC_SUPER_MAGIC


def _mount_or_stand_in(root_fd: int, mount: Mount, options: MountOptions) -> None:
    try:
        _mount_new(root_fd, mount, options)
    except PermissionError:
        stand_in = _STAND_INS.get(mount["type"])
        if stand_in is None:
            raise
        _bind_host(root_fd, mount, options, stand_in)


def _bind_host(root_fd: int, mount: Mount, options: MountOptions, source: str) -> None:
    """Bind the host's own `source`, whole; what is to be read-only is so all the way down."""
    log.effect(f"mount {mount['destination']}: the host's {source} stands in")
    options.is_recursive = True
    options.below.add((options.top.set, options.top.cleared))
    bind(root_fd, {**mount, "source": source}, options)


def _mount_new(root_fd: int, mount: Mount, options: MountOptions) -> None:
    destination = mount["destination"]
    fd = open_target(root_fd, destination, directory=True)
    try:
        if options.copy_up and mount["type"] == "tmpfs":
            _mount_with_copy(root_fd, fd, mount, options)
        else:
            _mount_on(fd, mount, options.flags, _data(fd, mount, options))
    finally:
        os.close(fd)
    if options.below.set or options.below.cleared:
        _set_at(root_fd, destination, options.below)
    _propagate(root_fd, destination, options)


def _mount_on(fd: int, mount: Mount, flags: int, data: list[str]) -> None:
    source, path = mount["source"] or mount["type"], mounts.fd_path(fd)
    try:
        libc.mount(source, path, mount["type"], flags, ",".join(data) or None)
    except OSError as error:
        fewer = [word for word in data if not word.startswith("gid=")]
        # A group that is not mapped, such as tty's, cannot be given a terminal.
        if error.errno != errno.EINVAL or mount["type"] != "devpts" or fewer == data:
            raise OSError(error.errno, error.strerror) from None
        libc.mount(source, path, mount["type"], flags, ",".join(fewer) or None)


def _data(fd: int, mount: Mount, options: MountOptions) -> list[str]:
    """A tmpfs has the mode of what it hides, if none is asked for."""
    if mount["type"] != "tmpfs" or any(word.startswith("mode=") for word in options.data):
        return options.data
    return [*options.data, f"mode={stat.S_IMODE(os.fstat(fd).st_mode):o}"]


def _mount_with_copy(root_fd: int, fd: int, mount: Mount, options: MountOptions) -> None:
    """tmpcopyup: the new tmpfs begins with the files that it hides."""
    from rootless.oci import copyup

    flags, data = options.flags & ~libc.MS_RDONLY, _data(fd, mount, options)
    top = copyup.mount_filled(
        fd,
        lambda: _mount_on(fd, mount, flags, data),
        lambda: mounts.open_in_root(root_fd, mount["destination"]),
    )
    try:
        if options.flags & libc.MS_RDONLY:
            again = libc.MS_REMOUNT | libc.MS_BIND | options.flags
            libc.mount(None, mounts.fd_path(top), None, again)
    finally:
        os.close(top)


def _mount_cgroup(root_fd: int, mount: Mount, options: MountOptions, *, own: bool) -> None:
    """Version 2 of the container's own namespace, or the host's tree as it is."""
    if own and os.path.exists(f"{_HOST_CGROUP}/cgroup.controllers"):
        try:
            _mount_new(root_fd, {**mount, "type": "cgroup2", "source": "cgroup"}, options)
            return
        except OSError as error:
            log.effect(f"cgroup2 on {mount['destination']}: {error.strerror}")
    options.data = []
    _bind_host(root_fd, mount, options, _HOST_CGROUP)


def _set_at(root_fd: int, path: str, attributes: Attributes) -> None:
    fd = mounts.open_in_root(root_fd, path)
    try:
        _set(fd, attributes, recursive=True)
    finally:
        os.close(fd)


def _propagate(root_fd: int, path: str, options: MountOptions) -> None:
    for propagation in options.propagation:
        mounts.set_propagation(root_fd, path, propagation)
