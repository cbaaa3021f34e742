"""Whose figures a reader gets: the container's, or those of a group nested in it.

A container that may write to its control groups (--privileged) can give parts of itself limits of
their own. To a reader in there the nearest group above it with such a limit is the machine. Groups
without limits are not: a service that systemd has put into one is still on the container's machine.
"""

from __future__ import annotations

import os

from rootless.procview import tasks
from rootless.procview.contents import Contents
from rootless.procview.source import now_usec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.procview.contents import Keeper
    from rootless.procview.source import Source

# Groups nested deeper count as the one at this depth, in which they are.
_DEEPEST = 8
# Machines kept ready, which is descriptors and memory; of more, those used last.
_MOST = 8
# As contents: so long a choice holds.
_TICK_USEC = 10_000
_GROUP = b"0::"
# What a group without a limit says in the files that limit what the view shows.
_UNLIMITED = {
    "memory.max": b"max", "memory.high": b"max", "memory.swap.max": b"max", "cpu.max": b"max",
    "cpuset.cpus": b"",
}  # fmt: skip


class _Forgetful:
    """A keeper for groups inside of a container: what they counted ends with the server."""

    def keep(self, state: bytes) -> None:
        """Nothing is kept."""

    def kept(self) -> bytes:
        """Nothing was."""
        return b""


class Machine:
    """A group that limits. inode: tells it from another one of the same name, later."""

    __slots__ = ("contents", "inode", "source")

    def __init__(self, source: Source, inode: int) -> None:
        self.source = source
        self.contents = Contents(source, _Forgetful())
        self.inode = inode


class Readers:
    """The contents for each reader.

    source: the container's. group: its group as /proc/PID/cgroup has it, "" without one of its own;
    directory: where that is.
    """

    __slots__ = ("_chosen", "_chosen_usec", "_directory", "_machines", "_prefix", "_proc",
                 "_source", "container")  # fmt: skip

    def __init__(
        self, source: Source, keeper: Keeper, group: str, directory: str, proc: str = "/proc"
    ) -> None:
        self.container = Contents(source, keeper)
        self._source = source
        self._prefix = _GROUP + os.fsencode(group) + b"/" if group else b""
        self._directory = directory
        self._proc = proc
        self._machines: dict[str, Machine] = {}
        self._chosen: dict[str, Contents] = {}
        self._chosen_usec = 0

    def of(self, reader: int) -> Contents:
        """What the thread `reader` is to see; of 0, or of one that has ended, the container's."""
        if not reader or not self.vary():
            return self.container
        group = self._group_of(reader)
        if not group:
            return self.container
        if not 0 <= now_usec() - self._chosen_usec < _TICK_USEC:
            self._chosen = {}
            self._chosen_usec = now_usec()
        if group not in self._chosen:
            self._chosen[group] = self._choose(group)
        return self._chosen[group]

    def vary(self) -> bool:
        """Whether there is more than one group for readers to be in."""
        try:
            # A directory has two links, and one more for each directory in it.
            return bool(self._prefix) and os.stat(self._directory).st_nlink > 2
        except OSError:
            return False

    def _group_of(self, reader: int) -> str:
        """Relative to the container's, "" for that one. A group outside of it is not ours to show.

        The reader waits for our answer, so nothing else can have its number meanwhile; one that was
        killed gets no answer.
        """
        text = tasks.read_text(f"{self._proc}/{reader}/cgroup") or b""
        start = 0 if text.startswith(_GROUP) else text.find(b"\n" + _GROUP) + 1
        line = text[start:].partition(b"\n")[0]
        return os.fsdecode(line.removeprefix(self._prefix)) if line.startswith(self._prefix) else ""

    def _choose(self, group: str) -> Contents:
        names = group.split("/")[:_DEEPEST]
        while names:
            directory = f"{self._directory}/{'/'.join(names)}"
            if _limits(directory):
                return self._machine(names, directory)
            names.pop()
        return self.container

    def _machine(self, names: list[str], directory: str) -> Contents:
        try:
            inode = os.stat(directory).st_ino
        except OSError:
            return self.container  # gone meanwhile, and the reader moved
        machine = self._machines.pop(directory, None)
        if machine is not None and machine.inode != inode:
            machine.source.close()
            machine = None
        if machine is None:
            machine = Machine(self._source.below(_levels(self._directory, names)), inode)
        self._machines[directory] = machine
        if len(self._machines) > _MOST:
            self._drop(next(iter(self._machines)))
        return machine.contents

    def _drop(self, directory: str) -> None:
        machine = self._machines.pop(directory)
        machine.source.close()
        self._chosen = {
            group: contents
            for group, contents in self._chosen.items()
            if contents is not machine.contents
        }


def _limits(directory: str) -> bool:
    return any(_is_limit(directory, file) for file in _UNLIMITED)


def _is_limit(directory: str, file: str) -> bool:
    words = (tasks.read_text(f"{directory}/{file}") or _UNLIMITED[file]).split()
    return words[:1] != _UNLIMITED[file].split()


def _levels(top: str, names: list[str]) -> list[str]:
    """The directories from that of `names` below `top` up to the one just below `top`."""
    return [f"{top}/{'/'.join(names[:count])}" for count in range(len(names), 0, -1)]
