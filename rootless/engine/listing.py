"""What containers there are, for the commands that list them. Each record is read once."""

from __future__ import annotations

import os

from rootless import log
from rootless.engine import live, recover
from rootless.errors import NotFoundError, RlError, StoreError
from rootless.model.ports import PortMapping
from rootless.store import containers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from rootless.store.paths import Paths

    Record = dict[str, Any]

# Statuses of a record that a crash or a reboot can have made untrue.
_UP = ("running", "restarting")


def records(paths: Paths) -> list[Record]:
    """The record of every container; damaged ones are left out with a warning."""
    found = (_read(paths, one) for one in containers.all_ids(paths))
    return [record for record in found if record is not None]


def _read(paths: Paths, container_id: str) -> Record | None:
    try:
        return containers.read_record(paths, container_id)
    except NotFoundError:
        return None
    except StoreError as error:
        log.warn(error.message)
        return None


def current(paths: Paths) -> list[Record]:
    """All records, the newest first, put right where a crash left them wrong.

    Their status is "paused" where that is so now. Those that run where this host cannot see them
    have "elsewhere" (live.elsewhere).
    """
    recover.tidy(paths)
    present = set(containers.live_ids(paths))
    found = (_healed(paths, record, present) for record in records(paths))
    kept = [record for record in found if record is not None]
    for record in kept:
        record["elsewhere"] = live.elsewhere(paths, record)
        record["status"] = live.status(paths, record)
    return sorted(kept, key=lambda record: -float(record["created"]))


def _healed(paths: Paths, record: Record, present: set[str]) -> Record | None:
    container_id = record["id"]
    if record.get("status") not in _UP:
        return record
    if container_id in present:
        if containers.is_held(paths.running, container_id):
            return record
    else:
        try:
            recover.heal_record(paths, container_id)
        except (RlError, OSError) as error:
            log.effect(f"container {container_id[:12]}: {error}")
    # Read again: it may have ended properly meanwhile.
    again = _read(paths, container_id)
    return None if again is None else recover.as_it_is(paths, again)


def ports(record: Record, state: Record) -> list[PortMapping]:
    """What a container publishes: as it runs (`state`), else as it was wished."""
    wished = (record.get("spec") or {}).get("ports", [])
    return [PortMapping(**row) for row in state.get("ports") or wished]


def sizes(paths: Paths, found: Iterable[Record]) -> dict[str, tuple[int, int]]:
    """By id: bytes in the files of the writable layer, and of its image and it together."""
    from rootless.tools import idmap

    wanted = list(found)
    places = [f"{containers.directory(paths, record['id'])}/upper" for record in wanted]
    # One user namespace for all: files of the containers' users belong to subordinate ids.
    own = idmap.call(lambda: [_size(place) for place in places])
    return {
        record["id"]: (size, size + _image_size(paths, record))
        for record, size in zip(wanted, own, strict=True)
    }


def _size(path: str) -> int:
    from rootless.store import trees

    try:
        return trees.size(path) if os.path.isdir(path) else 0
    except OSError:
        return 0  # removed, or changed, meanwhile


def _image_size(paths: Paths, record: Record) -> int:
    from rootless.store import images

    told = record.get("image_file") or {}
    if "fingerprint" in told:
        return os.stat(told["path"]).st_size if os.path.isfile(told["path"]) else 0
    try:
        image = images.load(paths, {"digest": record["manifest"]})
        return images.size(paths, image)
    except RlError:
        return 0  # a directory, or an image that was removed by force
