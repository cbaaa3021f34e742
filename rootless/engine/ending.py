"""What is to be done when a container has ended, by rl in the foreground or by a supervisor."""

from __future__ import annotations

import os
import time

from rootless import log
from rootless.store import containers, events

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.runtime.oom import OomKill
    from rootless.store.paths import Paths

# Of what the OOM killer took, this many last ones stay in the record.
_KEPT_KILLS = 20


class Ending:
    """The end of one run of the container with `record`.

    remove: the trees that go with it, empty to keep them.
    """

    def __init__(self, paths: Paths, record: dict[str, Any], remove: list[str]) -> None:
        self._paths = paths
        self._record = record
        self._id: str = record["id"]
        self._remove = remove
        self._kills: list[OomKill] = []

    def note_oom(self, killed: OomKill) -> None:
        """The kernel has killed something of it."""
        self._kills.append(killed)
        self._tell("oom")
        containers.update_record(self._paths, self._id, oom_kills=self._kills[-_KEPT_KILLS:])

    def say_oom(self, group: str) -> None:
        """Warn of what was killed. group: the container's directory in the hierarchy."""
        if self._kills:
            from rootless.engine import oomtext

            log.warn(oomtext.sentence(self._kills, group))

    def note_exit(self, code: int) -> None:
        """Write the end of the command down."""
        self._tell("die", exitCode=code)
        if not self._remove:
            ended = {"status": "exited", "exit_code": code, "finished": time.time()}
            containers.update_record(self._paths, self._id, **ended)

    def leave(self) -> None:
        """Everything was unmade: forget that the container ran, and with --rm that it was there.

        Its keeper has removed the trees already, unless it was killed. The lock is still held.
        """
        if self._remove:
            if os.path.isdir(containers.directory(self._paths, self._id)):
                from rootless.engine import recover

                recover.remove_trees(containers.without_shared(self._remove))
            containers.release_name(self._paths, self._name(), self._id)
            self._tell("destroy")
        containers.remove_live_directory(self._paths, self._id)

    def _name(self) -> str:
        """The container's name now, which `rl rename` may have changed."""
        state = containers.read_state(self._paths, self._id)
        return str(state.get("name") or self._record["name"])

    def _tell(self, action: str, **more: object) -> None:
        events.of_container(self._paths, action, {**self._record, "name": self._name()}, **more)
