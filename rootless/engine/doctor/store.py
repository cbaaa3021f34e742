"""The store and the runtime directory: judged. Pure."""

from __future__ import annotations

import shlex

from rootless.engine.doctor.finding import BROKEN, REDUCED, YOU, Finding, Fix, works

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MIB, _GIB = 1 << 20, 1 << 30
_LITTLE = 2 * _GIB
_NOTHING_LEFT = _MIB
_FEW_FILES = 20_000
_ELSEWHERE = "export RL_ROOT=/var/tmp/rl-$(id -u)  # or another directory on a local disk"
_PRUNE = "rl system prune"


def judge(facts: dict[str, Any]) -> list[Finding]:
    """facts: of probes.store."""
    if facts["error"]:
        return _no_place(*facts["error"])
    found = [_store(facts)]
    if not facts["refused"]:
        found += [_space(facts), *_files(facts), *_quota(facts), *_attributes(facts)]
    return [*found, _runtime(facts)]


def _no_place(message: str, hint: str) -> list[Finding]:
    fix = Fix(YOU, "a directory of your own to keep things in", hint) if hint else None
    return [Finding("store", BROKEN, message, "no container can run", fix)]


def _store(facts: dict[str, Any]) -> Finding:
    root = facts["root"]
    if facts["refused"]:
        found = f"{root}: {facts['refused']}"
        fix = Fix(YOU, "a place for images and containers that can be written to", _ELSEWHERE)
        return Finding("store", BROKEN, found, "nothing can be pulled or run", fix)
    if facts["instead_of"]:
        wanted, reason = facts["instead_of"]
        found = f"{root}, as {wanted or 'a home'} cannot be it: {reason}"
        return Finding("store", REDUCED, found, "images and containers are on this host alone")
    notes = [facts["kind"]]
    if facts["place"] != root:
        notes.append("not made yet")
    if facts["noexec"]:
        notes.append("mounted noexec")
    return works("store", f"{root} ({', '.join(notes)})")


def _space(facts: dict[str, Any]) -> Finding:
    free = facts["free"]
    if free >= _LITTLE:
        return works("space", f"{_size(free)} free")
    if free < _NOTHING_LEFT:
        meaning = "nothing can be pulled or run"
        return Finding("space", BROKEN, "the disk is full", meaning, _room(facts))
    meaning = "large images do not fit: python:3.12 takes 1 GiB"
    return Finding("space", REDUCED, f"only {_size(free)} free", meaning, _room(facts))


def _files(facts: dict[str, Any]) -> list[Finding]:
    free = facts["free_files"]
    if free is None or free >= _FEW_FILES:
        return []
    meaning = "large images do not fit: python:3.12 has 30000 files"
    return [Finding("inodes", REDUCED, f"only {free} files can be made", meaning, _room(facts))]


def _room(facts: dict[str, Any]) -> Fix:
    if facts["place"] != facts["root"]:
        return Fix(YOU, "a store where there is more room, in place of a new one here", _ELSEWHERE)
    return Fix(YOU, "room: what no container needs is removed", _PRUNE)


def _quota(facts: dict[str, Any]) -> list[Finding]:
    if facts["quota"] is None or not any(facts["quota"][1::2]):
        return []
    used, most, files, most_files = facts["quota"]
    is_near = bool(most) and most - used < _LITTLE
    is_near = is_near or (bool(most_files) and most_files - files < _FEW_FILES)
    parts = [f"{_size(used)} of {_size(most)}"] if most else []
    parts += [f"{files} of {most_files} files"] if most_files else []
    found = f"{' and '.join(parts)} used"
    if not is_near:
        return [works("quota", found)]
    return [Finding("quota", REDUCED, found, "large images do not fit", _room(facts))]


def _attributes(facts: dict[str, Any]) -> list[Finding]:
    if not facts["attributes"]:
        return []
    found = f"no user attributes on {facts['kind']}: {facts['attributes'].lower()}"
    return [
        Finding(
            "xattrs", REDUCED, found,
            "attributes of files are left out, and their owners where there is one id alone",
            Fix(YOU, "a store on a file system with attributes", _ELSEWHERE),
        )
    ]  # fmt: skip


def _runtime(facts: dict[str, Any]) -> Finding:
    session = facts["session"]
    found = facts["runtime"]
    if session["named"] and not session["named_works"]:
        found += f" (XDG_RUNTIME_DIR={shlex.quote(session['named'])} is not usable, nor used)"
    elif not session["is_usual"]:
        found += f" (there is no {session['usual']} of yours)"
    return works("runtime-directory", found)


def _size(size: int) -> str:
    if size >= _GIB:
        return f"{size / _GIB:.1f} GiB"
    return f"{size / _MIB:.0f} MiB"
