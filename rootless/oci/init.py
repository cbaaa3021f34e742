"""The first process of an OCI caller's container, from its fork to the exec of its program.

What it and its maker say to each other, over a channel:

    maker (rl-oci)                              init (becomes the container's program)
    writes the id maps, makes the group
    ── MAPPED ─────────────────────────────────▶
                                                namespaces, mounts, devices
    ◀─ MOUNTED ─────────────────────────────────
    runs the hooks prestart and createRuntime
    ── HOOKED ─────────────────────────────────▶
                                                hooks createContainer; enters the root; looks for
                                                the program
    ◀─ TERMINAL (one descriptor; without a console socket)
    ◀─ READY ───────────────────────────────────
    writes the state
    ── SAVED ──────────────────────────────────▶
    ◀─ FREE ────────────────────────────────────
    of create: ends                             of create: waits at the socket `start`
    ◀─ end of the stream (run): exec has succeeded

On either side FAILED can come instead. Until FREE init ends with its maker; afterwards it depends
on nobody. Nothing is imported once the root has changed: the files there are the container's.
"""

from __future__ import annotations

import os

from rootless import quickload
from rootless.kernel import libc, signals
from rootless.kernel.channel import close_all_but
from rootless.oci import devices, mounting, process, rootfs, sysctls
from rootless.runtime import messages, namespaces

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    from rootless.kernel.channel import Channel
    from rootless.oci.job import Job
    from rootless.runtime.devices import Terminal

MAPPED, MOUNTED, HOOKED, TERMINAL, READY, SAVED, FREE = (
    "mapped", "mounted", "hooked", "terminal", "ready", "saved", "free",
)  # fmt: skip


class Gone(Exception):
    """The maker has ended."""


def load(job: Job) -> None:
    """Import all that will be needed, in the maker."""
    process.load(job.document["process"], job.document["linux"])
    if job.is_new("network"):
        from rootless.kernel import netdev  # noqa: F401
    if any("tmpcopyup" in mount["options"] for mount in job.document["mounts"]):
        from rootless.oci import copyup  # noqa: F401
    if job.document["hooks"]:
        from rootless.oci import hooks  # noqa: F401
    # (`waiting`, which a created container needs, its maker has used already.)


def main(job: Job, channel: Channel) -> NoReturn:
    """Build the container around this process and become its program."""
    doing = ["starting"]
    try:
        close_all_but({channel.fd, *job.kept_fds()})
        _run(job, channel, doing)
    except Gone:
        pass
    except BaseException as error:
        messages.send_failure(channel, error, doing[0])
    os._exit(1)


def _receive(channel: Channel, kind: str) -> tuple[Any, ...]:
    received = channel.receive()
    if received is None or received[0][0] != kind:
        raise Gone
    return received[0]


def _run(job: Job, channel: Channel, doing: list[str]) -> NoReturn:
    document = job.document
    _, job.record.status["pid"] = _receive(channel, MAPPED)
    doing[0] = "namespaces"
    process.restore_signals()
    _become_root(job)
    _enter_namespaces(job)
    process.set_oom_score(document["process"])
    doing[0] = "mounts"
    root_fd = rootfs.prepare(document, job.trees, own_mounts=job.has("mount"))
    mounting.apply(root_fd, document["mounts"], job.trees, own_cgroups=job.has("cgroup"))
    devices.make(root_fd, document)
    terminal = _terminal(root_fd, job)
    rootfs.make_directory(root_fd, document["process"]["cwd"])
    process.add_home(document["process"], root_fd)
    channel.send(MOUNTED)
    _receive(channel, HOOKED)
    _run_hooks(job, "createContainer", document["root"]["path"])
    doing[0] = "root file system"
    rootfs.enter(root_fd, document, no_pivot=job.no_pivot, own_mounts=job.has("mount"))
    quickload.forget()
    sysctls.write(document, job)
    rootfs.restrict(document)
    doing[0] = "process"
    _hand_over_terminal(job, channel, terminal)
    path = _prepare_process(job, terminal)
    channel.send(READY)
    _receive(channel, SAVED)
    libc.prctl(libc.PR_SET_PDEATHSIG, 0)
    channel.send(FREE)
    _finish(job, channel, path)


def _run_hooks(job: Job, phase: str, directory: str) -> None:
    if job.document["hooks"].get(phase):
        from rootless.oci import hooks

        # `created`, says runtime.md, from the end of the lifecycle's second step on.
        hooks.run_all(job.document["hooks"], phase, job.record.document("created"), directory)


def _become_root(job: Job) -> None:
    """Root of our new user namespace, where it has a root; then die with who makes us."""
    if "user" in job.joined or job.is_new("user"):
        if job.maps is None or any(first == 0 for first, _, _ in job.maps.gids):
            os.setresgid(0, 0, 0)
        if job.maps is None or any(first == 0 for first, _, _ in job.maps.uids):
            os.setresuid(0, 0, 0)
        # The change made us undumpable, and our /proc/PID somebody else's: who sets up a network
        # has to find our namespaces there.
        libc.prctl(libc.PR_SET_DUMPABLE, 1)
    libc.prctl(libc.PR_SET_PDEATHSIG, signals.SIGKILL)
    os.setsid()


def _enter_namespaces(job: Job) -> None:
    namespaces.enter([space for space in job.spaces if space["type"] not in job_made(job)])
    if job.has("time"):
        _enter_time(job)
    if job.is_new("network"):
        from rootless.kernel import netdev

        netdev.loopback_up()
    document = job.document
    if document.get("hostname"):
        libc.sethostname(document["hostname"])
    if document.get("domainname"):
        libc.setdomainname(document["domainname"])


def job_made(job: Job) -> tuple[str, ...]:
    """The kinds that the fork itself has seen to."""
    return ("user", "pid", "time") if job.needs_middle else ("user", "pid", "time", *cloned(job))


def cloned(job: Job) -> list[str]:
    """The new namespaces that the fork makes; of cgroups only once we are in our group."""
    kinds = ("mount", "network", "uts", "ipc")
    return [kind for kind in kinds if job.is_new(kind)]


def _enter_time(job: Job) -> None:
    offsets = job.document["linux"].get("timeOffsets")
    if offsets is None:
        namespaces.enter_time(job.spaces, 0)
        return
    libc.unshare(libc.CLONE_NEWTIME)
    with open("/proc/self/timens_offsets", "w") as file:
        for clock, offset in offsets.items():
            file.write(f"{clock} {int(offset.get('secs', 0))} {int(offset.get('nanosecs', 0))}\n")
    fd = os.open("/proc/self/ns/time_for_children", os.O_RDONLY | os.O_CLOEXEC)
    libc.setns(fd, libc.CLONE_NEWTIME)
    os.close(fd)


def _terminal(root_fd: int, job: Job) -> Terminal | None:
    wanted = job.document["process"]
    if not wanted["terminal"]:
        return None
    from rootless.runtime import devices as terminals

    return terminals.open_console(root_fd, wanted.get("consoleSize"))


def _hand_over_terminal(job: Job, channel: Channel, terminal: Terminal | None) -> None:
    if terminal is None:
        return
    if job.console >= 0:
        from rootless.oci import fdsocket

        fdsocket.send(job.console, b"/dev/pts/ptmx", [terminal.leader])
    else:
        channel.send(TERMINAL, fds=[terminal.leader])
    os.close(terminal.leader)


def _prepare_process(job: Job, terminal: Terminal | None) -> str:
    wanted = job.document["process"]
    affinity = wanted.get("execCPUAffinity") or {}
    process.set_affinity(affinity.get("initial"), "process.execCPUAffinity.initial")
    _set_memory_policy(job)
    follower = terminal.follower if terminal is not None else -1
    process.begin(wanted, new_keyring=job.new_keyring, keep_terminal=follower)
    process.confine(wanted)
    path = process.find(wanted, job.own_program)
    process.set_affinity(affinity.get("final"), "process.execCPUAffinity.final")
    process.set_personality(job.document["linux"].get("personality"))
    return path


def _set_memory_policy(job: Job) -> None:
    wanted = job.document["linux"].get("memoryPolicy")
    if wanted:
        process.set_memory_policy(wanted)


def _finish(job: Job, channel: Channel, path: str) -> NoReturn:
    """Wait for the start where there is one to wait for, then become the program."""
    report: messages.Sender = channel
    if job.listener >= 0:
        from rootless.oci import waiting

        channel.close()
        report = waiting.wait(job.listener)
    try:
        document = job.document
        _fill_listener_state(job)
        _run_hooks(job, "startContainer", "/")
        keep = (document.get("annotations") or {}).get("run.oci.keep_original_groups") == "1"
        process.become(
            path, document["process"], job.filter, report, keep_groups=keep, kept=job.preserved
        )
    except BaseException as error:
        messages.send_failure(report, error, "starting the program")
    os._exit(1)


def _fill_listener_state(job: Job) -> None:
    if job.filter.listener < 0:
        return
    from rootless.oci import listener

    metadata = job.document["linux"]["seccomp"].get("listenerMetadata", "")
    pid = job.record.status["pid"]
    job.filter.state = listener.state_of(job.record, pid, metadata, "creating")
