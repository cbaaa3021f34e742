"""`--cache-to` and `--cache-from`: the steps of builds, as an image in a registry.

Its layers are those of the steps; a label has the records: {key: {"created", "layer": diff id}}. A
step's key says nothing of the machine, so another one finds what this one has built. What comes is
believed as a base image is: who may write to the repository decides what is in later builds.
"""

from __future__ import annotations

import hashlib
import json

from rootless import log
from rootless.errors import RlError
from rootless.image import make, pull, push, remove
from rootless.model import image_config, platform
from rootless.store import buildcache, guard, images

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.image.progress import Progress
    from rootless.store.images import StoredImage
    from rootless.store.paths import Paths

    Records = dict[str, dict[str, Any]]

_LABEL = "org.rootless.build.steps"
_NAME = "localhost/rl-build-cache:{}"


def send(paths: Paths, steps: Records, destination: str, created: str, progress: Progress) -> None:
    """Push `steps` to the repository `destination`. Raises RlError."""
    layers = {one["layer"]["diff_id"]: one["layer"] for one in steps.values() if one["layer"]}
    records = {
        key: {"created": one["created"], "layer": one["layer"] and one["layer"]["diff_id"]}
        for key, one in steps.items()
    }
    config = {
        **image_config.scratch(platform.host().as_document()),
        "created": created,
        "config": {"Labels": {_LABEL: json.dumps(records, sort_keys=True)}},
        "rootfs": {"type": "layers", "diff_ids": list(layers)},
        "history": [{"created": created, "created_by": "rl build --cache-to"} for _ in layers],
    }
    made = make.make(paths, config, list(layers.values()), [_name_of(config)])
    try:
        push.push(paths, made.names[0], destination, push.Wishes(progress=progress))
    finally:
        remove.rmi(paths, made.names[0], force=True, in_use=lambda _: [])


def _name_of(config: dict[str, Any]) -> str:
    return _NAME.format(hashlib.sha256(image_config.canonical(config)).hexdigest()[:12])


def bring(paths: Paths, source: str, progress: Progress) -> None:
    """Pull the steps in the repository `source`; a warning where there are none."""
    try:
        pulled = pull.pull(paths, source, progress=progress)
        image = images.load(paths, {"digest": pulled.manifest_digest})
        if not _take(paths, image):
            log.warn(f"--cache-from {source}: is an image without steps of builds")
            return
    except RlError as error:
        log.warn(f"--cache-from {source}: {error.message}")
        return
    # The records keep the layers.
    remove.rmi(paths, pulled.name, force=True, in_use=lambda _: [])


def _take(paths: Paths, image: StoredImage) -> bool:
    labels = (image.config.get("config") or {}).get("Labels") or {}
    try:
        records: Records = json.loads(labels[_LABEL])
        rows = dict(zip(image.diff_ids, image.manifest["layers"]))
        found = {key: _record(one, rows) for key, one in records.items() if _is_key(key)}
    except (KeyError, ValueError, TypeError, AttributeError):
        return False
    with guard.adding(paths):
        for key, record in found.items():
            if buildcache.find_step(paths, key) is None:
                buildcache.keep_step(paths, key, record)
    return True


def _is_key(text: str) -> bool:
    """Keys become names of files."""
    return len(text) == 64 and all(character in "0123456789abcdef" for character in text)


def _record(one: dict[str, Any], rows: dict[str, Any]) -> dict[str, Any]:
    created, diff_id = str(one["created"]), one["layer"]
    if diff_id is None:
        return {"created": created, "layer": None}
    row = rows[diff_id]
    layer = {name: row[name] for name in ("mediaType", "digest", "size")}
    return {"created": created, "layer": {**layer, "diff_id": diff_id}}
