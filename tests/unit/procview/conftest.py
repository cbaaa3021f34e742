"""Machines made of recorded files: the host's from data/, the groups' as a test says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from rootless.procview.snapshot import Facts, Snapshot
from rootless.procview.tasks import Tasks

DATA = Path(__file__).parent / "data"
BOOT_USEC = 1_795_210_969_250_000
STARTED_USEC = 15_000_000_000


class Machine:
    """A host with its files, a chain of groups, and what the container's threads do.

    Also the reader of its snapshots.
    """

    def __init__(
        self,
        *levels: dict[str, str],
        host: str = "linux-6.18-2cpus",
        own: int = 1,
        affinity: frozenset[int] | None = None,
        host_idle_usec: int = 0,
        **files: str,
    ) -> None:
        self.layouts: dict[str, object] = {}
        self.levels = list(levels)
        folder = DATA / host
        paths = (path for path in folder.rglob("*") if path.is_file())
        self.files = {str(path.relative_to(folder)): path.read_text() for path in paths}
        self.files |= {name.replace("__", "/"): text for name, text in files.items()}
        self.threads: Tasks | None = Tasks(0, 0, 1, 1)
        self.asked: list[str] = []
        self.facts = Facts(
            STARTED_USEC, BOOT_USEC, depth=len(levels), own=min(own, len(levels)),
            affinity=affinity, host_idle_usec=host_idle_usec,
        )  # fmt: skip

    def host(self, name: str) -> bytes | None:
        self.asked.append(name)
        text = self.files.get(name)
        return None if text is None else text.encode()

    def level(self, index: int, file: str) -> bytes | None:
        self.asked.append(f"{index}:{file}")
        text = self.levels[index].get(file)
        return None if text is None else text.encode()

    def tasks(self) -> Tasks | None:
        return self.threads

    def after(self, seconds: float) -> Snapshot:
        """The snapshot so long after the container's start."""
        return Snapshot(self, self.facts, STARTED_USEC + round(seconds * 1_000_000))


def cpu_stat(user: int, system: int, nice: int | None = None) -> str:
    """cpu.stat; seconds. user includes nice, as the kernel's does."""
    lines = [f"usage_usec {(user + system) * 10**6}", f"user_usec {user * 10**6}",
             f"system_usec {system * 10**6}"]  # fmt: skip
    if nice is not None:
        lines.append(f"nice_usec {nice * 10**6}")
    return "\n".join([*lines, "nr_periods 0", "nr_throttled 0", "throttled_usec 0", ""])


def memory_stat(**changes: int) -> str:
    """memory.stat of a group as Linux 6.1 has it, with other values for some entries."""
    lines = (DATA / "made-by-hand" / "memory.stat").read_text().splitlines()
    entries = {name: int(value) for name, value in (line.split() for line in lines)}
    assert changes.keys() <= entries.keys()
    return "".join(f"{name} {value}\n" for name, value in (entries | changes).items())


@pytest.fixture(scope="session")
def machine() -> type[Machine]:
    return Machine


@pytest.fixture(name="cpu_stat", scope="session")
def cpu_stat_fixture() -> Callable[..., str]:
    return cpu_stat


@pytest.fixture(name="memory_stat", scope="session")
def memory_stat_fixture() -> Callable[..., str]:
    return memory_stat


def fields(text: bytes) -> dict[str, int]:
    """/proc/meminfo as programs read it, in kB."""
    lines = (line.split() for line in text.decode().splitlines())
    return {words[0].rstrip(":"): int(words[1]) for words in lines}


@pytest.fixture(name="fields", scope="session")
def fields_fixture() -> Callable[[bytes], dict[str, int]]:
    return fields


def recorded_group(name: str) -> dict[str, str]:
    """The files of a group in data/."""
    return {path.name: path.read_text() for path in (DATA / name).iterdir()}


@pytest.fixture(name="recorded_group", scope="session")
def recorded_group_fixture() -> Callable[[str], dict[str, str]]:
    return recorded_group
