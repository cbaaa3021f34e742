"""A document of `inspect` with the types that it has in docker, which templates can tell apart.

Most objects are structs there, whose unknown fields are errors; some are maps, where what is
missing is empty. Lists are never nil. What docker leaves out of the JSON has a zero value still.
"""

from __future__ import annotations

from rootless.model.gotemplate.values import Map, Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# Maps, with the value of a key that is not there.
_MAPS: dict[str, Any] = {
    "Annotations": "", "CgroupConf": "", "Data": "", "DriverOpts": "", "ExposedPorts": None,
    "Labels": "", "Networks": None, "Options": "", "PortBindings": [], "Ports": [],
    "StorageOpt": "", "Sysctls": "", "Tmpfs": "", "Volumes": None,
}  # fmt: skip
# One name is a struct elsewhere.
_MAPS_WITHIN = {("LogConfig", "Config"): ""}
_LISTS = {
    "Args", "Binds", "CapAdd", "CapDrop", "Cmd", "DeviceRequests", "Devices", "Dns", "DnsOptions",
    "DnsSearch", "Entrypoint", "Env", "ExecIDs", "ExtraHosts", "GroupAdd", "History", "Layers",
    "Links", "Log", "MaskedPaths", "Mounts", "OnBuild", "ReadonlyPaths", "RepoDigests", "RepoTags",
    "SecurityOpt", "Shell", "Test", "Ulimits", "VolumesFrom",
}  # fmt: skip
_OPTIONAL: dict[str, dict[str, Any]] = {
    "": {"SizeRw": None, "SizeRootFs": None},
    "State": {"Health": None},
    "Config": {
        "Healthcheck": None, "StopTimeout": None, "StopSignal": "", "Shell": [], "Hostname": "",
        "Domainname": "", "User": "", "Tty": False, "OpenStdin": False, "Env": [], "Cmd": [],
        "Image": "", "Volumes": Map({}, None), "WorkingDir": "", "Entrypoint": [], "OnBuild": [],
        "Labels": Map({}, ""), "ExposedPorts": Map({}, None), "ArgsEscaped": False,
    },
    "Mounts": {"Name": "", "Driver": ""},
    "Healthcheck": {
        "Test": [], "Interval": 0, "Timeout": 0, "StartPeriod": 0, "StartInterval": 0, "Retries": 0,
    },
    "History": {
        "created": "", "created_by": "", "author": "", "comment": "", "empty_layer": False,
    },
    "RootFS": {"BaseLayer": ""},
}  # fmt: skip


def typed(document: dict[str, Any]) -> Struct:
    """`document` with structs and maps for its objects."""
    return _struct(document, "")


def _struct(value: dict[str, Any], name: str) -> Struct:
    fields = {key: _converted(one, key, name) for key, one in value.items()}
    return Struct(fields, _OPTIONAL.get(name))


def _converted(value: Any, name: str, parent: str) -> Any:
    if (parent, name) in _MAPS_WITHIN:
        return _map(value, name, _MAPS_WITHIN[parent, name])
    if name in _MAPS and (value is None or isinstance(value, dict)):
        return _map(value, name, _MAPS[name])
    if isinstance(value, dict):
        return _struct(value, name)
    if isinstance(value, list):
        return [_converted(one, name, parent) for one in value]
    return [] if value is None and name in _LISTS else value


def _map(value: Any, name: str, zero: Any) -> Map:
    items = value if isinstance(value, dict) else {}
    # What is in the map has a type of its own, which no name stands for.
    return Map({key: _converted(one, f"{name}[]", name) for key, one in items.items()}, zero)
