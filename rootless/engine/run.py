"""`rl run`: from the wish to the exit code, and everything unmade in between."""

from __future__ import annotations

import os
import time

from rootless import log
from rootless.engine import create, facts, images, plan, request
from rootless.engine.grouping import Grouping
from rootless.engine.timeline import Timeline
from rootless.engine.undo import Undo
from rootless.errors import EXIT_ENGINE, NotFoundError, RlError, UsageError
from rootless.model import network as network_model
from rootless.model import ports as port_model
from rootless.net import drivers
from rootless.runtime import seccomp
from rootless.store import containers, files, paths
from rootless.tools import idmap, spawn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from rootless.engine.facts import HostFacts
    from rootless.engine.logs import Writer
    from rootless.engine.plan import ImageFacts, Plan
    from rootless.image.progress import Progress
    from rootless.kernel import pty
    from rootless.model.container import ContainerSpec
    from rootless.model.idmap import IdMaps
    from rootless.net.drivers import Driver, Running
    from rootless.runtime.launch import Launch
    from rootless.runtime.oom import OomKill
    from rootless.store.images import StoredImage
    from rootless.store.paths import Paths


def describe(spec: ContainerSpec) -> tuple[dict[str, Any], list[str]]:
    """`--dry-run`: the OCI runtime document and the effects of a start, in their order."""
    where = paths.discover()
    image, image_facts = _image(where, spec, None, pull=False)
    container_id = containers.new_id()
    place = plan.Place(
        container_id,
        create.name_from(container_id, spec.name),
        containers.directory(where, container_id),
        where.volumes,
    )
    network = _network(spec, image_facts)
    made = plan.build(
        spec,
        image_facts,
        facts.gather(devices=spec.privileged),
        place,
        network,
        _taken_ranges(where),
    )
    _add_seccomp(made)
    grouping = Grouping(spec)
    _add_cgroups_path(made, grouping)
    return made.document, _effects(made, network, image, grouping)


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
    shown = image.name if image else made.document["root"]["path"]
    lines.append(f"root file system: {made.driver}, {count} layer{'s' * (count != 1)} of {shown}")
    lines += network.describe()
    lines += [describe_mount(one) for one in made.document["mounts"]]
    lines.append(f"exec {spawn.quoted(made.document['process']['args'])}")
    return lines


# Of what the OOM killer took, this many last ones stay in the record.
_KEPT_KILLS = 20


class Run:
    """One `rl run`; `execute` is the recipe."""

    def __init__(self, spec: ContainerSpec, launch: Launch, timeline: Timeline) -> None:
        self.spec = spec
        self.launch = launch
        self.timeline = timeline
        self.paths = paths.discover()
        self.grouping = Grouping(spec)
        self._built_for = ""
        self._oom_kills: list[OomKill] = []

    def execute(self, progress: Progress | None) -> int:
        """Start the container, follow it, unmake it. Raises RlError when it could not start."""
        spec = self.spec
        maps = idmap.canonical_maps()
        self.launch.request_maps(maps)
        host = facts.gather(maps, devices=spec.privileged)
        _say_what_is_reduced(maps)
        image, image_facts = _image(self.paths, spec, progress, pull=True)
        self.timeline.mark("image found")
        self._built_for = str(image.config.get("architecture", "")) if image else ""
        network = _network(spec, image_facts)
        network.check()
        with Undo() as undo:
            place = create.Place(self.paths, containers.new_id())
            undo.callback(place.discard)
            undo.callback(self.grouping.discard)
            undo.callback(self.launch.abandon)
            self._claim(place)
            self.grouping.ask(place.id, place.name, self.launch.keeper_pid)
            remove = self._hand_over(place, host, image, image_facts, network)
            undo.forget()
        self.timeline.mark("container created")
        return self._follow(place, network, remove)

    def _claim(self, place: create.Place) -> None:
        if self.spec.replace and self.spec.name:
            self._remove_namesake(self.spec.name)
        place.claim(self.spec.name)

    def _remove_namesake(self, name: str) -> None:
        from rootless.engine import remove

        try:
            remove.remove(self.paths, name, force=True)
        except NotFoundError:
            pass

    def _hand_over(
        self,
        place: create.Place,
        host: HostFacts,
        image: StoredImage | None,
        image_facts: ImageFacts,
        network: Driver,
    ) -> list[str]:
        """Plan, write everything down and give the keeper its work; what is to be removed then."""
        spec = self.spec
        where = plan.Place(place.id, place.name, place.directory, self.paths.volumes)
        with _auto_range_lock(self.paths, spec):
            taken = _taken_ranges(self.paths)
            made = plan.build(spec, image_facts, host, where, network, taken)
            _add_cgroups_path(made, self.grouping)
            record = request.record_of(spec, made, image)
            copy_up = place.fill(made, record)
        document = _seccomp_document(made)
        cache = self.paths.cache
        program = seccomp.program_for(document, cache) if document else b""
        programs = program, *_confine_servers(made, spec, cache)
        place.write_config(made.document, document)
        remove = containers.trees_of(self.paths, place.id, record) if spec.remove else []
        self.timeline.mark("planned")
        cgroup = self.grouping.settle()
        self.timeline.mark("control group made")
        wanted = request.build(spec, made, host, programs, network, copy_up, remove, cgroup)
        self.launch.send(wanted, place.lock.fd)
        place.tell("create")
        return remove

    def _follow(self, place: create.Place, network: Driver, remove: list[str]) -> int:
        try:
            with Undo() as undo:
                code = self._run_to_end(undo, place, network, remove)
            self.grouping.discard()
            self._say_oom()
            self._note_exit(place, code)
            return code
        except BaseException as error:
            self.launch.abandon()
            self.grouping.discard()
            self._note_failure(place, error)
            raise
        finally:
            self._after(place, remove)

    def _go(self) -> None:
        try:
            self.launch.go()
        except RlError as error:
            if "exec format error" in error.message:
                error.hint = self._hint_of_platform()
            raise

    def _hint_of_platform(self) -> str:
        from rootless.model import platform

        machine = platform.host()
        if self._built_for in ("", machine.architecture):
            return ""
        return (
            f"the image is built for {self._built_for}, this machine is {machine.architecture}:"
            f" rl pull --platform {machine} {self.spec.image}"
        )

    def _run_to_end(
        self, undo: Undo, place: create.Place, network: Driver, remove: list[str]
    ) -> int:
        from rootless.engine.supervise import Signals, Supervisor

        running, leader = self._bring_up(undo, place, network, remove)
        incoming = Signals()
        undo.callback(incoming.close)
        self._go()
        place.tell("start")
        self.timeline.mark("command started")
        mode = self._raw_terminal(leader)
        if mode is not None:
            undo.callback(mode.restore)
        self._clear_up_after_others()
        self.grouping.add_helper(running.pid)
        supervisor = Supervisor(
            self.spec,
            self.launch,
            leader,
            lambda killed: self._note_oom(place, killed),
            self._log_writer(place),
        )
        code = supervisor.run(incoming, mode)
        self.timeline.mark("command ended")
        running.stop(wait=False)
        supervisor.finish()
        self.timeline.mark("unwound")
        return code

    def _log_writer(self, place: create.Place) -> Writer | None:
        if not self.spec.keeps_log:
            return None
        from rootless.engine import logs

        return logs.open_writer(self.paths, containers.read_record(self.paths, place.id))

    def _bring_up(
        self, undo: Undo, place: create.Place, network: Driver, remove: list[str]
    ) -> tuple[Running, int]:
        """Until init waits for the word to exec: its network, and its terminal (-1 without)."""
        launch = self.launch
        init_pid = launch.wait_for_init()
        launch.wait_for_namespaces()
        self.timeline.mark("namespaces made")
        running = network.start(
            f"/proc/{init_pid}/ns/user", f"/proc/{init_pid}/ns/net", runtime_dir=place.live
        )
        undo.callback(running.stop)
        place.write_state(launch, running, self.grouping.facts(), remove=remove)
        leader = launch.wait_until_ready(terminal=self.spec.tty)
        self.timeline.mark("mounted")
        running.wait_ready()
        self.timeline.mark("network ready")
        self._write_cidfile(place.id)
        return running, leader

    def _note_oom(self, place: create.Place, killed: OomKill) -> None:
        self._oom_kills.append(killed)
        place.tell("oom")
        containers.update_record(self.paths, place.id, oom_kills=self._oom_kills[-_KEPT_KILLS:])

    def _say_oom(self) -> None:
        if self._oom_kills:
            from rootless.engine import oomtext

            log.warn(oomtext.sentence(self._oom_kills, self.grouping.facts().get("path", "")))

    def _clear_up_after_others(self) -> None:
        """While the command runs there is time for what a crash has left."""
        if len(containers.live_ids(self.paths)) > 1:
            from rootless.engine import recover

            recover.sweep(self.paths)

    def _raw_terminal(self, leader: int) -> pty.Mode | None:
        if leader < 0:
            return None
        from rootless.engine import terminal
        from rootless.kernel import pty

        terminal.copy_size(leader)
        if not self.spec.interactive:
            return None
        if not os.isatty(0):
            log.notice(
                "-t: standard input is not a terminal, keys go to the container as they come"
            )
            return None
        mode = pty.Mode(0)
        mode.make_raw()
        return mode

    def _write_cidfile(self, container_id: str) -> None:
        if not self.spec.cidfile:
            return
        try:
            with open(self.spec.cidfile, "x") as file:
                file.write(container_id)
        except OSError as error:
            raise UsageError(f"--cidfile {self.spec.cidfile}: {error.strerror}") from error

    def _note_exit(self, place: create.Place, code: int) -> None:
        place.tell("die", exitCode=code)
        if self.spec.remove:
            return
        containers.update_record(
            self.paths, place.id, status="exited", exit_code=code, finished=time.time()
        )

    def _note_failure(self, place: create.Place, error: BaseException) -> None:
        """As docker has it: the container stays, created and never run, for who wants to look."""
        if self.spec.remove:
            return
        code = error.exit_code if isinstance(error, RlError) else EXIT_ENGINE
        try:
            ended = {"exit_code": code, "finished": time.time(), "error": str(error)}
            containers.update_record(self.paths, place.id, status="created", **ended)
        except RlError as second:
            # The first error is the one to hear about; this one (a full disk, say) beside it.
            log.warn(second.message)

    def _after(self, place: create.Place, remove: list[str]) -> None:
        if self.spec.remove:
            if os.path.isdir(place.directory):
                from rootless.engine import recover

                # The keeper could not do it, or was killed.
                recover.remove_trees(remove)
            containers.release_name(self.paths, place.name, place.id)
            place.tell("destroy")
        place.forget()


def run(
    spec: ContainerSpec,
    launch: Launch,
    *,
    explain_start: bool = False,
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
        code = Run(spec, launch, timeline).execute(progress)
    except BaseException:
        launch.abandon()
        raise
    if explain_start and explain is not None:
        timeline.add(launch.times)
        for line in timeline.lines():
            explain(line)
    return code


def _image(
    where: Paths, spec: ContainerSpec, progress: Progress | None, *, pull: bool
) -> tuple[StoredImage | None, ImageFacts]:
    if spec.rootfs:
        return None, images.facts_of_directory(spec.rootfs)
    if not pull:
        present = images.find(where, spec.image or "")
        if present is None:
            raise NotFoundError(
                f"{spec.image}: not in the store", f"rl pull {spec.image}", EXIT_ENGINE
            )
        return present, images.facts_of(where, present)
    found = images.obtain(where, spec, progress)
    return found, images.facts_of(where, found)


def _say_what_is_reduced(maps: IdMaps) -> None:
    if maps.is_single and os.geteuid() != 0:
        log.notice(
            "no subordinate ids for this user: the container knows its own user only"
            ' (sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 "$(id -un)")'
        )


def _auto_range_lock(where: Paths, spec: ContainerSpec) -> Undo:
    """Two starts with --userns auto must not choose one range: held from the look to the record."""
    held = Undo()
    if spec.userns.startswith("auto"):
        files.make_dirs(where.locks)
        lock = files.Lock(f"{where.locks}/userns-auto")
        lock.acquire()
        held.callback(lock.release)
    return held


def _network(spec: ContainerSpec, image: ImageFacts) -> Driver:
    ports = list(spec.ports)
    if spec.publish_all:
        ports += port_model.exposed_ports(image.config)
    choice = network_model.parse_network(spec.network)
    return drivers.make(choice, ports, dns=spec.dns)


def _taken_ranges(where: Paths) -> list[tuple[int, int]]:
    """The ranges of running containers with --userns auto."""
    ranges = []
    for one in containers.live_ids(where):
        try:
            taken = containers.read_record(where, one).get("auto_range")
        except RlError:
            continue
        if taken:
            ranges.append((taken[0], taken[1]))
    return ranges


def _confine_servers(made: Plan, spec: ContainerSpec, cache: str) -> tuple[bytes, bytes]:
    """The filters of the processes that answer for the view and for sysinfo(2)."""
    if not made.view and not spec.sysinfo:
        return b"", b""
    from rootless.procview import confined

    view = _confine(confined.DOCUMENT, cache) if made.view else b""
    return view, _confine(confined.NOTIFIED_DOCUMENT, cache) if spec.sysinfo else b""


def _confine(document: dict[str, Any], cache: str) -> bytes:
    """They can do without."""
    try:
        return seccomp.program_for(document, cache)
    except RlError as error:
        log.effect(f"the view of /proc: no seccomp filter: {error.message}")
        return b""


def _seccomp_document(made: Plan) -> dict[str, Any]:
    choice = made.security.seccomp
    if choice == "unconfined":
        return {}
    caps = made.document["process"]["capabilities"]["bounding"]
    return seccomp.load_document(choice, caps) if choice else seccomp.default_document(caps)


def _add_seccomp(made: Plan) -> None:
    document = _seccomp_document(made)
    if document:
        made.document["linux"]["seccomp"] = document


def _add_cgroups_path(made: Plan, grouping: Grouping) -> None:
    path = grouping.path_in_document(made.place.container_id)
    if path:
        made.document["linux"]["cgroupsPath"] = path
