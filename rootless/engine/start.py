"""One start of a container: from the wish, or the record, to the exec of its command."""

from __future__ import annotations

import os
import time

from rootless import config, log
from rootless.engine import (
    answered,
    create,
    facts,
    images,
    networks,
    plan,
    request,
    storage,
    trials,
)
from rootless.engine.grouping import Grouping
from rootless.engine.undo import Undo
from rootless.errors import EXIT_ENGINE, HostError, NotFoundError, RlError, UsageError
from rootless.runtime import seccomp
from rootless.store import containers, files, paths, verdicts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.engine.facts import HostFacts
    from rootless.engine.plan import ImageFacts, Plan
    from rootless.engine.timeline import Timeline
    from rootless.image.progress import Progress
    from rootless.model.container import ContainerSpec
    from rootless.model.idmap import IdMaps
    from rootless.net.drivers import Driver, Running
    from rootless.runtime.launch import Launch
    from rootless.runtime.messages import CgroupRequest, ForeignRequest
    from rootless.store.images import StoredImage
    from rootless.store.paths import Paths

# What runtime/payload.py says of programs of other machines; the second where binfmt_misc(5) names
# an interpreter by its path (without the flag F), which the image does not have.
_SIGNS_OF_ANOTHER_MACHINE = ("exec format error", "its interpreter or loader is missing")


class Start:
    """`prepare`, `bring_up`, `go`. record: of a container that was made before; else it is new."""

    def __init__(
        self,
        spec: ContainerSpec,
        launch: Launch,
        timeline: Timeline,
        record: dict[str, Any] | None = None,
    ) -> None:
        self.spec = spec
        self.launch = launch
        self.timeline = timeline
        self._obey_site()
        self.paths = paths.discover()
        self.grouping = Grouping(spec)
        self.place = create.Place(
            self.paths, record["id"] if record else containers.new_id(), record
        )
        self.remove: list[str] = []
        self._record = record
        self._built_for = ""
        self._has_no_root = False
        self._network: Driver

    def _obey_site(self) -> None:
        obey_site(self.spec)

    def prepare(self, progress: Progress | None) -> None:
        """Decide everything, write it down and give the keeper its work.

        Leaves nothing behind when it raises RlError.
        """
        spec = self.spec
        if spec.runtime:
            from rootless.engine import foreign

            foreign.check(spec)
        maps = self.launch.request_maps()
        self.paths.choose_layers(single=maps.is_single)
        self._check_kind(maps)
        known = verdicts.Verdicts(self.paths)
        tried = known if storage.is_open(spec) else None
        host = facts.gather(maps, verdicts=tried, devices=spec.privileged, terminal=spec.tty)
        _say_what_is_reduced(maps)
        image, image_facts = self._image(progress)
        self.timeline.mark("image found")
        if image_facts.squash and tried:
            host.storage = trials.overlay_too(known, host.storage)
        self._built_for = str(image.config.get("architecture", "")) if image else ""
        self._network = networks.choose(spec, image_facts.config, known)
        self._network.check()
        with Undo() as undo:
            undo.callback(self.place.discard)
            undo.callback(self.grouping.discard)
            undo.callback(self.launch.abandon)
            self._claim()
            self.grouping.ask(self.place.id, self.place.name, self.launch.keeper_pid, self._number)
            self._hand_over(host, image, image_facts)
            undo.forget()
        self.timeline.mark("container created")

    def _check_kind(self, maps: IdMaps) -> None:
        """Of a container that was made before: its files have owners of one kind or the other."""
        if self._record is None or self._record.get("one_id", maps.is_single) == maps.is_single:
            return
        had, has = ("no", "some") if self._record["one_id"] else ("some", "none")
        raise HostError(
            f"container {self.place.id[:12]}: was made where this user had {had} subordinate ids;"
            f" here they have {has}",
            hint=f"rl commit {self.place.id[:12]} IMAGE  # then: rl run IMAGE",
        )

    @property
    def _number(self) -> int:
        """Which start of the container it is, from 0."""
        return int(self._record.get("starts", 0)) if self._record else 0

    @property
    def _driver_before(self) -> str:
        return str(self._record["root"]["driver"]) if self._record and self._number else ""

    def _image(self, progress: Progress | None) -> tuple[StoredImage | None, ImageFacts]:
        if self._record is None or self.spec.rootfs or self._record.get("image_file"):
            return find_image(self.paths, self.spec, progress, pull=True, before=self._record)
        # Of the very image that it was made of, whatever its name means now.
        found = images.find(self.paths, self._record["image_id"])
        if found is None:
            raise NotFoundError(
                f"container {self.place.id[:12]}: its image {self._record['image']} is gone",
                f"rl pull {self._record['image']}; rl rm {self.place.id[:12]}", EXIT_ENGINE,
            )  # fmt: skip
        return found, images.facts_of(self.paths, found)

    def _claim(self) -> None:
        if self.spec.replace and self.spec.name and self._record is None:
            remove_namesake(self.paths, self.spec.name)
        self.place.claim(self.spec.name)
        if config.system_file("rl.toml"):
            from rootless.engine import policy

            policy.check_count(self.paths)

    def _hand_over(
        self, host: HostFacts, image: StoredImage | None, image_facts: ImageFacts
    ) -> None:
        spec, place = self.spec, self.place
        where = plan.Place(
            place.id, place.name, place.directory, self.paths.volumes, self._driver_before
        )
        with _auto_range_lock(self.paths, spec):
            # Files are kept with the image's ids: another start may have another range.
            taken = taken_ranges(self.paths)
            made = plan.build(
                spec, image_facts, host, where, self._network, taken, self.launch.joined
            )
            add_cgroups_path(made, self.grouping)
            self._has_no_root = made.namespace.has_no_root
            watched = self.launch.supervisor_pid > 0
            record = request.record_of(
                spec, made, image, self._record, watched=watched, network=self._network
            )
            if made.driver == storage.VFS and not self._number:
                storage.tell_cost(image_facts.layers)
            place.keep(made, record)
        ground = request.ground(made, host, detached=watched)
        is_quick = made.driver != storage.VFS
        if is_quick:
            self.launch.begin(ground, place.lock.fd)
        copy_up = place.fill(made)
        document = seccomp_document(made)
        cache = self.paths.cache
        place.write_config(made.document, document)
        program = seccomp.program_for(document, cache) if document and not spec.runtime else b""
        programs = program, *_confine_servers(made, spec, cache)
        self.remove = containers.trees_of(self.paths, place.id, record) if spec.remove else []
        self.timeline.mark("planned")
        cgroup = self.grouping.settle()
        self.timeline.mark("control group made")
        foreign = self._hand_to_other(made, document, cgroup) if spec.runtime else None
        wanted = request.build(
            spec, made, programs, self._network, copy_up, self.remove, cgroup,
            self.launch.joined, early=ground["namespaces"], foreign=foreign,
        )  # fmt: skip
        if not is_quick:
            # Copies have owners whom `discard`, above, could not remove.
            self.launch.begin(ground, place.lock.fd)
        self.launch.send(wanted)
        if self._record is None:
            place.tell("create")

    def _hand_to_other(
        self, made: Plan, document: dict[str, Any], cgroup: CgroupRequest | None
    ) -> ForeignRequest:
        from rootless.engine import foreign

        has_group = cgroup is not None
        return foreign.hand_over(self.spec, made, document, self.place.live, has_group=has_group)

    def bring_up(self, undo: Undo) -> tuple[Running, int]:
        """Until init waits for the word to exec: its network, and its terminal (-1 without).

        Raises RlError. undo: gets what ends the network.
        """
        launch = self.launch
        init_pid = launch.wait_for_init()
        self.timeline.mark("network namespace made")
        self._network.outlives_caller = launch.supervisor_pid > 0
        running = self._network.start(
            self._userns_of_network(), f"/proc/{init_pid}/ns/net", runtime_dir=self.place.live
        )
        undo.callback(running.stop)
        self.place.write_state(launch, running, self.grouping.facts(), remove=self.remove)
        leader = launch.wait_until_ready(terminal=self.spec.tty)
        if launch.waiting_pid:
            self.place.write_state(launch, running, self.grouping.facts(), remove=self.remove)
        self.timeline.mark("mounted")
        running.wait_ready()
        self.timeline.mark("network ready")
        if self._record is None:
            write_cidfile(self.spec, self.place.id)
        return running, leader

    def _userns_of_network(self) -> str:
        """A path: where the driver has the rights to the network namespace."""
        # It becomes root in there, and a single id that is not root is no place for that; who made
        # a namespace has every right to it, from the one around it.
        pid = self.launch.keeper_pid if self._has_no_root else self.launch.init_pid
        return f"/proc/{pid}/ns/user"

    def go(self) -> None:
        """Let the command run. Raises RlError with 126 or 127 when it cannot be executed."""
        try:
            self.launch.go()
        except RlError as error:
            if any(sign in error.message for sign in _SIGNS_OF_ANOTHER_MACHINE):
                error.hint = self._hint_of_platform()
            raise
        self.place.tell("start")
        self.grouping.add_forked(self.launch.server_pids)
        self.timeline.mark("command started")

    def _hint_of_platform(self) -> str:
        from rootless.model import platform

        machine = platform.host()
        if self._built_for in ("", machine.architecture):
            return ""
        return (
            f"the image is built for {self._built_for}, this machine is {machine.architecture}:"
            " sudo apt-get install qemu-user-static,"
            f" or rl pull --platform {machine} {self.spec.image}"
        )

    def clear_up_after_others(self) -> None:
        """While the command runs there is time for what a crash has left."""
        if len(containers.live_ids(self.paths)) > 1:
            from rootless.engine import recover

            recover.sweep(self.paths)

    def fail(self, error: BaseException) -> None:
        """It did not come to run, or what follows it failed: take back what runs, note why."""
        self.launch.abandon()
        self.grouping.discard()
        if not isinstance(error, UsageError):
            verdicts.forget(self.paths)
        self._note_failure(error)

    def _note_failure(self, error: BaseException) -> None:
        """As docker has it: the container stays, created and never run, for who wants to look."""
        if self.spec.remove:
            return
        code = error.exit_code if isinstance(error, RlError) else EXIT_ENGINE
        status = self._record["status"] if self._record else "created"
        if status == "restarting":
            status = "exited"  # what cannot be started is not tried again
        try:
            ended = {"exit_code": code, "finished": time.time(), "error": str(error)}
            containers.update_record(self.paths, self.place.id, status=status, **ended)
        except RlError as second:
            # The first error is the one to hear about; this one (a full disk, say) beside it.
            log.warn(second.message)


def obey_site(spec: ContainerSpec, *, with_binds: bool = True) -> None:
    """See engine.policy; no work where there is none. Raises UsageError."""
    if config.system_file("rl.toml"):
        from rootless.engine import policy

        policy.enforce(spec, with_binds=with_binds)


def remove_namesake(where: Paths, name: str) -> None:
    """--replace: a container of that name goes first. Raises RlError."""
    from rootless.engine import remove

    try:
        remove.remove(where, name, force=True)
    except NotFoundError:
        pass


def find_image(
    where: Paths,
    spec: ContainerSpec,
    progress: Progress | None,
    *,
    pull: bool,
    before: dict[str, Any] | None = None,
) -> tuple[StoredImage | None, ImageFacts]:
    """The image of `spec` (None for a file or a directory) and what a plan needs of it.

    before: the record of a container that was made of it. Raises RlError.
    """
    if spec.rootfs:
        return None, images.facts_of_directory(spec.rootfs)
    if spec.image and spec.image.startswith("/"):
        from rootless.engine import image_files

        return None, image_files.facts_of(where, spec.image, before)
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
        from rootless.tools import subids

        log.notice(
            f"{subids.why_none()}: the container has one id, other users and owners are only acted"
            " out (rl doctor says what would change that)"
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


def taken_ranges(where: Paths) -> list[tuple[int, int]]:
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
    """The filters of the processes that answer for the view and system calls."""
    single = made.namespace.is_of_one_id
    answering = answered.confinement(cache, sysinfo=spec.sysinfo, single=single)
    if not made.view:
        return b"", answering
    from rootless.procview import confined

    return answered.confine(confined.DOCUMENT, cache), answering


def seccomp_document(made: Plan) -> dict[str, Any]:
    """`linux.seccomp` of the plan's choice, empty for none. Raises UsageError."""
    choice = made.security.seccomp
    if choice == "unconfined":
        return {}
    caps = made.document["process"]["capabilities"]["bounding"]
    return seccomp.load_document(choice, caps) if choice else seccomp.default_document(caps)


def add_cgroups_path(made: Plan, grouping: Grouping) -> None:
    """Complete the document with `linux.cgroupsPath`, where there is a group."""
    path = grouping.path_in_document(made.place.container_id)
    if path:
        made.document["linux"]["cgroupsPath"] = path


def write_cidfile(spec: ContainerSpec, container_id: str) -> None:
    """--cidfile. Raises UsageError when it is there already."""
    if not spec.cidfile:
        return
    try:
        with open(spec.cidfile, "x") as file:
            file.write(container_id)
    except OSError as error:
        raise UsageError(f"--cidfile {spec.cidfile}: {error.strerror}") from error
