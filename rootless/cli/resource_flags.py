"""The flags that limit a container → `linux.resources` of the OCI document, and what goes with it.

Imported only when one of them is given. Looks at the host's CPUs, memory nodes and disks.
"""

from __future__ import annotations

import os
import stat

from rootless.cli.resource_options import RESOURCE_OPTIONS
from rootless.errors import UsageError
from rootless.model import resources as model
from rootless.model.container import STRICT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.cli.options import Parsed

_SYSTEM = "/sys/devices/system"
_BLOCK_DEVICES = "/sys/dev/block"
_DISABLED = "disabled"


def run_fields(parsed: Parsed) -> dict[str, Any]:
    """The fields of ContainerSpec that these flags of `rl run` fill. Raises UsageError."""
    resources = model.complete(requested(parsed))
    manager = _manager(parsed)
    limits = parsed.text("limits")
    if manager == _DISABLED and resources and limits == STRICT:
        raise UsageError(
            f"{_first(parsed)}: needs a cgroup, which --cgroup-manager disabled rules out",
            hint="rl run --cgroup-manager disabled --limits best-effort …",
        )
    score = parsed.optional("oom-score-adj")
    return {
        "resources": resources,
        "oom_score_adj": None if score is None else model.parse_oom_score(score),
        "cgroup_manager": manager,
        "cgroup_parent": _parent(parsed.text("cgroup-parent")),
        "limits": limits,
    }


def requested(parsed: Parsed) -> dict[str, Any]:
    """What the flags name, without defaults: what `rl update` changes. Raises UsageError."""
    host = model.Host(_online("cpu"), _online("node"), _disk)
    return model.parse(parsed.values, host)


def _first(parsed: Parsed) -> str:
    """The first limit of the command line as it was written."""
    names = {option.name for option in RESOURCE_OPTIONS}
    name = next(name for name in parsed.values if name in names)
    given = parsed.values[name]
    return f"--{name} {given[0] if isinstance(given, list) else given}"


def _manager(parsed: Parsed) -> str:
    manager = parsed.text("cgroup-manager")
    if parsed.text("cgroups") != _DISABLED:
        return manager
    if manager not in ("", _DISABLED):
        raise UsageError(f"--cgroup-manager {manager}: cannot be combined with --cgroups disabled")
    return _DISABLED


def _parent(name: str) -> str:
    """A slice's name or a path of groups; ".." would lead out of what is meant."""
    parts = name.strip("/").split("/")
    if name and (not name.isprintable() or " " in name or not all(p.strip(".") for p in parts)):
        raise UsageError(
            f"--cgroup-parent {name!r}: not a slice or a group", hint="--cgroup-parent batch.slice"
        )
    return name


def _online(what: str) -> str:
    """What is online, as the kernel lists it; kernels without NUMA have one node and no list."""
    try:
        with open(f"{_SYSTEM}/{what}/online", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return "0" if what == "node" else f"0-{(os.cpu_count() or 1) - 1}"


def _disk(place: str, path: str) -> tuple[int, int]:
    """(major, minor) of the disk at `path`; place: the flag and its value.

    io.max takes whole disks only (the kernel's blkg_conf_prep refuses partitions).
    """
    try:
        status = os.stat(path)
    except OSError as error:
        raise UsageError(f"{place}: {path}: {error.strerror}", hint="lsblk -p") from error
    if not stat.S_ISBLK(status.st_mode):
        raise UsageError(f"{place}: {path}: not a block device", hint="lsblk -p")
    major, minor = os.major(status.st_rdev), os.minor(status.st_rdev)
    whole = _whole_disk(f"{_BLOCK_DEVICES}/{major}:{minor}")
    if whole:
        raise UsageError(
            f"{place}: a partition; the kernel limits whole disks",
            hint=place.replace(path, whole),
        )
    return major, minor


def _whole_disk(device: str) -> str:
    """The disk of the partition that /sys shows as `device`; "" when it is none."""
    if not os.path.exists(f"{device}/partition"):
        return ""
    name = os.path.basename(os.path.dirname(os.path.realpath(device)))
    return "/dev/" + name.replace("!", "/")
