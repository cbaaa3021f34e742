"""A container's place on disk: claimed before anything runs, unmade when it is not to stay."""

from __future__ import annotations

import os
import time

from rootless import log
from rootless.engine import plan_view, request
from rootless.errors import BusyError, InUseError, RlError
from rootless.kernel import proc
from rootless.model import names
from rootless.runtime.rootfs import SQUASH
from rootless.store import containers, events, files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.engine.plan import ImageFacts, Plan
    from rootless.net.drivers import Running
    from rootless.runtime.launch import Launch
    from rootless.store.paths import Paths


def name_from(container_id: str, wished: str = "") -> str:
    """The wished name, else one that follows from the id."""
    return wished or names.pick(bytes.fromhex(container_id[:8]))


class Place:
    """The directories of one container; `discard` takes back what it made. name: after `claim`.

    record: of a container that is there already and starts once more.
    """

    def __init__(
        self, paths: Paths, container_id: str, record: dict[str, Any] | None = None
    ) -> None:
        self.paths = paths
        self.id = container_id
        self.name = ""
        self.directory = containers.directory(paths, container_id)
        self.live = containers.live_directory(paths, container_id)
        self.lock = files.Lock(f"{self.live}/lock")  # taken by `claim`
        self._before = record
        self._was_filled = False
        self._record: dict[str, Any] = record or {}

    @property
    def record(self) -> dict[str, Any]:
        """The container's record, once it was filled."""
        return self._record

    def claim(self, name: str) -> None:
        """Make both directories and take the lock and the name, "" for any that is free.

        Raises InUseError, StoreError.
        """
        # The store itself first: it is private, also where this is the first thing in it.
        for parent in (self.paths.root, self.paths.containers, self.paths.running):
            files.make_dirs(parent)
        self._claim_live()
        if self._before is not None:
            self.name = str(self._before["name"])
            return
        log.effect(f"mkdir {self.directory}")
        os.mkdir(self.directory, 0o700)
        self.name = self._claim_name(name)

    def _claim_live(self) -> None:
        lock = containers.claim_live(self.paths, self.id)
        if lock is None:
            raise BusyError(
                f"container {self.id[:12]}: is being started or stopped by another command",
                hint=f"rl ps -a --filter id={self.id[:12]}",
            )
        self.lock = lock

    def _claim_name(self, wished: str) -> str:
        if wished:
            containers.claim_name(self.paths, wished, self.id)
            return wished
        # Each four bytes of the id are another try; a start beside this one may have the same idea.
        for start in range(0, len(self.id), 8):
            name = names.pick(bytes.fromhex(self.id[start : start + 8]))
            try:
                containers.claim_name(self.paths, name, self.id)
                return name
            except InUseError:
                continue
        containers.claim_name(self.paths, self.id, self.id)
        return self.id

    def keep(self, plan: Plan, record: dict[str, Any]) -> None:
        """Write the record of a start, and what the root file system is made of."""
        # Node-local, and another one where RL_RUNTIME_DIR says so.
        self._write_record({**record, "runtime": self.paths.running})
        self._make_layers(plan.image)

    def fill(self, plan: Plan) -> list[tuple[str, str]]:
        """Write the container's other files, and make its volumes for a start.

        Returns the volumes that start with the image's content: (directory, path in the image).
        """
        self._write_files(plan)
        return self._make_volumes(plan)

    def write(self, plan: Plan, record: dict[str, Any]) -> None:
        """Write the files of a container that is not started yet."""
        self._write_record(record)
        self._make_layers(plan.image)
        self._write_files(plan)

    def _write_record(self, record: dict[str, Any]) -> None:
        self._record = record
        if self._before is None:
            containers.write_record(self.paths, record)
        else:
            self._change_record(self._before)

    def _write_files(self, plan: Plan) -> None:
        for name, text in plan.files.items():
            # Words of the command line may be bytes that are no UTF-8: out as they came in.
            content = text.encode(errors="surrogateescape")
            files.write_atomic(f"{self.directory}/{name}", content)

    def _change_record(self, before: dict[str, Any]) -> None:
        """What others have changed since the look at `before`, such as the name, stays.

        Raises InUseError when one of them has stopped the container meanwhile.
        """
        with containers.RecordChange(self.paths, self.id) as current:
            if current.get("stop_requested") and not before.get("stop_requested"):
                raise InUseError(f"container {self.id[:12]}: was stopped by another command")
            theirs = {key for key, value in current.items() if value != before.get(key)}
            kept = theirs - request.OF_A_START
            current.update((key, new) for key, new in self._record.items() if key not in kept)
        self._was_filled = True
        self._record = current
        self.name = str(current["name"])

    def _make_layers(self, image: ImageFacts) -> None:
        is_new = not os.path.isdir(f"{self.directory}/upper")
        if is_new:
            for name in ("l", "work", "merged", plan_view.FOLDER):
                os.makedirs(f"{self.directory}/{name}", 0o700, exist_ok=True)
        if is_new or image.file:
            # Where an image file is mounted, another start may find it unpacked.
            self._link_layers(image)
        if is_new:
            # Last, as a sign that all is there.
            os.mkdir(f"{self.directory}/upper")
            # mkdir(2) obeys the umask, but the upper directory is the container's "/".
            os.chmod(f"{self.directory}/upper", 0o755)

    def _link_layers(self, image: ImageFacts) -> None:
        if image.squash:
            os.makedirs(f"{self.directory}/{SQUASH}", 0o700, exist_ok=True)
        for number, layer in enumerate(image.layers):
            link = f"{self.directory}/l/{number}"
            files.unlink_if_there(link)
            os.symlink(layer, link)

    def _make_volumes(self, plan: Plan) -> list[tuple[str, str]]:
        copy_up = []
        for use in plan.volumes:
            from rootless.store import volumes

            if volumes.ensure(self.paths, use.name) and use.copy:
                copy_up.append((use.path, use.target))
        return copy_up

    def write_config(self, document: dict[str, Any], seccomp: dict[str, Any]) -> None:
        """Keep the OCI runtime document, for who enters the container later.

        seccomp: its `linux.seccomp`, empty for none; init gets that compiled.
        """
        linux = {**document["linux"], "seccomp": seccomp} if seccomp else document["linux"]
        containers.write_config(self.paths, self.id, {**document, "linux": linux})

    def write_state(
        self, launch: Launch, network: Running, cgroup: dict[str, str], *, remove: list[str]
    ) -> None:
        """Note who runs the container, for the command that has to clear up after a crash.

        cgroup: the container's control group (Grouping.facts).
        """
        pids = {
            "keeper": launch.keeper_pid, "init": launch.init_pid,
            **dict(zip(("server", "below"), launch.server_pids, strict=False)),
            "view": launch.view_pid, "network": network.pid,
            "supervisor": launch.supervisor_pid, "waiting": launch.waiting_pid,
        }  # fmt: skip
        state = {
            "boot": proc.boot_id(),
            "started": time.time(),
            "name": self.name,
            "processes": {name: [pid, proc.start_time(pid)] for name, pid in pids.items() if pid},
            "cgroup": cgroup,
            "remove": remove,
            "ports": [port.fields() for port in network.ports],
        }
        containers.write_state(self.paths, self.id, state)

    def tell(self, action: str, **more: object) -> None:
        """Note in the journal of events that `action` happened to the container."""
        events.of_container(self.paths, action, self._record, **more)

    def forget(self) -> None:
        """The container does not run any more: drop its live directory and the lock."""
        containers.remove_live_directory(self.paths, self.id)
        self.lock.release()

    def discard(self) -> None:
        """Take everything back that was made; of a container that never ran only files of our own
        are there."""
        from rootless.store import trees

        if self.lock.fd < 0:
            return  # somebody else has it
        if self._before is not None:
            self._restore_record(self._before)
            self.forget()
            return
        containers.release_name(self.paths, self.name, self.id)
        trees_of_it = containers.trees_of(self.paths, self.id, self._record)
        for path in containers.without_shared(trees_of_it):
            if os.path.isdir(path):
                trees.remove_tree(path)
        self.forget()

    def _restore_record(self, before: dict[str, Any]) -> None:
        if not self._was_filled:
            return
        try:
            with containers.RecordChange(self.paths, self.id) as current:
                for key in request.OF_A_START & before.keys():
                    current[key] = before[key]
        except RlError as error:
            # On a full disk, say; the next command finds nobody who looks after it.
            log.warn(error.message)
