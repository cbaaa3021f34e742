"""`rl create`: a container that is planned and written down, and does not run."""

from __future__ import annotations

from rootless.engine import create as places
from rootless.engine import (
    facts,
    joining,
    lifecycle,
    live,
    networks,
    plan,
    recover,
    request,
    start,
    storage,
)
from rootless.engine.undo import Undo
from rootless.errors import RlError, StoreError
from rootless.store import containers, paths, verdicts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.image.progress import Progress
    from rootless.model.container import ContainerSpec
    from rootless.runtime.joined import Joined
    from rootless.store.paths import Paths


def create(spec: ContainerSpec, progress: Progress | None) -> str:
    """Make the container; its id. Raises RlError for what a start could not do either."""
    where = paths.discover()
    joined = _of_others(where, spec)
    start.obey_site(spec)
    image, image_facts = start.find_image(where, spec, progress, pull=True)
    known = verdicts.Verdicts(where)
    network = networks.choose(spec, image_facts.config, known)
    if spec.replace and spec.name:
        start.remove_namesake(where, spec.name)
    with Undo() as undo:
        place = places.Place(where, containers.new_id())
        undo.callback(place.discard)
        place.claim(spec.name)
        host = facts.gather(
            verdicts=known if storage.is_open(spec) else None,
            devices=spec.privileged,
            terminal=spec.tty,
        )
        made = plan.build(
            spec, image_facts, host,
            plan.Place(place.id, place.name, place.directory, where.volumes),
            network, start.taken_ranges(where), joined,
        )  # fmt: skip
        record = request.record_of(spec, made, image, network=network)
        place.write(made, {**record, **request.NEVER_STARTED})
        place.write_config(made.document, start.seccomp_document(made))
        start.write_cidfile(spec, place.id)
        place.tell("create")
        undo.forget()
    place.forget()
    return place.id


def _of_others(where: Paths, spec: ContainerSpec) -> Joined | None:
    if not (spec.joins or spec.volumes_from):
        return None
    joining.resolve(where, spec)
    return joining.planned(where, spec) if spec.joins else None


def to_start(where: Paths, text: str) -> dict[str, Any] | None:
    """The record of the container named `text`, to be started; None when it runs already, or its
    supervisor is about to start it.

    Waits for another command that starts or stops it. Raises NotFoundError, RlError.
    """
    container_id = containers.find(where, text)
    record = containers.read_record(where, container_id)
    live.require_here(where, text, record)
    if "spec" not in record or "removing" in record:
        raise StoreError(f"container {text}: its record is incomplete", hint=f"rl rm {text}")
    if _is_about_to_restart(record) or lifecycle.settled(where, text, container_id) is not None:
        return None
    with containers.RecordChange(where, container_id) as record:
        # Somebody wants it: the policy counts from here on.
        record["restarts_in_a_row"] = 0
    return record


def _is_about_to_restart(record: dict[str, Any]) -> bool:
    waits = record["status"] == "restarting" and not record.get("stop_requested")
    return waits and recover.is_restarter_alive(record)


def to_restart(where: Paths, container_id: str) -> dict[str, Any] | None:
    """The record of a container whose restart policy wants it to be started; None when somebody
    has stopped it meanwhile. Raises NotFoundError, RlError."""
    with containers.RecordChange(where, container_id) as record:
        if record["status"] != "restarting":
            return None
        if record.get("stop_requested"):
            record["status"] = "exited"
            return None
    return record


def give_up_restart(where: Paths, container_id: str, error: RlError) -> None:
    """It could not be started again, which nobody hears but who asks. Raises RlError."""
    containers.update_record(where, container_id, status="exited", error=error.message)
