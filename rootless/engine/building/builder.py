"""`rl build`: from a Dockerfile and a context to an image with its names.

Stages that do not need each other are built side by side, each in a fork (`tools.workers`); stages
that the target does not need are not built. A build that fails leaves the steps that went well, for
the next one, and nothing else.
"""

from __future__ import annotations

import os

from rootless import config, log
from rootless.engine import facts, networks, storage
from rootless.engine.building import contexts, squashing, stage, state
from rootless.engine.building.workshop import Workshop
from rootless.image import make, tag
from rootless.model import image_config, platform
from rootless.model.dockerfile import stages
from rootless.store import blobs, files
from rootless.store.verdicts import Verdicts
from rootless.tools import workers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from rootless.engine.building.context import Context
    from rootless.engine.building.spec import BuildSpec
    from rootless.engine.building.state import State
    from rootless.image.make import MadeImage
    from rootless.image.progress import Progress
    from rootless.model.dockerfile.stages import Dockerfile, Stage
    from rootless.store.paths import Paths
    from rootless.tools.workers import Worker

    Show = Callable[[bytes], None]

_MOST_JOBS = 4


def build(paths: Paths, spec: BuildSpec, progress: Progress, show: Show) -> MadeImage:
    """Build what `spec` says. show: gets each line of output. Raises RlError."""
    if config.system_file("rl.toml"):
        from rootless.engine import policy

        policy.check_build()
        policy.enforce(spec.container)
    names = [tag.new_name(name) for name in spec.names]
    make.check_format(spec.image_format)
    blobs.ensure_layout(paths)
    for folder in (paths.root, paths.tmp, paths.build):
        files.make_dirs(folder)
    _say_what_is_reduced(paths, spec)
    with contexts.opened(paths, spec) as context:
        return _Build(paths, spec, context, progress, show).run(names)


def _say_what_is_reduced(paths: Paths, spec: BuildSpec) -> None:
    """Once, here, and not by each of the forks."""
    known = Verdicts(paths)
    storage.choose("", facts.gather(verdicts=known), paths.root, shifts=False)
    networks.choose(spec.container, {}, known)


class _Build:
    def __init__(
        self, paths: Paths, spec: BuildSpec, context: Context, progress: Progress, show: Show
    ) -> None:
        self._spec = spec
        self._show = show
        self._automatic = _platform_args(spec)
        self._file: Dockerfile = stages.load(
            context.dockerfile, context.file, spec.args, self._automatic
        )
        self._shop = Workshop(paths, spec, context, self._file, progress, _say)

    def run(self, names: list[str]) -> MadeImage:
        target = self._file.target(self._spec.target)
        self._bring_steps()
        _Schedule(self._shop, self._file.needed(target), self._automatic, self._show).run()
        self._warn_of_unused()
        return self._finish(self._shop.done[target.index], names)

    def _bring_steps(self) -> None:
        if self._spec.cache_from and not self._spec.no_cache:
            from rootless.engine.building import sharing

            for name in self._spec.cache_from:
                sharing.bring(self._shop.paths, name, self._shop.progress)

    def _send_steps(self) -> None:
        if not self._spec.cache_to:
            return
        from rootless.engine.building import sharing

        steps = {key: one for state in self._shop.done.values() for key, one in state.steps.items()}
        for name in self._spec.cache_to:
            created = self._shop.now()
            sharing.send(self._shop.paths, steps, name, created, self._shop.progress)

    def _warn_of_unused(self) -> None:
        known = self._file.declared | self._automatic.keys() | set(stage.NOT_DECLARED)
        unused = sorted(self._spec.args.keys() - known)
        if unused:
            log.warn(f"--build-arg {', '.join(unused)}: no ARG of {self._file.file} is called so")

    def _finish(self, done: State, names: list[str]) -> MadeImage:
        shop, spec = self._shop, self._spec
        if spec.labels:
            done.change(image_config.label(spec.labels))
        if spec.squash:
            squashing.squash(shop, done)
        if not done.config.get("created"):
            done.config = {**done.config, "created": shop.now()}
        made = make.make(
            shop.paths, done.config, done.layers, names, image_format=spec.image_format,
            annotations=spec.annotations,
        )  # fmt: skip
        for name in made.names:
            self._show(f"COMMIT {name}".encode())
        self._send_steps()
        return made


def _say(text: str) -> None:
    os.write(1, f"{text}\n".encode(errors="surrogateescape"))


def _platform_args(spec: BuildSpec) -> dict[str, str]:
    ours = str(platform.host())
    wanted = str(platform.parse(spec.platform)) if spec.platform else ours
    return stage.platform_args(wanted, ours, spec.target)


class _Running:
    """A stage that is being built."""

    def __init__(self, which: Stage, prefix: bytes, act: Callable[[], dict[str, Any]]) -> None:
        self.stage = which
        self.worker: Worker = workers.Worker(act)
        self._prefix = prefix
        self._rest = b""

    def lines(self) -> list[bytes] | None:
        """What it has said since, whole lines; None when it has ended."""
        data = self.worker.read()
        if not data:
            return None
        *whole, self._rest = (self._rest + data).split(b"\n")
        return [self._prefix + line for line in whole]

    def last_line(self) -> list[bytes]:
        """What it has said last, without a line's end."""
        return [self._prefix + self._rest] if self._rest else []


class _Schedule:
    """Builds the stages `needed`, in their order where they need each other."""

    def __init__(
        self, shop: Workshop, needed: list[Stage], automatic: dict[str, str], show: Show
    ) -> None:
        self._shop = shop
        self._pending = list(needed)
        self._count = len(needed)
        self._automatic = automatic
        self._show = show
        self._running: list[_Running] = []
        self._jobs = shop.spec.jobs or min(_MOST_JOBS, len(os.sched_getaffinity(0)))

    def run(self) -> None:
        try:
            while self._pending or self._running:
                self._start_what_can()
                self._follow()
        finally:
            for one in self._running:
                one.worker.stop()
            for one in self._running:
                while one.lines() is not None:
                    pass
                one.worker.close()

    def _start_what_can(self) -> None:
        for one in list(self._pending):
            if len(self._running) >= self._jobs:
                return
            if one.needs <= self._shop.done.keys():
                self._pending.remove(one)
                self._start(one)

    def _start(self, one: Stage) -> None:
        number = self._count - len(self._pending)
        prefix = f"[{number}/{self._count}] ".encode() if self._count > 1 else b""
        work = stage.StageBuild(self._shop, one, self._automatic)
        self._running.append(_Running(one, prefix, lambda: work.run().to_fields()))

    def _follow(self) -> None:
        ready = workers.wait_for_any([one.worker for one in self._running])
        for one in [one for one in self._running if one.worker in ready]:
            found = one.lines()
            for line in one.last_line() if found is None else found:
                self._show(line)
            if found is None:
                self._running.remove(one)
                self._shop.done[one.stage.index] = state.from_fields(one.worker.result())
