"""A container's files, wherever it is in its life: the way in for `rl cp`, `rl export`, `rl diff`.

One that runs is entered. One that does not is mounted for the time, under the same lock as a run:
a start that comes meanwhile is refused, and what a killed command leaves the next one clears.
"""

from __future__ import annotations

import time

from rootless import log
from rootless.engine import changes, live, recover
from rootless.errors import InUseError, RlError, StoreError, describe_os_error
from rootless.model.idmap import IdMaps
from rootless.runtime import inside
from rootless.store import containers, files
from rootless.tools import spawn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from rootless.runtime.inside import Inside, Work
    from rootless.runtime.messages import RootfsRequest
    from rootless.store.paths import Paths

# For a container that is just being started or stopped, or that another `rl cp` is at.
_PATIENCE = 10.0
_PAUSE = 0.05
_FUSE = "fuse-overlayfs"
# Mounts of the kernel's below these are of no use to who copies.
_KERNELS = ("/dev", "/proc", "/sys")


class ContainerFiles:
    """`with ContainerFiles(paths, "web") as found: found.enter(…)`; the lock is held meanwhile.

    mounts: whether volumes and binds are to be seen, or the root file system alone.
    """

    def __init__(self, paths: Paths, text: str, *, mounts: bool) -> None:
        self._paths = paths
        self.text = text
        self._mounts = mounts
        self._lock: files.Lock | None = None
        self._running: inside.Running | None = None
        self.id = ""
        self.record: dict[str, Any] = {}

    def __enter__(self) -> ContainerFiles:
        recover.sweep(self._paths)
        self.id = containers.find(self._paths, self.text)
        deadline = time.monotonic() + _PATIENCE
        while not self._find():
            if time.monotonic() > deadline:
                raise InUseError(
                    f"container {self.text}: is being started, stopped or copied by another"
                    " command",
                    hint=f"rl ps -a --filter id={self.id[:12]}",
                    exit_code=1,
                )
            time.sleep(_PAUSE)
        try:
            self.record = containers.read_record(self._paths, self.id)
        except RlError:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        if self._lock is not None:
            containers.remove_live_directory(self._paths, self.id)
            self._lock.release()

    def _find(self) -> bool:
        """Whether it runs or is ours now."""
        found = live.look(self._paths, self.text, self.id)
        if found is not None:
            self._running = self._of_running(found)
            return True
        live.require_here(self._paths, self.text, containers.read_record(self._paths, self.id))
        self._lock = containers.claim_live(self._paths, self.id)
        return self._lock is not None

    def _of_running(self, found: live.Live) -> inside.Running:
        processes = found.state["processes"]
        init = (int(processes["init"][0]), int(processes["init"][1]))
        if self._mounts:
            return inside.Running(init)
        keeper = (int(processes["keeper"][0]), int(processes["keeper"][1]))
        return inside.Running(init, keeper, f"{containers.directory(self._paths, self.id)}/merged")

    def enter(self, work: Work, keep: Sequence[int] = ()) -> Inside:
        """Start `work` with the container's root. keep: descriptors that it needs. RlError."""
        log.effect(f"enter the files of container {self.id[:12]}")
        if self._running is not None:
            return inside.enter_running(self._running, work, keep)
        return inside.enter_stopped(self._stopped(), work, keep)

    def follow_to_end(self, entered: Inside) -> None:
        """Wait for work that has nothing to say. Raises RlError for what it could not do."""
        try:
            entered.finish()
        except OSError as error:
            raise RlError(f"container {self.text}: {describe_os_error(error)}") from error
        finally:
            entered.close()

    def _stopped(self) -> inside.Stopped:
        root = self.record.get("root")
        if root is None:
            raise StoreError(
                f"container {self.text}: was made by an older rl and does not run",
                hint=f"rl start {self.text}",
            )
        inner = root["inner_maps"]
        binds = self._binds() if self._mounts else []
        return inside.Stopped(
            self._request(root),
            binds,
            IdMaps(_rows(inner[0]), _rows(inner[1])) if inner else None,
            read_only=bool(self.record.get("read_only")) and self._mounts,
        )

    def _request(self, root: dict[str, Any]) -> RootfsRequest:
        driver = root["driver"]
        squash = changes.squash_of(self.record)
        program = spawn.find(_FUSE, _FUSE) if driver == _FUSE else ""
        if squash and driver == "overlay":
            program = spawn.which(_FUSE) or ""
        return {
            "driver": driver,
            "path": containers.directory(self._paths, self.id),
            "layers": root["layers"],
            "program": program,
            "uid_shift": _rows(root["shift"][0]),
            "gid_shift": _rows(root["shift"][1]),
            "squash": squash,
        }

    def _binds(self) -> list[dict[str, Any]]:
        """The mounts that bring files of the user's, as docker has them for a stopped container."""
        document = containers.read_config(self._paths, self.id)
        return [
            mount for mount in document["mounts"]
            if mount["type"] == "bind" and not _is_kernels(mount["destination"])
        ]  # fmt: skip


def _is_kernels(path: str) -> bool:
    return path.startswith(tuple(f"{folder}/" for folder in _KERNELS)) or path in _KERNELS


def _rows(rows: list[list[int]]) -> tuple[tuple[int, int, int], ...]:
    return tuple((first, second, size) for first, second, size in rows)
