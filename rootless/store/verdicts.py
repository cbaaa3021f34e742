"""What was found out by trying on this host, until it boots again: the file `STORE.drivers`.

A verdict is a reason why something does not work, "" when it does, and counts only for what was
tried (its key, such as the path of a program). A start reads one small file; where that says
nothing, it tries, and so does everybody after an error that the file did not foresee. What does not
work is tried again after ten minutes: an administrator may have put it right.
"""

from __future__ import annotations

import os
import time

from rootless.errors import StoreError
from rootless.kernel import proc
from rootless.store import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.store.paths import Paths


# Seconds.
_AGE = 600


class Verdicts:
    """Those of one store and user."""

    def __init__(self, paths: Paths) -> None:
        self.paths = paths
        self._path = paths.verdicts
        self._known = _read(self._path)

    def get(self, name: str, key: str = "") -> str | None:
        """The reason against `name` as `key`, "" for none; None when nobody has tried."""
        reason, at = self._known.get((name, key), (None, 0))
        if reason and not 0 <= time.time() - at < _AGE:
            return None
        return reason

    def put(self, name: str, key: str, reason: str) -> str:
        """Keep the verdict, as far as that can be done, and return its reason."""
        reason = " ".join(reason.split())
        self._known[name, key] = reason, int(time.time())
        rows = (
            f"{name}\t{key}\t{reason}\t{at}\n" for (name, key), (reason, at) in self._known.items()
        )
        content = f"{proc.boot_id()}\n{''.join(rows)}".encode("utf-8", "surrogateescape")
        try:
            files.make_dirs(os.path.dirname(self._path))
            files.write_atomic(self._path, content, mode=0o600)
        except StoreError:
            pass  # on a full disk the next one tries as well
        return reason


def _read(path: str) -> dict[tuple[str, str], tuple[str, int]]:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            boot, *rows = file.read().split("\n")
    except OSError:
        return {}
    if boot != proc.boot_id():
        return {}
    fields = (row.split("\t") for row in rows if row)
    return {(row[0], row[1]): (row[2], int(row[3])) for row in fields if len(row) == 4}


def forget(paths: Paths) -> None:
    """Something failed: whatever was found out may be true no more."""
    files.unlink_if_there(paths.verdicts)
