"""The keeper: root of the container's user namespace, outside its other namespaces.

It makes the root file system, starts the container's first process, waits for its end and unmakes
everything, also when the launcher is killed. It does nothing else and never talks to the container.
"""

from __future__ import annotations

import os
import time

from rootless.errors import EXIT_ENGINE, RlError
from rootless.kernel import libc, processors, signals
from rootless.kernel.channel import close_all_but, close_all_of, null_fd, wait_readable
from rootless.runtime import messages, namespaces, rootfs
from rootless.runtime.services import Services

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.cgroup.group import Group
    from rootless.kernel import pty
    from rootless.kernel.channel import Channel
    from rootless.runtime.messages import CgroupRequest, Ground, Request
    from rootless.runtime.oom import OomWatch
    from rootless.runtime.stdio import Stdio

# How long the end of the file server may be on its way to us when init has already ended.
_MOMENT_MS = 100
# How often orphans that have ended are taken off the process table.
_INTERVAL_MS = 5000


def main(control: Channel, setup: Channel, stdio: Stdio) -> None:
    """The keeper's life; runs as root of a fresh user namespace and returns when all is unmade."""
    _get_ready(control.fd, setup.fd, *stdio.container)
    received = control.receive()
    if received is None:
        return
    # The lock's descriptor comes along and stays open: see Place.claim.
    made, failure = _lay(received[0][0])
    received = control.receive()
    if received is None:
        if made is not None:
            made.unmount(discard=True)
        return
    request: Request = received[0][0]
    request["started_ns"] = request["started_ns"] or time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    root = None
    services = Services()
    has_orphans = _adopts(request)
    try:
        if made is None:
            raise failure or RuntimeError
        joined = _take_joined(request, received[1])
        _load_the_rest(request)
        services.begin(request)
        for path, uid, gid in request["give"]:
            rootfs.give(path, uid, gid)
        root = os.stat(made.path) if has_orphans else None
        _run_init(request, made, services, control, setup, stdio, joined, has_orphans=has_orphans)
    except BaseException as error:
        messages.send_failure(control, error, "setting up the root file system")
    if has_orphans:
        _end_orphans(request, made, services, root)
    _unwind(control, request, made, services)


def _lay(ground: Ground) -> tuple[rootfs.Rootfs | None, BaseException | None]:
    """The root file system, or why there is none."""
    if ground["detached"]:
        # The caller's streams, for whose end somebody may wait, and its directory.
        _to_null(0, 1, 2)
        os.chdir("/")
    try:
        leave_mounts_of_host(also=ground["namespaces"])
        made = rootfs.make(ground["rootfs"])
        for pid in made.server_pids:
            processors.begin_elsewhere(pid)
        return made, None
    except BaseException as error:
        return None, error


def _get_ready(*kept: int) -> None:
    """What can be done before it is known which container it will be."""
    libc.prctl_name("rl-keeper")
    libc.set_command_line("rl-keeper")
    # Mount points that the image lacks are for all of its users, whatever the caller's mask.
    os.umask(0o022)
    # Through /proc/self/fd/N an image's working directory or command could otherwise lead init to
    # the host's files (the runc flaw CVE-2024-21626).
    close_all_but(kept)
    # Ctrl-C at the terminal reaches the whole foreground group; the launcher decides about it.
    for number in signals.FROM_TERMINAL:
        signals.signal(number, signals.SIG_IGN)


def _load_the_rest(request: Request) -> None:
    """Before the fork of what answers for the view: imports write into memory that both share."""
    from rootless.runtime import payload

    payload.load_everything(request)


def _take_joined(request: Request, fds: list[int]) -> list[int]:
    if not request["joined"]:
        return []
    from rootless.runtime import joined

    return joined.take(request, fds)


def leave_mounts_of_host(also: int = 0) -> None:
    """Be in a mount namespace of our own. Raises HostError where we may not.

    also: flags of unshare(2) for more of them.
    """
    try:
        namespaces.unshare(libc.CLONE_NEWNS | also)
    except PermissionError as error:
        # Ubuntu, from 23.10 on: AppArmor lets everybody make one, but without its capabilities.
        from rootless.tools import userns_forbidden

        raise userns_forbidden.explain(error.errno or 0) from error
    namespaces.keep_mounts_inside()


def _run_init(
    request: Request,
    made: rootfs.Rootfs,
    services: Services,
    control: Channel,
    setup: Channel,
    stdio: Stdio,
    joined: list[int],
    *,
    has_orphans: bool,
) -> None:
    """From the fork of the container's first process to its end.

    joined: descriptors that it alone needs.
    """
    terminal = _terminal_of_user(request)
    private = services.private()
    if request["inner_maps"] is not None:
        services.serve()  # there the keeper itself opens what the view has
    init_pid = _start_init(request, made.path, control, setup, stdio, private)
    services.serve()  # after the fork of init, which has much to do before it asks for the view
    for pid in made.server_pids:
        processors.run_anywhere(pid)
    services.init_is_forked()
    close_all_of(joined)
    _close_setup_side(setup, stdio)
    init_fd = os.pidfd_open(init_pid)
    now = time.monotonic_ns()
    helpers = (made.server_pids, services.view_pid)
    control.send(messages.INIT, init_pid, helpers, now, fds=[init_fd])
    watch = _oom_watch(request, init_pid)
    stays = _watch(control, init_pid, init_fd, made, watch, services, has_orphans=has_orphans)
    if not stays and terminal is not None:
        terminal.restore()


def _adopts(request: Request) -> bool:
    """Whether processes of the container can outlive its first one; they come to us then, or in
    another container's pid namespace to that one's first process."""
    if namespaces.has_own_pids(request["document"]["linux"]["namespaces"]):
        return False
    from rootless.runtime import orphans

    orphans.adopt()
    return True


def _oom_watch(request: Request, init_pid: int) -> OomWatch | None:
    cgroup = request["cgroup"]
    if cgroup is None:
        return None
    from rootless.runtime import oom

    try:
        return oom.OomWatch(cgroup["container"], _group(cgroup).payload, init_pid)
    except OSError:
        return None  # no memory controller has been delegated


def _end_orphans(
    request: Request,
    made: rootfs.Rootfs | None,
    services: Services,
    root: os.stat_result | None,
) -> None:
    from rootless.runtime import orphans

    if request["cgroup"] is not None:
        try:
            _group(request["cgroup"]).kill()
        except OSError:
            pass  # one by one, then
    orphans.end(*(made.server_pids if made else ()), *services.pids())
    if root is not None:
        orphans.end_in_root(root)


def _start_init(
    request: Request,
    root: str,
    control: Channel,
    setup: Channel,
    stdio: Stdio,
    private: list[int],
) -> int:
    """Fork the container's first process; its pid. private: descriptors that it may not have."""
    from rootless.runtime import init

    if request["inner_maps"] is not None:
        from rootless.runtime import nested

        return nested.start_init(request, root, control, setup, stdio, private)
    pid = namespaces.fork_into(request["document"]["linux"]["namespaces"])
    if pid == 0:
        control.close()
        close_all_of(private)
        if not request["foreign"]:
            namespaces.enter_cgroup(request)
        init.main(request, root, setup, stdio)
    return pid


def _close_setup_side(setup: Channel, stdio: Stdio) -> None:
    """Let go of what belongs to init, or the launcher would wait for its end for ever."""
    setup.close()
    stdio.close_container_side()
    _to_null(0, 1)


def _to_null(*numbers: int) -> None:
    null = null_fd()
    for number in numbers:
        os.dup2(null, number)
    os.close(null)


def _terminal_of_user(request: Request) -> pty.Mode | None:
    """The terminal that the launcher will put into raw mode: its mode as it is before."""
    if not (request["document"]["process"]["terminal"] and request["interactive"]):
        return None
    from rootless.kernel import pty

    return pty.Mode(os.dup(0)) if os.isatty(0) else None


def _watch(
    control: Channel,
    init_pid: int,
    init_fd: int,
    made: rootfs.Rootfs,
    oom_watch: OomWatch | None,
    services: Services,
    *,
    has_orphans: bool,
) -> bool:
    """Wait for the container's end, the launcher's or the file system's; report the exit status.

    Returns whether the launcher is still there.
    """
    servers = {os.pidfd_open(pid): pid for pid in made.server_pids}
    watched = [init_fd, control.fd, *servers]
    spared = (init_pid, *made.server_pids)
    ready = _wait(control, watched, spared, oom_watch, services, has_orphans=has_orphans)
    if init_fd not in ready:
        _tell_of_dead(control, made, servers, ready)
        signals.pidfd_send_signal(init_fd, signals.SIGKILL)
        # It may wait for one of the services, also on its way out.
        _wait(control, [init_fd], spared, oom_watch, services, has_orphans=has_orphans)
    status = os.waitpid(init_pid, 0)[1]
    if init_fd in ready and servers and _looks_like_a_dead_server(status):
        # About to be seen as dead: a process closes its files before its end is reported.
        _tell_of_dead(control, made, servers, wait_readable([*servers], _MOMENT_MS))
    return _tell(control, messages.EXITED, status, time.monotonic_ns())


def _tell_of_dead(
    control: Channel, made: rootfs.Rootfs, servers: dict[int, int], ready: list[int]
) -> None:
    for fd, pid in servers.items():
        if fd in ready:
            _tell(control, messages.DRIVER_DIED, made.obituary(pid))
            return


def _wait(
    control: Channel,
    watched: list[int],
    spared: tuple[int, ...],
    oom_watch: OomWatch | None,
    services: Services,
    *,
    has_orphans: bool,
) -> list[int]:
    """Until one of `watched` is readable; OOM kills are reported meanwhile, orphans reaped, and
    what the container waits for goes on."""
    changed = [oom_watch.fd] if oom_watch else []
    while True:
        all_watched = [*watched, *services.fds()]
        ready = wait_readable(all_watched, _INTERVAL_MS if has_orphans else None, changed=changed)
        services.look(ready)
        _report_oom(control, oom_watch)
        if any(fd in watched for fd in ready):
            return ready
        if has_orphans:
            from rootless.runtime import orphans

            orphans.reap(*spared, *services.pids())


def _report_oom(control: Channel, oom_watch: OomWatch | None) -> None:
    killed = oom_watch.look() if oom_watch else None
    if killed is not None:
        _tell(control, messages.OOM, killed)


def _tell(control: Channel, *message: Any) -> bool:
    """Send `message`; whether the launcher is still there."""
    try:
        control.send(*message)
        return True
    except OSError:
        return False


def _looks_like_a_dead_server(status: int) -> bool:
    """Whether init failed in its set-up, or found a page of its program's file gone."""
    return os.waitstatus_to_exitcode(status) in (EXIT_ENGINE, -signals.SIGBUS)


def _unwind(
    control: Channel, request: Request, made: rootfs.Rootfs | None, services: Services
) -> None:
    try:
        services.stop()
        if made is not None:
            made.unmount(discard=request["discard"])
        if request["remove"]:
            from rootless.store import trees

            os.chdir("/")
            for path in _to_remove(request):
                trees.remove_tree(path)
        _leave_cgroup(request)
        control.send(messages.UNWOUND, time.monotonic_ns())
    except (OSError, RlError) as error:
        messages.send_failure(control, error, "unwinding the container")


def _to_remove(request: Request) -> list[str]:
    if len(request["remove"]) == 1:
        return request["remove"]
    from rootless.store import containers

    return containers.without_shared(request["remove"])


def _leave_cgroup(request: Request) -> None:
    """A scope ends with its last process; what we made ourselves we remove ourselves."""
    cgroup = request["cgroup"]
    if cgroup is None:
        return
    group = _group(cgroup)
    if not cgroup["leave"]:
        _clear(group)
        return
    from rootless.cgroup import subtree

    subtree.remove(group, leave=True)


def _group(cgroup: CgroupRequest) -> Group:
    from rootless.cgroup.group import Group

    return Group(cgroup["top"])


def _clear(group: Group) -> None:
    try:
        group.clear()
    except OSError:
        pass  # systemd tries as well
