"""/dev of the container: the nodes that every container has, those of the document, the links."""

from __future__ import annotations

import errno
import os
import stat

from rootless import log
from rootless.errors import RuntimeSetupError
from rootless.kernel import libc, mounts
from rootless.oci.mounting import open_target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Device = dict[str, Any]

# config-linux.md, "Default Devices".
_DEFAULTS = (("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9),
             ("tty", 5, 0))  # fmt: skip
_LINKS = (("/proc/self/fd", "fd"), ("/proc/self/fd/0", "stdin"), ("/proc/self/fd/1", "stdout"),
          ("/proc/self/fd/2", "stderr"), ("pts/ptmx", "ptmx"))  # fmt: skip
_KINDS = {"c": stat.S_IFCHR, "u": stat.S_IFCHR, "b": stat.S_IFBLK, "p": stat.S_IFIFO}


def make(root_fd: int, document: dict[str, Any]) -> None:
    """Put them below `root_fd`. Raises RuntimeSetupError for a device that nobody here can have."""
    for device in document["linux"]["devices"]:
        _make_device(root_fd, device)
    # With a /dev of the caller's own the nodes and links there are the caller's.
    if any(mount["destination"] == "/dev" and _is_bind(mount) for mount in document["mounts"]):
        return
    for name, major, minor in _DEFAULTS:
        device = {"path": f"/dev/{name}", "type": "c", "major": major, "minor": minor}
        _make_device(root_fd, {**device, "fileMode": 0o666})
    for target, name in _LINKS:
        _link(root_fd, target, name)


def _is_bind(mount: dict[str, Any]) -> bool:
    return mount["type"] == "bind" or bool({"bind", "rbind"} & set(mount["options"]))


def _make_device(root_fd: int, device: Device) -> None:
    path = str(device.get("path", ""))
    kind = _KINDS.get(str(device.get("type", "")))
    if kind is None or not path.startswith("/"):
        raise RuntimeSetupError(f"linux.devices {path}: needs an absolute path and a type of cbup")
    number = os.makedev(int(device.get("major") or 0), int(device.get("minor") or 0))
    if _is_there(root_fd, path, kind, number):
        return
    try:
        if kind == stat.S_IFIFO or not _bind(root_fd, path, kind, number):
            _make_node(root_fd, path, device, kind, number)
    except OSError as error:
        name = f"{path} ({device.get('type')} {os.major(number)}:{os.minor(number)})"
        raise RuntimeSetupError(
            f"linux.devices {name}: {(error.strerror or '').lower()}"
        ) from error


def _is_there(root_fd: int, path: str, kind: int, number: int) -> bool:
    try:
        fd = mounts.open_in_root(root_fd, path)
    except OSError:
        return False
    info = os.fstat(fd)
    os.close(fd)
    return stat.S_IFMT(info.st_mode) == kind and info.st_rdev == number


def _bind(root_fd: int, path: str, kind: int, number: int) -> bool:
    """Bind the host's node of the same name; whether it has that one."""
    try:
        info = os.lstat(path)
    except OSError:
        return False
    if stat.S_IFMT(info.st_mode) != kind or info.st_rdev != number:
        return False
    log.effect(f"bind {path}")
    fd = open_target(root_fd, path, directory=False)
    try:
        libc.mount(path, mounts.fd_path(fd), None, libc.MS_BIND)
    finally:
        os.close(fd)
    return True


def _make_node(root_fd: int, path: str, device: Device, kind: int, number: int) -> None:
    folder, name = os.path.split(path)
    parent = open_target(root_fd, folder, directory=True)
    try:
        mode = int(device.get("fileMode") or 0o666) & 0o7777
        try:
            os.mknod(name, kind | mode, number, dir_fd=parent)
        except PermissionError as error:
            reason = "this host has no such node at that path, and a user namespace can make none"
            raise OSError(errno.EPERM, reason) from error
        os.chmod(name, mode, dir_fd=parent)
        os.chown(name, int(device.get("uid") or 0), int(device.get("gid") or 0), dir_fd=parent)
    finally:
        os.close(parent)


def _link(root_fd: int, target: str, name: str) -> None:
    parent = open_target(root_fd, "/dev", directory=True)
    try:
        os.symlink(target, name, dir_fd=parent)
    except FileExistsError:
        pass
    except OSError as error:
        log.effect(f"/dev/{name}: {error.strerror}")
    finally:
        os.close(parent)
