"""What `docker info` calls what `rl info` tells, for the templates in people's scripts."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def build(told: dict[str, dict[str, Any]], version: str) -> dict[str, Any]:
    """told: the document of `rl info`."""
    from rootless.cgroup import choice

    store, host = told["store"], os.uname()
    running = store["running"]
    return {
        "ID": "",
        "Containers": store["containers"],
        "ContainersRunning": running,
        "ContainersPaused": 0,
        "ContainersStopped": max(0, store["containers"] - running),
        "Images": store["images"],
        "Driver": told["drivers"]["storage"],
        "CgroupDriver": choice.choose().manager,
        "CgroupVersion": "2",
        "KernelVersion": host.release,
        "OperatingSystem": _system(),
        "OSType": "linux",
        "Architecture": host.machine,
        "NCPU": len(os.sched_getaffinity(0)),
        "MemTotal": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "DockerRootDir": store["root"],
        "Name": host.nodename,
        "ServerVersion": version,
        "SecurityOptions": ["name=seccomp,profile=builtin", "name=rootless", "name=cgroupns"],
    }


def _system() -> str:
    """The distribution's name (os-release(5))."""
    try:
        with open("/etc/os-release", encoding="utf-8", errors="replace") as file:
            lines = file.read().splitlines()
    except OSError:
        return "Linux"
    named = (line.partition("=")[2] for line in lines if line.startswith("PRETTY_NAME="))
    return next(named, "Linux").strip("\"'")
