"""`rl run`: from the wish to the exit code, and everything unmade in between."""

from __future__ import annotations

from rootless.engine import create, facts, networks, plan, start, storage
from rootless.engine.ending import Ending
from rootless.engine.grouping import Grouping
from rootless.engine.start import Start
from rootless.engine.timeline import Timeline
from rootless.engine.undo import Undo
from rootless.store import containers, paths, verdicts
from rootless.tools import spawn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from rootless.engine.logs import Writer
    from rootless.engine.plan import Plan
    from rootless.image.progress import Progress
    from rootless.kernel import pty
    from rootless.model.container import ContainerSpec
    from rootless.net.drivers import Driver
    from rootless.runtime.joined import Joined
    from rootless.runtime.launch import Launch
    from rootless.store.images import StoredImage


def describe(spec: ContainerSpec, joined: Joined | None = None) -> tuple[dict[str, Any], list[str]]:
    """`--dry-run`: the OCI runtime document and the effects of a start, in their order.

    joined: what it has of other containers.
    """
    if spec.runtime:
        from rootless.engine import foreign

        foreign.check(spec)
    image, made, network = planned(spec, joined, pull=False)
    grouping = Grouping(spec)
    start.add_cgroups_path(made, grouping)
    effects = _effects(made, network, image, grouping)
    if spec.runtime:
        rest = len(made.document["mounts"]) + 1
        effects.insert(-rest, f"have {spec.runtime} do the rest")
    return made.document, effects


def planned(
    spec: ContainerSpec, joined: Joined | None, *, pull: bool
) -> tuple[StoredImage | None, Plan, Driver]:
    """The image, the plan with its filter of system calls, the network: of a container that is not
    made. Raises RlError."""
    start.obey_site(spec)
    where = paths.discover()
    image, image_facts = start.find_image(where, spec, None, pull=pull)
    container_id = containers.new_id()
    place = plan.Place(
        container_id,
        create.name_from(container_id, spec.name),
        containers.directory(where, container_id),
        where.volumes,
    )
    known = verdicts.Verdicts(where)
    network = networks.choose(spec, image_facts.config, known)
    made = plan.build(
        spec,
        image_facts,
        facts.gather(
            verdicts=known if storage.is_open(spec) else None,
            devices=spec.privileged,
            terminal=spec.tty,
        ),
        place,
        network,
        start.taken_ranges(where),
        joined,
    )
    document = start.seccomp_document(made)
    if document:
        made.document["linux"]["seccomp"] = document
    return image, made, network


def _effects(
    made: Plan, network: Driver, image: StoredImage | None, grouping: Grouping
) -> list[str]:
    from rootless.model.idmap import outside_ranges
    from rootless.runtime.mounting import describe_mount

    maps = made.namespace.host
    lines = [f"mkdir {made.place.directory}"]
    lines += grouping.describe(made.place.container_id)
    lines += [f"write {made.place.directory}/{name}" for name in made.files]
    lines += [f"volume {use.name} at {use.target}" for use in made.volumes]
    lines.append(
        f"user namespace: uids {outside_ranges(maps.uids)}; gids {outside_ranges(maps.gids)}"
    )
    count = len(made.image.layers)
    told = made.image.file
    shown = image.name if image else told["path"] if told else made.document["root"]["path"]
    lines.append(f"root file system: {made.driver}, {count} layer{'s' * (count != 1)} of {shown}")
    lines += network.describe()
    lines += [describe_mount(one) for one in made.document["mounts"]]
    lines.append(f"exec {spawn.quoted(made.document['process']['args'])}")
    return lines


class Foreground:
    """A container that its caller waits for. `execute` is the recipe."""

    def __init__(self, begun: Start) -> None:
        self._start = begun

    def execute(self, progress: Progress | None) -> int:
        """Start it, follow it, unmake it. Raises RlError when it could not start."""
        start = self._start
        start.prepare(progress)
        ending = Ending(start.paths, start.place.record, start.remove)
        try:
            with Undo() as undo:
                code = self._run_to_end(undo, ending)
            start.grouping.discard()
            ending.say_oom(start.grouping.facts().get("path", ""))
            ending.note_exit(code)
            return code
        except BaseException as error:
            start.fail(error)
            raise
        finally:
            ending.leave()
            start.place.lock.release()

    def _run_to_end(self, undo: Undo, ending: Ending) -> int:
        from rootless.engine.supervise import Signals, Supervisor

        start = self._start
        running, leader = start.bring_up(undo)
        incoming = Signals()
        undo.callback(incoming.close)
        start.place.tell("attach")
        start.go()
        mode = self._raw_terminal(leader)
        if mode is not None:
            undo.callback(mode.restore)
        start.clear_up_after_others()
        start.grouping.add_helper(running.pid)
        supervisor = Supervisor(
            start.spec, start.launch, leader, ending.note_oom, self._log_writer()
        )
        code = supervisor.run(incoming, mode)
        start.timeline.mark("command ended")
        running.stop(wait=False)
        supervisor.finish()
        start.timeline.mark("unwound")
        return code

    def _log_writer(self) -> Writer | None:
        start = self._start
        if not start.spec.keeps_log:
            return None
        from rootless.engine import logs

        return logs.open_writer(start.paths, start.place.record)

    def _raw_terminal(self, leader: int) -> pty.Mode | None:
        if leader < 0:
            return None
        from rootless.engine import terminal

        terminal.copy_size(leader)
        return terminal.raw_mode() if self._start.spec.interactive else None


def run(
    spec: ContainerSpec,
    launch: Launch,
    *,
    progress: Progress | None = None,
    explain: Callable[[str], None] | None = None,
) -> int:
    """Run a container in the foreground; its exit code as a shell shows it.

    Raises RlError with exit code 125, 126 or 127 when the command did not start. launch: begun
    before this module was imported, so that the keeper gets ready meanwhile. progress: shows
    a pull, if there is one. explain: gets the lines of --explain-start.
    """
    timeline = Timeline()
    timeline.mark("interpreter and imports")
    try:
        code = Foreground(Start(spec, launch, timeline)).execute(progress)
    except BaseException:
        launch.abandon()
        raise
    if explain is not None:
        timeline.add(launch.times)
        for line in timeline.lines():
            explain(line)
    return code
