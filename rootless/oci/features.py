"""What this runtime can do here: `features` (runtime-spec, features.md and features-linux.md). Pure
but for what the kernel is asked."""

from __future__ import annotations

from rootless.oci import document, hooks, mountoptions
from rootless.oci.process import SECCOMP_FLAGS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def build(version: str) -> dict[str, Any]:
    """The document. version: our own."""
    return {
        "ociVersionMin": document.OLDEST_VERSION,
        "ociVersionMax": document.VERSION,
        "hooks": list(hooks.PHASES),
        "mountOptions": mountoptions.known_options(),
        "linux": _linux(),
        "annotations": {"org.rootless.rl.version": version},
        "potentiallyUnsafeConfigAnnotations": [],
    }


def _linux() -> dict[str, Any]:
    from rootless.kernel import capabilities, scheduling
    from rootless.model.capabilities import NAMES

    return {
        "namespaces": sorted(document.NAMESPACES),
        "capabilities": list(NAMES[: capabilities.last_capability() + 1]),
        "cgroup": {"v1": False, "v2": True, "systemd": True, "systemdUser": True, "rdma": False},
        "seccomp": _seccomp(),
        "apparmor": {"enabled": True},
        "selinux": {"enabled": True},
        "intelRdt": {"enabled": False},
        "memoryPolicy": {
            "modes": sorted(scheduling.MEMORY_MODES),
            "flags": sorted(scheduling.MEMORY_FLAGS),
        },
        "mountExtensions": {"idmap": {"enabled": True}},
        "netDevices": {"enabled": False},
    }


def _seccomp() -> dict[str, Any]:
    from rootless.errors import HostError
    from rootless.kernel import seccomp

    try:
        architectures = seccomp.architectures()
    except HostError:
        return {"enabled": False}
    flags = sorted(SECCOMP_FLAGS)
    return {
        "enabled": True,
        "actions": sorted(seccomp.ACTIONS),
        "operators": sorted(seccomp.OPERATORS),
        "archs": architectures,
        "knownFlags": flags,
        "supportedFlags": flags,
    }
