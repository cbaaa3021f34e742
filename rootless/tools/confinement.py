"""What stands around this process: sysctls, security modules, seccomp, a container, a chroot.

Read where something was refused, to say why: nothing here decides whether a start is tried.
"""

from __future__ import annotations

import os

from rootless.model.idmap import parse_map, to_outside
from rootless.model.value import Value

_SYSCTLS = "/proc/sys"
# What runtimes leave in a container's root, and what to call its kind.
_MARKS = (("/run/.containerenv", "podman"), ("/.dockerenv", "docker"))
# include/linux/proc_ns.h
_FIRST = {"pid": 0xEFFFFFFC, "user": 0xEFFFFFFD}
_GROUPS = ("docker", "kubepods", "containerd", "lxc", "libpod")


class Confinement(Value):
    """max_user_namespaces, clone, apparmor_restricts: the sysctls user.max_user_namespaces,
    kernel.unprivileged_userns_clone and kernel.apparmor_restrict_unprivileged_userns, None where
    the kernel has none. modules: the security modules. label: what they call this process. seccomp:
    a filter of somebody's is on it; no_new_privs: setuid helpers do not work for it. container:
    the kind of container that it is in, "" outside. is_chrooted: its root is no mount point.
    is_mapped: its user has an id in its user namespace.
    """

    __slots__ = (
        "apparmor_restricts", "clone", "container", "is_chrooted", "is_mapped", "label",
        "max_user_namespaces", "modules", "no_new_privs", "seccomp",
    )  # fmt: skip

    def __init__(
        self,
        *,
        max_user_namespaces: int | None = None,
        clone: int | None = None,
        apparmor_restricts: int | None = None,
        modules: tuple[str, ...] = (),
        label: str = "",
        seccomp: bool = False,
        no_new_privs: bool = False,
        container: str = "",
        is_chrooted: bool = False,
        is_mapped: bool = True,
    ) -> None:
        self.max_user_namespaces = max_user_namespaces
        self.clone = clone
        self.apparmor_restricts = apparmor_restricts
        self.modules = modules
        self.label = label
        self.seccomp = seccomp
        self.no_new_privs = no_new_privs
        self.container = container
        self.is_chrooted = is_chrooted
        self.is_mapped = is_mapped


def look() -> Confinement:
    """Read it all; what cannot be read is not there. Never fails."""
    status = dict(line.partition(":\t")[::2] for line in _read("/proc/self/status").splitlines())
    return Confinement(
        max_user_namespaces=sysctl("user/max_user_namespaces"),
        clone=sysctl("kernel/unprivileged_userns_clone"),
        apparmor_restricts=sysctl("kernel/apparmor_restrict_unprivileged_userns"),
        modules=modules(),
        label=label(),
        seccomp=status.get("Seccomp", "0") != "0",
        no_new_privs=status.get("NoNewPrivs", "0") != "0",
        container=container(),
        is_chrooted=is_chrooted(_read("/proc/self/mountinfo")),
        is_mapped=to_outside(parse_map(_read("/proc/self/uid_map")), os.geteuid()) is not None,
    )


def sysctl(name: str) -> int | None:
    """A number below /proc/sys, None where there is no such file."""
    text = _read(f"{_SYSCTLS}/{name}").strip()
    return int(text) if text.lstrip("-").isdigit() else None


def modules() -> tuple[str, ...]:
    """The security modules at work that can forbid something, such as apparmor or selinux."""
    listed = _read("/sys/kernel/security/lsm").strip().split(",")
    found = [name for name in listed if name in ("apparmor", "selinux", "smack", "tomoyo")]
    # Where securityfs is not mounted.
    if not found and _read("/sys/module/apparmor/parameters/enabled").strip() == "Y":
        found.append("apparmor")
    if not found and os.path.exists("/sys/fs/selinux/enforce"):
        found.append("selinux")
    return tuple(found)


def label() -> str:
    """The security label of the calling process: an AppArmor profile and its mode, say."""
    for path in ("/proc/self/attr/apparmor/current", "/proc/self/attr/current"):
        text = _read(path).strip("\0\n ")
        if text:
            return text
    return ""


def container() -> str:
    """The kind of container that this process runs in, "" where there is no sign of one."""
    for path, kind in _MARKS:
        # A virtual machine may have been made of a container's files.
        if os.path.exists(path) and not (_is_first("pid") and _is_first("user")):
            return kind
    # systemd's name for it (systemd-detect-virt(1)), written by its generators at boot.
    told = _read("/run/systemd/container").strip()
    words = _read("/proc/self/cgroup").replace("/", " ").replace("-", " ").split()
    return told or next((name for name in _GROUPS if name in words), "")


def _is_first(kind: str) -> bool:
    """Whether this process is in the namespace of this kind that the kernel booted with."""
    try:
        return os.stat(f"/proc/self/ns/{kind}").st_ino == _FIRST[kind]
    except OSError:
        return False


def is_chrooted(mountinfo: str) -> bool:
    """Whether the root directory is not a mount of its own, out of /proc/self/mountinfo.

    Inside of a chroot(2) only what is mounted below it is listed.
    """
    points = [line.split(" ")[4] for line in mountinfo.splitlines() if line.count(" ") > 4]
    return bool(points) and "/" not in points


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
