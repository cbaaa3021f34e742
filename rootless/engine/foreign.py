"""`rl run --runtime PROGRAM`: another OCI runtime instead of ours, from the mounts to the exec.

The keeper makes the root file system, its init the network's namespace, as always; then init
executes that program on the document, of which the rest is the program's to do.
"""

from __future__ import annotations

from rootless.errors import UsageError
from rootless.tools import spawn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.engine.plan import Plan
    from rootless.model.container import ContainerSpec

# What we have made when the program begins; it finds itself in there.
_OURS = ("user", "mount", "network")
# The container's group is there, and the process in it; a user namespace is there too.
_NOT_THEIRS = ("uidMappings", "gidMappings", "cgroupsPath", "resources")


def check(spec: ContainerSpec) -> None:
    """Refuse what only our own runtime can do. Raises UsageError."""
    unable = {
        "-t": spec.tty, "--init": spec.init, "--sysinfo": spec.sysinfo, "--userns": spec.userns,
        "--cpu-affinity": spec.cpu_affinity, "--timens private": spec.timens == "private",
        "the namespaces of another container": spec.joins,
    }  # fmt: skip
    for flag, wanted in unable.items():
        if wanted:
            raise UsageError(f"--runtime {spec.runtime}: not together with {flag}")
    # Not known to every runtime.
    spec.timens = "host"


def program(spec: ContainerSpec) -> str:
    """The path of the runtime. Raises HostError."""
    if "/" in spec.runtime:
        return spec.runtime
    return spawn.find(spec.runtime, spec.runtime)


def hand_over(made: Plan, seccomp: dict[str, Any]) -> dict[str, Any]:
    """Take from the plan's document what the program does; its own document, whole."""
    whole, linux = made.document, made.document["linux"]
    made.document = {
        **whole,
        "mounts": [],
        "linux": {
            "namespaces": [space for space in linux["namespaces"] if space["type"] in _OURS],
            "sysctl": _of_network(linux["sysctl"], ours=True),
        },
    }
    rest = {key: value for key, value in linux.items() if key not in _NOT_THEIRS}
    rest["namespaces"] = [
        space for space in linux["namespaces"] if space["type"] not in ("user", "network")
    ]
    rest["sysctl"] = _of_network(linux["sysctl"], ours=False)
    if seccomp:
        rest["seccomp"] = seccomp
    return {**whole, "linux": rest}


def _of_network(sysctls: dict[str, str], *, ours: bool) -> dict[str, str]:
    """Those of the network's namespace, which is ours, or the others."""
    return {name: text for name, text in sysctls.items() if name.startswith("net.") == ours}
