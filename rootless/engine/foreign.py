"""`rl run --runtime PROGRAM`: another OCI runtime instead of ours, from the mounts to the exec.

The keeper makes the root file system, its init the network's namespace, as always; then that
program creates and starts a container of the document, of which the rest is its to do.
"""

from __future__ import annotations

import os

from rootless import log
from rootless.errors import UsageError
from rootless.model import jsontext
from rootless.runtime.foreign import STATE
from rootless.store import files
from rootless.tools import oci_runtimes, spawn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.engine.plan import Plan
    from rootless.model.container import ContainerSpec
    from rootless.runtime.messages import ForeignRequest

# What we have made when the program begins; it finds itself in there.
_OURS = ("user", "mount", "network")
# The container's group is there, and the process in it; a user namespace is there too.
_NOT_THEIRS = ("uidMappings", "gidMappings", "cgroupsPath", "resources")
# The places in /proc that runc lets anybody mount on: of ours those that LXCFS has too
# (checkProcMount() in its libcontainer/rootfs_linux.go).
_PROC_OF_RUNC = frozenset(
    f"/proc/{name}"
    for name in ("cpuinfo", "diskstats", "meminfo", "stat", "swaps", "uptime", "loadavg")
)
_PROC = "/proc/"
_FOLDER = "runtime"
# runc, which cannot be told to leave control groups alone, makes one beside that which it is in, or
# enters this one: below what is above our helpers' (defaultDirPath() in libcontainer/cgroups/fs2).
_GROUP_FOR_RUNC = "payload/container"
# In a tmpfs, where a mount point leaves nothing in the container's files.
_INIT = "/dev/init"


def check(spec: ContainerSpec) -> None:
    """Refuse what only our own runtime can do, and a program that there is not.

    Raises UsageError, HostError.
    """
    oci_runtimes.path_of(spec.runtime)
    unable = {
        "--sysinfo": spec.sysinfo, f"--userns {spec.userns}": spec.userns not in ("", "host"),
        "--cpu-affinity": spec.cpu_affinity, "--timens private": spec.timens == "private",
        "the namespaces of another container": spec.joins,
    }  # fmt: skip
    for flag, wanted in unable.items():
        if wanted:
            raise UsageError(
                f"{flag}: only rl's own runtime has that, not --runtime {spec.runtime}"
            )
    # Not known to every runtime.
    spec.timens = "host"


def hand_over(
    spec: ContainerSpec, made: Plan, seccomp: dict[str, Any], live: str, *, has_group: bool
) -> ForeignRequest:
    """Take from the plan's document what the program does, and write it the bundle that it gets.

    live: the container's live directory, where the bundle is. has_group: whether it has a control
    group. Raises HostError where a program is missing.
    """
    program = oci_runtimes.path_of(spec.runtime)
    kind = oci_runtimes.kind_of(program)
    whole = _split(made, seccomp)
    if spec.init:
        _put_under_init(whole)
    if kind == oci_runtimes.RUNC:
        whole["mounts"] = without_refused(whole["mounts"], spec)
        if has_group:
            whole["linux"]["cgroupsPath"] = _GROUP_FOR_RUNC
    bundle = f"{live}/{_FOLDER}"
    files.make_dirs(f"{bundle}/{STATE}")
    files.write_atomic(f"{bundle}/config.json", jsontext.dumps(whole).encode(), mode=0o600)
    path = os.environ.get("PATH", os.defpath)
    return {
        "program": program,
        "options": oci_runtimes.options_of(kind),
        "bundle": bundle,
        "name": made.place.container_id,
        "enters_group": kind == oci_runtimes.RUNC,
        "env": {"PATH": path, "XDG_RUNTIME_DIR": f"{bundle}/{STATE}"},
    }


def _split(made: Plan, seccomp: dict[str, Any]) -> dict[str, Any]:
    """The program's own document, whole; what is ours to do stays in the plan's."""
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


def _put_under_init(whole: dict[str, Any]) -> None:
    """--init: as Podman has it, a program of the host's is bound and becomes the first process."""
    source = spawn.find("catatonit", "catatonit")
    options = ["bind", "rprivate", "nosuid", "nodev", "ro"]
    bind = {"destination": _INIT, "type": "bind", "source": source, "options": options}
    whole["mounts"] = [*whole["mounts"], bind]
    process = whole["process"]
    whole["process"] = {**process, "args": [_INIT, "--", *process["args"]]}


def without_refused(mounts: list[dict[str, Any]], spec: ContainerSpec) -> list[dict[str, Any]]:
    """For runc: without what of ours it does not take; what the user mounts is the user's."""
    wanted = {mount.target for mount in spec.mounts}
    refused = [
        mount
        for mount in mounts
        if mount["destination"].startswith(_PROC)
        and mount["destination"] not in _PROC_OF_RUNC | wanted
    ]
    files_of_view = [mount["destination"] for mount in refused if mount["type"] == "bind"]
    if files_of_view:
        log.notice(
            f"--runtime {spec.runtime}: runc takes no mounts there, these are the host's:"
            f" {' '.join(files_of_view)}"
        )
    return [mount for mount in mounts if mount not in refused]


def _of_network(sysctls: dict[str, str], *, ours: bool) -> dict[str, str]:
    """Those of the network's namespace, which is ours, or the others."""
    return {name: text for name, text in sysctls.items() if name.startswith("net.") == ours}
