"""A bundle's config.json, read and checked (runtime-spec 1.3, config.md and config-linux.md).

What is checked is what could be mistaken later, and what nobody without privileges can have: that
is refused by its name before anything is made. Properties that the specification does not know are
left alone, as it asks.
"""

from __future__ import annotations

import os

from rootless import log
from rootless.errors import RlError
from rootless.model import jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Document = dict[str, Any]

VERSION = "1.3.0"
OLDEST_VERSION = "1.0.0"
NAMESPACES = ("pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time")
PROPAGATIONS = ("", "private", "rprivate", "slave", "rslave", "shared", "rshared", "unbindable",
                "runbindable")  # fmt: skip
_DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class InvalidDocument(RlError):
    """config.json breaks the specification, or wants what cannot be; the message names where."""


def load(bundle: str, name: str = "config.json") -> Document:
    """The checked document of `bundle`, with every section that is read later present.

    name: of the file, relative to the bundle. Raises InvalidDocument.
    """
    path = os.path.join(bundle, name)
    document = read_json(path)
    check(document)
    document["root"]["path"] = os.path.normpath(os.path.join(bundle, document["root"]["path"]))
    return document


def read_json(path: str) -> Document:
    """The JSON object in the file `path`. Raises InvalidDocument."""
    try:
        with open(path, "rb") as file:
            value = jsontext.loads(file.read())
    except OSError as error:
        reason = (error.strerror or "").lower()
        raise InvalidDocument(f"open {path}: {reason}", hint=f"ls -l {path}") from error
    except ValueError as error:
        hint = f"python3 -m json.tool {path}"
        raise InvalidDocument(f"{path}: {error}", hint=hint) from error
    if not isinstance(value, dict):
        raise InvalidDocument(f"{path}: not a JSON object")
    return value


def check(document: Document) -> None:
    """Check `document` and put empty sections where there are none. Raises InvalidDocument."""
    _check_version(_get(document, "ociVersion", str, ""))
    root = _get(document, "root", dict, None)
    if not _get(root, "path", str, "", "root."):
        raise _wrong("root.path", "is required")
    for key, kind in (("mounts", list), ("annotations", dict), ("hooks", dict), ("linux", dict)):
        document[key] = _get(document, key, kind, kind())
    if "process" not in document:
        raise _wrong("process", "is required to create a container")
    check_process(document["process"])
    _check_mounts(document["mounts"])
    _check_linux(document["linux"])
    _check_names(document)


def check_process(process: Document) -> None:
    """The same for a `process` alone, as exec has it."""
    if not isinstance(process, dict):
        raise _wrong("process", "is not an object")
    args = _get(process, "args", list, [], "process.")
    if not args or not all(isinstance(word, (str, int)) for word in args):
        raise _wrong("process.args", "has to be a list of at least one string")
    # Numbers where strings belong are met, and mean what they look like.
    process["args"] = [str(word) for word in args]
    cwd = _get(process, "cwd", str, "/", "process.") or "/"
    if not cwd.startswith("/"):
        raise _wrong("process.cwd", f"{cwd!r} is not an absolute path")
    process["cwd"] = cwd
    process["terminal"] = bool(process.get("terminal"))
    user = process["user"] = _get(process, "user", dict, {}, "process.")
    for key in ("uid", "gid"):
        user[key] = _get(user, key, int, 0, "process.user.")
    env = _get(process, "env", list, [], "process.")
    process["env"] = [entry for entry in env if isinstance(entry, str) and "=" in entry[1:]]
    if not any(entry.startswith("PATH=") for entry in process["env"]):
        process["env"].append(_DEFAULT_PATH)
    if not isinstance(process.get("capabilities"), dict):
        process["capabilities"] = {}
    _check_capabilities(process["capabilities"])
    for limit in _get(process, "rlimits", list, [], "process."):
        if not isinstance(limit, dict) or not {"type", "soft", "hard"} <= set(limit):
            raise _wrong("process.rlimits", "needs type, soft and hard")


def _check_capabilities(sets: Document) -> None:
    """A name that means nothing here is a warning, no error (config.md, "Linux Process")."""
    from rootless.model.capabilities import NAMES

    named = {name for kind in sets for name in _get(sets, kind, list, [], "process.capabilities.")}
    unknown = named.difference(NAMES)
    if unknown:
        words = " ".join(sorted(map(str, unknown)))
        log.warn(f"config.json: process.capabilities: left out, unknown: {words}")


def namespace(document: Document, kind: str) -> Document | None:
    """The document's namespace of that kind, None where it is the caller's."""
    spaces = document["linux"]["namespaces"]
    return next((space for space in spaces if space["type"] == kind), None)


def _check_version(version: str) -> None:
    if not version:
        raise _wrong("ociVersion", "is required")
    if version.partition(".")[0] != "1":
        raise _wrong("ociVersion", f"{version} is not understood (1.x is)")


def _check_mounts(mounts: list[Any]) -> None:
    for number, mount in enumerate(mounts):
        if not isinstance(mount, dict):
            raise _wrong(f"mounts[{number}]", "is not an object")
        where = f"mounts[{number}]."
        destination = _get(mount, "destination", str, "", where)
        if not destination:
            raise _wrong(f"{where}destination", "is required")
        # Relative ones are of versions before 1.0.0, and still met.
        mount["destination"] = os.path.normpath("/" + destination.lstrip("/"))
        options = mount["options"] = _get(mount, "options", list, [], where)
        if not all(isinstance(option, str) for option in options):
            raise _wrong(f"{where}options", "has to be a list of strings")
        kind = mount["type"] = _get(mount, "type", str, "", where)
        mount["source"] = _get(mount, "source", str, "", where)
        if not kind and not {"bind", "rbind"} & set(options):
            raise _wrong(f"{where}type", "is required")


def _check_linux(linux: Document) -> None:
    spaces = linux["namespaces"] = _get(linux, "namespaces", list, [], "linux.")
    kinds = [space.get("type") if isinstance(space, dict) else None for space in spaces]
    for kind in kinds:
        if kind not in NAMESPACES:
            raise _wrong("linux.namespaces", f"{kind!r} is no type of namespace")
        if kinds.count(kind) > 1:
            raise _wrong("linux.namespaces", f"{kind} is there twice")
    for space in spaces:
        # An empty path means a new one, as in the other runtimes.
        if not space.get("path"):
            space.pop("path", None)
    if linux.get("rootfsPropagation", "") not in PROPAGATIONS:
        raise _wrong("linux.rootfsPropagation", f"{linux['rootfsPropagation']!r} is unknown")
    if "timeOffsets" in linux and "time" not in kinds:
        raise _wrong("linux.timeOffsets", "needs a time namespace")
    for name, why in _PRIVILEGED.items():
        if linux.get(name):
            raise _wrong(f"linux.{name}", why)
    for key in ("sysctl", "resources"):
        linux[key] = _get(linux, key, dict, {}, "linux.")
    for key in ("maskedPaths", "readonlyPaths", "devices", "uidMappings", "gidMappings"):
        linux[key] = _get(linux, key, list, [], "linux.")


_PRIVILEGED = {
    "intelRdt": "needs the host's root (resctrl)",
    "netDevices": "a network device of the host can be moved by the host's root only",
}


def _check_names(document: Document) -> None:
    for key in ("hostname", "domainname"):
        if document.get(key) and namespace(document, "uts") is None:
            raise _wrong(key, "needs a uts namespace")


def _get(section: Document, key: str, kind: type, default: Any, where: str = "") -> Any:
    value = section.get(key)
    if value is None:
        if default is None:
            raise _wrong(f"{where}{key}", "is required")
        return default
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise _wrong(f"{where}{key}", f"is {type(value).__name__}, not {kind.__name__}")
    return value


def _wrong(where: str, what: str) -> InvalidDocument:
    return InvalidDocument(f"config.json: {where}: {what}")
