"""Everything that is decided before a container's first process is forked; it inherits this."""

from __future__ import annotations

from rootless.oci.mounting import Trees
from rootless.oci.process import Filter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.model.idmap import IdMaps
    from rootless.oci.statedir import Record


class Job:
    """One container to be made.

    maps: of its own user namespace, None without one. joined: kind of namespace → descriptor of
    the one to join. listener: the socket at which it waits for its start, -1 for a run. console: a
    connected socket that gets the terminal, -1 to hand it to the caller over the channel.
    preserved: how many descriptors of the caller from 3 on are the payload's. notify: the directory
    that stands in for NOTIFY_SOCKET, "" without. needs_middle: the first process is not our own
    child.
    """

    __slots__ = ("console", "document", "filter", "joined", "listener", "maps", "needs_middle",
                 "new_keyring", "no_pivot", "notify", "own_program", "preserved", "record",
                 "started_ns", "trees")  # fmt: skip

    def __init__(self, document: dict[str, Any], record: Record, maps: IdMaps | None) -> None:
        self.document = document
        self.record = record
        self.maps = maps
        self.filter = Filter(b"", 0)
        self.joined: dict[str, int] = {}
        self.trees = Trees()
        self.listener = self.console = -1
        self.preserved = 0
        self.notify = ""
        self.new_keyring = True
        self.no_pivot = False
        self.needs_middle = False
        self.own_program: tuple[int, int] | None = None
        self.started_ns = 0

    @property
    def spaces(self) -> list[dict[str, Any]]:
        """The document's namespaces; those to be joined have their descriptor as "rl.fd"."""
        found: list[dict[str, Any]] = self.document["linux"]["namespaces"]
        return found

    def has(self, kind: str) -> bool:
        """Whether the container has a namespace of that kind that is not the caller's."""
        return any(space["type"] == kind for space in self.spaces)

    def is_new(self, kind: str) -> bool:
        """Whether it has one of that kind that is made for it."""
        return any(space["type"] == kind and "path" not in space for space in self.spaces)

    def kept_fds(self) -> set[int]:
        """The descriptors that the container's first process needs."""
        fds = {self.listener, self.console, self.filter.listener, self.trees.root}
        fds |= set(self.joined.values()) | set(self.trees.by_number.values())
        return {fd for fd in fds if fd >= 0} | set(range(3, 3 + self.preserved))
