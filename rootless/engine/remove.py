"""`rl rm`: a container's writable layer, its record, its name, maybe its anonymous volumes."""

from __future__ import annotations

from rootless.engine import lifecycle, recover
from rootless.errors import InUseError
from rootless.store import containers, events

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
    if container_id in containers.live_ids(paths):
        if not force:
            raise InUseError(
                f"container {text}: is running", hint=f"rl rm --force {text}", exit_code=1
            )
        lifecycle.end_at_once(paths, text, container_id)
    record = recover.record_or_nothing(paths, container_id)
    trees = containers.trees_of(paths, container_id, record)
    keeps_volumes = not (with_volumes or record.get("remove"))
    # The container's own directory is the last of them.
    recover.remove_trees(trees[-1:] if keeps_volumes else trees)
    containers.release_name(paths, record.get("name", ""), container_id)
    events.of_container(paths, "destroy", {**record, "id": container_id})
    return container_id
