"""The option list of one mount of a runtime document, taken apart. Pure.

runtime-spec, config.md, "Linux mount options": flags of mount(2) for a new file system, attributes
of mount_setattr(2) for a bind, the recursive ones (`rro`), propagation, tmpcopyup, idmap; the rest
is data for the file system.
"""

from __future__ import annotations

from rootless.kernel import libc
from rootless.kernel.mounts import FLAGS, PROPAGATION

# name → (attributes set, attributes cleared). The kinds of atime are one field, cleared whole.
_ATIME = libc.MOUNT_ATTR_ATIME
ATTRIBUTES = {
    "ro": (libc.MOUNT_ATTR_RDONLY, 0), "rw": (0, libc.MOUNT_ATTR_RDONLY),
    "nosuid": (libc.MOUNT_ATTR_NOSUID, 0), "suid": (0, libc.MOUNT_ATTR_NOSUID),
    "nodev": (libc.MOUNT_ATTR_NODEV, 0), "dev": (0, libc.MOUNT_ATTR_NODEV),
    "noexec": (libc.MOUNT_ATTR_NOEXEC, 0), "exec": (0, libc.MOUNT_ATTR_NOEXEC),
    "nodiratime": (libc.MOUNT_ATTR_NODIRATIME, 0), "diratime": (0, libc.MOUNT_ATTR_NODIRATIME),
    "nosymfollow": (libc.MOUNT_ATTR_NOSYMFOLLOW, 0),
    "symfollow": (0, libc.MOUNT_ATTR_NOSYMFOLLOW),
    "relatime": (libc.MOUNT_ATTR_RELATIME, _ATIME),
    "norelatime": (libc.MOUNT_ATTR_RELATIME, _ATIME),
    "noatime": (libc.MOUNT_ATTR_NOATIME, _ATIME), "atime": (libc.MOUNT_ATTR_RELATIME, _ATIME),
    "strictatime": (libc.MOUNT_ATTR_STRICTATIME, _ATIME),
    "nostrictatime": (libc.MOUNT_ATTR_RELATIME, _ATIME),
}  # fmt: skip
RECURSIVE = {f"r{name}": value for name, value in ATTRIBUTES.items()}
_MORE_FLAGS = {
    "symfollow": (libc.MS_NOSYMFOLLOW, True),
    "nostrictatime": (libc.MS_STRICTATIME, True),
    "silent": (libc.MS_SILENT, False), "loud": (libc.MS_SILENT, True),
    "iversion": (libc.MS_I_VERSION, False), "noiversion": (libc.MS_I_VERSION, True),
    "lazytime": (libc.MS_LAZYTIME, False), "nolazytime": (libc.MS_LAZYTIME, True),
    "mand": (0, False), "nomand": (0, False),  # obsolete, and refused by kernels since 5.15
}  # fmt: skip
# What a runtime reads and the kernel never sees.
OURS = ("tmpcopyup", "idmap", "ridmap")


class Attributes:
    """One call of mount_setattr(2): what it sets and what it clears."""

    __slots__ = ("cleared", "set")

    def __init__(self) -> None:
        self.set = 0
        self.cleared = 0

    def add(self, wanted: tuple[int, int]) -> None:
        """A later option wins."""
        on, off = wanted
        self.set = self.set & ~off | on
        self.cleared = self.cleared & ~on | off

    def without_atime(self) -> Attributes:
        """The same without the kind of atime, which a user namespace may not change."""
        rest = Attributes()
        rest.set, rest.cleared = self.set & ~_ATIME, self.cleared & ~_ATIME
        return rest


class MountOptions:
    """The list, taken apart. flags, data: for mount(2). top, below: attributes of a bind's own
    mount, and of it with all below. propagation: in the order given."""

    __slots__ = ("below", "copy_up", "data", "flags", "idmap", "is_bind", "is_recursive",
                 "propagation", "top")  # fmt: skip

    def __init__(self, options: list[str]) -> None:
        self.flags = 0
        self.data: list[str] = []
        self.top, self.below = Attributes(), Attributes()
        self.propagation: list[int] = []
        self.is_bind = self.is_recursive = self.copy_up = False
        self.idmap = ""
        for option in options:
            self._add(option)

    def _add(self, option: str) -> None:
        if option in ("bind", "rbind"):
            self.is_bind = True
            self.is_recursive = self.is_recursive or option == "rbind"
        elif option in PROPAGATION:
            self.propagation.append(PROPAGATION[option])
        elif option == "tmpcopyup":
            self.copy_up = True
        elif option.partition("=")[0] in ("idmap", "ridmap"):
            self.idmap = option
        else:
            self._add_flag(option)

    def _add_flag(self, option: str) -> None:
        known = False
        for table, attributes in ((ATTRIBUTES, self.top), (RECURSIVE, self.below)):
            if option in table:
                attributes.add(table[option])
                known = True
        flag = FLAGS.get(option) or _MORE_FLAGS.get(option)
        if flag is not None:
            number, clears = flag
            self.flags = self.flags & ~number if clears else self.flags | number
        elif not known:
            self.data.append(option)


def known_options() -> list[str]:
    """Every option that is not data for a file system, for `features`."""
    names = {*FLAGS, *_MORE_FLAGS, *PROPAGATION, *ATTRIBUTES, *RECURSIVE, *OURS, "bind", "rbind"}
    return sorted(names)
