"""squashfuse_ll: a squashfs file as a read-only directory, for users who may not mount one.

The file system's ids are those of the user namespace in which it is mounted: 1000 in the file is
the container's 1000, whoever that is on the host.
"""

from __future__ import annotations

import os

from rootless.errors import RuntimeSetupError
from rootless.kernel import libc
from rootless.tools import fuse_server

PROGRAM = "squashfuse_ll"


def mount(program: str, path: str, mount_point: str) -> fuse_server.Server:
    """Mount the file `path` (absolute), as root of a user namespace, and wait until it answers.

    Raises RuntimeSetupError with the program's words. It dies with the calling thread.
    """
    server = fuse_server.start([program, "-f", path], PROGRAM, mount_point, libc.MS_RDONLY)
    try:
        # Not stat(2), which the kernel answers for a root directory.
        os.close(os.open(mount_point, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
    except OSError as error:
        server.kill()
        raise RuntimeSetupError(
            f"{path}: cannot be mounted: {PROGRAM}: {server.complaint()}",
            hint=f"unsquashfs -s {path}",
        ) from error
    return server
