"""The container's own view of its machine: which files of /proc and /sys stand in for the host's.

Pure. They are bound from a file system that the keeper mounts in the container's directory.
"""

from __future__ import annotations

from rootless.errors import HostError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.engine.facts import HostFacts
    from rootless.model.container import ContainerSpec

FOLDER = "view"
_PRESSURE = ("pressure/cpu", "pressure/memory", "pressure/io")
_PROC = (
    "meminfo", "cpuinfo", "stat", "uptime", "loadavg", "swaps", "diskstats", "vmstat", *_PRESSURE,
)  # fmt: skip
_CPUS = "cpus"
FILES = (*_PROC, _CPUS)
_HINT = "sudo chmod 0666 /dev/fuse"


def choose(spec: ContainerSpec, facts: HostFacts) -> list[str]:
    """The names out of FILES that the container gets; none where it is off or cannot be.

    Raises UsageError for a name that there is not, HostError where it was asked for and cannot be.
    """
    if spec.procview == "off":
        return []
    wanted = list(FILES) if spec.procview in ("", "on") else _named(spec.procview)
    if not facts.has_fuse:
        if spec.procview:
            raise HostError(f"--procview {spec.procview}: /dev/fuse cannot be used", hint=_HINT)
        return []
    return [name for name in wanted if name not in _PRESSURE or facts.has_pressure]


def _named(text: str) -> list[str]:
    names = []
    for word in text.split(","):
        name = _CPUS if word == "/sys/devices/system/cpu" else word.removeprefix("/proc/")
        if name not in FILES:
            hint = f"--procview {','.join(FILES)}"
            raise UsageError(f"--procview {text}: there is no view of {word!r}", hint=hint)
        names.append(name)
    return names


def mounts(names: list[str], directory: str) -> list[dict[str, Any]]:
    """The binds of `names`; directory: the container's."""
    return [
        {
            "destination": _target(name),
            "type": "bind",
            "source": f"{directory}/{FOLDER}/{name}",
            "options": ["bind", "rprivate", "nosuid", "noexec", "nodev", "ro"],
        }
        for name in names
    ]


def _target(name: str) -> str:
    return "/sys/devices/system/cpu" if name == _CPUS else f"/proc/{name}"
