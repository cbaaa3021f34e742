"""Devices by name, `VENDOR/CLASS=NAME`, and the files that say what they need. Pure.

Container Device Interface, SPEC.md, versions up to 1.1.0; the files' JSON form. Fields that are not
known are errors, as the specification demands. What cannot be done without a runtime's hooks is
refused, and not left out: a container with half of a device fails later, and says less.
"""

from __future__ import annotations

import re

from rootless.errors import UsageError
from rootless.model import mountflags, mountspec
from rootless.model.mountspec import BIND, DeviceSpec, MountSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_NAME = re.compile(r"([A-Za-z][\w.-]*/[A-Za-z][\w-]*)=([A-Za-z0-9][\w.:-]*)", re.ASCII)
_VERSION = re.compile(r"(0\.[1-8]|1\.[01])\.0")
_TOP = ("cdiVersion", "kind", "annotations", "devices", "containerEdits")
_DEVICE = ("name", "annotations", "containerEdits")
_EDITS = (
    "env", "deviceNodes", "mounts", "hooks", "additionalGids", "intelRdt", "netDevices",
)  # fmt: skip
_NODE = (
    "path", "hostPath", "type", "major", "minor", "fileMode", "permissions", "uid", "gid",
)  # fmt: skip
_MOUNT = ("hostPath", "containerPath", "type", "options")
_NOT_DONE = ("hooks", "intelRdt", "netDevices")


class Edits:
    """What a device adds to a container. undone: fields that nobody here acts on."""

    def __init__(self, table: Mapping[str, Any], place: str) -> None:
        """Raises UsageError."""
        _check(table, _EDITS, place)
        self.env = [str(entry) for entry in _list(table, "env", place)]
        if not all("=" in entry for entry in self.env):
            raise UsageError(f"{place}: env: not NAME=VALUE")
        nodes = _list(table, "deviceNodes", place)
        self.devices = [_node(one, f"{place}: deviceNodes") for one in nodes]
        self.mounts = [_mount(one, f"{place}: mounts") for one in _list(table, "mounts", place)]
        self.has_groups = bool(table.get("additionalGids"))
        self.undone = [name for name in _NOT_DONE if table.get(name)]


class Kind:
    """One file: its kind (`VENDOR/CLASS`), its devices by name, and what all of them need."""

    def __init__(self, document: Any, path: str) -> None:
        """Raises UsageError that names the file and the field."""
        if not isinstance(document, dict):
            raise UsageError(f"{path}: not a CDI document")
        _check(document, _TOP, path)
        if not _VERSION.fullmatch(str(document.get("cdiVersion"))):
            raise UsageError(f"{path}: cdiVersion {document.get('cdiVersion')!r}: is not known")
        self.path = path
        self.kind = str(document.get("kind", ""))
        self.common = Edits(_table(document, "containerEdits", path), path)
        self.devices: dict[str, Edits] = {}
        for device in _list(document, "devices", path):
            self._take(device)

    def _take(self, device: Any) -> None:
        place = f"{self.path}: devices"
        if not isinstance(device, dict):
            raise UsageError(f"{place}: not a table")
        _check(device, _DEVICE, place)
        name = str(device.get("name", ""))
        if parse_name(f"{self.kind}={name}") is None or name in self.devices:
            raise UsageError(f"{place}: {self.kind}={name}: not a name, or there twice")
        edits = _table(device, "containerEdits", f"{place}: {name}")
        self.devices[name] = Edits(edits, f"{place}: {name}")


def parse_name(text: str) -> tuple[str, str] | None:
    """Kind and name of `VENDOR/CLASS=NAME`, None for what is none."""
    found = _NAME.fullmatch(text)
    return (found[1], found[2]) if found else None


def _check(table: Mapping[str, Any], known: tuple[str, ...], place: str) -> None:
    unknown = next((key for key in table if key not in known), None)
    if unknown is not None:
        raise UsageError(f"{place}: {unknown}: there is no such field")


def _list(table: Mapping[str, Any], key: str, place: str) -> list[Any]:
    value = table.get(key) or []
    if not isinstance(value, list):
        raise UsageError(f"{place}: {key}: not a list")
    return value


def _table(table: Mapping[str, Any], key: str, place: str) -> dict[str, Any]:
    value = table.get(key) or {}
    if not isinstance(value, dict):
        raise UsageError(f"{place}: {key}: not a table")
    return value


def _node(node: Any, place: str) -> DeviceSpec:
    if not isinstance(node, dict):
        raise UsageError(f"{place}: not a table")
    _check(node, _NODE, place)
    path = _path(node.get("path"), place)
    source = _path(node.get("hostPath") or path, place)
    permissions = str(node.get("permissions") or "rwm")
    if set(permissions) - set("rwm"):
        raise UsageError(f"{place}: permissions {permissions!r}: not from r, w, m")
    return DeviceSpec(source, path, permissions)


def _mount(mount: Any, place: str) -> MountSpec:
    if not isinstance(mount, dict):
        raise UsageError(f"{place}: not a table")
    _check(mount, _MOUNT, place)
    if mount.get("type") not in (None, "", "bind", "none"):
        raise UsageError(f"{place}: type {mount['type']!r}: not bind")
    source = _path(mount.get("hostPath"), place)
    target = _path(mount.get("containerPath"), place)
    options = ",".join(str(one) for one in _list(mount, "options", place))
    try:
        made = mountflags.parse_volume(f"/x:/x:{options}" if options else "/x:/x", "/")
    except UsageError as error:
        raise UsageError(f"{place}: {target}: {error.message}") from None
    return MountSpec(BIND, source, target, made.options)


def _path(value: object, place: str) -> str:
    if not isinstance(value, str) or not value.startswith("/"):
        raise UsageError(f"{place}: {value!r}: not an absolute path")
    path = mountspec.normal_target(value)
    if path == "/":
        raise UsageError(f"{place}: {value!r}: cannot be /")
    return path
