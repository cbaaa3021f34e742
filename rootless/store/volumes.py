"""Volumes: directories that outlive their containers, at volumes/NAME/_data."""

from __future__ import annotations

import os

from rootless.errors import NotFoundError
from rootless.model.mountspec import is_volume_name
from rootless.store import events, files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.store.paths import Paths


def ensure(paths: Paths, name: str) -> bool:
    """Make volume `name` if it is missing; whether it is empty.

    docker fills a volume with the image's content as long as it is empty, not only when it is new.
    """
    path = data_path(paths, name)
    if not os.path.isdir(path):
        events.emit(paths, events.VOLUME, "create", name, {"driver": "local"})
    # Searchable by the container's users, whoever they are; the directory above is private.
    files.make_dirs(path, mode=0o755)
    try:
        with os.scandir(path) as entries:
            return next(entries, None) is None
    except PermissionError:
        return False  # a container gave it to one of its users


def is_anonymous(name: str) -> bool:
    """Whether the name was not chosen by anybody: 64 hexadecimal digits, as docker tells it."""
    return len(name) == 64 and not name.strip("0123456789abcdef")


def data_path(paths: Paths, name: str) -> str:
    """The directory that containers mount."""
    return f"{paths.volumes}/{name}/_data"


def names(paths: Paths) -> list[str]:
    """All volumes, sorted."""
    try:
        return sorted(os.listdir(paths.volumes))
    except FileNotFoundError:
        return []


def remove(paths: Paths, name: str) -> None:
    """Remove a volume and its data. Raises NotFoundError. To be called inside the user namespace
    where subordinate ids own files in it.
    """
    path = f"{paths.volumes}/{name}"
    if not is_volume_name(name) or not os.path.isdir(path):
        raise NotFoundError(f"no such volume: {name}", hint="rl volume ls")
    from rootless.store import trees

    trees.remove_tree(path)
