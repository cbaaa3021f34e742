"""`rl export`: a container's root file system as a tar archive, without what is mounted in it."""

from __future__ import annotations

from rootless.engine.containerfiles import ContainerFiles
from rootless.runtime import containerfiles
from rootless.store import outfile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.runtime.inside import Send
    from rootless.store.paths import Paths


def to_file(paths: Paths, container: str, path: str) -> None:
    """Write the archive to the file `path`, which is as it was when this raises RlError."""
    with outfile.OutFile(path) as fd:
        to_descriptor(paths, container, fd)


def to_descriptor(paths: Paths, container: str, fd: int) -> None:
    """Write the archive to `fd`. Raises RlError."""

    def work(root: int, _send: Send) -> None:
        containerfiles.send_root(root, fd)

    with ContainerFiles(paths, container, mounts=False) as found:
        found.follow_to_end(found.enter(work, (fd,)))
