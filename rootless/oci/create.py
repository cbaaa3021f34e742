"""From a bundle to a container whose first process is ready to become its program.

Reads as the recipe of `create`: what is decided beforehand, the claim of the name, the fork, the
group, the hooks, the state. Whatever fails takes everything with it.
"""

from __future__ import annotations

import os

from rootless import log
from rootless.errors import RuntimeSetupError, UsageError
from rootless.kernel import libc, proc, signals
from rootless.kernel.channel import Channel, pair
from rootless.oci import (
    document,
    fork,
    init,
    mounting,
    notifying,
    statedir,
    sysctls,
    usernamespace,
)
from rootless.oci.job import Job
from rootless.oci.mountoptions import MountOptions
from rootless.oci.process import SECCOMP_FLAGS, Filter
from rootless.oci.statedir import Record
from rootless.runtime import messages, payload

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Options:
    """The flags of create and run. waits: for a start (create), or goes on at once (run)."""

    __slots__ = ("bundle", "config", "console_socket", "detached", "manager", "new_keyring",
                 "no_pivot", "pid_file", "pidfd_socket", "preserved", "waits")  # fmt: skip

    def __init__(self, bundle: str, *, waits: bool) -> None:
        self.bundle = bundle
        self.config = "config.json"
        self.waits = waits
        self.detached = waits
        self.manager = "cgroupfs"
        self.console_socket = self.pid_file = self.pidfd_socket = ""
        self.preserved = 0
        self.new_keyring = True
        self.no_pivot = False


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
    job = _plan(record, wanted, options)
    record.status = _first_status(job, bundle)
    record.claim()
    made = None
    try:
        _open_sockets(job, options)
        _open_trees(job)
        made = _fork(job)
        _bring_up(made, options)
        return made
    except BaseException:
        _undo(job, made)
        raise


def _plan(record: Record, wanted: dict[str, Any], options: Options) -> Job:
    """All that can be refused before anything is made."""
    if wanted["process"]["terminal"] and options.detached and not options.console_socket:
        raise UsageError("process.terminal: use --console-socket with a detached terminal")
    if options.console_socket and not wanted["process"]["terminal"]:
        raise UsageError("--console-socket: the document asks for no terminal")
    job = Job(wanted, record, usernamespace.choose(wanted))
    sysctls.check(wanted, {space["type"] for space in wanted["linux"]["namespaces"]})
    job.filter = _filter(wanted)
    job.new_keyring, job.no_pivot = options.new_keyring, options.no_pivot
    job.preserved = options.preserved + _listen_fds(wanted)
    job.own_program = payload.own_interpreter()
    for mount in wanted["mounts"]:
        if mount["type"] == "bind" or {"bind", "rbind"} & set(mount["options"]):
            mount["source"] = os.path.join(options.bundle, mount["source"])
    job.notify = notifying.plan(record, wanted)
    fork.open_joined(job)
    init.load(job)
    return job


def _listen_fds(wanted: dict[str, Any]) -> int:
    """Sockets that systemd has passed to us (sd_listen_fds(3)) are for the container."""
    text = os.environ.get("LISTEN_FDS", "")
    if not text.isdecimal():
        return 0
    wanted["process"]["env"] += [f"LISTEN_FDS={text}", "LISTEN_PID=1"]
    return int(text)


def _filter(wanted: dict[str, Any]) -> Filter:
    section = wanted["linux"].get("seccomp")
    if not section:
        return Filter(b"", 0)
    from rootless.runtime import seccomp
    from rootless.store import paths

    names = section.get("flags") or []
    unknown = [name for name in names if name not in SECCOMP_FLAGS]
    if unknown:
        raise UsageError(f"linux.seccomp.flags: {unknown[0]} is unknown")
    _check_notify(section)
    cache = f"{paths.find_runtime()}/cache"
    program = seccomp.program_for(section, cache)
    return Filter(program, sum({SECCOMP_FLAGS[name] for name in names}))


def _check_notify(section: dict[str, Any]) -> None:
    notify = "SCMP_ACT_NOTIFY"
    rules = [rule for rule in section.get("syscalls") or [] if rule.get("action") == notify]
    if section.get("defaultAction") == notify:
        raise UsageError("linux.seccomp.defaultAction: SCMP_ACT_NOTIFY would stop everything")
    if any("sendmsg" in rule.get("names", ()) for rule in rules):
        raise UsageError("linux.seccomp: SCMP_ACT_NOTIFY of sendmsg: the listener is sent by it")
    if rules and not section.get("listenerPath"):
        raise UsageError("linux.seccomp: SCMP_ACT_NOTIFY needs a listenerPath")


def _open_trees(job: Job) -> None:
    """Where we are root, the root of a new user namespace may be unable to reach what we can; and
    maps of ids are for who is root where a file system was mounted."""
    is_other = os.geteuid() == 0 and job.is_new("user")
    wanted = job.document
    if is_other:
        job.trees.root = _tree_if_possible(wanted["root"]["path"], recursive=True)
    for number, mount in enumerate(wanted["mounts"]):
        options = MountOptions(mount["options"])
        if mounting.is_mapped(mount):
            from rootless.oci import idmapped

            job.trees.by_number[number] = idmapped.tree(mount, options, wanted["linux"])
        elif is_other and (options.is_bind or mount["type"] == "bind"):
            tree = _tree_if_possible(mount["source"], recursive=options.is_recursive)
            job.trees.by_number[number] = tree


def _tree_if_possible(path: str, *, recursive: bool) -> int:
    try:
        return mounting.open_tree(path, recursive=recursive)
    except OSError as error:
        # The container's root tries it by its path, and says more.
        log.effect(f"open_tree {path}: {error.strerror}")
        return -1


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

    state = job.record.document("creating")
    for phase in hooks.PREPARING:
        hooks.run_all(job.document["hooks"], phase, state, state["bundle"])


def _wants_group(job: Job, options: Options) -> bool:
    """Whether one was named, or may be needed: only then it is worth a look at the host's."""
    linux = job.document["linux"]
    return bool(options.manager == "systemd" or linux.get("cgroupsPath") or linux["resources"])


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
    job.record.remove()
