"""What crun's tests use of util-linux's Python module, which Debian does not have."""

from __future__ import annotations


class _Mount:
    def __init__(self, line: str) -> None:
        before, _, after = line.partition(" - ")
        fields = before.split()
        self.target = fields[4]
        self.vfs_options = fields[5]
        self.fs_options = after.split()[2]


class Table:
    """A mountinfo file."""

    def __init__(self, path: str) -> None:
        with open(path) as file:
            self._mounts = [_Mount(line) for line in file if " - " in line]

    def find_target(self, target: str) -> _Mount:
        return next(mount for mount in self._mounts if mount.target == target)
