"""What is done with a container that was made: start, state, kill, delete, pause, list.

Each from a process of its own, which knows nothing but the state directory; the bundle may be gone.
"""

from __future__ import annotations

import os
import time

from rootless import log
from rootless.errors import InUseError, RlError, RuntimeSetupError
from rootless.kernel import proc, signals
from rootless.kernel.channel import wait_readable
from rootless.oci import notifying, statedir
from rootless.oci.statedir import CREATED, CREATING, PAUSED, RUNNING, STOPPED, Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_PATIENCE_MS = 10_000


def find(root: str, container_id: str) -> Record:
    """The container's record; as root first become its owner. Raises NotFoundError and RlError."""
    statedir.enter(root, container_id)
    return Record(root, container_id).load()


def start(record: Record) -> None:
    """Let a created container's program run; returns when it does. Raises RlError."""
    _wait_while_creating(record)
    if record.state != CREATED:
        raise RlError(
            f"cannot start container {record.id} in the state {record.state}", "rl-oci list"
        )
    from rootless.oci import waiting

    listener = notifying.listen(record)
    pid, pidfd = record.pid, _pidfd(record)
    waiting.start(record)
    after_start(record)
    if listener >= 0:
        notifying.wait_until_ready(listener, pidfd, pid)


def _wait_while_creating(record: Record) -> None:
    """A container shows itself as soon as its making begins."""
    deadline = time.monotonic() + _PATIENCE_MS / 1000
    while record.state == CREATING and time.monotonic() < deadline:
        time.sleep(0.01)
        record.load()


def after_start(record: Record) -> None:
    """The hooks poststart. Raises RlError; the container is stopped then."""
    wanted = record.status.get("hooks", {})
    if not wanted.get("poststart"):
        return
    from rootless.oci import hooks

    try:
        hooks.run_all(wanted, "poststart", record.document(RUNNING), "/")
    except RuntimeSetupError:
        _kill_all(record)
        raise


def _pidfd(record: Record) -> int:
    return proc.open_pidfd(record.status.get("pid", 0), record.status.get("started", 0))


def kill(record: Record, number: int, *, everybody: bool) -> None:
    """Send a signal to the first process, or to every one. Raises RlError when none is left."""
    fd = _pidfd(record)
    if fd < 0 and not everybody:
        raise RlError(f"kill container {record.id}: container not running", "rl-oci list")
    if fd >= 0:
        _send(record, fd, number)
        os.close(fd)
    if everybody:
        from rootless.oci import members

        for pid in members.of(record):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue
            except PermissionError as error:
                raise RlError(f"kill {pid}: operation not permitted") from error


def _send(record: Record, fd: int, number: int) -> None:
    try:
        signals.send(fd, number)
    except OSError as error:
        reason = (error.strerror or "").lower()
        raise RlError(f"kill container {record.id}: {reason}") from error
    if number == signals.SIGKILL and record.state == PAUSED:
        from rootless.oci import cgroups

        cgroups.freeze(record.status["cgroup"], frozen=False)


def delete(record: Record, *, force: bool) -> None:
    """Forget a container that has ended, or was only created; with force end it first.

    Raises RlError.
    """
    state = record.state
    if state not in (STOPPED, CREATED) and not force:
        raise InUseError(
            f"cannot delete container {record.id} that is not stopped: {state}",
            hint=f"rl-oci delete --force {record.id}",
        )
    _kill_all(record)
    if record.status.get("cgroup"):
        from rootless.oci import cgroups

        cgroups.remove(record.status["cgroup"])
    if record.status.get("mounted_before"):
        from rootless.oci import sharedmounts

        sharedmounts.undo(record.status["rootfs"], record.status["mounted_before"])
    state_document = record.document(STOPPED)
    run_hooks = record.status.get("made") and record.status.get("hooks", {}).get("poststop")
    record.remove()
    if run_hooks:
        from rootless.oci import hooks

        hooks.run_with_warnings(record.status.get("hooks", {}), "poststop", state_document, "/")


def _kill_all(record: Record) -> None:
    """SIGKILL all that is left of it, and wait for the end of its first process."""
    status = record.status
    creator = proc.open_pidfd(status.get("creator", 0), status.get("creator_started", 0))
    if creator >= 0:
        # Still at work on it; our own run waits for its container itself.
        if status.get("creator") != os.getpid() and not status.get("made"):
            signals.send(creator, signals.SIGKILL)
            wait_readable([creator], _PATIENCE_MS)
        os.close(creator)
    fd = _pidfd(record)
    if fd >= 0:
        signals.send(fd, signals.SIGKILL)
    cgroup = status.get("cgroup", "")
    if not status.get("own_pids", True):
        from rootless.oci import members

        for pid in members.of(record):
            try:
                os.kill(pid, signals.SIGKILL)
            except OSError:
                continue
    if cgroup:
        _kill_group(cgroup)
    if fd < 0:
        return
    if not wait_readable([fd], _PATIENCE_MS):
        log.warn(f"process {status.get('pid')} of container {record.id} does not end")
    os.close(fd)


def _kill_group(cgroup: str) -> None:
    from rootless.oci import cgroups

    cgroups.kill(cgroup)
    try:
        # What is frozen dies when it is thawed.
        cgroups.freeze(cgroup, frozen=False)
    except RlError as error:
        log.effect(error.message)


def freeze(record: Record, *, frozen: bool) -> None:
    """Pause it, or let it go on. Raises RlError."""
    state = record.state
    if state not in ((RUNNING, CREATED) if frozen else (PAUSED,)):
        verb = "pause" if frozen else "resume"
        raise RlError(f"cannot {verb} container {record.id} in the state {state}", "rl-oci list")
    from rootless.oci import cgroups

    cgroups.freeze(record.status.get("cgroup", ""), frozen=frozen)


def rows(root: str) -> list[dict[str, Any]]:
    """What `list` shows of each container. As root those of other owners are left alone."""
    found = []
    for container_id in statedir.all_ids(root):
        if os.geteuid() == 0 and os.lstat(f"{root}/{container_id}").st_uid != 0:
            continue
        try:
            record = Record(root, container_id).load()
        except RlError as error:
            log.effect(error.message)
            continue
        row = record.document()
        row["rootfs"] = record.status.get("rootfs", "")
        row["created"] = record.status.get("created", "")
        row["owner"] = record.status.get("owner", 0)
        found.append(row)
    return found
