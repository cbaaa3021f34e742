"""The container's root file system, made by the keeper in its own mount namespace.

Four drivers on one on-disk format: fuse-overlayfs, native overlay (`userxattr`), vfs (a plain copy
of the layers) and directory (`--rootfs`, used as it is). The lowest layer can be a squashfs file.
"""

from __future__ import annotations

import errno
import os

from rootless import log
from rootless.errors import HostError, RuntimeSetupError
from rootless.kernel import libc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.runtime.messages import RootfsRequest
    from rootless.tools.fuse_server import Server


# In the container's directory: once the driver vfs has copied the layers.
_IS_COPIED = "is-copied"
# The mount point of an image that is a squashfs file.
SQUASH = "squash"


class Rootfs:
    """A root file system that is there until `unmount`.

    server: the process that answers for it; below: that of a squashfs file below it; or None.
    """

    def __init__(
        self, path: str, server: Server | None, below: Server | None, *, is_mount: bool = False
    ) -> None:
        self.path = path
        self._is_mount = is_mount
        self._server = server
        self._below = below

    @property
    def _servers(self) -> list[Server]:
        return [one for one in (self._server, self._below) if one is not None]

    @property
    def server_pids(self) -> list[int]:
        """The processes without any of which it does not work."""
        return [server.pid for server in self._servers]

    def unmount(self, *, discard: bool, with_all_below: bool = False) -> None:
        """Take it off the keeper's namespace; discard: without writing back what is in flight.

        with_all_below: together with what the caller has mounted in it.
        """
        if self._server is not None and discard:
            self._server.kill()
        elif self._server is not None:
            self._server.unmount(with_all_below=with_all_below)
        elif self._is_mount:
            log.effect(f"umount {self.path}")
            libc.umount2(self.path, libc.MNT_DETACH)
        if self._below is not None:
            # Nothing is ever written there.
            self._below.kill()

    def complaint(self) -> str:
        """The last words of the topmost server."""
        return self._servers[0].complaint() if self._servers else ""

    def obituary(self, pid: int) -> str:
        """The name and the last words of the server `pid`, which died."""
        found = (f"{one.name}: {one.complaint()}" for one in self._servers if one.pid == pid)
        return next(found, "")


def make(request: RootfsRequest) -> Rootfs:
    """Make the root file system of `request`. Changes the working directory."""
    driver = request["driver"]
    # Short relative names: overlay's options must fit in a page and know no quoting of ":" and ",".
    os.chdir(request["path"])
    lowers = [f"l/{number}" for number in range(request["layers"])]
    merged = f"{request['path']}/merged"
    below = mount_squash(request["path"], request["squash"]) if request["squash"] else None
    if driver == "fuse-overlayfs":
        return Rootfs(merged, _mount_fuse(request, lowers, merged), below)
    if driver == "overlay":
        return Rootfs(merged, _mount_overlay(request, lowers, merged), below, is_mount=True)
    if driver == "vfs" and not os.path.exists(_IS_COPIED):
        _copy([f"{request['path']}/{name}" for name in reversed(lowers)], merged)
    if driver in ("vfs", "directory"):
        # A mount point is what pivot_root(2) wants.
        source = merged if driver == "vfs" else lowers[0]
        libc.mount(source, merged, None, libc.MS_BIND | libc.MS_REC)
        return Rootfs(merged, None, below, is_mount=True)
    raise RuntimeSetupError(f"storage driver {driver!r}: unknown")


def mount_squash(folder: str, squash: tuple[str, str]) -> Server:
    """Mount a RootfsRequest's `squash` in `folder`, the container's, where the link of the layer
    leads. Raises RuntimeSetupError."""
    from rootless.tools import squashfuse

    return squashfuse.mount(*squash, f"{folder}/{SQUASH}")


def _copy(layers: list[str], merged: str) -> None:
    """Once for all starts of the container; what a killed one has copied is copied anew."""
    from rootless.runtime import copytree
    from rootless.store import layers as store
    from rootless.store import trees

    folder = os.path.dirname(merged)
    # A name of its own, or all copies were in one group of inodes: store.layers says why.
    new = f"{folder}/{os.path.basename(folder)}"
    for left in (merged, new):
        trees.remove_tree(left)
    store.spread_subdirectories(folder)
    os.mkdir(new, 0o700)
    copytree.copy_layers(layers, new)
    os.rename(new, merged)
    with open(_IS_COPIED, "x"):
        pass


def _mount_fuse(request: RootfsRequest, lowers: list[str], merged: str) -> Server:
    from rootless.tools import fuse_overlayfs

    return fuse_overlayfs.mount(
        request["program"], lowers, "upper", "work", merged,
        uid_shift=request["uid_shift"], gid_shift=request["gid_shift"],
        acls=_knows_acls(lowers[-1]),
    )  # fmt: skip


def _knows_acls(layer: str) -> bool:
    """Whether its file system does: not those of squashfs files, NFS and others."""
    try:
        os.getxattr(layer, "system.posix_acl_access")
    except OSError as error:
        return error.errno != errno.ENOTSUP
    return True


def _mount_overlay(request: RootfsRequest, lowers: list[str], merged: str) -> Server | None:
    """The server where fuse-overlayfs had to take its place, as the request may allow."""
    # userxattr keeps overlay's own attributes in user.overlay.*, which a user namespace may write.
    options = f"userxattr,lowerdir={':'.join(lowers)},upperdir=upper,workdir=work"
    log.effect(f"mount -t overlay -o {options} overlay {merged}")
    try:
        libc.mount("overlay", merged, "overlay", libc.MS_NODEV, options)
    except OSError as error:
        if request["program"]:
            return _mount_fuse(request, lowers, merged)
        raise HostError(
            f"storage driver overlay: {error.strerror} (needs Linux 5.11 and a local file system)",
            hint="rl run --storage-driver fuse-overlayfs …",
        ) from error
    return None


def give(path: str, uid: int, gid: int) -> None:
    """chown -R without following links: the `U` option of volumes (podman-run(1))."""
    log.effect(f"chown -R {uid}:{gid} {path}")
    os.chown(path, uid, gid, follow_symlinks=False)
    for _, folders, names, fd in os.fwalk(path):
        for name in folders + names:
            os.chown(name, uid, gid, dir_fd=fd, follow_symlinks=False)
