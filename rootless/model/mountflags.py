"""What `-v`, `--mount`, `--tmpfs` and `--device` say. Pure.

Formats: podman-run(1) and docker's volume and mount documentation. Whether a source exists is for
the caller to find out.
"""

from __future__ import annotations

import os.path

from rootless.errors import UsageError
from rootless.model.mountspec import (
    BIND,
    TMPFS,
    VOLUME,
    DeviceSpec,
    MountSpec,
    is_volume_name,
    normal_target,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

# Options of which only one can hold.
_EXCLUSIVE = (
    ("ro", "rw"),
    ("suid", "nosuid"),
    ("dev", "nodev"),
    ("exec", "noexec"),
    ("bind", "rbind"),
    ("copy", "nocopy"),
    ("private", "rprivate", "slave", "rslave", "shared", "rshared", "unbindable", "runbindable"),
    ("tmpcopyup", "notmpcopyup"),
)
_GROUP_OF = {word: group for group in _EXCLUSIVE for word in group}
# SELinux labels: a normal user cannot set them, and where there is no SELinux they mean nothing.
_IGNORED = frozenset(("z", "Z", "consistent", "cached", "delegated"))
_COMMON = frozenset(("ro", "rw", "suid", "nosuid", "dev", "nodev", "exec", "noexec"))
_PROPAGATION = frozenset(_EXCLUSIVE[6])
_ALLOWED = {
    BIND: _COMMON | _PROPAGATION | {"bind", "rbind", "U", "copy", "nocopy"},
    VOLUME: _COMMON | _PROPAGATION | {"bind", "rbind", "U", "copy", "nocopy"},
    TMPFS: _COMMON | {"tmpcopyup", "notmpcopyup", "noatime", "relatime", "strictatime", "sync"},
}
_TMPFS_VALUES = frozenset(("size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol", "huge"))


def parse_volume(text: str, cwd: str) -> MountSpec:
    """`[SOURCE:]TARGET[:OPTIONS]` of -v; a relative source (`.`, `./x`, `../x`) is below `cwd`.

    Raises UsageError that names the flag and the value.
    """
    place = f"-v {text}"
    fields = text.split(":")
    if len(fields) > 3:
        hint = "rl run --mount type=bind,source=…,target=…"
        raise UsageError(f"{place}: more than two colons", hint=hint)
    if len(fields) == 1:
        return MountSpec(VOLUME, "", _target(fields[0], place))
    source, target = fields[0], _target(fields[1], place)
    words = fields[2].split(",") if len(fields) == 3 else []
    if not source:
        raise UsageError(f"{place}: the source before the colon is missing")
    kind = BIND if source[0] in "/." else VOLUME
    source = _host_path(source, cwd) if kind == BIND else _volume_name(source, place)
    return MountSpec(kind, source, target, _options(kind, words, place))


def parse_tmpfs(text: str) -> MountSpec:
    """`TARGET[:OPTIONS]` of --tmpfs. Raises UsageError that names the flag and the value."""
    place = f"--tmpfs {text}"
    target, _, words = text.partition(":")
    options = _options(TMPFS, words.split(",") if words else [], place)
    return MountSpec(TMPFS, "", _target(target, place), options)


def parse_mount(text: str, cwd: str) -> MountSpec:
    """`type=…,source=…,target=…,…` of --mount; the type is "volume" where it is not given.

    Raises UsageError that names the flag and the value.
    """
    place = f"--mount {text}"
    fields = [field.partition("=") for field in split_csv(text, place)]
    kind = next((value for key, _, value in fields if key.lower() == "type"), VOLUME)
    if kind not in _ALLOWED:
        raise UsageError(f"{place}: type {kind!r} is not one of bind, volume, tmpfs")
    draft = _Draft(kind, place)
    for key, equals, value in fields:
        if key.lower() != "type":
            draft.take(key, value if equals else None)
    return draft.finish(cwd)


def parse_device(text: str) -> DeviceSpec:
    """`SOURCE[:TARGET][:PERMISSIONS]` of --device. Raises UsageError."""
    place = f"--device {text}"
    fields = text.split(":")
    permissions = "rwm"
    if len(fields) > 1 and not fields[-1].startswith("/"):
        permissions = fields.pop()
    if not permissions or set(permissions) - set("rwm") or len(fields) > 2:
        raise UsageError(f"{place}: write SOURCE[:TARGET][:PERMISSIONS], permissions from r, w, m")
    if not fields[0].startswith("/"):
        raise UsageError(f"{place}: the device is not an absolute path")
    return DeviceSpec(os.path.normpath(fields[0]), _target(fields[-1], place), permissions)


def check_unique(mounts: Iterable[MountSpec]) -> None:
    """Raises UsageError when two mounts have one target."""
    seen: set[str] = set()
    for mount in mounts:
        if mount.target in seen:
            raise UsageError(f"{mount.target}: duplicate mount point")
        seen.add(mount.target)


def split_csv(text: str, place: str) -> list[str]:
    """One line of comma-separated values, where a field in double quotes may hold commas."""
    fields: list[str] = []
    rest: str | None = text
    while rest is not None:
        field, rest = _csv_field(rest, place)
        fields.append(field)
    return fields


def _csv_field(text: str, place: str) -> tuple[str, str | None]:
    """The first field and what follows its comma, None when there is no comma."""
    if not text.startswith('"'):
        field, comma, rest = text.partition(",")
        return field, rest if comma else None
    field, closed, rest = text[1:].partition('"')
    if not closed or (rest and rest[0] != ","):
        raise UsageError(f'{place}: a double quote (") is not closed')
    return field, rest[1:] if rest else None


class _Draft:
    """A --mount while its fields are read."""

    def __init__(self, kind: str, place: str) -> None:
        self.kind = kind
        self.place = place
        self.source = ""
        self.target = ""
        self.words: list[str] = []

    def take(self, key: str, value: str | None) -> None:
        """One `key=value`, or `key` alone (None)."""
        handler = _FIELDS.get(key.lower()) or _KIND_FIELDS[self.kind].get(key.lower())
        if handler is not None:
            handler(self, value)
        elif value is None and key:
            self.words.append(key)
        elif key in _TMPFS_VALUES and self.kind == TMPFS:
            self.words.append(f"{key}={value}")
        else:
            raise UsageError(f"{self.place}: unknown field {key!r} for type {self.kind}")

    def finish(self, cwd: str) -> MountSpec:
        """The mount. Raises UsageError for what is missing or does not fit."""
        if not self.target:
            raise UsageError(f"{self.place}: target=… is missing")
        if self.kind == BIND:
            if not self.source:
                raise UsageError(f"{self.place}: source=… is missing")
            self.source = _host_path(self.source, cwd)
        elif self.kind == VOLUME and self.source:
            self.source = _volume_name(self.source, self.place)
        elif self.source:
            raise UsageError(f"{self.place}: a tmpfs has no source")
        target = _target(self.target, self.place)
        return MountSpec(
            self.kind, self.source, target, _options(self.kind, self.words, self.place)
        )

    def require(self, key: str, value: str | None) -> str:
        """`value`, which may not be missing."""
        if not value:
            raise UsageError(f"{self.place}: {key}=… has no value")
        return value

    def switch(self, value: str | None, on: str, off: str) -> None:
        """A field that is on when it stands alone."""
        if value not in (None, "true", "false", "1", "0"):
            raise UsageError(f"{self.place}: {value!r} is neither true nor false")
        word = off if value in ("false", "0") else on
        if word:
            self.words.append(word)


def _take_source(draft: _Draft, value: str | None) -> None:
    draft.source = draft.require("source", value)


def _take_target(draft: _Draft, value: str | None) -> None:
    draft.target = draft.require("target", value)


def _take_propagation(draft: _Draft, value: str | None) -> None:
    if value not in _PROPAGATION:
        raise UsageError(f"{draft.place}: bind-propagation {value!r} is not known")
    draft.words.append(value)


def _ignore(draft: _Draft, value: str | None) -> None:
    """Fields that change nothing here: SELinux labels, and consistency of macOS's file sharing."""


def _switch(on: str, off: str) -> Callable[[_Draft, str | None], None]:
    return lambda draft, value: draft.switch(value, on, off)


def _tmpfs_value(name: str) -> Callable[[_Draft, str | None], None]:
    return lambda draft, value: draft.words.append(f"{name}={draft.require(name, value)}")


_FIELDS: dict[str, Callable[[_Draft, str | None], None]] = {
    "source": _take_source,
    "src": _take_source,
    "target": _take_target,
    "destination": _take_target,
    "dst": _take_target,
    "readonly": _switch("ro", "rw"),
    "ro": _switch("ro", "rw"),
    "rw": _switch("rw", "ro"),
    "consistency": _ignore,
}
_KIND_FIELDS: dict[str, dict[str, Callable[[_Draft, str | None], None]]] = {
    BIND: {
        "bind-propagation": _take_propagation,
        "bind-nonrecursive": _switch("bind", "rbind"),
        "relabel": _ignore,
        "u": _switch("U", ""),
        "chown": _switch("U", ""),
    },
    VOLUME: {
        "volume-nocopy": _switch("nocopy", "copy"),
        "u": _switch("U", ""),
        "chown": _switch("U", ""),
    },
    TMPFS: {"tmpfs-size": _tmpfs_value("size"), "tmpfs-mode": _tmpfs_value("mode")},
}


def _target(path: str, place: str) -> str:
    if not path.startswith("/"):
        raise UsageError(f"{place}: the target {path!r} is not an absolute path")
    target = normal_target(path)
    if target == "/":
        raise UsageError(f"{place}: the target cannot be /")
    return target


def _host_path(path: str, cwd: str) -> str:
    return os.path.normpath(os.path.join(cwd, path))


def _volume_name(name: str, place: str) -> str:
    if not is_volume_name(name):
        hint = "two or more letters, digits, _ . -; a path begins with / or ./"
        raise UsageError(f"{place}: {name!r} is not a volume name", hint=hint)
    return name


def _options(kind: str, words: Sequence[str], place: str) -> tuple[str, ...]:
    taken: dict[str, None] = {}
    for word in words:
        if not word or word in _IGNORED or word in taken:
            continue
        taken[_checked_option(kind, word, place)] = None
        group = _GROUP_OF.get(word, ())
        clash = next((other for other in taken if other in group and other != word), None)
        if clash is not None:
            raise UsageError(f"{place}: {clash} and {word} exclude each other")
    return tuple(taken)


def _checked_option(kind: str, word: str, place: str) -> str:
    if word in _ALLOWED[kind]:
        return word
    if word == "O" or word.startswith(("upperdir=", "workdir=")):
        raise UsageError(f"{place}: overlay volumes (O) are not supported; use a copy or :ro")
    name, _, value = word.partition("=")
    if kind == TMPFS and name in _TMPFS_VALUES and value:
        return _tmpfs_option(name, value, place)
    raise UsageError(f"{place}: unknown option {word!r}")


def _tmpfs_option(name: str, value: str, place: str) -> str:
    if name == "mode" and (set(value) - set("01234567") or len(value) > 5):
        raise UsageError(f"{place}: mode {value!r} is not an octal number such as 1777")
    if name == "size" and not value.endswith("%"):
        from rootless.model.units import parse_size

        try:
            return f"size={parse_size(value)}"
        except UsageError as error:
            raise UsageError(f"{place}: {error.message}") from None
    return f"{name}={value}"
