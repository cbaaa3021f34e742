"""What the plan needs to know of the host, gathered once at the start of a run."""

from __future__ import annotations

import os
import stat

from rootless.engine import trials
from rootless.model.mountspec import STANDARD_DEVICES
from rootless.tools import idmap, spawn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.model.idmap import IdMaps
    from rootless.store.verdicts import Verdicts

_FUSE = "/dev/fuse"


class HostFacts:
    """The user and the host as a plan sees them."""

    __slots__ = (
        "devices", "fuse_overlayfs", "gid", "has_fuse", "has_mqueue", "has_nodes", "has_pressure",
        "has_time", "hostname", "maps", "resolv", "storage", "terminal_size", "uid", "user",
    )  # fmt: skip

    def __init__(
        self,
        *,
        uid: int,
        gid: int,
        maps: IdMaps,
        hostname: str,
        resolv: str,
        fuse_overlayfs: str,
        terminal_size: tuple[int, int] | None,
        has_fuse: bool,
        has_mqueue: bool,
        has_nodes: bool,
        has_pressure: bool,
        has_time: bool,
        devices: list[str],
        user: str,
        storage: dict[str, str] | None = None,
    ) -> None:
        self.uid = uid
        self.gid = gid
        self.maps = maps
        self.hostname = hostname
        self.resolv = resolv
        self.fuse_overlayfs = fuse_overlayfs
        self.terminal_size = terminal_size
        self.has_fuse = has_fuse
        self.has_mqueue = has_mqueue
        self.has_nodes = has_nodes
        self.has_pressure = has_pressure
        self.has_time = has_time
        self.devices = devices
        self.user = user
        # Driver → reason against it, "" for none; those that nobody has tried are missing.
        self.storage = storage or {}


def gather(
    maps: IdMaps | None = None,
    *,
    verdicts: Verdicts | None = None,
    devices: bool = False,
    terminal: bool = False,
) -> HostFacts:
    """Look at the host, with `devices` also at its device nodes, with `terminal` at the user's.

    verdicts: of the store whose drivers are tried, where that is not known yet; None for no try.
    fuse_overlayfs is "" where the program or /dev/fuse cannot be used. has_pressure: of PSI;
    has_time: the kernel has time namespaces."""
    has_fuse = _opens(_FUSE)
    program = (spawn.which("fuse-overlayfs") or "") if has_fuse else ""
    return HostFacts(
        uid=os.geteuid(),
        gid=os.getegid(),
        maps=maps or idmap.canonical_maps(),
        hostname=os.uname().nodename,
        resolv=_read("/etc/resolv.conf"),
        fuse_overlayfs=program,
        storage=trials.storage(verdicts, program) if verdicts else {},
        has_fuse=has_fuse,
        terminal_size=_terminal_size() if terminal else None,
        user=idmap.user_name(),
        has_mqueue=os.path.isdir("/dev/mqueue"),
        has_nodes=os.path.isdir("/sys/devices/system/node"),
        has_pressure=os.path.exists("/proc/pressure/cpu"),
        has_time=os.path.exists("/proc/self/ns/time"),
        devices=_usable_devices() if devices else [],
    )


def _opens(device: str) -> bool:
    """By trying: a group of ours may not be allowed the device (EPERM), the kernel may lack it."""
    try:
        os.close(os.open(device, os.O_RDWR | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _terminal_size() -> tuple[int, int] | None:
    from rootless.engine import terminal

    return terminal.size()


def _usable_devices() -> list[str]:
    """The nodes below /dev that this user may open; terminals and what each container has aside."""
    found = []
    for folder, folders, names in os.walk("/dev"):
        folders[:] = [name for name in folders if name not in ("pts", "shm", "mqueue", "hugepages")]
        for name in names:
            path = f"{folder}/{name}"
            if not name.startswith(("tty", "console", "ptmx")) and _is_usable_node(path):
                found.append(path)
    return sorted(set(found) - {f"/dev/{name}" for name in STANDARD_DEVICES})


def _is_usable_node(path: str) -> bool:
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return False
    return (stat.S_ISCHR(mode) or stat.S_ISBLK(mode)) and os.access(path, os.R_OK)
