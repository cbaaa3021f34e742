"""A guest to get into and look, kept running between commands.

usage: ./dev guest up | sync | down | status
       ./dev guest ssh KIND [COMMAND…]
       ./dev guest [-- COMMAND…]              the same as: ssh ssh

KIND is who runs the command, and from what: linger, su, ssh, bare or root. Without a command, a
shell. `sync` copies the checkout's code into the running guest.
"""

from __future__ import annotations

import os
import shlex
import sys

from tests.system import guest as guests
from tests.system import image as images


def up() -> guests.Guest:
    """The running guest; booted when there is none."""
    if guest := guests.running():
        return guest
    return guests.start(images.get(images.release_or_default()), with_owner=False)


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
        control(verb)
    else:
        raise SystemExit(__doc__)


def control(verb: str) -> None:
    """sync, down or status of the running guest."""
    guest = guests.running()
    if guest is None:
        raise SystemExit("no guest runs")
    if verb == "sync":
        guest.sync()
    elif verb == "down":
        guest.stop()
    else:
        print(guest.describe())


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (guests.GuestError, images.ImageError) as error:
        raise SystemExit(str(error)) from None
