"""Why a user namespace could not be made, or gives nothing, and who can change that. Pure.

The kernel says EPERM to most of it (user_namespaces(7), unshare(2)); which of the causes it is, is
told by what stands around the process (tools.confinement).
"""

from __future__ import annotations

import errno
import os

from rootless.errors import HostError
from rootless.model.value import Value
from rootless.tools import confinement, spawn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.tools.confinement import Confinement

_ENOUGH = 28633
# Of a service or a session, such as systemd's RestrictNamespaces=.
_WHOSE_FILTER = "cat /proc/self/cgroup; grep Seccomp /proc/self/status"
_SUBJECT = "user namespaces"
# The profile that Ubuntu's AppArmor puts whoever makes one into.
_APPARMORS_OWN = "unprivileged_userns"
# What AppArmor adds to the name of a profile that is more than a complaint.
_ENFORCED = " (enforce)"

LIMIT = "limit"
CLONE = "clone"
APPARMOR = "apparmor"
PROFILE = "profile"
SELINUX = "selinux"
CONTAINER = "container"
SECCOMP = "seccomp"
CHROOT = "chroot"
UNMAPPED = "unmapped"
UNKNOWN = "unknown"


class Refusal(Value):
    """cause: one of the above. reason: a part of a sentence. command: what changes it, for root;
    "" where no command does."""

    __slots__ = ("cause", "command", "reason")

    def __init__(self, cause: str, reason: str, command: str = "") -> None:
        self.cause = cause
        self.reason = reason
        self.command = command


def explain(number: int) -> HostError:
    """The error for the errno of unshare(2), or of the first use of what it gave."""
    refusal = judge(number, confinement.look())
    # The profile is too long for a line: doctor prints it.
    hint = "rl doctor" if refusal.cause == APPARMOR else refusal.command
    return HostError(f"{_SUBJECT}: {refusal.reason}", hint=hint)


def judge(number: int, around: Confinement) -> Refusal:
    """Which cause it is."""
    if number == errno.ENOSPC:
        return _limited(around)
    if number in (errno.EPERM, errno.EACCES):
        return _forbidden(number, around)
    if number == errno.EINVAL:
        return Refusal(UNKNOWN, "this kernel has none", "zgrep CONFIG_USER_NS /proc/config.gz")
    reason = os.strerror(number) if number else "the process for one was killed"
    return Refusal(UNKNOWN, reason)


def _limited(around: Confinement) -> Refusal:
    command = f"sudo sysctl -w user.max_user_namespaces={_ENOUGH}"
    limit = around.max_user_namespaces
    if limit == 0:
        return Refusal(LIMIT, "this host allows none (user.max_user_namespaces is 0)", command)
    reason = f"the limit user.max_user_namespaces ({limit}) is reached"
    if limit is not None and limit >= _ENOUGH:
        command = f"sudo sysctl -w user.max_user_namespaces={limit * 2}"
    return Refusal(LIMIT, reason, command)


def _forbidden(number: int, around: Confinement) -> Refusal:
    if around.clone == 0:
        return Refusal(
            CLONE,
            "forbidden to normal users (kernel.unprivileged_userns_clone is 0)",
            "sudo sysctl -w kernel.unprivileged_userns_clone=1",
        )
    if around.apparmor_restricts and _is_restricted(around.label):
        return Refusal(
            APPARMOR,
            "AppArmor gives no rights in them to programs without a profile"
            " (kernel.apparmor_restrict_unprivileged_userns is 1)",
            "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        )
    if around.is_chrooted:
        return Refusal(CHROOT, "the kernel makes none inside of a chroot", "")
    if not around.is_mapped:
        return Refusal(
            UNMAPPED, "this process has no id in the one that it is in", "cat /proc/self/uid_map"
        )
    if around.container and around.seccomp:
        return _by_container(around.container)
    if around.label.endswith(_ENFORCED):
        name = around.label.removesuffix(_ENFORCED)
        return Refusal(
            PROFILE,
            f"AppArmor's profile {name!r}, which this process is under, forbids them",
            f"sudo grep -rlF {spawn.quoted([name])} /etc/apparmor.d  # it lacks the line: userns,",
        )
    if number == errno.EACCES and "selinux" in around.modules:
        return Refusal(
            SELINUX, "the SELinux policy forbids them", "sudo ausearch -m avc -ts recent"
        )
    if around.seccomp:
        return Refusal(SECCOMP, "a seccomp filter on this session forbids them", _WHOSE_FILTER)
    modules = f" (security modules: {', '.join(around.modules)})" if around.modules else ""
    return Refusal(UNKNOWN, f"forbidden to normal users on this host{modules}", "sudo dmesg | tail")


def _is_restricted(label: str) -> bool:
    """Whether AppArmor leaves the process that has `label` without rights in a namespace."""
    return label in ("", "unconfined") or label.startswith(_APPARMORS_OWN)


def _by_container(kind: str) -> Refusal:
    reason = f"the seccomp filter of the {kind} container around this process forbids them"
    program = kind if kind in ("docker", "podman") else "docker"
    options = "--security-opt seccomp=unconfined --security-opt systempaths=unconfined"
    if program == "podman":
        options = "--security-opt seccomp=unconfined --security-opt unmask=ALL"
    return Refusal(CONTAINER, reason, f"{program} run {options} --device /dev/fuse …")
