"""The subordinate ids of this user: what is listed, by whom, and whether they can be mapped."""

from __future__ import annotations

import os
from typing import Any

from rootless.errors import RlError, describe_os_error
from rootless.tools import confinement, idmap, spawn, subids

FILES = ("/etc/subuid", "/etc/subgid")
_RANGE = 65536
_FIRST = 100000


def look() -> dict[str, Any]:
    """The facts that `engine.doctor.ids` judges.

    ranges: by file. helpers: by name. free: where a new range could begin. mapped: why a namespace
    did not get its maps, as [message, hint], None where it did. is_local: whether the user stands
    in /etc/passwd.
    """
    around = confinement.look()
    facts: dict[str, Any] = {
        "uid": os.geteuid(),
        "user": idmap.user_name(),
        "is_local": _is_local(idmap.user_name()),
        "source": subids.source(),
        "ranges": {path: idmap.subordinate_ids(path) for path in FILES},
        "helpers": {name: _helper(name) for name in subids.HELPERS},
        "free": _first_free(),
        "no_new_privs": around.no_new_privs,
        "mapped": None,
    }
    maps = idmap.canonical_maps()
    facts["maps"] = [list(maps.uids), list(maps.gids)]
    try:
        idmap.call(lambda: None, maps)
    except RlError as error:
        facts["mapped"] = [error.message, error.hint]
    except OSError as error:
        facts["mapped"] = [describe_os_error(error), ""]
    return facts


def _is_local(user: str) -> bool:
    return any(line.startswith(f"{user}:") for line in _lines("/etc/passwd"))


def _first_free() -> int:
    """Above all ranges of all users."""
    ends = [_FIRST]
    for path in FILES:
        fields = (line.split(":") for line in _lines(path))
        ends += [
            int(row[1]) + int(row[2])
            for row in fields
            if len(row) == 3 and row[1].isdigit() and row[2].isdigit()
        ]
    return max(end for end in ends if end < 2**32 - _RANGE)


def _helper(name: str) -> dict[str, Any]:
    """Where it is and what lets it write maps: path "" where there is none."""
    path = spawn.which(name) or ""
    if not path:
        return {"path": ""}
    setuid, capability, nosuid = subids.rights_of(path)
    return {"path": path, "setuid": setuid, "capability": capability, "nosuid": nosuid}


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().splitlines()
    except OSError:
        return []
