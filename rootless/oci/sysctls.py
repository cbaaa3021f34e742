"""`linux.sysctl`: only what belongs to a namespace that is the container's own."""

from __future__ import annotations

import os

from rootless import log
from rootless.errors import RuntimeSetupError
from rootless.kernel import libc
from rootless.oci.document import InvalidDocument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.oci.job import Job

_IPC = ("kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall",
        "kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced")  # fmt: skip


def check(document: dict[str, Any], kinds: set[str]) -> None:
    """Refuse what is the host's. kinds: of the namespaces that are not the caller's.

    Raises InvalidDocument.
    """
    for name in document["linux"]["sysctl"]:
        needed = _namespace_of(normal(name))
        if not needed:
            raise InvalidDocument(f"linux.sysctl {name}: belongs to the whole host")
        if needed not in kinds:
            raise InvalidDocument(f"linux.sysctl {name}: needs a namespace of type {needed}")


def normal(name: str) -> str:
    """`name` with dots; with slashes, dots stand for themselves (sysctl.d(5))."""
    slash, dot = name.find("/"), name.find(".")
    if slash >= 0 and (dot < 0 or slash < dot):
        return name.replace("/", ".")
    return name


def _namespace_of(name: str) -> str:
    if name in _IPC or name.startswith("fs.mqueue."):
        return "ipc"
    if name.startswith("net."):
        return "network"
    # The host name has a property of its own.
    return "uts" if name == "kernel.domainname" else "user" if name.startswith("user.") else ""


def write(document: dict[str, Any], job: Job) -> None:
    """Write them; called in the container's root. Raises RuntimeSetupError."""
    wanted = document["linux"]["sysctl"]
    if not wanted:
        return
    _check_proc()
    for name, value in wanted.items():
        path = "/proc/sys/" + (name if "/" in name else name.replace(".", "/"))
        log.effect(f"write {value!r} to {path}")
        try:
            with open(path, "w") as file:
                file.write(str(value))
        except OSError as error:
            reason = (error.strerror or "").lower()
            raise RuntimeSetupError(f"linux.sysctl {name}={value}: {reason}") from error


def _check_proc() -> None:
    fd = os.open("/proc/sys", os.O_PATH | os.O_CLOEXEC)
    try:
        if libc.file_system_of(fd) != libc.PROC_SUPER_MAGIC:
            raise RuntimeSetupError("/proc: is not the kernel's, sysctls cannot be set")
    finally:
        os.close(fd)
