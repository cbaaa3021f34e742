"""The options that limit a container: of `rl run`, and those of them that `rl update` takes too."""

from __future__ import annotations

from rootless.cli.options import flag, repeat, section, value
from rootless.model.container import BEST_EFFORT, STRICT

# docker-update(1) and podman-update(1): what a running container's cgroup can change to.
RESOURCE_OPTIONS = section(
    "Resources",
    value("-m --memory", "SIZE", "Memory limit, such as 256m"),
    value("--memory-swap", "SIZE", "Memory and swap together (default twice --memory); -1: any"),
    value("--memory-reservation", "SIZE", "Memory that is left to it when the host is short"),
    value("--memory-swappiness", "NUMBER", "Not possible with cgroup v2 (-1: as the host)"),
    value("--cpus", "NUMBER", "CPU time a second, in CPUs, such as 0.5"),
    value("--cpu-period", "MICROSECONDS", "The time that --cpu-quota is a part of"),
    value("--cpu-quota", "MICROSECONDS", "CPU time in each period; -1 for no limit"),
    value("-c --cpu-shares", "NUMBER", "Share of a busy CPU beside other containers, 2 to 262144"),
    value("--cpuset-cpus", "LIST", "CPUs to run on, such as 0-2,7"),
    value("--cpuset-mems", "LIST", "Memory nodes to use"),
    value("--pids-limit", "NUMBER", "Most processes and threads; -1 for no limit"),
    value("--blkio-weight", "NUMBER", "Share of a busy disk beside other containers, 10 to 1000"),
    repeat("--device-read-bps", "DEVICE:RATE", "Most bytes a second from a disk; 0 for no limit"),
    repeat("--device-write-bps", "DEVICE:RATE", "Most bytes a second to a disk"),
    repeat("--device-read-iops", "DEVICE:RATE", "Most reads a second from a disk"),
    repeat("--device-write-iops", "DEVICE:RATE", "Most writes a second to a disk"),
    repeat("--cgroup-conf", "FILE=VALUE", "Any file of cgroup v2, such as memory.high=1073741824"),
)

# What is decided once, at the start.
START_OPTIONS = section(
    "Resources",
    flag("--oom-kill-disable", "Not possible with cgroup v2"),
    value("--oom-score-adj", "NUMBER", "Chance to be killed when memory ends, -1000 to 1000"),
    value(
        "--cgroup-manager", "MANAGER", "Who makes the cgroup (default whichever can)",
        choices=("systemd", "cgroupfs", "disabled"),
    ),
    value("--cgroup-parent", "NAME", "Slice of systemd to make the scope in, as batch.slice"),
    value("--cgroups", "HOW", "disabled: as --cgroup-manager disabled",
          default="enabled", choices=("enabled", "disabled")),
    value("--limits", "HOW", "best-effort: run also where a limit cannot be enforced",
          default=STRICT, choices=(STRICT, BEST_EFFORT)),
)  # fmt: skip

# A run without any of these does not import what reads them.
NAMES = frozenset(option.name for option in RESOURCE_OPTIONS + START_OPTIONS)
