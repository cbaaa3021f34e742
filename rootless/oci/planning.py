"""What follows from a document and the flags before a container is made: the Job."""

from __future__ import annotations

import os

from rootless import log
from rootless.errors import UsageError
from rootless.oci import fork, init, mounting, notifying, sysctls, usernamespace
from rootless.oci.job import Job
from rootless.oci.mountoptions import MountOptions
from rootless.oci.process import SECCOMP_FLAGS, Filter
from rootless.runtime import payload

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.oci.statedir import Record


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


def plan(record: Record, wanted: dict[str, Any], options: Options) -> Job:
    """All that can be decided, or refused, before anything is made. Raises RlError."""
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
    if not job.has("mount"):
        from rootless.oci import sharedmounts

        sharedmounts.refuse_where_impossible(job)
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
    is_used = bool(rules) or section.get("defaultAction") == notify
    if is_used and not section.get("listenerPath"):
        raise UsageError("linux.seccomp: SCMP_ACT_NOTIFY needs a listenerPath")


def open_trees(job: Job) -> None:
    """Where we are root, the root of a new user namespace may be unable to reach what we can; and
    maps of ids are for who is root where a file system was mounted. Raises RlError."""
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
