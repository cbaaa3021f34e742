"""RUN: an ordinary container on the layers so far, whose writable directory becomes a layer."""

from __future__ import annotations

from rootless.engine import changes
from rootless.engine.run import Foreground
from rootless.engine.start import Start, obey_site
from rootless.engine.timeline import Timeline
from rootless.runtime.launch import Launch
from rootless.store import containers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.engine.changes import WritableLayer
    from rootless.engine.ending import Ending
    from rootless.engine.plan import ImageFacts
    from rootless.engine.undo import Undo
    from rootless.image.progress import Progress
    from rootless.model.container import ContainerSpec
    from rootless.store.images import StoredImage

    Take = Callable[[WritableLayer], None]


class _Start(Start):
    """image: what the stage began with, which stays in the store meanwhile."""

    def __init__(self, spec: ContainerSpec, image: StoredImage | None, facts: ImageFacts) -> None:
        super().__init__(spec, Launch(), Timeline())
        self._found = image, facts

    def _obey_site(self) -> None:
        # What the user binds, the builder has checked; other sources are ours.
        obey_site(self.spec, with_binds=False)

    def _image(self, progress: Progress | None) -> tuple[StoredImage | None, ImageFacts]:
        return self._found

    def prepare(self, progress: Progress | None) -> None:
        super().prepare(progress)
        # It is we who remove it when its layer was taken, and recovery when we are killed: the
        # keeper would do so at the command's end.
        self.remove = containers.trees_of(self.paths, self.place.id, self.place.record)
        containers.update_record(self.paths, self.place.id, remove=True)


class _Step(Foreground):
    def __init__(self, begun: _Start, take: Take) -> None:
        super().__init__(begun)
        self._take = take

    def _run_to_end(self, undo: Undo, ending: Ending) -> int:
        code = super()._run_to_end(undo, ending)
        if code == 0:
            place = self._start.place
            with changes.opened(self._start.paths, place.id, place.id[:12], place.record) as folder:
                self._take(folder)
        return code


def run(spec: ContainerSpec, image: StoredImage | None, facts: ImageFacts, take: Take) -> int:
    """Run the command of `spec`; its exit code. take: gets the writable directory of one that
    ended well. The container is gone afterwards, in any case. Raises RlError."""
    begun = _Start(spec, image, facts)
    try:
        return _Step(begun, take).execute(None)
    except BaseException:
        begun.launch.abandon()
        raise
