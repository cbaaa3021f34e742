"""Why a limit cannot be enforced for this user on this host, and what would change that.

Pure but for the path of a file of ours, which the advice names.
"""

from __future__ import annotations

import errno
import os
import shlex

from rootless import config
from rootless.cgroup import choice as choices
from rootless.errors import HostError
from rootless.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from rootless.cgroup.resources import Setting

DROP_IN = "systemd/user@.service.d/rl-delegate.conf"
_DROP_IN_TARGET = "/etc/systemd/system/user@.service.d/rl-delegate.conf"
_MANAGERS = (choices.SYSTEMD, choices.CGROUPFS)
_UNIFIED = "systemd.unified_cgroup_hierarchy=1"
_ESCAPE = " (--limits best-effort runs without it)"
_LONGEST_LINE = 120


class Delegation(Value):
    """What this user may limit here, and who decides.

    mode: "v2", "hybrid", "v1" or "none". root_controllers: those of the hierarchy's root, so all
    that the kernel has. chain: (group, its cgroup.controllers) from the root down to where we may
    make groups. manager: "systemd", "cgroupfs", anything else for nobody. manager_reason: why the
    user's systemd cannot be reached, as a part of a sentence. linger: None when it is not known.
    """

    __slots__ = (
        "chain", "linger", "manager", "manager_reason", "mode", "root_controllers", "uid", "user",
    )  # fmt: skip

    def __init__(
        self,
        *,
        mode: str,
        root_controllers: Sequence[str],
        chain: Sequence[tuple[str, Sequence[str]]],
        manager: str,
        manager_reason: str = "",
        user: str,
        uid: int,
        linger: bool | None = None,
    ) -> None:
        self.mode = mode
        self.root_controllers = root_controllers
        self.chain = chain
        self.manager = manager
        self.manager_reason = manager_reason
        self.user = user
        self.uid = uid
        self.linger = linger

    @property
    def user_service(self) -> str:
        """The unit of the user's manager, which the system's manager gives its controllers."""
        return f"user@{self.uid}.service"


def explain(controller: str, flag: str, where: Delegation, *, offer: bool = True) -> HostError:
    """The error for the wish `flag` ("--memory 256m"), whose `controller` is missing.

    One line that says where the controller gets lost; the hint is a command that gives it. offer:
    whether to mention --limits best-effort.
    """
    reason, hint = _reason(controller, where)
    message = f"{flag}: {reason}"
    if offer and len(message) + len(_ESCAPE) <= _LONGEST_LINE:
        message += _ESCAPE
    return HostError(message, hint=hint)


def not_written(setting: Setting, error: OSError) -> HostError:
    """The error for a setting whose controller is there and which the kernel refused all the same.

    setting: the last of its alternatives.
    """
    if error.errno != errno.ENOENT:
        return HostError(f"{setting.flag}: {setting.file}: {error.strerror}")
    reason = f"{setting.flag}: this kernel has no {setting.file}"
    if setting.file == "memory.swap.max":
        return HostError(reason, hint="boot with swapaccount=1 on the kernel's command line")
    if setting.file == "io.weight":
        return HostError(f"{reason}, nor io.bfq.weight", hint="sudo modprobe bfq")
    return HostError(reason, hint="uname -r")


def _reason(controller: str, where: Delegation) -> tuple[str, str]:
    if where.mode != "v2":
        return _no_v2(where.mode)
    if controller not in where.root_controllers:
        return (
            f"the kernel has no {controller} controller, or was booted without it",
            "grep -o 'cgroup_disable=[^ ]*' /proc/cmdline; cat /sys/fs/cgroup/cgroup.controllers",
        )
    if where.manager not in _MANAGERS:
        return _no_manager(where)
    below_manager = any(where.user_service in group.split("/") for group, _ in where.chain)
    if where.manager == choices.SYSTEMD or below_manager:
        return _not_delegated(controller, where)
    return _not_passed_on(controller, where.chain)


def _no_v2(mode: str) -> tuple[str, str]:
    if mode == "none":
        return "no cgroup file system is mounted", "ls -l /sys/fs/cgroup"
    what = "cgroup v1" if mode == "v1" else "cgroup v1 beside v2 (hybrid)"
    return (
        f"this host has {what}, where a user has no limits to set",
        f"boot with {_UNIFIED} on the kernel's command line",
    )


def _no_manager(where: Delegation) -> tuple[str, str]:
    reason = where.manager_reason or "nobody here gives this user a cgroup"
    if where.manager_reason.startswith("--"):  # a flag of the user's own
        return f"needs a cgroup, unlike {reason}", "rl run --limits best-effort …"
    job = choices.job_around(where.chain[-1][0]) if where.chain else ""
    if job:
        return f"{reason}, whose own limits hold", "cat /proc/self/cgroup"
    if where.linger is False:
        return reason, f"sudo loginctl enable-linger {shlex.quote(where.user)}"
    return reason, f"systemctl status {where.user_service}"


def _not_delegated(controller: str, where: Delegation) -> tuple[str, str]:
    """systemd enables a controller down to user@UID.service only if that delegates it."""
    above = [group for group, names in where.chain if controller in names]
    reexec = f"XDG_RUNTIME_DIR=/run/user/{where.uid} systemctl --user daemon-reexec"
    if any(where.user_service in group.split("/") for group in above):
        # A manager looks for its controllers when it starts; 257 not when it is re-executed.
        restart = f"sudo systemctl restart {where.user_service}"
        return (
            f"the user's systemd has not noticed the {controller} controller yet",
            f"{reexec}; or, which ends what it runs: {restart}",
        )
    install = f"sudo install -D -m 0644 {shlex.quote(config.shipped(DROP_IN))} {_DROP_IN_TARGET}"
    return (
        f"{_lost(controller)} {where.user_service}",
        f"{install} && sudo systemctl daemon-reload && {reexec}",
    )


def _lost(controller: str) -> str:
    return f"the {controller} controller is not delegated to"


def drop_in_commands(controller: str, where: Delegation, reason: str) -> str:
    """What the hint for `reason` does, for an administrator who cannot read this user's files: the
    drop-in's own text. "" where the reason is another."""
    if not reason.startswith(_lost(controller)):
        return ""
    with open(config.shipped(DROP_IN), encoding="utf-8") as file:
        lines = [line for line in file.read().splitlines() if not line.startswith("#")]
    user = f"sudo -u '#{where.uid}' XDG_RUNTIME_DIR=/run/user/{where.uid}"
    return "\n".join([
        f"sudo mkdir -p {os.path.dirname(_DROP_IN_TARGET)}",
        f"sudo tee {_DROP_IN_TARGET} >/dev/null <<'END'", *filter(None, lines), "END",
        f"sudo systemctl daemon-reload && {user} systemctl --user daemon-reexec",
    ])  # fmt: skip


def _not_passed_on(controller: str, chain: Sequence[tuple[str, Sequence[str]]]) -> tuple[str, str]:
    lost = next((index for index, (_, names) in enumerate(chain) if controller not in names), 0)
    if not lost:
        return (
            f"the {controller} controller is missing here",
            "cat /sys/fs/cgroup/cgroup.controllers",
        )
    above, group = chain[lost - 1][0], chain[lost][0]
    control = shlex.quote(f"/sys/fs/cgroup{above.rstrip('/')}/cgroup.subtree_control")
    return (
        f"the {controller} controller is not passed on to {group}",
        f"echo +{controller} | sudo tee {control}",
    )
