"""`--device VENDOR/CLASS=NAME`: devices of the Container Device Interface, put into a wish."""

from __future__ import annotations

import json
import os

from rootless import log
from rootless.errors import EXIT_ENGINE, NotFoundError, UsageError
from rootless.model import cdi

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from rootless.model.cdi import Edits, Kind
    from rootless.model.container import ContainerSpec

# SPEC.md, "CDI JSON Specification": of two files with one device the later directory's counts.
FOLDERS = ("/etc/cdi", "/var/run/cdi")


def apply(spec: ContainerSpec, words: Iterable[str]) -> None:
    """Put the devices `words` into `spec`; what the flags say stays. Raises UsageError,
    NotFoundError."""
    kinds = _kinds()
    common: list[Kind] = []
    for word in words:
        kind = _find(kinds, word)
        if kind not in common:
            common.append(kind)
            _edit(spec, kind.common, word, kind.path)
        _edit(spec, kind.devices[word.partition("=")[2]], word, kind.path)


def _kinds() -> list[list[Kind]]:
    """The files of each directory. One that cannot be understood has no devices, and is told."""
    return [list(filter(None, map(_load, _files(folder, ".json")))) for folder in FOLDERS]


def _files(folder: str, ending: str) -> list[str]:
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return []
    return [f"{folder}/{name}" for name in names if name.endswith(ending)]


def _load(path: str) -> Kind | None:
    try:
        with open(path, encoding="utf-8") as file:
            return cdi.Kind(json.load(file), path)
    except (OSError, ValueError) as error:
        log.warn(f"{path}: {error}")
    except UsageError as error:
        log.warn(error.message)
    return None


def _find(kinds: list[list[Kind]], word: str) -> Kind:
    wanted = cdi.parse_name(word)
    if wanted is None:
        raise UsageError(f"--device {word}: neither a path nor VENDOR/CLASS=NAME")
    kind, name = wanted
    for folder in reversed(kinds):
        found = [one for one in folder if one.kind == kind and name in one.devices]
        if len(found) > 1:
            paths = ", ".join(one.path for one in found)
            raise UsageError(f"--device {word}: is in several files: {paths}")
        if found:
            return found[0]
    unread = [path for folder in FOLDERS for ending in (".yaml", ".yml")
              for path in _files(folder, ending)]  # fmt: skip
    known = [f"{one.kind}={name}" for folder in kinds for one in folder for name in one.devices]
    if unread:
        hint = f"yq -o json {unread[0]} > {os.path.splitext(unread[0])[0]}.json"
        raise NotFoundError(f"--device {word}: not in a .json file of {' or '.join(FOLDERS)},"
                            " and YAML is not read", hint, EXIT_ENGINE)  # fmt: skip
    raise NotFoundError(f"--device {word}: no such device; there is {', '.join(known) or 'none'}",
                        f"ls {' '.join(FOLDERS)}", EXIT_ENGINE)  # fmt: skip


def _edit(spec: ContainerSpec, edits: Edits, word: str, path: str) -> None:
    if edits.undone:
        hint = "rl run --module nvidia …  # see docs/site.md" if word.startswith("nvidia") else ""
        raise UsageError(
            f"--device {word}: {path} asks for {', '.join(edits.undone)}, which rl does not do",
            hint,
        )
    for entry in edits.env:
        name, _, value = entry.partition("=")
        spec.env.setdefault(name, value)
    taken = {one.target for one in spec.devices} | {one.target for one in spec.mounts}
    for device in edits.devices:
        _check_there(device.source, word)
        if device.target not in taken:
            spec.devices.append(device)
    for mount in edits.mounts:
        _check_there(mount.source, word)
        if mount.target not in taken:
            spec.mounts.append(mount)
            spec.given.append(mount.target)
    if edits.has_groups and not spec.group_add:
        # Ids of groups cannot be given, but those that the caller is in can be kept.
        spec.group_add = ["keep-groups"]


def _check_there(source: str, word: str) -> None:
    if not os.path.exists(source):
        raise UsageError(f"--device {word}: {source}: is not on this host", hint=f"ls -l {source}")
