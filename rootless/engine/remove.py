"""`rl rm`: a container's writable layer, its record, its name, maybe its anonymous volumes."""

from __future__ import annotations

import os

from rootless.engine import lifecycle, live, recover
from rootless.errors import InUseError, RlError, StoreError
from rootless.store import containers, events, files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.store.paths import Paths


def remove(paths: Paths, text: str, *, force: bool, with_volumes: bool = False) -> str:
    """Remove the container named `text` (name, id, beginning of an id); its id.

    A running one is refused, or killed first with `force`. with_volumes: its anonymous volumes go,
    too; one of --rm takes them along anyway. Raises NotFoundError, InUseError.
    """
    recover.sweep(paths)
    container_id = containers.find(paths, text)
    lock = _claim(paths, text, container_id, force=force)
    try:
        _remove_claimed(paths, container_id, with_volumes=with_volumes)
    finally:
        containers.remove_live_directory(paths, container_id)
        lock.release()
    return container_id


def _claim(paths: Paths, text: str, container_id: str, *, force: bool) -> files.Lock:
    """See to it that the container neither runs nor is started. Raises InUseError, HostError."""
    while True:
        record = recover.record_or_nothing(paths, container_id)
        live.require_here(paths, text, record)
        waits = record.get("status") == "restarting" and recover.is_restarter_alive(record)
        if waits and not force:
            raise _in_use(text, "is about to be started again")
        lock = _claim_now(paths, container_id)
        if lock is not None:
            return lock
        if force:
            lifecycle.end_at_once(paths, text, container_id)
        elif lifecycle.settled(paths, text, container_id) is not None:
            raise _in_use(text, "is running")


def _claim_now(paths: Paths, container_id: str) -> files.Lock | None:
    folder = containers.live_directory(paths, container_id)
    try:
        return containers.claim_live(paths, container_id)
    except StoreError:
        # To remove things must be possible on a full disk, too.
        return None if os.path.isdir(folder) else files.Lock(f"{folder}/lock")


def _in_use(text: str, how: str) -> InUseError:
    return InUseError(f"container {text}: {how}", hint=f"rl rm --force {text}", exit_code=1)


def _remove_claimed(paths: Paths, container_id: str, *, with_volumes: bool) -> None:
    record = recover.record_or_nothing(paths, container_id)
    trees = containers.trees_of(paths, container_id, record)
    if not (with_volumes or record.get("remove")):
        trees = trees[-1:]  # the container's own directory is the last of them
    trees = containers.without_shared(trees)
    try:
        # Whoever comes after us, should we be killed, goes on.
        containers.update_record(paths, container_id, removing=trees)
    except (OSError, RlError):
        pass
    recover.remove_trees(trees)
    containers.release_name(paths, record.get("name", ""), container_id)
    events.of_container(paths, "destroy", {**record, "id": container_id})
