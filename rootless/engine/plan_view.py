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

    Mount = dict[str, Any]

FOLDER = "view"
_PRESSURE = ("pressure/cpu", "pressure/memory", "pressure/io")
_PROC = (
    "meminfo", "cpuinfo", "stat", "uptime", "loadavg", "swaps", "diskstats", "vmstat", *_PRESSURE,
)  # fmt: skip
_NODES = "nodes"
_SYSFS = {"cpus": "/sys/devices/system/cpu", _NODES: "/sys/devices/system/node"}
FILES = (*_PROC, *_SYSFS)
# Where the kernel shows itself.
_KERNELS = ("/proc", "/sys")
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
    missing = [] if facts.has_pressure else [*_PRESSURE]
    missing += [] if facts.has_nodes else [_NODES]
    return [name for name in wanted if name not in missing]


def _named(text: str) -> list[str]:
    names = []
    short = {path: name for name, path in _SYSFS.items()}
    for word in text.split(","):
        name = short.get(word) or word.removeprefix("/proc/")
        if name not in FILES:
            hint = f"--procview {','.join(FILES)}"
            raise UsageError(f"--procview {text}: there is no view of {word!r}", hint=hint)
        names.append(name)
    return names


def mounts(names: list[str], directory: str) -> list[Mount]:
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
    return _SYSFS.get(name) or f"/proc/{name}"


def with_bare_copies(ours: list[Mount], view: list[Mount], hidden: list[str]) -> list[Mount]:
    """`ours`, with /proc and /sys once more each, bare, where only `view` covers parts of them.

    hidden: the paths that masks and the user's mounts cover. In a user namespace below the
    container's the kernel mounts a proc or sysfs only if one is in sight, anywhere in the mount
    namespace, of which nothing is covered: what the container may not see, those below may not
    either (mount_too_revealing() in fs/namespace.c). The view hides nothing that would need that.
    The bare ones are mounted on directories of what the /proc and /sys that everybody sees then
    cover: no path leads to them, and none of their files is taken for the view's.
    """
    seen = {one["destination"]: one for one in ours if one["destination"] in _KERNELS}
    covered = [one["destination"] for one in view]
    bases, bare = {}, []
    for place, mount in seen.items():
        base, directory = _bare_place(mount)
        if base in seen and _is_any_below(place, covered) and not _is_any_below(place, hidden):
            bases[base] = dict(seen[base])
            bare.append({**mount, "destination": directory})
    return [*bases.values(), *bare, *ours]


def _bare_place(mount: Mount) -> tuple[str, str]:
    """What holds a bare one of `mount`, and where there; these directories every kernel has."""
    if mount["type"] == "sysfs":
        # No second one on the first: all of one network namespace are one file system (EBUSY).
        return "/proc", "/proc/driver"
    place = mount["destination"]
    return place, f"{place}/fs"


def _is_any_below(place: str, paths: list[str]) -> bool:
    return any(path.startswith(f"{place}/") for path in paths)
