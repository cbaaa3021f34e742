"""Which OCI runtime a program is: crun, runc, our own, or one of which nothing is known."""

from __future__ import annotations

import os

from rootless.errors import EXIT_ENGINE, HostError
from rootless.tools import spawn

CRUN, RUNC, RL, UNKNOWN = "crun", "runc", "rl-oci", ""
_KINDS = (CRUN, RUNC, RL)
# crun needs nothing of its own for control groups where the process is in the right one already.
_OPTIONS = {CRUN: ["--cgroup-manager=disabled"], RL: ["--cgroup-manager=disabled"]}


def path_of(name: str) -> str:
    """The absolute path of the program `name`, itself a path or a name. Raises HostError."""
    if "/" not in name:
        return spawn.find(name, name)
    path = os.path.abspath(name)
    if not os.path.isfile(path) or not os.access(path, os.X_OK):
        reason = "not executable" if os.path.exists(path) else "no such file"
        raise HostError(f"--runtime {name}: {reason}", "rl run --runtime crun …", EXIT_ENGINE)
    return path


def kind_of(path: str) -> str:
    """One of this module's names; by the program's name, else by its answer to --version."""
    name = os.path.basename(path)
    if name in _KINDS:
        return name
    words = spawn.run([path, "--version"]).stdout.decode(errors="replace").split()
    return next((kind for kind in _KINDS if kind in words), UNKNOWN)


def options_of(kind: str) -> list[str]:
    """What a program of that kind is given before the command."""
    return _OPTIONS.get(kind, [])
