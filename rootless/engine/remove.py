"""`rl rm`: a container's writable layer, its record, its name and its anonymous volumes."""

from __future__ import annotations

import os

from rootless.engine import recover
from rootless.errors import InUseError
from rootless.kernel import proc
from rootless.store import containers, events

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.store.paths import Paths


def remove(paths: Paths, text: str, *, force: bool) -> str:
    """Remove the container named `text` (name, id, beginning of an id); its id.

    A running one is refused, or killed first with `force`. Raises NotFoundError, InUseError.
    """
    recover.sweep(paths)
    container_id = containers.find(paths, text)
    if container_id in containers.live_ids(paths):
        if not force:
            raise InUseError(
                f"container {text}: is running", hint=f"rl rm --force {text}", exit_code=1
            )
        _kill(paths, container_id)
    record = recover.record_or_nothing(paths, container_id)
    recover.remove_trees(containers.trees_of(paths, container_id, record))
    containers.release_name(paths, record.get("name", ""), container_id)
    events.of_container(paths, "destroy", {**record, "id": container_id})
    return container_id


def _kill(paths: Paths, container_id: str) -> None:
    """SIGKILL the payload; its keeper and launcher unwind, and the lock is free when they have."""
    state = containers.read_state(paths, container_id)
    pid, started = state.get("processes", {}).get("init", (0, 0))
    proc.kill_and_wait(pid, started)
    try:
        lock = containers.live_lock(paths, container_id, blocking=True)
        lock.acquire()
        lock.release()
    except FileNotFoundError:
        pass  # unwound, with everything
    if os.path.isdir(containers.live_directory(paths, container_id)):
        recover.sweep(paths)
