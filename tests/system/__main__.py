"""A guest to get into and look, kept running between commands.

usage: python3 -m tests.system up | sync | down | status
       python3 -m tests.system ssh KIND [COMMAND…]

KIND is who runs the command, and from what: linger, su, ssh, bare or root. Without a command, a
shell. `sync` copies the checkout's code into the running guest.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
from pathlib import Path

from tests.system import guest as guests
from tests.system import image as images

FOLDER = images.CACHE / "running"
RECORD = FOLDER / "guest.json"


def running() -> guests.Guest | None:
    """The guest that an earlier `up` left running, if it still does."""
    try:
        known = json.loads(RECORD.read_text())
        name = Path(f"/proc/{known['pid']}/comm").read_text()
    except OSError:
        return None
    if not name.startswith("qemu"):
        return None
    return guests.Guest(FOLDER, pid=known["pid"], port=known["port"], key=Path(known["key"]))


def up() -> guests.Guest:
    """The running guest; booted when there is none."""
    if guest := running():
        return guest
    image = images.get(images.release_or_default())
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(mode=0o700, parents=True)
    guest = guests.start(image, FOLDER, with_owner=False)
    RECORD.write_text(json.dumps({"pid": guest.pid, "port": guest.port, "key": str(guest.key)}))
    return guest


def ssh(kind: str, words: list[str]) -> None:
    """Become the command, or the shell, in the guest."""
    guest = up()
    terminal = ["-t"] if sys.stdin.isatty() else []
    command = shlex.join(words) if len(words) > 1 else "".join(words)
    argv = guest.as_user(kind).argv(command or "exec bash -i", *terminal)
    os.execvp(argv[0], argv)


def main(arguments: list[str]) -> None:
    verb, *rest = arguments or ["help"]
    if verb == "up":
        print(f"a guest runs: pid {up().pid}")
    elif verb == "ssh" and rest:
        ssh(rest[0], rest[1:])
    elif verb in ("sync", "down", "status"):
        guest = running()
        if guest is None:
            raise SystemExit("no guest runs")
        {"sync": guest.sync, "down": guest.stop, "status": lambda: print(guest.describe())}[verb]()
    else:
        raise SystemExit(__doc__)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except guests.GuestError as error:
        raise SystemExit(str(error)) from None
