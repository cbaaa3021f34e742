"""`rl create`: a container that is planned and written down, and does not run."""

from __future__ import annotations

from rootless.engine import create as places
from rootless.engine import facts, live, plan, request, start
from rootless.engine.undo import Undo
from rootless.errors import StoreError
from rootless.store import containers, paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.image.progress import Progress
    from rootless.model.container import ContainerSpec
    from rootless.store.paths import Paths


def create(spec: ContainerSpec, progress: Progress | None) -> str:
    """Make the container; its id. Raises RlError for what a start could not do either."""
    where = paths.discover()
    image, image_facts = start.find_image(where, spec, progress, pull=True)
    network = start.network_of(spec, image_facts)
    if spec.replace and spec.name:
        start.remove_namesake(where, spec.name)
    with Undo() as undo:
        place = places.Place(where, containers.new_id())
        undo.callback(place.discard)
        place.claim(spec.name)
        made = plan.build(
            spec, image_facts, facts.gather(devices=spec.privileged),
            plan.Place(place.id, place.name, place.directory, where.volumes),
            network, start.taken_ranges(where),
        )  # fmt: skip
        record = request.record_of(spec, made, image)
        place.write(made, {**record, **request.NEVER_STARTED})
        place.write_config(made.document, start.seccomp_document(made))
        start.write_cidfile(spec, place.id)
        place.tell("create")
        undo.forget()
    place.forget()
    return place.id


def to_start(where: Paths, text: str) -> dict[str, Any] | None:
    """The record of the container named `text`, to be started; None when it runs already.

    Raises NotFoundError, RlError.
    """
    return _settled(where, text, restarted=False)


def to_restart(where: Paths, text: str) -> dict[str, Any] | None:
    """The same for its restart policy: None also when somebody has stopped it meanwhile."""
    return _settled(where, text, restarted=True)


def _settled(where: Paths, text: str, *, restarted: bool) -> dict[str, Any] | None:
    container_id = containers.find(where, text)
    with containers.RecordChange(where, container_id) as record:
        is_up = live.look(where, text, container_id) is not None
        if is_up or (restarted and record["status"] != "restarting"):
            return None
        if not restarted:
            # Somebody wants it: the policy counts from here on.
            record["restarts_in_a_row"] = 0
    if "spec" not in record:
        raise StoreError(f"container {text}: its record is incomplete", hint=f"rl rm {text}")
    return record
