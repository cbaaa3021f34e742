"""`exec`: another process in a container that runs.

A process in between joins the container's user, pid and time namespaces and forks the command,
which joins the rest (the container is hostile: see runtime.entered). The one in between ends at
once, and the command becomes our child, or the caller's where we do not wait.
"""

from __future__ import annotations

import os

from rootless import quickload
from rootless.cgroup import hierarchy as hierarchies
from rootless.errors import RlError, RuntimeSetupError
from rootless.kernel import libc, proc
from rootless.kernel.channel import Channel, close_all_but, pair
from rootless.oci import cgroups, fdsocket, foreground, process
from rootless.oci.process import Filter
from rootless.oci.statedir import CREATED, RUNNING
from rootless.runtime import devices, members, messages, payload
from rootless.tools.spawn import exit_code_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    from rootless.oci.statedir import Record
    from rootless.runtime.members import Namespaces

_GO, _TERMINAL, _FORKED = "go", "terminal", "forked"


class Options:
    """What is to be run and how. process: an OCI `process`, complete. cgroup: below the
    container's own group."""

    __slots__ = ("cgroup", "console_socket", "detached", "pid_file", "pidfd_socket", "preserved",
                 "process")  # fmt: skip

    def __init__(self, wanted: dict[str, Any]) -> None:
        self.process = wanted
        self.detached = False
        self.console_socket = self.pid_file = self.pidfd_socket = self.cgroup = ""
        self.preserved = 0


class _Place:
    """What the processes of an exec inherit."""

    __slots__ = ("console", "filter", "namespaces", "own", "root", "root_fd")

    def __init__(self, namespaces: Namespaces, filter_: Filter, console: int) -> None:
        self.namespaces = namespaces
        self.filter = filter_
        self.console = console
        self.own = payload.own_interpreter()
        info = os.stat("/")
        self.root = (info.st_dev, info.st_ino)
        # Of a container without a mount namespace.
        self.root_fd = -1


def run(record: Record, options: Options) -> int:
    """The command's exit code, 0 where it is not waited for. Raises RlError."""
    state = record.state
    if state not in (RUNNING, CREATED):
        raise RlError(f"cannot exec in container {record.id}: it is {state}", "rl-oci list")
    if options.process["terminal"] and options.detached and not options.console_socket:
        raise RlError("use --console-socket with a detached terminal")
    flags, told = (record.status.get(f"seccomp_{name}") for name in ("flags", "listener"))
    section = {"flags": flags, "listenerPath": told[0] if told else ""}
    process.load(options.process, {"seccomp": section})
    console = -1
    if options.console_socket:
        console = fdsocket.connect(options.console_socket, "--console-socket")
    namespaces = members.open_namespaces(record.pid, record.status["started"])
    place = _Place(namespaces, _filter(record), console)
    if record.status.get("mounted_before"):
        place.root_fd = os.open(record.status["rootfs"], os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    pid, channel = _fork(place, options)
    try:
        leader = _bring_up(record, options, pid, channel)
    except BaseException:
        _end(pid)
        raise
    if options.detached:
        return 0
    return exit_code_of(foreground.Foreground(pid, leader, {}).wait())


def _filter(record: Record) -> Filter:
    try:
        with open(f"{record.directory}/seccomp", "rb") as file:
            found = Filter(file.read(), record.status.get("seccomp_flags", 0))
    except FileNotFoundError:
        return Filter(b"", 0)
    told = record.status.get("seccomp_listener")
    if told:
        found.listener = fdsocket.connect(told[0], "linux.seccomp.listenerPath")
    return found


def _fork(place: _Place, options: Options) -> tuple[int, Channel]:
    libc.prctl(libc.PR_SET_CHILD_SUBREAPER, 1)
    ours, theirs = pair()
    report, mine = pair()
    middle = os.fork()
    if middle == 0:
        ours.close()
        report.close()
        _middle(place, options, theirs, mine)
    theirs.close()
    mine.close()
    received = report.receive()
    report.close()
    os.waitpid(middle, 0)
    if received is None:
        raise RuntimeSetupError("the container ended meanwhile")
    if received[0][0] != _FORKED:
        raise messages.failure_of(received[0])
    return int(received[0][1]), ours


def _middle(place: _Place, options: Options, theirs: Channel, mine: Channel) -> NoReturn:
    try:
        # While /proc/self is ours, as that of an undumpable process is not.
        process.copy_oom_score(options.process)
        place.namespaces.join("user", "pid", "time")
        # Nobody in the container may trace this process, from its first moment there.
        libc.prctl(libc.PR_SET_DUMPABLE, 0)
        pid = os.fork()
        if pid == 0:
            mine.close()
            _main(place, options, theirs)
        mine.send(_FORKED, pid)
    except BaseException as error:
        messages.send_failure(mine, error, "entering the container")
    os._exit(0)


def _bring_up(record: Record, options: Options, pid: int, channel: Channel) -> int:
    """From the fork to the exec; the leader of a terminal that is ours to serve, or -1."""
    directory = record.status.get("cgroup", "")
    if directory:
        place = os.path.normpath(f"{directory}/{options.cgroup.lstrip('/')}")
        if not f"{place}/".startswith(f"{directory}/"):
            raise RlError(f"--cgroup {options.cgroup}: leads out of the container's group")
        if place == directory:
            place = hierarchies.place_beside(directory, record.pid)
        cgroups.join(place, record.status.get("scope", ""), pid)
    if not options.detached:
        foreground.hold_signals()
    channel.send(_GO, _state_for_listener(record, pid))
    leader = -1
    while (received := channel.receive()) is not None:
        if received[0][0] != _TERMINAL:
            raise messages.failure_of(received[0])
        leader = received[1][0]
    if options.pidfd_socket:
        _send_pidfd(options.pidfd_socket, pid)
    if options.pid_file:
        from rootless.oci.create import write_pid

        write_pid(options.pid_file, pid)
    return leader


def _state_for_listener(record: Record, pid: int) -> dict[str, Any]:
    told = record.status.get("seccomp_listener")
    if not told:
        return {}
    from rootless.oci import listener

    return listener.state_of(record, pid, told[1], record.state)


def _send_pidfd(path: str, pid: int) -> None:
    connected, fd = fdsocket.connect(path, "--pidfd-socket"), os.pidfd_open(pid)
    fdsocket.send(connected, b"pidfd", [fd])
    os.close(fd)
    os.close(connected)


def _end(pid: int) -> None:
    proc.kill_and_wait(pid, proc.start_time(pid))
    try:
        os.waitpid(pid, 0)
    except ChildProcessError:
        pass


def _main(place: _Place, options: Options, channel: Channel) -> NoReturn:
    try:
        kept = {channel.fd, place.console, place.root_fd, place.filter.listener}
        kept |= set(place.namespaces.fds.values())
        close_all_but({fd for fd in kept if fd >= 0} | set(range(3, 3 + options.preserved)))
        received = channel.receive()
        if received is None:
            os._exit(1)
        place.filter.state = received[0][1]
        _run(place, options, channel)
    except BaseException as error:
        messages.send_failure(channel, error, "entering the container")
    os._exit(1)


def _run(place: _Place, options: Options, channel: Channel) -> NoReturn:
    wanted = options.process
    process.restore_signals()
    os.setsid()
    affinity = wanted.get("execCPUAffinity") or {}
    process.set_affinity(affinity.get("initial"), "process.execCPUAffinity.initial")
    # What is not loaded by now never is: the files there are the container's.
    quickload.forget()
    process.confine(wanted)
    place.namespaces.join_others("user", "pid", "time")
    place.namespaces.close()
    _become_root()
    if place.root_fd >= 0:
        os.fchdir(place.root_fd)
        os.chroot(".")
        os.close(place.root_fd)
    _check_root(place.root)
    root_fd = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    terminal = _terminal(root_fd, wanted, place.console, channel)
    process.add_home(wanted, root_fd)
    os.close(root_fd)
    process.begin(wanted, new_keyring=True, keep_terminal=terminal)
    path = process.find(wanted, place.own)
    process.set_affinity(affinity.get("final"), "process.execCPUAffinity.final")
    process.become(path, wanted, place.filter, channel, keep_groups=False, kept=options.preserved)


def _become_root() -> None:
    """For a namespace whose root is another user than its maker; harmless elsewhere."""
    for become in (os.setresgid, os.setresuid):
        try:
            become(0, 0, 0)
        except OSError:
            continue


def _check_root(hosts: tuple[int, int]) -> None:
    info = os.stat("/")
    if (info.st_dev, info.st_ino) == hosts:
        raise RuntimeSetupError("the container is still being made")


def _terminal(root_fd: int, wanted: dict[str, Any], console: int, channel: Channel) -> int:
    if not wanted["terminal"]:
        return -1
    terminal = devices.open_terminal(root_fd, wanted.get("consoleSize"))
    if console >= 0:
        fdsocket.send(console, b"/dev/pts/ptmx", [terminal.leader])
    else:
        channel.send(_TERMINAL, fds=[terminal.leader])
    os.close(terminal.leader)
    return terminal.follower
