"""What builds leave for later builds: steps, digests of what stages hold, and cache mounts.

`build/steps/KEY` is the record of one step: the key says of what (engine.building.state); the
record has its layer, None where it made none, and when it was made. Records keep their layers in
the store, as images do (`image.remove`), until they are forgotten. `build/content/KEY` is the
digest of files in a stage, so that nobody has to read them a second time. `build/mounts/KEY` are
the directories of `RUN --mount=type=cache`.
"""

from __future__ import annotations

import json
import os

from rootless.model import jsontext
from rootless.store import blobs, files, layers, trees
from rootless.tools import idmap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from rootless.store.paths import Paths

_STEPS, _CONTENT, _MOUNTS = "steps", "content", "mounts"


def find_step(paths: Paths, key: str) -> dict[str, Any] | None:
    """The record of the step, None without one or when its layer is gone."""
    record = _read(paths, _STEPS, key)
    if record is None:
        return None
    layer = record.get("layer")
    if layer is not None and not _is_stored(paths, layer):
        return None
    return record


def _is_stored(paths: Paths, layer: dict[str, Any]) -> bool:
    return layers.has(paths, layer["diff_id"]) and blobs.has(paths, layer["digest"])


def keep_step(paths: Paths, key: str, record: dict[str, Any]) -> None:
    """Write the record; its layer is kept from then on."""
    _write(paths, _STEPS, key, record)


def find_content(paths: Paths, key: str) -> str:
    """The digest that is known for `key`, "" for none."""
    return str((_read(paths, _CONTENT, key) or {}).get("digest", ""))


def keep_content(paths: Paths, key: str, digest: str) -> None:
    """Remember it."""
    _write(paths, _CONTENT, key, {"digest": digest})


def _read(paths: Paths, kind: str, key: str) -> dict[str, Any] | None:
    try:
        with open(f"{paths.build}/{kind}/{key}", "rb", buffering=0) as file:
            record = jsontext.loads(file.read())
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) else None


def _write(paths: Paths, kind: str, key: str, record: dict[str, Any]) -> None:
    files.make_dirs(f"{paths.build}/{kind}")
    files.write_atomic(f"{paths.build}/{kind}/{key}", json.dumps(record).encode())


def _records(paths: Paths) -> Iterator[dict[str, Any]]:
    try:
        names = os.listdir(f"{paths.build}/{_STEPS}")
    except FileNotFoundError:
        return
    for name in names:
        record = _read(paths, _STEPS, name)
        if record is not None and record.get("layer"):
            yield record["layer"]


def needed(paths: Paths) -> tuple[set[str], set[str]]:
    """The blobs and the layers (diff ids) that records keep."""
    found = list(_records(paths))
    return {layer["digest"] for layer in found}, {layer["diff_id"] for layer in found}


def forget_steps(paths: Paths) -> None:
    """Forget all steps and digests; the caller holds `guard.removing`."""
    for kind in (_STEPS, _CONTENT) if os.path.isdir(paths.build) else ():
        trees.remove_tree(f"{paths.build}/{kind}")


def mount_directory(paths: Paths, key: str) -> str:
    """The directory of a cache mount, there or not."""
    return f"{paths.build}/{_MOUNTS}/{key}"


def using_mounts(paths: Paths) -> files.Lock:
    """A lock to hold while cache mounts are in use; others may hold it, too."""
    files.make_dirs(f"{paths.build}/{_MOUNTS}")
    return files.Lock(f"{paths.build}/mounts.lock", shared=True)


def mount_directories(paths: Paths) -> list[str]:
    """Those of all cache mounts."""
    folder = f"{paths.build}/{_MOUNTS}"
    try:
        return [f"{folder}/{name}" for name in os.listdir(folder) if not name.endswith(".lock")]
    except FileNotFoundError:
        return []


def forget_mounts(paths: Paths) -> None:
    """Remove all cache mounts with what is in them, unless a build uses one."""
    if not os.path.isdir(f"{paths.build}/{_MOUNTS}"):
        return
    lock = files.Lock(f"{paths.build}/mounts.lock", blocking=False)
    if not lock.acquire():
        return
    try:
        idmap.call(lambda: trees.remove_tree(f"{paths.build}/{_MOUNTS}"))
    finally:
        lock.release()
