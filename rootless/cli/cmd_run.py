"""`rl run`: flags → ContainerSpec, and one call down."""

from __future__ import annotations

import os

from rootless import log
from rootless.cli import begin
from rootless.cli.options import Argument, Parsed, Signature
from rootless.cli.run_flags import container_spec
from rootless.cli.run_options import CREATE_OPTIONS, RUN_OPTIONS
from rootless.errors import EXIT_ENGINE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from rootless.cli.progress import QuietProgress
    from rootless.model.container import ContainerSpec
    from rootless.runtime.joined import Joined
    from rootless.runtime.launch import Launch


class _ProgressWhenNeeded:
    """Chosen, and its module imported, at the first news of a pull: most runs pull nothing."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._chosen: QuietProgress | None = None

    def __getattr__(self, name: str) -> Any:
        if self._chosen is None:
            from rootless.cli import progress

            self._chosen = progress.choose(quiet=self._quiet)
        return getattr(self._chosen, name)

    def close(self) -> None:
        """Leave the terminal at the start of a line."""
        if self._chosen is not None:
            self._chosen.close()


def run(parsed: Parsed) -> int:
    """Run the container that `parsed` asks for; the exit code is the container's."""
    spec = container_spec(parsed)
    if parsed.flag("dry-run"):
        return _describe(spec, parsed.text("bundle"))
    if parsed.text("bundle"):
        return _write_bundle(spec, parsed.text("bundle"))
    detached = parsed.flag("detach")
    if spec.health.get("Test") and not detached and not parsed.flag("no-healthcheck"):
        log.notice("--health-cmd: checks are made while a container is detached (-d)")
    joined = _of_others(spec)
    # Forked before the heavier imports: they cost as much as the keeper needs to get ready.
    # Another runtime tells of its failures where the container writes its errors.
    keeps = spec.keeps_log or bool(spec.runtime)
    launch = begin.launch(detached=detached, keep_output=keeps, joined=joined)
    from rootless.cli import diagnostics

    progress = _ProgressWhenNeeded(quiet=spec.quiet)
    explain = diagnostics.say_line if parsed.flag("explain-start") else None
    try:
        if detached:
            return _run_detached(spec, launch, progress, explain)
        from rootless.engine import run as engine_run

        return engine_run.run(spec, launch, progress=progress, explain=explain)
    finally:
        progress.close()


def _of_others(spec: ContainerSpec) -> Joined | None:
    """What the container has of other containers; None, and no work, where there is nothing."""
    if not (spec.joins or spec.volumes_from):
        return None
    from rootless.engine import joining
    from rootless.store import paths

    places = paths.discover()
    joining.resolve(places, spec)
    return joining.open_all(places, spec) if spec.joins else None


def _run_detached(
    spec: ContainerSpec, launch: Launch, progress: Any, explain: Callable[[str], None] | None
) -> int:
    from rootless.cli import output
    from rootless.engine import detach

    output.write_line(detach.run(spec, launch, progress=progress, explain=explain))
    return 0


def create(parsed: Parsed) -> int:
    """Make the container that `parsed` asks for, and print its id."""
    from rootless.cli import output
    from rootless.engine import made

    spec = container_spec(parsed)
    progress = _ProgressWhenNeeded(quiet=spec.quiet)
    try:
        output.write_line(made.create(spec, progress))
    finally:
        progress.close()
    return 0


def _describe(spec: ContainerSpec, bundle: str) -> int:
    """The document on standard output, so that jq can read it; the transcript beside it."""
    from rootless.cli import diagnostics, output
    from rootless.engine import run as engine_run

    if bundle:
        from rootless.engine import bundle as bundles

        document, effects = bundles.describe(spec, os.path.abspath(bundle))
    else:
        document, effects = engine_run.describe(spec, _of_others(spec))
    output.write_json(document)
    for line in effects:
        diagnostics.say("debug", line)
    return 0


def _write_bundle(spec: ContainerSpec, directory: str) -> int:
    from rootless.engine import bundle

    bundle.write(spec, os.path.abspath(directory))
    return 0


RUN = Signature(
    run,
    "Run a command in a new container.",
    RUN_OPTIONS,
    (Argument("IMAGE"), Argument("ARG", 0, None)),
    intermixed=False,
    error_code=EXIT_ENGINE,
    examples=(
        "rl run --rm -it alpine",
        'rl run --rm -v "$PWD:/work" -w /work python:3.12 python script.py',
        "rl run --rm -p 8080:80 nginx",
        "rl run --rm ./image.sqsh python3 script.py",
        "rl run -d --name web --restart on-failure -p 8080:80 nginx",
    ),
)

CREATE = Signature(
    create,
    "Make a container without starting it.",
    CREATE_OPTIONS,
    (Argument("IMAGE"), Argument("ARG", 0, None)),
    intermixed=False,
    error_code=EXIT_ENGINE,
    examples=("rl create --name web -p 8080:80 nginx; rl start web",),
)
