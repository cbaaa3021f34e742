"""What a control group costs a start: in the virtual machine, where there is a systemd to ask."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.system import guest as guests
from tests.system import image as images

# Runs in the guest, which has nothing of this checkout but the package: ways of starting, taken in
# turns, one "name milliseconds" line for each start.
_SCRIPT = """
import subprocess, sys, time
start = ["rl", "run", "--rm", "--net", "none"]
ways = {"scope": [], "limits": ["-m", "64m", "--cpus", "1"], "none": ["--cgroup-manager=disabled"]}
for number in range(int(sys.argv[1]) + 1):
    for name, flags in ways.items():
        begin = time.perf_counter()
        subprocess.run([*start, *flags, "localhost/busybox", "true"], check=True)
        if number:
            print(name, (time.perf_counter() - begin) * 1000)
"""


@contextmanager
def _guest() -> Iterator[guests.Guest]:
    """The guest that runs, or one of our own."""
    if found := guests.running():
        found.sync()
        yield found
        return
    made = guests.start(images.get(images.release_or_default()), with_owner=True)
    try:
        yield made
    finally:
        made.stop()


def starts(rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each start in the guest: with a scope, with limits as well, with neither."""
    values: dict[str, list[float]] = {}
    with _guest() as guest:
        done = guest.as_user("linger").run(f"python3 - {rounds}", input=_SCRIPT, timeout=600)
    for line in done.stdout.splitlines():
        name, milliseconds = line.split()
        values.setdefault(name, []).append(float(milliseconds))
    return values
