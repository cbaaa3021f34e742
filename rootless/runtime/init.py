"""The container's first process, from the fork to the exec of the payload.

Reads as the recipe of a container: namespaces, mounts, root, then what the payload may do. Python
loads nothing any more once the root has changed: the files there belong to the image.
"""

from __future__ import annotations

import os
import time

from rootless import log, quickload
from rootless.errors import EXIT_ENGINE, RuntimeSetupError
from rootless.kernel import libc, mounts, signals
from rootless.runtime import devices, messages, namespaces, payload
from rootless.runtime.mounting import apply_mounts, check_proc, mask_paths, read_only_paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    from rootless.kernel.channel import Channel
    from rootless.runtime.messages import ForeignRequest, Request
    from rootless.runtime.stdio import Stdio

# Any directory that everybody can reach and that no bind of ours comes from, in a private
# namespace where hiding it harms nobody.
_STAGE = "/tmp"


class Step:
    """What is being done, for the message when it fails, and when it began."""

    def __init__(self) -> None:
        self.name = "starting"
        self.times: list[tuple[str, int]] = []

    def begin(self, name: str) -> None:
        """`name` is what happens from now on."""
        self.name = name
        self.times.append((name, time.monotonic_ns()))


def main(
    request: Request, root: str, setup: Channel, stdio: Stdio, root_tree: int = -1
) -> NoReturn:
    """Build the container around this process and become its payload.

    root: the path of the root file system, or root_tree: a detached mount of it (nested.py).
    """
    step = Step()
    try:
        if root_tree < 0:
            # Nobody else would end an init that hangs in its set-up. (In a nested user namespace
            # the parent is an intermediate process, which ends at once.)
            libc.prctl(libc.PR_SET_PDEATHSIG, signals.SIGKILL)
        _restore_signals()
        _run(request, root, root_tree, setup, stdio, step)
    except BaseException as error:
        messages.send_failure(setup, error, step.name)
    os._exit(EXIT_ENGINE)


def _restore_signals() -> None:
    for number in signals.FROM_TERMINAL:
        signals.signal(number, signals.SIG_DFL)


def _run(
    request: Request, root: str, root_tree: int, setup: Channel, stdio: Stdio, step: Step
) -> NoReturn:
    document = request["document"]
    step.begin("entering namespaces")
    if root_tree < 0:
        # (Nested, the intermediate process has seen to it.)
        namespaces.enter_time(document["linux"]["namespaces"], request["started_ns"])
    _enter_namespaces(request, setup)
    if request["foreign"]:
        _run_foreign(request["foreign"], request, setup, stdio, step)
    step.begin("mounting")
    root_fd = _open_root(root, root_tree)
    _copy_up(root_fd, request["copy_up"])
    apply_mounts(root_fd, document["mounts"])
    devices.make(root_fd, document["mounts"])
    terminal = _terminal(root_fd, document["process"])
    step.begin("entering the root file system")
    _enter_root(root_fd)
    _restrict_root(document)
    step.begin("waiting for the network")
    _wait_for_go(setup, terminal)
    step.begin("starting the command")
    setup.send(messages.STARTING, step.times)
    payload.start(request, setup, stdio, terminal)


def _run_foreign(
    wanted: ForeignRequest, request: Request, setup: Channel, stdio: Stdio, step: Step
) -> NoReturn:
    from rootless.runtime import foreign

    _write_sysctls(request["document"]["linux"].get("sysctl", {}))
    step.begin("creating the container with the other runtime")
    container = foreign.Container(wanted, request, stdio)
    step.begin("waiting for the network")
    if container.leader >= 0:
        setup.send(messages.TERMINAL, fds=[container.leader])
    setup.send(messages.READY, container.pid, fds=[container.fd])
    if setup.receive() is None:
        container.delete()
        os._exit(EXIT_ENGINE)  # the launcher has given up
    step.begin("starting the command")
    setup.send(messages.STARTING, step.times)
    container.start()
    setup.close()
    container.wait()


def _enter_namespaces(request: Request, setup: Channel) -> None:
    spaces = request["document"]["linux"]["namespaces"]
    namespaces.enter(spaces, made=request["early"])
    if not request["early"]:
        setup.send(messages.NETWORK)
    if request["loopback"]:
        _loopback_up()
    _name_host(request["document"], spaces)


def _terminal(root_fd: int, process: dict[str, Any]) -> devices.Terminal | None:
    if not process["terminal"]:
        return None
    return devices.open_console(root_fd, process.get("consoleSize"))


def _enter_root(root_fd: int) -> None:
    mounts.pivot_into(root_fd)
    os.close(root_fd)
    quickload.forget()
    check_proc()


def _restrict_root(document: dict[str, Any]) -> None:
    linux = document["linux"]
    _write_sysctls(linux.get("sysctl", {}))
    read_only_paths(linux.get("readonlyPaths", []))
    mask_paths(linux.get("maskedPaths", []))
    if document["root"].get("readonly"):
        _make_root_read_only()


def _wait_for_go(setup: Channel, terminal: devices.Terminal | None) -> None:
    if terminal is not None:
        setup.send(messages.TERMINAL, fds=[terminal.leader])
    setup.send(messages.READY)
    if setup.receive() is None:
        os._exit(EXIT_ENGINE)  # the launcher has given up


def _loopback_up() -> None:
    from rootless.kernel import netdev

    netdev.loopback_up()


def _name_host(document: dict[str, Any], spaces: list[dict[str, Any]]) -> None:
    if not any(space["type"] == "uts" and "path" not in space for space in spaces):
        return
    if document.get("hostname"):
        libc.sethostname(document["hostname"])
    if document.get("domainname"):
        libc.setdomainname(document["domainname"])


def _open_root(root: str, root_tree: int) -> int:
    if root_tree >= 0:
        return _attach_root(root_tree)
    try:
        return os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise RuntimeSetupError(f"root file system {root}: {error.strerror}") from error


def _attach_root(tree: int) -> int:
    """Put the detached root file system where it can be reached; a descriptor of it."""
    libc.move_mount(tree, "", libc.AT_FDCWD, _STAGE, libc.MOVE_MOUNT_F_EMPTY_PATH)
    return os.open(_STAGE, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def _copy_up(root_fd: int, volumes: list[tuple[str, str]]) -> None:
    """A new volume starts with what the image has at its place, as docker's do."""
    if not volumes:
        return
    from rootless.runtime import copytree

    for volume, path in volumes:
        copytree.copy_from_root(root_fd, path, volume)


def _write_sysctls(values: dict[str, str]) -> None:
    for name, value in values.items():
        path = "/proc/sys/" + name.replace(".", "/")
        log.effect(f"write {value!r} to {path}")
        try:
            with open(path, "w") as file:
                file.write(value)
        except OSError as error:
            raise RuntimeSetupError(f"--sysctl {name}={value}: {error.strerror}") from error


def _make_root_read_only() -> None:
    fd = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    mounts.add_flags(fd, libc.MS_RDONLY, recursive=False)
    os.close(fd)
