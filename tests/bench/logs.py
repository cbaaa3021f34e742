"""What keeping the output of a container costs: processor time of our writer and of conmon.

Both read the same producer through a pipe and keep at most the same number of bytes. conmon(8) is
run as podman runs it, with a runtime that starts the producer and nothing else. On our side it is
the loop of a container's supervisor: poll(2), read(2), and the log's writer.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from measure import MEBIBYTE, Failed, interleaved

CHECKOUT = Path(__file__).parents[2]
MOST_KEPT = 20 * MEBIBYTE
TICKS = os.sysconf("SC_CLK_TCK")
# Row → (what is written, how much at once, bytes a second, seconds).
KINDS = {
    "log CPU, 50 MB/s, no lines": (b"x" * 65536, 65536, 50_000_000, 5),
    "log CPU, 50 MB/s, lines of 100 bytes": ((b"x" * 99 + b"\n") * 655, 65500, 50_000_000, 5),
    "log CPU, 5 MB/s, writes of 100 bytes": ((b"x" * 99 + b"\n") * 655, 100, 5_000_000, 5),
}
# Writes at its pace, says so when it is done, and stays until it is killed.
PRODUCER = """
import os, sys, time
text, size, rate, seconds, done = eval(sys.argv[1])
begin, sent = time.monotonic(), 0
while sent < rate * seconds:
    for at in range(0, len(text), size):
        os.write(1, text[at : at + size])
    sent += len(text)
    ahead = sent / rate - (time.monotonic() - begin)
    if ahead > 0:
        time.sleep(ahead)
open(done, "w").close()
time.sleep(60)
"""
OURS = """
import os, select, sys, time
from rootless.engine.pump import poll
from rootless.store.log_files import LogWriter
writer = LogWriter(sys.argv[1], int(sys.argv[2]), 1)
while poll({0: select.POLLIN}, None):
    data = os.read(0, 65536)
    if not data:
        break
    writer.write("stdout", data, time.time_ns())
writer.close()
"""
RUNTIME = """#!/bin/sh
# `create --bundle DIR --pid-file FILE ID`: the container is a producer.
while [ $# -gt 0 ]; do
    [ "$1" = --pid-file ] && file=$2
    shift
done
{python} -ISc "$(cat {folder}/producer)" "$(cat {folder}/words)" &
echo $! > "$file"
"""


def producer_words(kind: str, folder: Path) -> str:
    return repr((*KINDS[kind], f"{folder}/done"))


def wait_until(is_so: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not is_so():
        if time.monotonic() > deadline:
            raise Failed(what)
        time.sleep(0.05)


def own_seconds(pid: int) -> float:
    """User and system time of one process, without its children's."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def of_conmon(place: Path, kind: str) -> float:
    folder = fresh(place / "conmon")
    (folder / "producer").write_text(PRODUCER)
    (folder / "words").write_text(producer_words(kind, folder))
    runtime = folder / "runtime"
    runtime.write_text(RUNTIME.format(python=sys.executable, folder=folder))
    runtime.chmod(0o755)
    subprocess.run(
        ["conmon", "--api-version", "1", "--cid", "bench", "--cuuid", "bench", "--name", "bench",
         "--runtime", str(runtime), "--bundle", str(folder), "--container-pidfile", f"{folder}/pid",
         "--conmon-pidfile", f"{folder}/conmon-pid", "--exit-dir", str(folder),
         "--socket-dir-path", str(folder), "--log-path", f"k8s-file:{folder}/log",
         "--log-size-max", str(MOST_KEPT), "--log-level", "error"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True, timeout=30,
    )  # fmt: skip
    wait_until((folder / "pid").exists, "conmon did not start the producer")
    wait_until((folder / "done").exists, "the producer did not end under conmon")
    time.sleep(0.3)
    used = own_seconds(int((folder / "conmon-pid").read_text()))
    if not (folder / "log").stat().st_size:
        raise Failed("conmon wrote nothing")
    os.kill(int((folder / "pid").read_text()), signal.SIGKILL)
    return used


def of_ours(place: Path, kind: str) -> float:
    folder = fresh(place / "rl")
    words = producer_words(kind, folder)
    with subprocess.Popen(
        [sys.executable, "-ISc", PRODUCER, words], stdout=subprocess.PIPE
    ) as producer:
        writer = subprocess.Popen(
            [sys.executable, "-Sc", OURS, f"{folder}/log", str(MOST_KEPT)],
            stdin=producer.stdout,
            env={"PYTHONPATH": str(CHECKOUT), "PYTHONDONTWRITEBYTECODE": "1"},
        )
        wait_until((folder / "done").exists, "the producer did not end")
        time.sleep(0.3)
        used = own_seconds(writer.pid)
        producer.kill()
    writer.wait()
    if not (folder / "log/log.json").stat().st_size:
        raise Failed("nothing was written")
    return used


def fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def measure(place: Path, kind: str, rounds: int, report: Callable[[str], None]) -> dict[str, float]:
    """Seconds of processor time by engine; conmon is podman's."""
    measures = {"rl": partial(of_ours, place, kind)}
    if shutil.which("conmon"):
        measures["podman"] = partial(of_conmon, place, kind)
    return interleaved(rounds, measures, report)
