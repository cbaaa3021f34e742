"""Times and memory of command lines."""

from __future__ import annotations

import os
import resource
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

MEBIBYTE = 1 << 20

Command = tuple[Sequence[str], Mapping[str, str]]


class Failed(Exception):
    """A command that was to be timed ended badly; the text shows it and what it said."""


def start(command: Command, output: int) -> int:
    """Start `command` with its output in the file `output`; returns its pid. Raises Failed."""
    argv, env = command
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, output, 1),
        (os.POSIX_SPAWN_DUP2, output, 2),
    ]
    try:
        return os.posix_spawnp(argv[0], list(argv), dict(env), file_actions=actions)
    except FileNotFoundError as error:
        raise Failed(f"{argv[0]}: not installed") from error


def wait_for(pid: int, command: Command, output: int) -> None:
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code:
        os.lseek(output, 0, os.SEEK_SET)
        said = os.read(output, 2000).decode(errors="replace").strip()
        raise Failed(f"{' '.join(command[0])}: exit code {code}\n{said}")


def seconds(*commands: Command) -> float:
    """How long `commands`, all started at once, take together. Raises Failed."""
    outputs = [os.memfd_create("output") for _ in commands]
    try:
        begin = time.perf_counter()
        pids = [start(*pair) for pair in zip(commands, outputs, strict=True)]
        for triple in zip(pids, commands, outputs, strict=True):
            wait_for(*triple)
        return time.perf_counter() - begin
    finally:
        for output in outputs:
            os.close(output)


def interleaved(
    rounds: int, measures: Mapping[str, Callable[[], float]], report: Callable[[str], None]
) -> dict[str, float]:
    """The median of `rounds` values of each measure, taken in turns: A B C A B C …

    What the machine does meanwhile then hits all of them alike. A first round warms caches up and
    is not counted. One that fails is reported and left out.
    """
    values: dict[str, list[float]] = {name: [] for name in measures}
    failed: set[str] = set()
    for number in range(rounds + 1):
        for name, measure in measures.items():
            if name in failed:
                continue
            try:
                value = measure()
            except Failed as error:
                report(f"{name}: {error}")
                failed.add(name)
                continue
            if number:
                values[name].append(value)
    return {name: statistics.median(values[name]) for name in measures if name not in failed}


def processor_seconds(command: Command) -> float:
    """User and system time of `command` and of the children that it waited for. Raises Failed.

    Says what the work is where the time is the disk's: that of virtual machines is throttled.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds(command)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


class Process:
    """One process as /proc shows it at one moment."""

    def __init__(self, pid: int) -> None:
        head, _, tail = Path(f"/proc/{pid}/stat").read_text().rpartition(")")
        self.pid = pid
        self.name = head.partition("(")[2]
        self.parent = int(tail.split()[1])


def processes() -> Iterator[Process]:
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            yield Process(int(entry))
        except OSError:
            continue


def family(root: int, also: Sequence[str] = ()) -> list[Process]:
    """The process `root`, all below it, and all below those that are named in `also`."""
    everything = list(processes())
    members = {root} | {process.pid for process in everything if process.name in also}
    size = 0
    while size != len(members):
        size = len(members)
        members |= {process.pid for process in everything if process.parent in members}
    return [process for process in everything if process.pid in members]


def memory_of(pid: int) -> int:
    """PSS in bytes; where the kernel does not show it to us the RSS, which is never less."""
    for name, field in (("smaps_rollup", "Pss:"), ("status", "VmRSS:")):
        try:
            for line in Path(f"/proc/{pid}/{name}").read_text().splitlines():
                if line.startswith(field):
                    return int(line.split()[1]) * 1024
        except OSError:
            continue
    return 0


class PeakMemory(threading.Thread):
    """Samples the memory of a process and all below it until it is told to stop."""

    def __init__(self, root: int, every: float = 0.02) -> None:
        super().__init__(daemon=True)
        self.root, self.every = root, every
        self.peak = 0
        self.stopped = threading.Event()

    def run(self) -> None:
        while not self.stopped.wait(self.every):
            total = sum(memory_of(process.pid) for process in family(self.root))
            self.peak = max(self.peak, total)


def peak_memory(command: Command) -> float:
    """The largest sum of PSS, in MiB, of `command` and its children. Slows it down: not timed."""
    output = os.memfd_create("output")
    try:
        pid = start(command, output)
        sampler = PeakMemory(pid)
        sampler.start()
        wait_for(pid, command, output)
        sampler.stopped.set()
        sampler.join()
        return sampler.peak / MEBIBYTE
    finally:
        os.close(output)
