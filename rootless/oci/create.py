"""From a bundle to a container whose first process is ready to become its program.

Reads as the recipe of `create`: what is decided beforehand, the claim of the name, the fork, the
group, the hooks, the state. Whatever fails takes everything with it.
"""

from __future__ import annotations

import os

from rootless.errors import RuntimeSetupError
from rootless.kernel import libc, proc, signals
from rootless.kernel.channel import Channel, pair
from rootless.oci import document, fork, init, notifying, planning, statedir, usernamespace
from rootless.oci.job import Job
from rootless.oci.statedir import Record
from rootless.runtime import messages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.oci.planning import Options


# Whose this is, theirs are all control groups: each container gets one then, as with crun.
_TOP_CONTROL = "/sys/fs/cgroup/cgroup.subtree_control"


class Made:
    """A container that was made. channel: to its first process; terminal: the leader of its
    pseudo-terminal, -1 without one or where the console socket has it; listener: for what it says
    by sd_notify(3), -1 without."""

    __slots__ = ("channel", "job", "listener", "pid", "terminal")

    def __init__(self, job: Job, pid: int, channel: Channel) -> None:
        self.job = job
        self.pid = pid
        self.channel = channel
        self.terminal = self.listener = -1

    def wait_for_exec(self) -> None:
        """For a run: until the program runs. Raises RlError when it does not."""
        received = self.channel.receive()
        self.channel.close()
        if received is not None:
            raise messages.failure_of(received[0])


def create(root: str, container_id: str, options: Options) -> Made:
    """Make the container `container_id`. Raises RlError; nothing is left then."""
    record = Record(root, container_id)
    bundle = os.path.realpath(options.bundle)
    wanted = document.load(bundle, options.config)
    job = planning.plan(record, wanted, options)
    record.status = _first_status(job, bundle)
    if not job.has("mount"):
        from rootless.oci import sharedmounts

        record.status["mounted_before"] = sharedmounts.place_of(wanted["root"]["path"])
    record.claim()
    made = None
    try:
        _open_sockets(job, options)
        planning.open_trees(job)
        made = _fork(job)
        _bring_up(made, options)
        return made
    except BaseException:
        _undo(job, made)
        raise


def _listener(wanted: dict[str, Any]) -> list[str]:
    """Its path and what it is told; empty without one."""
    section = wanted["linux"].get("seccomp") or {}
    path = section.get("listenerPath")
    return [path, section.get("listenerMetadata", "")] if path else []


def _first_status(job: Job, bundle: str) -> dict[str, Any]:
    wanted = job.document
    me = os.getpid()
    process = {key: value for key, value in wanted["process"].items() if key != "args"}
    return {
        "ociVersion": wanted["ociVersion"], "id": job.record.id, "bundle": bundle,
        "rootfs": wanted["root"]["path"], "annotations": wanted["annotations"],
        "created": statedir.now(), "owner": os.geteuid(), "boot": proc.boot_id(),
        "creator": me, "creator_started": proc.start_time(me), "pid": 0, "started": 0,
        "made": False, "cgroup": "", "scope": "", "own_pids": job.is_new("pid"),
        "hooks": {phase: wanted["hooks"].get(phase) or [] for phase in ("poststart", "poststop")},
        "process": process, "seccomp_flags": job.filter.flags,
        "seccomp_listener": _listener(wanted),
        "external_descriptors": _descriptors(),
    }  # fmt: skip


def _descriptors() -> str:
    """What the first three are, as a list in JSON: those who checkpoint want to know."""
    from rootless.model import jsontext

    return jsontext.dumps([os.readlink(f"/proc/self/fd/{fd}") for fd in range(3)])


def _open_sockets(job: Job, options: Options) -> None:
    record = job.record
    if options.waits:
        from rootless.oci import waiting

        job.listener = waiting.listen(record)
    if options.console_socket:
        from rootless.oci import fdsocket

        job.console = fdsocket.connect(options.console_socket, "--console-socket")
    section = job.document["linux"].get("seccomp") or {}
    if job.filter.program:
        with open(f"{record.directory}/seccomp", "wb") as file:
            file.write(job.filter.program)
    if section.get("listenerPath"):
        from rootless.oci import fdsocket

        job.filter.listener = fdsocket.connect(
            section["listenerPath"], "linux.seccomp.listenerPath"
        )
    if job.notify:
        os.mkdir(job.notify, 0o755)


def _fork(job: Job) -> Made:
    ours, theirs = pair()
    maps = job.maps
    # Until the group and the state are there, our end takes it along.
    libc.prctl(libc.PR_SET_CHILD_SUBREAPER, 1)

    def map_ids(pid: int) -> None:
        if maps is not None:
            usernamespace.write(pid, maps)

    pid = fork.start(job, ours, theirs, map_ids)
    theirs.close()
    return Made(job, pid, ours)


def _bring_up(made: Made, options: Options) -> None:
    job, record = made.job, made.job.record
    status = record.status
    status["pid"], status["started"] = made.pid, proc.start_time(made.pid)
    if _wants_group(job, options):
        _make_group(job, options, made.pid)
    made.channel.send(init.MAPPED, made.pid)
    # While it mounts.
    record.save()
    if not options.waits:
        from rootless.oci import lifecycle  # noqa: F401
    _expect(made, init.MOUNTED)
    if job.document["hooks"]:
        _run_hooks(job)
    made.channel.send(init.HOOKED)
    if job.document["process"]["terminal"] and job.console < 0:
        made.terminal = _expect(made, init.TERMINAL)[0]
    _expect(made, init.READY)
    if not options.waits:
        made.listener = notifying.listen(record)
    if not options.detached:
        from rootless.oci import foreground

        foreground.hold_signals()
    _save(made, options)
    made.channel.send(init.SAVED)
    _expect(made, init.FREE)


def _run_hooks(job: Job) -> None:
    from rootless.oci import hooks

    state = job.record.document("created")
    for phase in hooks.PREPARING:
        hooks.run_all(job.document["hooks"], phase, state, state["bundle"])


def _wants_group(job: Job, options: Options) -> bool:
    """Whether one was named, or may be needed: only then it is worth a look at the host's."""
    linux = job.document["linux"]
    if options.manager == "systemd" or linux.get("cgroupsPath") or linux["resources"]:
        return True
    return os.access(_TOP_CONTROL, os.W_OK)


def _make_group(job: Job, options: Options, pid: int) -> None:
    from rootless.oci import cgroups

    record = job.record
    wish = cgroups.Wish(job.document, options.manager, record.id)
    # Noted before it is made: whoever has to clear up after us finds it there.
    record.status["scope"] = wish.scope
    record.save()
    record.status["cgroup"] = cgroups.make(wish, pid)
    if not record.status["cgroup"]:
        record.status["scope"] = ""


def _expect(made: Made, kind: str) -> list[int]:
    received = made.channel.receive()
    if received is None:
        raise RuntimeSetupError("the container's first process was killed while it was made")
    if received[0][0] != kind:
        raise messages.failure_of(received[0])
    return received[1]


def _save(made: Made, options: Options) -> None:
    record = made.job.record
    record.status["made"] = True
    record.save()
    if options.pidfd_socket:
        _send_pidfd(options.pidfd_socket, made.pid)
    if options.pid_file:
        write_pid(options.pid_file, made.pid)


def _send_pidfd(path: str, pid: int) -> None:
    from rootless.oci import fdsocket

    connected, fd = fdsocket.connect(path, "--pidfd-socket"), os.pidfd_open(pid)
    fdsocket.send(connected, b"pidfd", [fd])
    os.close(fd)
    os.close(connected)


def write_pid(path: str, pid: int) -> None:
    """Write a pid file, whole or not at all. Raises RlError."""
    from rootless.store import files

    files.write_atomic(path, str(pid).encode())


def _undo(job: Job, made: Made | None) -> None:
    status = job.record.status
    if made is not None:
        made.channel.close()
        fd = proc.open_pidfd(made.pid, status.get("started", 0))
        if fd >= 0:
            signals.send(fd, signals.SIGKILL)
            os.close(fd)
        try:
            os.waitpid(made.pid, 0)
        except ChildProcessError:
            pass
    if status.get("cgroup"):
        from rootless.oci import cgroups

        cgroups.kill(status["cgroup"])
        cgroups.remove(status["cgroup"])
    if status.get("mounted_before"):
        from rootless.oci import sharedmounts

        sharedmounts.undo(status["rootfs"], status["mounted_before"])
    job.record.remove()
