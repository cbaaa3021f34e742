"""The note in a store that stands for a better place, which could not hold one: `instead-of`.

One line for each such place: its path, a tab, the reason. By it the next command knows, without
another try, that this is the store; for another home the note says nothing.
"""

from __future__ import annotations

import os

from rootless.store import files

NAME = "instead-of"


def read(root: str) -> dict[str, str]:
    """Place → reason; empty for a store that is where it is looked for first.

    The place is "" for users without a home.
    """
    try:
        with open(f"{root}/{NAME}", encoding="utf-8", errors="surrogateescape") as file:
            rows = [line.rstrip("\n").partition("\t") for line in file]
    except OSError:
        return {}
    return {place: reason for place, _, reason in rows}


def add(root: str, place: str, reason: str) -> None:
    """Note one more. Raises StoreError."""
    known = {**read(root), place: reason}
    content = "".join(f"{one}\t{why}\n" for one, why in known.items())
    files.write_atomic(f"{root}/{NAME}", content.encode("utf-8", "surrogateescape"))


def stands_for(root: str, place: str) -> bool:
    """Whether the user's own, private directory `root` is the store instead of `place`."""
    return files.is_private(root, os.geteuid()) and place in read(root)
