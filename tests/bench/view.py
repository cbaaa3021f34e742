"""The view of /proc beside LXCFS: how fast both answer, and what ours costs a start."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from engines import PATH, Rl, installed
from measure import MEBIBYTE, Command, Failed, family, interleaved, seconds

READER = Path(__file__).with_name("reader.py").read_text()
SCRIPT = Path(__file__).with_name("lxcfs.sh")
# Set by ./dev, which has started LXCFS while it was still root.
GIVEN = "RL_BENCH_LXCFS"
FILES = ("meminfo", "stat", "uptime")
AT_ONCE = 4
# Of the host, for a Python in the container: what an interpreter of the distribution needs.
FOLDERS = ("/usr", "/lib", "/lib64")
NO_GROUP = """\
  The container has no control group of its own here: ours tells figures of the host, LXCFS those of
  the groups that its reader is in."""

Report = Callable[[str], None]


class Reader:
    """A process that runs reader.py and is asked for figures. Raises Failed."""

    def __init__(self, command: Command) -> None:
        argv, env = command
        self.process = subprocess.Popen(
            list(argv), env=dict(env), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, name: str, count: int, what: str) -> float:
        assert self.process.stdin is not None and self.process.stdout is not None
        try:
            self.process.stdin.write(f"{name} {count} {what}\n")
            self.process.stdin.flush()
            return float(self.process.stdout.readline())
        except (OSError, ValueError) as error:
            raise Failed("the reader has ended") from error

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


class Side:
    """One of the two: a reader, and the directories in which it finds the files of a server.

    one: of a server that is on the first of `cpus` alone, when the reader is; all: on all of them.
    """

    def __init__(self, reader: Reader, one: str, all_: str, server: int = 0) -> None:
        self.reader, self.server = reader, server
        self.folders = {False: one, True: all_}

    def place(self, cpus: Sequence[int]) -> None:
        """Have the reader, and our own server, run on `cpus` only."""
        if self.server:
            os.sched_setaffinity(self.server, cpus)
        self.reader.ask("pin", 0, ",".join(map(str, cpus)))

    def measure(self, name: str, count: int, file: str, *, everywhere: bool = False) -> float:
        return self.reader.ask(name, count, f"{self.folders[everywhere]}/{file}")


def python() -> str:
    """An interpreter that runs in a container which has FOLDERS. Raises Failed."""
    found = os.path.realpath(shutil.which("python3", path="/usr/bin") or "/")
    if not found.startswith("/usr/bin/"):
        raise Failed("python3: not in /usr/bin, nothing that could read in a container")
    return found


@contextmanager
def container(engine: Rl, image: str) -> Iterator[Side]:
    """A reader in a container with the view."""
    argv, env = engine.run(image, python(), "-ISc", READER, net="none")
    position = argv.index("--rm")
    folders = [f"--volume={path}:{path}:ro" for path in FOLDERS if os.path.exists(path)]
    reader = Reader(([*argv[:position], "-i", *folders, *argv[position:]], env))
    try:
        reader.ask("loop", 1, "/proc/meminfo")
        servers = [p.pid for p in family(reader.process.pid) if p.name == "rl-view"]
        if not servers:
            raise Failed("rl: no view of /proc in the container")
        yield Side(reader, "/proc", "/proc", servers[0])
    finally:
        reader.close()


@contextmanager
def lxcfs(cpu: int, report: Report) -> Iterator[Side | None]:
    """A reader in namespaces of its own, as LXCFS is made for, with root's LXCFS; None without."""
    folder = os.environ.get(GIVEN) or _started_by_sudo(cpu, report)
    if not folder:
        yield None
        return
    argv = ["unshare", "--user", "--map-root-user", "--pid", "--fork", python(), "-ISc", READER]
    reader = Reader((argv, {"PATH": PATH}))
    try:
        yield Side(reader, f"{folder}/one/proc", f"{folder}/all/proc")
    finally:
        reader.close()


def _started_by_sudo(cpu: int, report: Report) -> str:
    if not installed("lxcfs"):
        report("lxcfs is not installed: our view of /proc is compared with nothing")
        return ""
    folder = tempfile.mkdtemp(prefix="rl-bench-lxcfs.", dir="/tmp")
    argv = ["sudo", "-n", "sh", str(SCRIPT), folder, str(cpu), str(os.getpid())]
    try:
        subprocess.run(argv, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        report("lxcfs runs for root only: start ./dev bench as root, or with sudo at hand")
        shutil.rmtree(folder, ignore_errors=True)
        return ""
    return folder


def print_row(title: str, values: Mapping[str, float], goal: str, *, digits: int = 1) -> None:
    cells = "".join(
        f"{values[c]:>12.{digits}f}" if c in values else f"{'-':>12}" for c in ("rl", "lxcfs")
    )
    ratio = f"{values['rl'] / values['lxcfs']:.2f}" if len(values) == 2 else "-"
    print(f"{title:<52}{cells}{ratio:>10}  {goal}", flush=True)


def print_header(sides: Mapping[str, Side]) -> None:
    print(f"\n{'the view of /proc':<52}{'rl':>12}{'lxcfs':>12}{'rl/lxcfs':>10}  goal")
    group = Path(f"/proc/{sides['rl'].server}/cgroup").read_text().splitlines()[-1]
    if not group.endswith("/helpers"):
        print(NO_GROUP, flush=True)


def compare(engine: Rl, image: str, rounds: int, report: Report) -> None:
    """All rows.

    Ours answers for a hundredth of a second what it has made once, LXCFS makes each answer anew:
    readings "once in a while" are those that find nothing made before.
    """
    cpus = sorted(os.sched_getaffinity(0))
    with container(engine, image) as ours, lxcfs(cpus[0], report) as theirs:
        sides = {"rl": ours} | ({"lxcfs": theirs} if theirs else {})
        print_header(sides)
        _place(sides, cpus[:1])
        for name, count, words in (("loop", 2000, ""), ("apart", 15, ", once in a while")):
            for file in FILES:
                values = _in_turns(sides, 5, report, name, count, file)
                print_row(f"open, read, close of {file}{words}, µs", values, "1.00")
        for file in FILES:
            values = _in_turns(sides, 3, report, "many", AT_ONCE, file)
            print_row(f"{AT_ONCE} readers of {file} on one CPU, a second", values, "1.00", digits=0)
        _place(sides, cpus)
        for file in FILES if len(cpus) > 1 else ():
            values = _in_turns(sides, 3, report, "many", AT_ONCE, file, everywhere=True)
            title = f"{AT_ONCE} readers of {file} on {len(cpus)} CPUs, a second"
            print_row(title, values, "1.00", digits=0)
        print_row("private memory of what answers, MB", {"rl": _private(ours.server)}, "3.0 MB")
    _compare_starts(engine, image, rounds, report)


def _place(sides: Mapping[str, Side], cpus: Sequence[int]) -> None:
    for side in sides.values():
        side.place(cpus)


def _in_turns(
    sides: Mapping[str, Side],
    rounds: int,
    report: Report,
    name: str,
    count: int,
    file: str,
    *,
    everywhere: bool = False,
) -> dict[str, float]:
    measures = {
        key: partial(side.measure, name, count, file, everywhere=everywhere)
        for key, side in sides.items()
    }
    return interleaved(rounds, measures, report)


def _private(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    sizes = [int(line.split()[1]) for line in lines if line.startswith("Private_")]
    return sum(sizes) * 1024 / MEBIBYTE


def _compare_starts(engine: Rl, image: str, rounds: int, report: Report) -> None:
    """Two starts right after each other differ by the view; the median of the differences."""

    def start(view: str) -> float:
        argv, env = engine.run(image, "true", net="none")
        position = argv.index("--rm")
        command = [*argv[:position], f"--procview={view}", *argv[position:]], env
        return seconds(command) * 1000

    taken: dict[str, list[float]] = {"on": [], "off": []}
    for view in taken:
        start(view)  # for caches
    for number in range(2 * rounds):
        # Neither is always the one that comes after the other.
        for view in sorted(taken, reverse=bool(number % 2)):
            taken[view].append(start(view))
    medians = {view: statistics.median(each) for view, each in taken.items()}
    more = statistics.median(on - off for on, off in zip(taken["on"], taken["off"], strict=True))
    print(f"{'run --rm --net none IMAGE true, --procview on, ms':<52}{medians['on']:>12.1f}")
    print(f"{'  off':<52}{medians['off']:>12.1f}")
    print(f"{'  the view adds':<52}{more:>12.1f}{'':>22}  5.0 ms", flush=True)
