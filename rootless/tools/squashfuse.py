"""squashfuse_ll: a squashfs file as a read-only directory, for users who may not mount one.

The file system's ids are those of the user namespace in which it is mounted: 1000 in the file is
the container's 1000, whoever that is on the host.
"""

from __future__ import annotations

import _thread
import os

from rootless.errors import RuntimeSetupError
from rootless.kernel import libc
from rootless.kernel.channel import wait_readable
from rootless.tools import fuse_server

PROGRAM = "squashfuse_ll"
# What a file of anybody's, or a network file system, may take for the first answer.
_PATIENCE_MS = 30_000


def mount(program: str, path: str, mount_point: str) -> fuse_server.Server:
    """Mount the file `path` (absolute), as root of a user namespace, and wait until it answers.

    Raises RuntimeSetupError with the program's words. It dies with the calling thread.
    """
    server = fuse_server.start([program, "-f", path], PROGRAM, mount_point, libc.MS_RDONLY)
    if _answers(server):
        return server
    raise RuntimeSetupError(
        f"{path}: cannot be mounted: {PROGRAM}: {server.complaint()}", hint=f"unsquashfs -s {path}"
    )


def _answers(server: fuse_server.Server) -> bool:
    """Whether it does; else it is ended."""
    works = []
    read_end, write_end = os.pipe()

    def look() -> None:
        try:
            # Not stat(2), which the kernel answers for a root directory.
            os.close(os.open(server.mount_point, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
            works.append(True)
        except OSError:
            pass
        finally:
            os.close(write_end)

    # Whoever asks a server that does not answer can only be killed: a thread, then, which the
    # server's end lets go on.
    _thread.start_new_thread(look, ())
    wait_readable([read_end], _PATIENCE_MS)
    if not works:
        server.kill()
        wait_readable([read_end])
    os.close(read_end)
    return bool(works)
