"""What --security-opt and --privileged choose, and the paths of /proc and /sys that are hidden.

Pure. `parse` reads the options of docker-run(1) and podman-run(1); the seccomp profile itself is
read by `rootless.runtime.seccomp`.
"""

from __future__ import annotations

from rootless.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    Paths = tuple[str, ...]

# Not namespaced, or telling of the host's hardware and kernel: podman's list. A directory is
# covered by an empty one, a file by /dev/null.
MASKED_PATHS = (
    "/proc/acpi",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/dev/block",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
    "/sys/fs/selinux",
)

READONLY_PATHS = (
    "/proc/asound",
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
)

UNCONFINED = "unconfined"
DEFAULT_PROFILE = ""


class SecurityChoice:
    """The outcome of --security-opt and --privileged.

    no_new_privileges: whether set-user-ID programs and file capabilities are without effect.
    seccomp: DEFAULT_PROFILE, UNCONFINED, or the path of a profile.
    apparmor: a profile's name, UNCONFINED, or "" for what the host gives.
    masked_paths, readonly_paths: absolute paths inside the container.
    proc_options: mount options of /proc, as proc(5) names them.
    """

    __slots__ = (
        "apparmor",
        "masked_paths",
        "no_new_privileges",
        "proc_options",
        "readonly_paths",
        "seccomp",
    )

    def __init__(self, *, privileged: bool) -> None:
        self.no_new_privileges = not privileged
        self.seccomp = UNCONFINED if privileged else DEFAULT_PROFILE
        self.apparmor = UNCONFINED if privileged else ""
        self.masked_paths: Paths = () if privileged else MASKED_PATHS
        self.readonly_paths: Paths = () if privileged else READONLY_PATHS
        self.proc_options: Paths = ()


def parse(options: Sequence[str], *, privileged: bool) -> SecurityChoice:
    """The choice that all --security-opt `options` make together; later ones win.

    Keys end at "=" or, as docker once wrote them, at ":". With --privileged everything that can be
    switched off is off unless an option asks for it. Raises UsageError for an unknown option.
    """
    choice = SecurityChoice(privileged=privileged)
    for option in options:
        key, value = _split(option)
        reader = _READERS.get(key)
        if reader is None:
            raise UsageError(
                f"--security-opt {option}: no such option",
                hint=f"one of: {', '.join(sorted(_READERS))}",
            )
        reader(choice, option, value)
    return choice


def _split(option: str) -> tuple[str, str]:
    ends = [option.find(separator) for separator in "=:" if separator in option]
    end = min(ends, default=len(option))
    return option[:end], option[end + 1 :]


def _no_new_privileges(choice: SecurityChoice, option: str, value: str) -> None:
    if value not in ("", "true", "false"):
        raise UsageError(
            f"--security-opt {option}: neither true nor false",
            hint="--security-opt no-new-privileges=false",
        )
    choice.no_new_privileges = value != "false"


def _seccomp(choice: SecurityChoice, option: str, value: str) -> None:
    choice.seccomp = DEFAULT_PROFILE if value in ("default", "builtin") else _some(option, value)


def _apparmor(choice: SecurityChoice, option: str, value: str) -> None:
    choice.apparmor = _some(option, value)


def _label(choice: SecurityChoice, option: str, value: str) -> None:
    """SELinux labels change nothing: a normal user cannot set them."""
    kind = value.partition(":")[0]
    if kind not in ("disable", "filetype", "level", "nested", "role", "type", "user"):
        raise UsageError(
            f"--security-opt {option}: no such kind of label",
            hint="--security-opt label=disable",
        )


def _mask(choice: SecurityChoice, option: str, value: str) -> None:
    new = [path for path in _paths(option, value) if path not in choice.masked_paths]
    choice.masked_paths = (*choice.masked_paths, *new)


def _unmask(choice: SecurityChoice, option: str, value: str) -> None:
    patterns = [] if value.upper() == "ALL" else _paths(option, value)
    choice.masked_paths = _without(choice.masked_paths, patterns)
    choice.readonly_paths = _without(choice.readonly_paths, patterns)


def _system_paths(choice: SecurityChoice, option: str, value: str) -> None:
    if value != UNCONFINED:
        raise UsageError(
            f"--security-opt {option}: the only value is {UNCONFINED}",
            hint=f"--security-opt systempaths={UNCONFINED}",
        )
    choice.masked_paths = choice.readonly_paths = ()


def _proc_options(choice: SecurityChoice, option: str, value: str) -> None:
    choice.proc_options = tuple(_some(option, value).split(","))


_READERS = {
    "apparmor": _apparmor,
    "label": _label,
    "mask": _mask,
    "no-new-privileges": _no_new_privileges,
    "proc-opts": _proc_options,
    "seccomp": _seccomp,
    "systempaths": _system_paths,
    "unmask": _unmask,
}


def _some(option: str, value: str) -> str:
    if not value:
        raise UsageError(f"--security-opt {option}: the value is missing")
    return value


def _paths(option: str, value: str) -> list[str]:
    paths = _some(option, value).split(":")
    for path in paths:
        if not path.startswith("/"):
            raise UsageError(f"--security-opt {option}: {path!r} is not an absolute path")
    return [path.rstrip("/") or "/" for path in paths]


def _without(paths: Paths, patterns: list[str]) -> Paths:
    """`paths` that match none of `patterns` (shell patterns); no patterns stand for all."""
    if not patterns:
        return ()
    import fnmatch

    return tuple(
        path
        for path in paths
        if not any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns)
    )
