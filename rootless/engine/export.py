"""`rl export`: a container's root file system as a tar archive, without what is mounted in it."""

from __future__ import annotations

import os

from rootless.engine.containerfiles import ContainerFiles
from rootless.errors import RlError
from rootless.runtime import containerfiles
from rootless.store import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.runtime.inside import Send
    from rootless.store.paths import Paths


def to_file(paths: Paths, container: str, path: str) -> None:
    """Write the archive to the file `path`, which is as it was when this raises RlError."""
    temporary = f"{path}.{os.getpid()}.tmp"
    is_special = os.path.exists(path) and not os.path.isfile(path)
    target = path if is_special else temporary
    try:
        fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise RlError(f"{path}: {error.strerror}") from error
    try:
        to_descriptor(paths, container, fd)
        if not is_special:
            os.rename(temporary, os.path.realpath(path))
    except BaseException as error:
        if not is_special:
            files.unlink_if_there(temporary)
        if isinstance(error, OSError):
            raise RlError(f"{path}: {error.strerror}") from error
        raise
    finally:
        os.close(fd)


def to_descriptor(paths: Paths, container: str, fd: int) -> None:
    """Write the archive to `fd`. Raises RlError."""

    def work(root: int, _send: Send) -> None:
        containerfiles.send_root(root, fd)

    with ContainerFiles(paths, container, mounts=False) as found:
        found.follow_to_end(found.enter(work, (fd,)))
