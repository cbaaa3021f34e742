"""`rl commit`: an image of a container, as its image and one layer more: what it has changed.

The layer is the container's writable directory, compared as `rl diff` compares it. What rl mounts
for the container's sake (/etc/hosts and its like, /proc, /dev) is in neither, not even the mount
point; of the user's volumes and binds the mount point is. A container that runs is paused for the
time, where it has a control group that can.
"""

from __future__ import annotations

import os
import time

from rootless import log
from rootless.engine import changes, container_config, image_files, live, pause, processes
from rootless.engine.containerfiles import ContainerFiles
from rootless.errors import HostError, ImageError, NotFoundError, RlError, UsageError
from rootless.image import make, tag
from rootless.image.layer_writer import LayerWriter
from rootless.model import image_change, image_config, platform
from rootless.runtime import containerfiles, flushing
from rootless.store import events, images

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from rootless.engine.live import Live
    from rootless.image.layer_writer import NewLayer
    from rootless.image.make import MadeImage
    from rootless.runtime.inside import Send
    from rootless.store.images import StoredImage
    from rootless.store.paths import Paths


class CommitSpec:
    """What is asked for. changes: instructions; name: "" for none; squash: one layer of it all."""

    __slots__ = ("author", "changes", "image_format", "message", "name", "pause", "squash")

    def __init__(
        self,
        *,
        name: str = "",
        author: str = "",
        message: str = "",
        changes: Sequence[str] = (),
        image_format: str = make.OCI,
        pause: bool = True,
        squash: bool = False,
    ) -> None:
        self.name = name
        self.author = author
        self.message = message
        self.changes = tuple(changes)
        self.image_format = image_format
        self.pause = pause
        self.squash = squash


def commit(paths: Paths, text: str, spec: CommitSpec) -> MadeImage:
    """Make an image of the container `text`. Raises NotFoundError, UsageError, RlError."""
    wanted = image_change.parse(spec.changes)
    make.check_format(spec.image_format)
    names = [tag.new_name(spec.name)] if spec.name else []
    # The whole of it is read through the root file system, without what is mounted in that.
    with ContainerFiles(paths, text, mounts=not spec.squash) as found, LayerWriter(paths) as writer:
        record = found.record
        base = _base_of(paths, text, record, spec)
        section = container_config.section(record, base.config.get("config") or {})
        config = image_config.with_changes({**base.config, "config": section}, wanted)
        layer = _write_layer(paths, found, writer, spec)
        made = _make(paths, base, config, layer, names, record, spec)
    told = {"comment": spec.message, "imageID": made.image_id, "imageRef": spec.name}
    events.of_container(paths, "commit", record, **told)
    return made


class _Base:
    """What the new image goes on from. layers: their descriptors."""

    __slots__ = ("config", "layers")

    def __init__(self, config: dict[str, Any], layers: list[dict[str, Any]]) -> None:
        self.config = config
        self.layers = layers


def _base_of(paths: Paths, text: str, record: dict[str, Any], spec: CommitSpec) -> _Base:
    manifest = record.get("manifest")
    if manifest:
        image = _image_of(paths, text, record)
        return _Base(image.config, image.manifest["layers"])
    if not spec.squash:
        raise UsageError(
            f"container {text}: its image is a file or a directory, with no layers to go on from",
            hint=f"rl commit --squash {text} {spec.name or 'NAME'}", exit_code=1,
        )  # fmt: skip
    told = record.get("image_file") or {}
    config = image_files.require_unchanged(record).config if "fingerprint" in told else {}
    return _Base({**image_config.scratch(platform.host().as_document()), **config}, [])


def _image_of(paths: Paths, text: str, record: dict[str, Any]) -> StoredImage:
    try:
        return images.load(paths, {"digest": record["manifest"]})
    except RlError:
        name = record["image"]
        raise NotFoundError(
            f"container {text}: its image {name} is gone", f"rl pull {name}"
        ) from None


def _write_layer(
    paths: Paths, found: ContainerFiles, writer: LayerWriter, spec: CommitSpec
) -> NewLayer:
    running = live.look(paths, found.text, found.id)
    if spec.squash:
        with _Still(running, wanted=spec.pause):
            return _write_squashed(found, writer, spec)
    with _Still(running, wanted=spec.pause):
        if running is not None and found.record["root"]["driver"] == "fuse-overlayfs":
            _flush(found, running)
        with changes.opened(paths, found.id, found.text, found.record) as place:
            return writer.write(
                place.upper, place.layers, give=False, leave_out=place.ours, owner=place.owner,
                docker=spec.image_format == make.DOCKER,
            )  # fmt: skip


def _write_squashed(found: ContainerFiles, writer: LayerWriter, spec: CommitSpec) -> NewLayer:
    read_end, write_end = os.pipe()

    def work(root: int, _send: Send) -> None:
        containerfiles.send_root(root, write_end)

    inside = found.enter(work, (write_end,))
    os.close(write_end)
    try:
        return writer.from_archive(
            read_end, f"container {found.text}", docker=spec.image_format == make.DOCKER
        )
    except ImageError:
        # An archive that is cut short: why, the other side knows.
        inside.finish()
        raise
    finally:
        os.close(read_end)
        inside.close()


class _Still:
    """`with _Still(…)`: nothing of the container runs meanwhile, where that can be."""

    def __init__(self, running: Live | None, *, wanted: bool) -> None:
        self._running = running if wanted else None

    def __enter__(self) -> None:
        if self._running is None or live.is_frozen(self._running.group):
            self._running = None
            return
        try:
            pause.pause(self._running)
        except HostError as error:
            log.notice(f"{error.message}; it runs on while it is copied")
            self._running = None

    def __exit__(self, *exception: object) -> None:
        if self._running is not None:
            pause.unpause(self._running)


def _flush(found: ContainerFiles, running: Live) -> None:
    pids = [process.pid for process in processes.of_container(running)]

    def work(root: int, _send: Send) -> None:
        flushing.flush(root, pids)

    inside = found.enter(work)
    try:
        inside.finish()
    finally:
        inside.close()


def _make(
    paths: Paths,
    base: _Base,
    config: dict[str, Any],
    layer: NewLayer,
    names: list[str],
    record: dict[str, Any],
    spec: CommitSpec,
) -> MadeImage:
    step = image_config.Step(
        image_config.created_text(time.time_ns()), " ".join(record["command"]),
        author=spec.author, comment=spec.message,
    )  # fmt: skip
    fresh = [] if layer.is_empty and not spec.squash else [layer]
    for note in layer.notes:
        log.notice(note)
    descriptors = [one.descriptor for one in fresh]
    if spec.squash:
        config = image_config.squashed(config, step, layer.diff_id)
    else:
        config = image_config.with_step(config, step, layer.diff_id if fresh else "")
        descriptors = [*base.layers, *descriptors]
    return make.make(paths, config, descriptors, names, fresh=fresh, image_format=spec.image_format)
