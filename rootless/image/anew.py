"""Layers of a stored image unpacked once more, from its blobs.

An image that came in with subordinate ids has no layers for one id, and the other way round
(`Paths.other_layers`): a user gets some, or their home is on a host where they have none.
"""

from __future__ import annotations

import os

from rootless import log
from rootless.errors import StoreError
from rootless.store import layers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.image.layer_worker import Unpackers
    from rootless.store.images import StoredImage
    from rootless.store.paths import Paths

_MOST_WORKERS = 4


def complete(paths: Paths, image: StoredImage) -> None:
    """Have all layers of `image` unpacked. Costs one look where only one kind is in the store.

    Raises ImageError, StoreError, HostError.
    """
    if not os.path.isdir(paths.other_layers):
        return
    pairs = zip(image.manifest["layers"], image.diff_ids, strict=True)
    lacking = {diff_id: part for part, diff_id in pairs if not layers.has(paths, diff_id)}
    if lacking:
        log.notice(f"{image.name or image.image_id[:12]}: is unpacked anew, for other ids")
        _unpack(paths, lacking)


def _unpack(paths: Paths, lacking: dict[str, dict[str, Any]]) -> None:
    from rootless.image.layer_worker import Unpackers

    count = min(len(lacking), os.cpu_count() or 1, _MOST_WORKERS)
    with Unpackers.start(paths, count) as unpackers:
        jobs = [_submit(paths, unpackers, diff_id, part) for diff_id, part in lacking.items()]
        for job in jobs:
            job.commit()


def _submit(paths: Paths, unpackers: Unpackers, diff_id: str, part: dict[str, Any]) -> Any:
    path = paths.found_blob(part["digest"])
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}", hint="rl pull IMAGE") from error
    try:
        return unpackers.submit(diff_id, part["mediaType"], fd)
    finally:
        os.close(fd)
