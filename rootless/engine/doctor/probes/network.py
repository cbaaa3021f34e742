"""Each network driver, really brought up on a network namespace without a container."""

from __future__ import annotations

import os
from typing import Any

from rootless.errors import RlError, describe_os_error
from rootless.kernel import libc, signals
from rootless.model.network import NetworkChoice
from rootless.net import drivers
from rootless.net.tun import TUN
from rootless.tools import confinement, idmap, spawn

# Those that need a program; the others cannot fail.
DRIVERS = ("slirp4netns", "pasta")
_READY = b"r"


class _NoNamespace(OSError):
    """unshare(2) refused a network namespace."""


def look(name: str) -> dict[str, Any]:
    """The facts that `engine.doctor.network` judges, of the driver `name`.

    refused: why it did not come up, as [message, hint], or None. namespace: the errno of a network
    namespace, 0 where there can be one.
    """
    told: dict[str, Any] = {
        "path": spawn.which(name) or "",
        "version": "",
        "container": confinement.container(),
        "tun": _tun(),
        "refused": None,
        "namespace": 0,
        "most": confinement.sysctl("user/max_net_namespaces"),
        "lowest_port": confinement.sysctl("net/ipv4/ip_unprivileged_port_start"),
    }
    if told["path"]:
        told["version"] = _version(name, told["path"])
    try:
        _bring_up(name)
    except RlError as error:
        told["refused"] = [error.message, error.hint]
    except _NoNamespace as error:
        told["namespace"] = error.errno
        told["refused"] = [f"network namespace: {error.strerror}", ""]
    except OSError as error:
        told["refused"] = [describe_os_error(error), ""]
    return told


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


def _bring_up(name: str) -> None:
    driver = drivers.make(NetworkChoice(name), [])
    driver.check()
    ready, to_us = os.pipe()
    from_us, owner = os.pipe()
    try:
        pending = idmap.begin(lambda: _hold(to_us, from_us, owner))
        pending.request(idmap.canonical_maps())
        child = pending.finish()
        os.close(to_us)
        to_us = -1
        told = os.read(ready, 16)
        if told != _READY:
            raise _NoNamespace(int(told or 0), os.strerror(int(told or 0)))
        _start(driver, child.pid)
    finally:
        for fd in (ready, from_us, owner, to_us):
            if fd >= 0:
                os.close(fd)
    child.wait()


def _hold(ready: int, until: int, owner: int) -> None:
    """A network namespace that lives until the asker has closed its pipe."""
    libc.prctl(libc.PR_SET_PDEATHSIG, signals.SIGKILL)
    os.close(owner)
    try:
        libc.unshare(libc.CLONE_NEWNET)
    except OSError as error:
        os.write(ready, b"%d" % (error.errno or 0))
        return
    os.write(ready, _READY)
    os.read(until, 1)


def _start(driver: drivers.Driver, pid: int) -> None:
    running = driver.start(f"/proc/{pid}/ns/user", f"/proc/{pid}/ns/net", runtime_dir="")
    try:
        running.wait_ready()
    finally:
        running.stop(wait=True)
