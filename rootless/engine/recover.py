"""After a crash: clear what a killed launcher and a killed keeper left behind.

Whoever looks after a container holds the lock in its live directory. A free lock means that nobody
does: what still runs of it is killed, what was to be removed is removed, the record is put right.
"""

from __future__ import annotations

import os
import time

from rootless import log
from rootless.engine import live
from rootless.errors import EXIT_ENGINE, RlError, describe_os_error
from rootless.kernel import proc
from rootless.store import containers, layers
from rootless.tools import idmap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.store.paths import Paths

# The exit code of a container whose end nobody saw.
UNKNOWN_EXIT = 255
# For processes that were sent SIGKILL; they may wait for a disk.
_SECONDS_TO_END = 5.0


def sweep(paths: Paths) -> None:
    """Clear every container that nobody looks after. Failures become warnings."""
    containers.clear_unborn(paths)
    for container_id in containers.live_ids(paths):
        try:
            _clear_if_abandoned(paths, container_id)
        except (RlError, OSError) as error:
            log.warn(f"container {container_id[:12]}: could not be cleared: {_reason(error)}")


def tidy(paths: Paths) -> None:
    """Clear what killed commands left: containers, and layers that were being unpacked or removed.

    Failures become warnings. Where nothing is left, it costs a listing of two directories.
    """
    sweep(paths)
    try:
        layers.sweep(paths)
    except (RlError, OSError) as error:
        log.warn(f"unfinished work could not be cleared: {_reason(error)}")


def _reason(error: RlError | OSError) -> str:
    return describe_os_error(error) if isinstance(error, OSError) else error.message


def _clear_if_abandoned(paths: Paths, container_id: str) -> None:
    lock = containers.live_lock(paths, container_id)
    try:
        if not lock.acquire():
            return
    except FileNotFoundError:
        # Somebody else was quicker, or was killed in its very last step.
        containers.remove_unlocked(paths, container_id)
        return
    try:
        log.effect(f"clear container {container_id[:12]}, which nobody looks after")
        state = containers.read_state(paths, container_id)
        _kill_processes(state)
        record = record_or_nothing(paths, container_id)
        _clear_group(state.get("cgroup", {}), container_id, record.get("starts", 0))
        _settle(paths, container_id, record, state)
        containers.remove_live_directory(paths, container_id)
    finally:
        lock.release()


def _kill_processes(state: dict[str, Any]) -> None:
    if state.get("boot") != proc.boot_id():
        return  # another boot: those pids mean nothing now
    # The keeper first: it would go on to unwind while we do.
    for name in ("supervisor", "keeper", "waiting", "init", "server", "below", "view", "network"):
        pid, started = state.get("processes", {}).get(name, (0, 0))
        if not proc.kill_and_wait(pid, started):
            log.warn(f"process {pid} ({name}) does not end")


def _clear_group(cgroup: dict[str, str], container_id: str, starts: int) -> None:
    """End what was left in the container's control group, and remove one that we made.

    starts: how often it was started; the record counts a start only when the group is there.
    Raises HostError when its processes do not end.
    """
    from rootless.engine import grouping

    number = max(0, starts - 1)
    top = cgroup.get("path") or grouping.place_without_systemd(container_id, number)
    if not os.path.isdir(top):
        return
    from rootless.cgroup import choice, subtree
    from rootless.cgroup.group import Group

    group = Group(top)
    group.kill()
    if not group.wait_until_empty(_SECONDS_TO_END):
        raise RlError(
            f"cgroup {top}: its processes do not end", f"cat {top}/*/cgroup.procs", EXIT_ENGINE
        )
    if cgroup.get("manager", choice.CGROUPFS) == choice.CGROUPFS:
        subtree.remove(group)


def _settle(paths: Paths, container_id: str, record: dict[str, Any], state: dict[str, Any]) -> None:
    # Without a record it died before anything of it was worth keeping.
    if not record or record.get("remove") or record.get("removing"):
        # `rl rm` was cut: what it was to remove, which need not be all.
        trees = record.get("removing") or containers.trees_of(paths, container_id, record)
        noted = containers.without_shared(state.get("remove", []))
        remove_trees([*noted, *containers.without_shared(trees)])
        containers.release_name(paths, record.get("name") or state.get("name", ""), container_id)
    elif record.get("status") == "running" or _has_not_restarted(record):
        with containers.RecordChange(paths, container_id) as current:
            if current.get("starts") == record.get("starts"):
                current.update(end_of(state))


def record_or_nothing(paths: Paths, container_id: str) -> dict[str, Any]:
    """The container's record, empty when it is damaged or was never written."""
    try:
        return containers.read_record(paths, container_id)
    except RlError:
        return {}


def end_of(state: dict[str, Any]) -> dict[str, Any]:
    """What is to be noted of an end that is not in the record.

    state: says what its supervisor has seen, where that could not write into a full store.
    """
    code, finished = state.get("exit_code", UNKNOWN_EXIT), state.get("finished") or time.time()
    return {"status": "exited", "exit_code": code, "finished": finished}


def as_it_is(paths: Paths, record: dict[str, Any]) -> dict[str, Any]:
    """`record`, with the end of its run in it where a full disk keeps it as it was."""
    if not _is_lost(paths, record):
        return record
    # Between the two looks it may have ended properly, or have begun anew.
    again = record_or_nothing(paths, record["id"]) or record
    if again.get("starts") == record.get("starts") and _is_lost(paths, again):
        return {**again, **end_of(containers.read_state(paths, record["id"]))}
    return again


def _is_lost(paths: Paths, record: dict[str, Any]) -> bool:
    """Whether nobody looks after a container of which its record says that it is up."""
    if record.get("status") not in ("running", "restarting") or live.elsewhere(paths, record):
        return False
    # Just before a restart it is nobody's but the restarter's.
    is_waiting = record["status"] == "restarting" and is_restarter_alive(record)
    return not (is_waiting or containers.is_held(paths.running, record["id"]))


def end_rest(paths: Paths, container_id: str) -> None:
    """Kill what a dead keeper has left, for the supervisor whose container it was."""
    state = containers.read_state(paths, container_id)
    _kill_processes({**state, "processes": {**state.get("processes", {}), "supervisor": (0, 0)}})
    group = state.get("cgroup", {}).get("path", "")
    if os.path.isdir(group):
        from rootless.cgroup.group import Group

        Group(group).kill()


def heal_records(paths: Paths) -> None:
    """Put right the records of containers that a reboot ended: nothing is left of them to clear."""
    for container_id in containers.all_ids(paths):
        try:
            heal_record(paths, container_id)
        except (RlError, OSError) as error:
            log.effect(f"container {container_id[:12]}: {_reason(error)}")  # on a full disk, say


def heal_record(paths: Paths, container_id: str) -> None:
    """As heal_records, for one."""
    before = record_or_nothing(paths, container_id)
    folder = containers.live_directory(paths, container_id)
    if not _claims_to_run(paths, before) or os.path.isdir(folder):
        return
    # Read again: between two looks it may have ended properly, or have begun anew.
    record = record_or_nothing(paths, container_id)
    if record.get("starts") == before.get("starts") and _claims_to_run(paths, record):
        _settle(paths, container_id, record, {})


def _claims_to_run(paths: Paths, record: dict[str, Any]) -> bool:
    is_up = record.get("status") == "running" or _has_not_restarted(record)
    return is_up and not live.elsewhere(paths, record)


def _has_not_restarted(record: dict[str, Any]) -> bool:
    """Whether nobody is there any more who wanted to start it again."""
    return record.get("status") == "restarting" and not is_restarter_alive(record)


def is_restarter_alive(record: dict[str, Any]) -> bool:
    """Whether the supervisor that is to start the container of `record` again, or the rl that it
    has become for that, still runs."""
    boot, pid, started = record.get("restarter") or ("", 0, 0)
    return bool(boot == proc.boot_id() and proc.is_alive(pid, started))


def remove_trees(trees: list[str]) -> None:
    """Remove directories in which subordinate ids own files: from inside the user namespace."""
    present = [path for path in dict.fromkeys(trees) if os.path.lexists(path)]
    if present:
        idmap.call(lambda: _remove_all(present))


def _remove_all(trees: list[str]) -> None:
    from rootless.store import trees as store_trees

    for path in trees:
        store_trees.remove_tree(path)
