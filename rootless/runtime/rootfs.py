"""The container's root file system, made by the keeper in its own mount namespace.

Four drivers on one on-disk format: fuse-overlayfs, native overlay (`userxattr`), vfs (a plain copy
of the layers) and directory (`--rootfs`, used as it is).
"""

from __future__ import annotations

import os

from rootless import log
from rootless.errors import RuntimeSetupError
from rootless.kernel import libc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.runtime.messages import RootfsRequest
    from rootless.tools import fuse_overlayfs


# In the container's directory, once the driver vfs has copied the layers.
_IS_COPIED = "is-copied"


class Rootfs:
    """A root file system that is there until `unmount`; `server_pid` is 0 without a server."""

    def __init__(
        self, path: str, server: fuse_overlayfs.Server | None = None, *, is_mount: bool = False
    ) -> None:
        self.path = path
        self._is_mount = is_mount
        self.server_pid = server.pid if server else 0
        self._server = server

    def unmount(self, *, discard: bool, with_all_below: bool = False) -> None:
        """Take it off the keeper's namespace; discard: without writing back what is in flight.

        with_all_below: together with what the caller has mounted in it.
        """
        if self._server is None:
            if self._is_mount:
                log.effect(f"umount {self.path}")
                libc.umount2(self.path, libc.MNT_DETACH)
            return
        if discard:
            self._server.kill()
        else:
            self._server.unmount(with_all_below=with_all_below)

    def complaint(self) -> str:
        """The last words of a server that died."""
        return self._server.complaint() if self._server else ""


def make(request: RootfsRequest) -> Rootfs:
    """Make the root file system of `request`. Changes the working directory."""
    driver = request["driver"]
    # Short relative names: overlay's options must fit in a page and know no quoting of ":" and ",".
    os.chdir(request["path"])
    lowers = [f"l/{number}" for number in range(request["layers"])]
    merged = f"{request['path']}/merged"
    if driver == "fuse-overlayfs":
        return Rootfs(merged, _mount_fuse(request, lowers, merged))
    if driver == "overlay":
        _mount_overlay(lowers, merged)
        return Rootfs(merged, is_mount=True)
    if driver == "vfs" and not os.path.exists(_IS_COPIED):
        _copy([f"{request['path']}/{name}" for name in reversed(lowers)], merged)
    if driver in ("vfs", "directory"):
        # A mount point is what pivot_root(2) wants.
        source = merged if driver == "vfs" else lowers[0]
        libc.mount(source, merged, None, libc.MS_BIND | libc.MS_REC)
        return Rootfs(merged, is_mount=True)
    raise RuntimeSetupError(f"storage driver {driver!r}: unknown")


def _copy(layers: list[str], merged: str) -> None:
    """Once for all starts of the container; what a killed one has copied is copied anew."""
    from rootless.runtime import copytree
    from rootless.store import trees

    if os.listdir(merged):
        trees.remove_tree(merged)
        os.mkdir(merged, 0o700)
    copytree.copy_layers(layers, merged)
    with open(_IS_COPIED, "x"):
        pass


def _mount_fuse(request: RootfsRequest, lowers: list[str], merged: str) -> fuse_overlayfs.Server:
    from rootless.tools import fuse_overlayfs

    return fuse_overlayfs.mount(
        request["program"], lowers, "upper", "work", merged,
        uid_shift=request["uid_shift"], gid_shift=request["gid_shift"],
    )  # fmt: skip


def _mount_overlay(lowers: list[str], merged: str) -> None:
    # userxattr keeps overlay's own attributes in user.overlay.*, which a user namespace may write.
    options = f"userxattr,lowerdir={':'.join(lowers)},upperdir=upper,workdir=work"
    log.effect(f"mount -t overlay -o {options} overlay {merged}")
    try:
        libc.mount("overlay", merged, "overlay", libc.MS_NODEV, options)
    except OSError as error:
        raise RuntimeSetupError(
            f"storage driver overlay: {error.strerror} (needs Linux 5.11 and a local file system)",
            hint="rl run --storage-driver fuse-overlayfs …",
        ) from error


def give(path: str, uid: int, gid: int) -> None:
    """chown -R without following links: the `U` option of volumes (podman-run(1))."""
    log.effect(f"chown -R {uid}:{gid} {path}")
    os.chown(path, uid, gid, follow_symlinks=False)
    for _, folders, names, fd in os.fwalk(path):
        for name in folders + names:
            os.chown(name, uid, gid, dir_fd=fd, follow_symlinks=False)
