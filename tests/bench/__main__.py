"""`./dev bench`: tables of medians, ours beside podman, bubblewrap, crun and LXCFS, all in one run.

No value fails anything: a time-out in a test says more about the machine than about the program.
Give names of rows to measure only those: start, none, oci, file, fifty, pull, push, commit, build,
memory, detached, view, logs, ps, steps.
Only on request: scope, which boots the virtual machine of the system tests.
"""

from __future__ import annotations

import argparse
import io
import os
import signal
import statistics
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))

import builds
import commits
import images
import lifecycle
import logs
import pushes
import runtimes
import view
from engines import Bubblewrap, Crun, Podman, Rl, installed
from measure import (
    MEBIBYTE,
    Command,
    Failed,
    family,
    interleaved,
    memory_of,
    peak_memory,
    processor_seconds,
    seconds,
    start,
)

from rootless.store import trees
from rootless.tools import idmap

ROWS = (
    "start",
    "none",
    "oci",
    "file",
    "fifty",
    "pull",
    "push",
    "commit",
    "build",
    "memory",
    "detached",
    "view",
    "logs",
    "ps",
    "steps",
)
WITHOUT_CONTAINERS = {"pull", "push", "commit"}
IN_A_GUEST = "scope"
COLUMNS = ("rl", "podman", "bubblewrap", "crun")
AT_ONCE = 50
LISTED = 100
# Not ours in the sense of the goal: the payload and the two helpers that podman has as well.
NOT_OURS = ("sleep", "fuse-overlayfs", "slirp4netns")


def report(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr)


def print_row(title: str, unit: str, values: Mapping[str, float], goal: str) -> None:
    cells = "".join(f"{values[c]:>12.1f}" if c in values else f"{'-':>12}" for c in COLUMNS)
    ratio = f"{values['rl'] / values['podman']:.2f}" if {"rl", "podman"} <= values.keys() else "-"
    print(f"{title + ', ' + unit:<42}{cells}{ratio:>10}  {goal}", flush=True)


def print_header() -> None:
    cells = "".join(f"{name:>12}" for name in COLUMNS)
    print(f"{'median of each':<42}{cells}{'rl/podman':>10}  goal", flush=True)


class Bench:
    """The engines with their stores, and one method a row."""

    def __init__(self, place: Path, rounds: int) -> None:
        self.place, self.rounds = place, rounds
        self.registry = images.Registry(place)
        self.image = self.registry.push_busybox()
        self.engines: list[Rl] = []

    def prepare(self, rows: Sequence[str]) -> None:
        """Make the engines; one that cannot do what `rows` ask for is left out."""
        for kind in (Rl, Podman):
            if kind is Podman and not installed("podman"):
                report("podman is not installed: no ratios")
                continue
            folder = self.place / kind.name
            folder.mkdir(mode=0o700)
            engine = kind(folder, self.registry.host)
            self.engines.append(engine)
            try:
                seconds(engine.pull(self.image))
                if not set(rows) <= WITHOUT_CONTAINERS:
                    seconds(engine.run(self.image, "true"))
            except Failed as error:
                report(f"{engine.name} does not work here: {error}")
                self.engines.remove(engine)
                engine.close()

    def close(self) -> None:
        for engine in self.engines:
            engine.close()
        self.registry.stop()

    def _each(self, commands: Callable[[Rl], list[Command]]) -> dict[str, Callable[[], float]]:
        return {e.name: partial(seconds, *commands(e)) for e in self.engines}

    def _median_ms(
        self, rounds: int, measures: Mapping[str, Callable[[], float]]
    ) -> dict[str, float]:
        return {k: v * 1000 for k, v in interleaved(rounds, measures, report).items()}

    def start(self) -> None:
        """A start with the default network."""
        measures = self._each(lambda e: [e.run(self.image, "true")])
        print_row("run --rm IMAGE true", "ms", self._median_ms(self.rounds, measures), "0.50")

    def none(self) -> None:
        """A start without a network, where the small sandboxes can be compared with."""
        measures = self._each(lambda e: [e.run(self.image, "true", net="none")])
        measures |= self._sandboxes()
        values = self._median_ms(self.rounds, measures)
        print_row("run --rm --net none IMAGE true", "ms", values, "0.50")

    def oci(self) -> None:
        """An OCI bundle's start, beside the runtimes that others call."""
        values = self._median_ms(self.rounds, runtimes.Bundles(self.place).measures())
        goal = "1.20 of runc's"
        if {"rl", "runc"} <= values.keys():
            runc = values["runc"]
            goal += f", is {values['rl'] / runc:.2f} of its {runc:.1f} ms"
        print_row("rl-oci run, a bundle, true", "ms", values, goal)

    def file(self) -> None:
        """A start from one squashfs file, beside one from layers; and the making of such a file."""
        ours = next((engine for engine in self.engines if engine.name == "rl"), None)
        if ours is None:
            return
        file, large = str(self.place / "image.sqsh"), self.registry.push_many_files()
        seconds(ours.squash(self.image, file))
        starts = {"layers": self.image, "file": file}
        values = self._median_ms(
            self.rounds,
            {name: partial(seconds, ours.run(word, "true")) for name, word in starts.items()},
        )
        if values.keys() == starts.keys():
            ratio = values["file"] / values["layers"]
            goal = f"1.50 of ours from layers, is {ratio:.2f}"
            print_row("run --rm FILE.sqsh true", "ms", {"rl": values["file"]}, goal)
        seconds(ours.pull(large))
        making = {"rl": partial(seconds, ours.squash(large, file))}
        values = interleaved(3, making, report)
        print_row("image squash, 25,000 files, 200 MB", "s", values, "")
        seconds(ours.forget(large))

    def _sandboxes(self) -> dict[str, Callable[[], float]]:
        rootfs = self.place / "rootfs"
        with tarfile.open(fileobj=io.BytesIO(images.busybox_layer())) as archive:
            archive.extractall(rootfs)  # our own archive
        measures: dict[str, Callable[[], float]] = {}
        if installed("bwrap"):
            sandbox = Bubblewrap(rootfs)
            measures["bubblewrap"] = lambda: seconds(sandbox.run("/bin/true"))
        if installed("crun"):
            bundle = self.place / "bundle"
            bundle.mkdir()
            runtime = Crun(bundle, rootfs, ["/bin/true"])
            measures["crun"] = lambda: seconds(runtime.run())
        return measures

    def fifty(self) -> None:
        """Fifty containers started at the same moment."""
        measures = self._each(lambda e: [e.run(self.image, "true")] * AT_ONCE)
        values = self._median_ms(3, measures)
        print_row(f"{AT_ONCE} starts at once", "ms", values, "0.50")

    def pull(self) -> None:
        """Pull and unpack of the large image, and the memory that it takes."""
        image = self.registry.push_many_files()

        def forgetting(measure: Callable[[Command], float], engine: Rl) -> Callable[[], float]:
            def once() -> float:
                value = measure(engine.pull(image))
                seconds(engine.forget(image))
                return value

            return once

        for rounds, measure, title, unit, goal in (
            (3, seconds, "pull, 5 layers, 25,000 files, 200 MB", "s", "0.60"),
            (1, processor_seconds, "its processor time, all processes", "s", ""),
            (1, peak_memory, "its peak memory, all processes", "MB", "150 MB"),
        ):
            measures = {e.name: forgetting(measure, e) for e in self.engines}
            print_row(title, unit, interleaved(rounds, measures, report), goal)

    def push(self) -> None:
        """Push of the large image to an empty registry."""
        image = self.registry.push_many_files()
        for engine in self.engines:
            seconds(engine.pull(image))
        for rounds, measure, title, unit, goal in (
            (5, seconds, "push, 5 layers, 200 MB", "s", "0.80"),
            (1, processor_seconds, "its processor time, all processes", "s", ""),
            (1, peak_memory, "its peak memory, all processes", "MB", ""),
        ):
            measures = {
                e.name: pushes.into_an_empty_registry(e, image, self.place, measure)
                for e in self.engines
            }
            print_row(title, unit, interleaved(rounds, measures, report), goal)
        for engine in self.engines:
            seconds(engine.forget(image))

    def commit(self) -> None:
        """Commit of 10,000 changed files, on a small image and on the large one."""
        changes = self.place / "changes"
        commits.fill(changes)
        large = self.registry.push_many_files()
        for image, title in ((self.image, "on busybox"), (large, "on 25,000 files")):
            for engine in self.engines:
                seconds(engine.pull(image))
                commits.prepare(engine, image, changes)
            for rounds, measure, what, unit in (
                (3, seconds, f"commit of {commits.FILES} files {title}", "s"),
                (1, processor_seconds, "its processor time, all processes", "s"),
                (1, peak_memory, "its peak memory, all processes", "MB"),
            ):
                measures = {e.name: commits.committed(e, measure) for e in self.engines}
                goal = "0.30" if measure is seconds else ""
                print_row(what, unit, interleaved(rounds, measures, report), goal)
            for engine in self.engines:
                commits.clear(engine)
        for engine in self.engines:
            seconds(engine.forget(large))

    def build(self) -> None:
        """A build of ten steps on 25,000 files: each step made, and each found."""
        large = self.registry.push_many_files_with_busybox()
        context = self.place / "context"
        builds.fill(context, large)
        for engine in self.engines:
            seconds(engine.pull(large))
        for cached, what, rounds, goal in (
            (False, "build, 10 steps on 25,000 files", 1, "0.10"),
            (True, "the same, all cached", 5, "0.30"),
        ):
            measures = {e.name: builds.built(e, context, cached=cached) for e in self.engines}
            print_row(what, "s", interleaved(rounds, measures, report), goal)
        for engine in self.engines:
            builds.clear(engine)
            seconds(engine.forget(large))

    def memory(self) -> None:
        """What a container that runs in the foreground costs beside its helpers."""
        values: dict[str, float] = {}
        for engine in self.engines:
            used = self._resident(engine)
            if used:
                values[engine.name] = used / MEBIBYTE
        print_row("resident, a foreground container", "MB", values, "20 MB")

    def _resident(self, engine: Rl) -> int:
        pid = start(engine.run(self.image, "sleep", "60"), os.open(os.devnull, os.O_WRONLY))
        try:
            if not self._wait_for_payload(pid, engine):
                report(f"{engine.name}: the container did not start in 10 s")
                return 0
            members = family(pid, engine.helpers)
            return sum(memory_of(p.pid) for p in members if p.name not in NOT_OURS)
        finally:
            for process in family(pid, engine.helpers):
                if process.name == "sleep":
                    os.kill(process.pid, signal.SIGKILL)
            os.waitpid(pid, 0)

    @staticmethod
    def _wait_for_payload(pid: int, engine: Rl) -> bool:
        for _ in range(100):
            time.sleep(0.1)
            if any(process.name == "sleep" for process in family(pid, engine.helpers)):
                time.sleep(0.5)  # for what is freed just after the start
                return True
        return False

    def detached(self) -> None:
        """Containers that go on without their caller."""
        rounds, few = self.rounds, 3
        for title, unit, goal, times, begin in (
            ("run -d IMAGE sleep", "ms", "0.50", rounds, lifecycle.detached),
            ("exec CONTAINER true", "ms", "0.50", rounds, lifecycle.entered),
            (f"start and stop of {lifecycle.AT_ONCE}", "ms", "0.50", few, lifecycle.cycle),
        ):
            measures = {e.name: begin(e, self.image) for e in self.engines}
            print_row(title, unit, self._median_ms(times, measures), goal)
            for engine in self.engines:
                lifecycle.remove_all(engine)
        used = {e.name: lifecycle.memory(e, self.image) / MEBIBYTE for e in self.engines}
        print_row("PSS beside the helpers, a container", "MB", used, "")

    def view(self) -> None:
        """What answers for /proc in a container, beside LXCFS."""
        ours = next((engine for engine in self.engines if engine.name == "rl"), None)
        if ours is None:
            return
        try:
            view.compare(ours, self.image, self.rounds, report)
        except Failed as error:
            report(f"the view of /proc: {error}")

    def logs(self) -> None:
        """Processor time for keeping what comes in five seconds, beside conmon's."""
        for kind in logs.KINDS:
            values = logs.measure(self.place, kind, 3, report)
            milliseconds = {name: value * 1000 for name, value in values.items()}
            print_row(kind, "ms", milliseconds, "2.00")

    def ps(self) -> None:
        """A list of containers that do not run."""
        for engine in self.engines:
            for _ in range(LISTED):
                seconds(engine.keep(self.image))
        measures = self._each(lambda e: [e.list()])
        values = self._median_ms(self.rounds, measures)
        print_row(f"ps --all of {LISTED} containers", "ms", values, "1.30")

    def steps(self) -> None:
        """Where the milliseconds of one start went, in the words of `rl` itself."""
        ours = next((engine for engine in self.engines if engine.name == "rl"), None)
        if ours is None:
            return
        argv, env = ours.run(self.image, "true")
        position = argv.index("run") + 1
        argv = [*argv[:position], "--explain-start", *argv[position:]]
        print("\nthe steps of one start:", flush=True)
        pid = os.posix_spawn(argv[0], argv, dict(env))
        os.waitpid(pid, 0)


def compare_scope(rounds: int) -> None:
    """What systemd's scope, and limits in it, cost a start; under emulation only ratios count."""
    import scope

    medians = {name: statistics.median(each) for name, each in scope.starts(rounds).items()}
    print(f"{'a start in the virtual machine, ms':<42}{'median':>12}{'ratio':>10}")
    titles = {"none": "no group", "scope": "a scope", "limits": "a scope with -m and --cpus"}
    for name, title in titles.items():
        ratio = medians[name] / medians["none"]
        print(f"{title:<42}{medians[name]:>12.1f}{ratio:>10.2f}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument(
        "rows", nargs="*", metavar="ROW", help=f"one of {', '.join([*ROWS, IN_A_GUEST])}"
    )
    parser.add_argument("--rounds", type=int, default=15, help="for single starts (default: 15)")
    options = parser.parse_args()
    if unknown := set(options.rows) - {*ROWS, IN_A_GUEST}:
        parser.error(f"no such row: {', '.join(sorted(unknown))}")
    if IN_A_GUEST in options.rows:
        compare_scope(options.rounds)
        options.rows.remove(IN_A_GUEST)
        if not options.rows:
            return 0
    place = Path(tempfile.mkdtemp(prefix="rl-bench.", dir="/var/tmp"))
    bench = None
    try:
        bench = Bench(place, options.rounds)
        bench.prepare(options.rows or ROWS)
        print_header()
        for row in options.rows or ROWS:
            getattr(bench, row)()
    finally:
        if bench is not None:
            bench.close()
        idmap.call(lambda: trees.remove_tree(str(place)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
