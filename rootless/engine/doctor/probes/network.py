"""Each network driver, really brought up on a network namespace without a container."""

from __future__ import annotations

import os
from typing import Any

from rootless.engine import network_trial, networks
from rootless.errors import RlError, describe_os_error
from rootless.net.tun import TUN
from rootless.tools import confinement, spawn

# Those that need a program, the best first; the others cannot fail.
DRIVERS = networks.ISOLATING


def look(name: str) -> dict[str, Any]:
    """The facts that `engine.doctor.network` judges, of the driver `name`.

    reason: why it does not come up, "" where it does.
    """
    told = {**unknown("not installed"), "path": spawn.which(name) or "", "tun": _tun()}
    if told["path"]:
        told.update(version=_version(name, told["path"]), reason=_try(name))
    return told


def unknown(reason: str) -> dict[str, Any]:
    """The facts of a driver of which only `reason` is known."""
    return {
        "path": "",
        "version": "",
        "reason": reason,
        "tun": "",
        "container": confinement.container(),
        "most": confinement.sysctl("user/max_net_namespaces"),
        "lowest_port": confinement.sysctl("net/ipv4/ip_unprivileged_port_start"),
    }


def _try(name: str) -> str:
    try:
        # No port is published, so no socket is made there.
        return network_trial.run(name, runtime_dir="")
    except RlError as error:
        return error.message
    except OSError as error:
        return describe_os_error(error)


def _tun() -> str:
    try:
        os.close(os.open(TUN, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _version(name: str, path: str) -> str:
    """What stands behind the name, where that is a number."""
    done = spawn.run([path, "--version"])
    lines = (done.stdout + done.stderr).decode(errors="replace").splitlines()
    own = next((line.split() for line in lines if line.startswith(name)), [])
    return next((word for word in own if word[:1].isdigit()), "")
