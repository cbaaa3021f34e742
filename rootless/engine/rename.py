"""`rl rename`: another name for a container, running or not."""

from __future__ import annotations

from rootless.errors import UsageError
from rootless.model import names
from rootless.store import containers, events

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.store.paths import Paths


def rename(paths: Paths, text: str, new: str) -> tuple[str, str]:
    """Call the container `text` `new`; its id and its old name. Its host name stays what it is.

    At each moment one of the two names leads to it. Raises NotFoundError, InUseError, UsageError.
    """
    if not names.is_name(new):
        hint = "a letter or a digit, then letters, digits, _ . -"
        raise UsageError(f"rl rename: {new!r}: not a name for a container", hint, exit_code=1)
    container_id = containers.find(paths, text)
    old = str(containers.read_record(paths, container_id)["name"])
    if new == old:
        raise UsageError(f"container {text}: has the name {new} already", exit_code=1)
    containers.claim_name(paths, new, container_id)
    try:
        with containers.RecordChange(paths, container_id) as record:
            old = record["name"]
            record["name"] = new
            state = containers.read_state(paths, container_id)
            if state:
                containers.write_state(paths, container_id, {**state, "name": new})
    except BaseException:
        containers.release_name(paths, new, container_id)
        raise
    containers.release_name(paths, old, container_id)
    events.of_container(paths, "rename", record, oldName=old)
    return container_id, old
