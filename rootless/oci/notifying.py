"""sd_notify(3) of a container: its READY=1 reaches who waits at our own NOTIFY_SOCKET.

The container gets a socket of ours, `notify` in a directory that is bound at the path that
NOTIFY_SOCKET names. Whoever starts the container listens there, and passes on what concerns the
service as a whole.
"""

from __future__ import annotations

import _socket
import os

from rootless.errors import RuntimeSetupError
from rootless.kernel.channel import wait_readable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.oci.statedir import Record

_VARIABLE = "NOTIFY_SOCKET"
_MOST = 4096


def plan(record: Record, document: dict[str, Any]) -> str:
    """Add the mount and the variable where our caller listens; the directory to be made, or ""."""
    path = os.environ.get(_VARIABLE, "")
    if not path.startswith("/"):
        return ""
    directory = f"{record.directory}/notify"
    mount = {"destination": path, "type": "bind", "source": directory,
             "options": ["bind", "nosuid", "noexec", "nodev"]}  # fmt: skip
    document["mounts"].append(mount)
    process = document["process"]
    process["env"] = [word for word in process["env"] if not word.startswith(f"{_VARIABLE}=")]
    process["env"].append(f"{_VARIABLE}={path}/notify")
    return directory


def listen(record: Record) -> int:
    """A descriptor that receives what the container says, -1 where nobody wants to know."""
    if not os.environ.get(_VARIABLE, "").startswith("/"):
        return -1
    if not os.path.isdir(f"{record.directory}/notify"):
        return -1
    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
    path, folder = record.connectable("notify/notify")
    try:
        sock.bind(path)
        os.chmod(path, 0o777)
    except OSError as error:
        raise RuntimeSetupError(f"{record.directory}/notify: {error.strerror}") from error
    finally:
        os.close(folder)
    return sock.detach()


def wait_until_ready(listener: int, pidfd: int, pid: int) -> None:
    """Until the container says READY=1, which is passed on, or has ended."""
    while listener in wait_readable([listener, pidfd]):
        if pass_on(listener, pid):
            return


def pass_on(listener: int, pid: int) -> bool:
    """Read one message and pass it on; whether it said READY=1."""
    lines = os.read(listener, _MOST).decode(errors="replace").split("\n")
    is_ready = "READY=1" in lines
    if is_ready:
        # Who called us has to know that the service's main process is the container's.
        _tell(b"READY=1")
        _tell(f"MAINPID={pid}".encode())
    else:
        for line in lines:
            if line.startswith(("STATUS=", "STOPPING=", "RELOADING=", "WATCHDOG=")):
                _tell(line.encode())
    return is_ready


def _tell(message: bytes) -> None:
    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
    try:
        sock.sendto(message, os.environ[_VARIABLE])
    except OSError:
        pass  # nobody waits there any more
    finally:
        sock.close()
