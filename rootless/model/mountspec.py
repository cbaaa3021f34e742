"""What is mounted into a container beside its image. Pure; the flags are read by mountflags."""

from __future__ import annotations

import os.path

from rootless.model.value import Value

# The nodes of /dev that every container has (runtime-spec, config-linux.md, "Default Devices").
STANDARD_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")

BIND = "bind"
VOLUME = "volume"
TMPFS = "tmpfs"


class MountSpec(Value):
    """One mount of the wish.

    kind: "bind", "volume" or "tmpfs". source: an absolute host path, a volume's name ("" for an
    anonymous one), "" for a tmpfs. target: absolute and normalised, never "/". options: in the
    order given, without contradictions; "U" means: give the source to the container's user.
    """

    __slots__ = ("kind", "options", "source", "target")

    def __init__(self, kind: str, source: str, target: str, options: tuple[str, ...] = ()) -> None:
        self.kind = kind
        self.source = source
        self.target = target
        self.options = options


class DeviceSpec(Value):
    """A host device for the container; permissions are some of "rwm"."""

    __slots__ = ("permissions", "source", "target")

    def __init__(self, source: str, target: str, permissions: str = "rwm") -> None:
        self.source = source
        self.target = target
        self.permissions = permissions


def normal_target(path: str) -> str:
    """`path` as an absolute one without `.`, `..` and double slashes."""
    # normpath keeps two leading slashes, to which POSIX lets a system give a meaning.
    return "/" + os.path.normpath(f"/{path}").lstrip("/")


def is_volume_name(name: str) -> bool:
    """Docker's rule: a letter or digit, then one or more of letters, digits, `_`, `.`, `-`."""
    if len(name) < 2 or not name.isascii() or not name[0].isalnum():
        return False
    return all(character.isalnum() or character in "_.-" for character in name)
