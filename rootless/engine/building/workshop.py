"""What all stages of one build share, and how a step finds, or makes, its layer."""

from __future__ import annotations

import time

from rootless.engine.building import state as states
from rootless.engine.building.state import State
from rootless.errors import RlError
from rootless.image import frames
from rootless.image.layer_writer import LayerWriter
from rootless.model import image_config, platform
from rootless.model.container import ContainerSpec
from rootless.store import buildcache, guard, images

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from rootless.engine.building.context import Context
    from rootless.engine.building.spec import BuildSpec
    from rootless.engine.building.state import Layer
    from rootless.image.layer_writer import NewLayer
    from rootless.image.progress import Progress
    from rootless.model.dockerfile.place import Place
    from rootless.model.dockerfile.stages import Dockerfile
    from rootless.model.platform import Platform
    from rootless.store.images import StoredImage
    from rootless.store.paths import Paths

    Make = Callable[[LayerWriter], "NewLayer | None"]


class Workshop:
    """done: the states of finished stages, by index; say: shows one line."""

    def __init__(
        self,
        paths: Paths,
        spec: BuildSpec,
        context: Context,
        dockerfile: Dockerfile,
        progress: Progress,
        say: Callable[[str], None],
    ) -> None:
        self.paths = paths
        self.spec = spec
        self.context = context
        self.dockerfile = dockerfile
        self.progress = progress
        self.say = say
        self.done: dict[int, State] = {}

    # Times.

    def now(self) -> str:
        """What new history is dated."""
        epoch = self.spec.epoch
        return image_config.created_text(time.time_ns() if epoch is None else epoch * 10**9)

    # Where a stage begins.

    def platform_of(self, text: str) -> Platform:
        """What --platform of FROM, or of the command line, means."""
        wanted = text or self.spec.platform
        return platform.parse(wanted) if wanted else platform.host()

    def scratch(self) -> State:
        """An image without anything."""
        config = image_config.scratch(self.platform_of("").as_document())
        return State(config, [], states.key_of("scratch", self.spec.epoch))

    def image(self, name: str, place: Place, wanted: str = "") -> State:
        """The image `name`, pulled where that is due. Raises RlError."""
        from rootless.engine import images as engine_images

        spec = ContainerSpec(
            image=name, pull=self.spec.pull, platform=wanted or self.spec.platform, quiet=True
        )
        try:
            found = engine_images.obtain(self.paths, spec, self.progress)
        except RlError as error:
            raise place.error(error.message, error.hint) from None
        layers = [
            {**_descriptor(row), "diff_id": diff_id}
            for row, diff_id in zip(found.manifest["layers"], found.diff_ids)
        ]
        key = states.key_of("image", found.image_id, found.diff_ids, self.spec.epoch)
        return State(found.config, layers, key, (found.name, found.manifest_digest))

    def stored(self, state: State) -> StoredImage | None:
        """The image that `state` began with."""
        name, digest = state.base
        if not digest:
            return None
        image = images.load(self.paths, {"digest": digest})
        image.name = name
        return image

    def trees(self, state: State) -> list[str]:
        """The unpacked layers of `state`, topmost first, each once."""
        found = [self.paths.layer_diff(one) for one in dict.fromkeys(reversed(state.diff_ids))]
        return frames.add(self.paths, found)

    # Steps.

    def take(self, state: State, key: str, by: str, make: Make | None, author: str = "") -> bool:
        """One step: as the cache has it, else made; whether it was made. make: None for one that
        changes the configuration alone. Raises RlError."""
        record = None if self.spec.no_cache else buildcache.find_step(self.paths, key)
        is_new = record is None
        if record is None:
            record = self._made(key, make)
        elif make is not None:
            self.say("--> Using cache")
        step = image_config.Step(record["created"], by, author=author)
        state.advance(step, key, record["layer"])
        state.steps[key] = record
        return is_new

    def _made(self, key: str, make: Make | None) -> dict[str, Any]:
        if make is None:
            record: dict[str, Any] = {"created": self.now(), "layer": None}
            buildcache.keep_step(self.paths, key, record)
            return record
        with LayerWriter(self.paths) as writer:
            new = make(writer)
            for note in new.notes if new is not None else ():
                self.say(f"note: {note}")
            with guard.adding(self.paths):
                record = {"created": self.now(), "layer": _adopted(new)}
                buildcache.keep_step(self.paths, key, record)
        return record

    def write(
        self,
        writer: LayerWriter,
        upper: str,
        below: list[str],
        ours: Sequence[str] = (),
        owner: tuple[int, int] | None = None,
    ) -> NewLayer:
        """The layer of an upper directory, which is moved."""
        return writer.write(
            upper, below, give=True, leave_out=ours, epoch=self.spec.epoch, owner=owner,
            compression=self.spec.compression,
        )  # fmt: skip


def _adopted(new: NewLayer | None) -> Layer | None:
    if new is None or new.is_empty:
        return None
    new.adopt()
    return {**new.descriptor, "diff_id": new.diff_id}


def _descriptor(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("mediaType", "digest", "size")}
