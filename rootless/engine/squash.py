"""`rl image squash`: an image of the store as one squashfs file.

mksquashfs reads the image's layers through a mount, as root of the user namespace: owners are the
image's ids, names that were deleted are gone, hard links are links. What a container gets besides
its files (environment, command, user) stands behind the file system: decision 0039.
"""

from __future__ import annotations

import errno
import os

from rootless.engine import images, storage
from rootless.engine.building import roots
from rootless.errors import ImageError, InUseError, RlError, StoreError, UsageError
from rootless.image import squashfile
from rootless.kernel import signals
from rootless.kernel.channel import wait_readable
from rootless.kernel.mounts import fd_path
from rootless.model import imagefile
from rootless.model.container import ContainerSpec
from rootless.runtime import inside
from rootless.store import files, guard, layers
from rootless.store import images as store_images
from rootless.tools import spawn, squashfs_tools

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.image.progress import Progress
    from rootless.runtime.inside import Send
    from rootless.store.images import StoredImage
    from rootless.store.paths import Paths

# What the progress is called: the bar is for what is read.
_SHOWN = "squashfs"
_INTERVAL_MS = 200
# strerror(3) of ENOSPC and EDQUOT, in what mksquashfs says among other things.
_FULL = ("No space left on device", "Disk quota exceeded")
_EPOCH = "SOURCE_DATE_EPOCH"


class SquashSpec:
    """What is asked for. image: a name or an id; path: the file to make; level: 0 for the usual."""

    __slots__ = ("compression", "force", "image", "level", "path", "platform")

    def __init__(
        self,
        image: str,
        path: str,
        *,
        compression: str = "zstd",
        level: int = 0,
        force: bool = False,
        platform: str = "",
    ) -> None:
        self.image = image
        self.path = path
        self.compression = compression
        self.level = level
        self.force = force
        self.platform = platform


def squash(paths: Paths, spec: SquashSpec, progress: Progress) -> int:
    """Make the file, pulling the image if need be; how many bytes it has.

    Raises RlError; then the file is as it was, or not there.
    """
    program = spawn.find("mksquashfs", squashfs_tools.PACKAGE)
    _check(spec)
    seconds = _epoch()
    image = images.obtain(paths, ContainerSpec(image=spec.image, platform=spec.platform), progress)
    target = _Target(spec.path, replace=spec.force)
    for folder in (paths.tmp, paths.locks):
        files.make_dirs(folder)
    try:
        with guard.adding(paths), layers.Workspace(paths) as workspace:
            trees = image.layer_diffs(paths)
            moment = _created(image) if seconds is None else seconds
            command = squashfs_tools.making(
                program, target.written, spec.compression, spec.level, moment
            )
            progress.begin(_SHOWN, store_images.size(paths, image), 0)
            _make(f"{workspace.path}/root", trees, command, moment, target, progress)
            target.complete(image, trees)
            progress.finish(_SHOWN, "written")
        return target.put_in_place()
    finally:
        target.close()


def _check(spec: SquashSpec) -> None:
    if imagefile.is_path(spec.image):
        raise UsageError(
            f"{spec.image}: is a path; an image's name is wanted", hint="rl image squash IMAGE FILE"
        )
    if os.path.lexists(spec.path) and not spec.force:
        raise InUseError(
            f"{spec.path}: is there already", f"rl image squash --force {spec.image} {spec.path}"
        )
    if os.path.isdir(spec.path):
        raise UsageError(f"{spec.path}: is a directory", hint=f"{spec.path}/image.sqsh")


def _epoch() -> int | None:
    """$SOURCE_DATE_EPOCH. Raises UsageError."""
    text = os.environ.get(_EPOCH)
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and int(text) < 1 << 32):
        raise UsageError(f"{_EPOCH}={text}: not seconds since 1970")
    return int(text)


def _created(image: StoredImage) -> int:
    """Its own time, so that one image always gives the same file."""
    from rootless.model import moment

    try:
        when = moment.parse_moment(str(image.config["created"]), 0, "created")
        return min(max(when // 10**9, 0), (1 << 32) - 1)
    except (KeyError, RlError):
        return 0


class _Target:
    """The file on its way: without a name where the file system can, so that a kill leaves none.

    Raises RlError.
    """

    def __init__(self, path: str, *, replace: bool) -> None:
        self.path = path
        self._replace = replace
        folder = os.path.dirname(path) or "."
        self._beside = f"{path}.{os.getpid()}.tmp"
        self._has_name = False
        try:
            self.fd = os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            # Network file systems have none.
            if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL):
                raise _explain(error, path) from error
            self.fd = self._open_beside()
            self._has_name = True
        # By our descriptor: in the process that opens it the number is the same.
        self.written = f"/proc/self/fd/{self.fd}"

    def _open_beside(self) -> int:
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            return os.open(self._beside, flags, 0o600)
        except OSError as error:
            raise _explain(error, self.path) from error

    @property
    def size(self) -> int:
        """What has been written so far."""
        return os.fstat(self.fd).st_size

    def complete(self, image: StoredImage, trees: list[str]) -> None:
        """Write what stands behind the file system. Raises RlError."""
        passwd, group = (images.read_in_layers(trees, one) for one in ("etc/passwd", "etc/group"))
        try:
            squashfile.append(
                self.fd, name=image.name, image_id=image.image_id, config=image.config,
                passwd=passwd, group=group,
            )  # fmt: skip
        except ValueError as error:
            raise ImageError(f"mksquashfs: what it has made {error}") from error
        except OSError as error:
            raise _explain(error, self.path) from error

    def put_in_place(self) -> int:
        """Give it its name; its size. Raises RlError."""
        try:
            return self._put()
        except OSError as error:
            raise _explain(error, self.path) from error

    def _put(self) -> int:
        mask = os.umask(0o022)
        os.umask(mask)
        os.fchmod(self.fd, 0o666 & ~mask)
        if not self._has_name and not self._replace:
            self._link(self.path)
            return self.size
        if not self._has_name:
            self._link(self._beside)
            self._has_name = True
        if not self._replace and os.path.lexists(self.path):
            raise InUseError(f"{self.path}: was made by another program meanwhile")
        os.rename(self._beside, self.path)
        self._has_name = False
        return self.size

    def _link(self, path: str) -> None:
        folder = os.open("/proc/self/fd", os.O_PATH | os.O_CLOEXEC)
        try:
            os.link(str(self.fd), path, src_dir_fd=folder, follow_symlinks=True)
        finally:
            os.close(folder)

    def close(self) -> None:
        """Let go of it; one that is not in its place vanishes."""
        os.close(self.fd)
        if self._has_name:
            files.unlink_if_there(self._beside)


def _make(
    folder: str, trees: list[str], command: list[str], moment: int, target: _Target,
    progress: Progress,
) -> None:  # fmt: skip
    request = roots.prepare(folder, trees)
    if layers.is_any_shared(trees):
        # Owners stand beside the files; fuse-overlayfs shows those of links as nobody's.
        request["driver"] = storage.VFS
    elif request["driver"] == storage.FUSE:
        # It knows the hard links of a file only when it has been asked for all of its names, and
        # takes longer. It stays as what is used where the kernel's cannot be.
        request["driver"] = storage.OVERLAY

    def work(root: int, send: Send) -> None:
        # Of "/" no layer tells the time.
        os.utime(fd_path(root), (moment, moment))
        send(_run(command, root, target.fd, send))

    _follow(
        inside.enter_stopped(
            inside.Stopped(request, [], None, read_only=False), work, (target.fd,)
        ),
        progress,
        target.path,
    )


def _run(command: list[str], root: int, fd: int, send: Send) -> str:
    """Run mksquashfs in `root`, telling how many bytes it has read; its complaint, or ""."""
    complaints = os.memfd_create("mksquashfs", os.MFD_CLOEXEC)
    child = spawn.spawn(
        command, stderr=complaints, pass_fds=(fd,), die_with_parent=signals.SIGKILL,
        cwd=fd_path(root),
    )  # fmt: skip
    pidfd = os.pidfd_open(child.pid)
    while not wait_readable([pidfd], _INTERVAL_MS):
        send(_bytes_read(child.pid))
    if child.wait() == 0:
        return ""
    words = os.pread(complaints, 65536, 0).decode(errors="replace")
    causes = [line for line in words.splitlines() if any(one in line for one in _FULL)]
    return causes[0] if causes else spawn.last_words(words)


def _bytes_read(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/io") as file:
            return int(file.readline().partition(":")[2])  # rchar
    except (OSError, ValueError):
        return 0


def _follow(there: inside.Inside, progress: Progress, path: str) -> None:
    """Until mksquashfs has ended. Raises RlError with what it said."""
    seen = 0
    try:
        while isinstance(value := there.receive(), int):
            progress.advance(_SHOWN, max(value - seen, 0))
            seen = max(value, seen)
        there.finish()
    except BaseException:
        there.kill()
        raise
    finally:
        there.close()
    if value:
        full = any(one in value for one in _FULL)
        error = OSError(errno.ENOSPC if full else errno.EIO, f"mksquashfs: {value}")
        raise _explain(error, path)


def _explain(error: OSError, path: str) -> RlError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        hint = f"df -h {os.path.dirname(path) or '.'}"
        return StoreError(f"{path}: no space left for the image's file", hint=hint)
    if error.errno == errno.EEXIST:
        return InUseError(f"{path}: was made by another program meanwhile")
    return RlError(f"{path}: {error.strerror}")
