"""`rl stats`: what containers use at one moment, and how much CPU they took between two.

The figures are those of the payload's control group. A container without a group is summed up over
the processes that descend from its first one; what cannot be told so is None.
"""

from __future__ import annotations

import time

from rootless.cgroup import binding, levels, usage
from rootless.cgroup import group as groups
from rootless.cgroup import hierarchy as hierarchies
from rootless.engine import live
from rootless.errors import RlError
from rootless.kernel import proctable
from rootless.model.value import Value
from rootless.store import containers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from rootless.cgroup.levels import Host
    from rootless.engine.live import Live
    from rootless.store.paths import Paths

_OWN_FILES = ("cpu.stat", "io.stat", "memory.current", "memory.stat", "pids.current")


class Sample(Value):
    """One container at one moment. at: seconds of a clock that never jumps; pid: its first
    process, 0 when it does not run; cpu_usec: CPU time so far; memory: bytes in use; limit: bytes
    it may use at most; network, block: bytes (in, out); pids: processes and threads. None for
    what cannot be told."""

    __slots__ = (
        "at", "block", "cpu_usec", "id", "limit", "memory", "name", "network", "pid", "pids",
    )  # fmt: skip

    def __init__(self, container_id: str, name: str) -> None:
        self.id = container_id
        self.name = name
        self.at = time.monotonic()
        self.pid = 0
        self.cpu_usec: int | None = None
        self.memory: int | None = None
        self.limit: int | None = None
        self.network: tuple[int, int] | None = None
        self.block: tuple[int, int] | None = None
        self.pids: int | None = None


def take(paths: Paths, ids: Iterable[str]) -> list[Sample]:
    """A sample of each of the containers `ids`; one that was removed meanwhile is left out."""
    look = _Look()
    samples = []
    for container_id in ids:
        try:
            record = containers.read_record(paths, container_id)
        except RlError:
            continue
        found = live.look(paths, container_id, container_id)
        samples.append(look.sample(record["id"], record["name"], found))
    return samples


def running(paths: Paths) -> list[str]:
    """The ids of the containers that run, the newest first."""
    found = live.find_all(paths)
    return [one.id for one in sorted(found, key=lambda one: -float(one.state.get("started", 0)))]


def cpu_percent(before: Sample | None, now: Sample) -> float | None:
    """How much CPU was used between two samples: 100 is one CPU. None without two of one run."""
    if before is None or before.cpu_usec is None or now.cpu_usec is None:
        return None
    if before.pid != now.pid or now.at <= before.at:
        return None
    return max(0, now.cpu_usec - before.cpu_usec) / (now.at - before.at) / 10_000


class _Look:
    """One moment: what several containers have in common is read once."""

    def __init__(self) -> None:
        self._mount = hierarchies.discover()
        self._host: Host = levels.read_host()
        self._table: dict[int, proctable.Process] | None = None

    def sample(self, container_id: str, name: str, found: Live | None) -> Sample:
        sample = Sample(container_id, name)
        pid = found.pid("init") if found else 0
        if found is None or not pid:
            return sample
        sample.pid = pid
        if found.group is not None:
            self._from_group(sample, found.group.payload)
        else:
            self._from_processes(sample)
        sample.limit = self._limit(found, pid)
        network = levels.network(pid)
        # In the host's network there is nothing of the container's own: as docker shows it.
        sample.network = usage.net_bytes(network or "")
        return sample

    def _from_group(self, sample: Sample, payload: str) -> None:
        files = levels.read_files(payload, _OWN_FILES)
        sample.cpu_usec = usage.cpu_usec(files.get("cpu.stat", ""))
        sample.memory = usage.memory_in_use(
            files.get("memory.current", ""), files.get("memory.stat", "")
        )
        sample.block = usage.block_bytes(files.get("io.stat"))
        sample.pids = usage.count(files.get("pids.current", ""))
        if sample.pids is None:
            sample.pids = len(groups.pids(payload)) or None

    def _from_processes(self, sample: Sample) -> None:
        if self._table is None:
            self._table = proctable.read()
        family = proctable.family(self._table, sample.pid)
        if family:
            sample.cpu_usec = sum(process.cpu_usec for process in family)
            sample.memory = sum(process.rss for process in family)
            sample.pids = sum(process.threads for process in family)

    def _limit(self, found: Live, pid: int) -> int | None:
        if self._mount.mode != hierarchies.V2:
            return self._host.memory or None
        if found.group is not None:
            directory = found.group.payload
        else:
            directory = hierarchies.directory(self._mount.mount, hierarchies.group_of(pid))
        chain = levels.read_chain(self._mount.mount, directory, "", ["memory.max"])
        values = [(binding.amount(one.files.get("memory.max")), one) for one in chain]
        least, _, _ = binding.smallest(values, self._host.memory)
        return least if isinstance(least, int) else None
