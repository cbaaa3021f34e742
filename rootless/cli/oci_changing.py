"""`rl oci pause`, `resume`, `update`."""

from __future__ import annotations

import sys

from rootless.cli import oci_options
from rootless.cli.cmd_oci import root_of
from rootless.errors import UsageError
from rootless.oci import lifecycle, updating

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.cli.options import Parsed

# flag → where its number stands in linux.resources.
_NUMBERS = {
    "blkio-weight": ("blockIO", "weight"), "cpu-period": ("cpu", "period"),
    "cpu-quota": ("cpu", "quota"), "cpu-share": ("cpu", "shares"),
    "cpu-burst": ("cpu", "burst"), "cpu-idle": ("cpu", "idle"),
    "memory": ("memory", "limit"), "memory-reservation": ("memory", "reservation"),
    "memory-swap": ("memory", "swap"), "pids-limit": ("pids", "limit"),
}  # fmt: skip
_TEXTS = {"cpuset-cpus": ("cpu", "cpus"), "cpuset-mems": ("cpu", "mems")}
_NOT_OURS = ("kernel-memory", "kernel-memory-tcp", "cpu-rt-period", "cpu-rt-runtime",
             "l3-cache-schema", "mem-bw-schema")  # fmt: skip


def _freeze(parsed: Parsed) -> int:
    lifecycle.freeze(lifecycle.find(root_of(parsed), parsed.arguments[0]), frozen=True)
    return 0


def _thaw(parsed: Parsed) -> int:
    lifecycle.freeze(lifecycle.find(root_of(parsed), parsed.arguments[0]), frozen=False)
    return 0


def _update(parsed: Parsed) -> int:
    wanted = _resources(parsed)
    updating.update(lifecycle.find(root_of(parsed), parsed.arguments[0]), wanted)
    return 0


def _resources(parsed: Parsed) -> dict[str, Any]:
    for name in _NOT_OURS:
        if parsed.optional(name) is not None:
            raise UsageError(f"--{name}: cgroup v2 has no such limit for a normal user")
    wanted = _from_file(parsed.text("resources"))
    for name, (section, key) in {**_NUMBERS, **_TEXTS}.items():
        text = parsed.optional(name)
        if text is not None:
            wanted.setdefault(section, {})[key] = text if name in _TEXTS else _number(name, text)
    return wanted


def _from_file(path: str) -> dict[str, Any]:
    if not path:
        return {}
    from rootless.oci.document import read_json

    return read_json("/dev/stdin" if path == "-" and not sys.stdin.closed else path)


def _number(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        pass
    from rootless.model.units import parse_size

    return parse_size(text)


SIGNATURES = {
    "pause": oci_options.simple(_freeze, "Stop all processes of a container where they are."),
    "resume": oci_options.simple(_thaw, "Let a paused container go on."),
    "update": oci_options.update(_update),
}
