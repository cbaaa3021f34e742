"""`rl system prune`, `rl system reset` and `rl container prune`."""

from __future__ import annotations

import time

from rootless.cli import cmd_prune, output
from rootless.cli.options import Parsed, Signature, flag, repeat
from rootless.model import moment
from rootless.model.filters import Filters

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_KEYS = {"until": "24h|TIME", "label": "KEY[=VALUE]", "label!": "KEY[=VALUE]"}
_CONTAINERS_WARNING = "This removes every container that does not run."
_RESET_WARNING = (
    "This removes every container, image and volume of this store, with all data in them."
)


class _ContainerFilter:
    """Which containers may go. Raises UsageError."""

    def __init__(self, words: list[str], command: str) -> None:
        self._filters = Filters(words, _KEYS, command)
        now = time.time_ns()
        until = self._filters.values("until")
        self._until = [moment.parse_moment(word, now, "--filter until") for word in until]

    def takes(self, record: dict[str, Any]) -> bool:
        """Whether the filters fit."""
        is_old = not self._until or record["created"] * 10**9 < min(self._until)
        return is_old and self._filters.labels_fit(record.get("labels") or {})


def prune_containers(parsed: Parsed) -> int:
    """Remove containers that have ended, and say how much space that gave back."""
    from rootless.engine import cleaning
    from rootless.store import paths

    wanted = _ContainerFilter(parsed.all("filter"), "rl container prune")
    command = "rl container prune"
    if not parsed.flag("force") and not cmd_prune.is_wanted(command, _CONTAINERS_WARNING):
        return 1
    removed, freed = cleaning.prune_containers(paths.discover(), wanted.takes)
    _write_removed("Deleted Containers:", removed)
    output.write_line(f"Total reclaimed space: {output.human_size(freed)}")
    return 0


def _write_removed(head: str, lines: list[str]) -> None:
    if lines:
        for line in (head, *lines, ""):
            output.write_line(line)


def prune(parsed: Parsed) -> int:
    """Remove ended containers, images that nothing uses and, with --volumes, such volumes."""
    from rootless.engine import cleaning, volumes
    from rootless.image import prune as image_prune
    from rootless.store import paths

    words = parsed.all("filter")
    wanted = _ContainerFilter(words, "rl system prune")
    images = cmd_prune.ImageFilter(Filters(words, _KEYS, "rl system prune"))
    with_volumes = parsed.flag("volumes")
    if not parsed.flag("force") and not cmd_prune.is_wanted("rl system prune", _warning(parsed)):
        return 1
    places = paths.discover()
    removed, freed = cleaning.prune_containers(places, wanted.takes)
    _write_removed("Deleted Containers:", removed)
    # As docker has it: volumes have no labels here, so a filter for one spares them all.
    if with_volumes and Filters(words, _KEYS, "rl system prune").labels_fit({}):
        names = volumes.unused(places, named=False)
        for name in names:
            freed += volumes.size(places, name)
            volumes.remove(places, name)
        _write_removed("Deleted Volumes:", names)
    lines, bytes_of_images = image_prune.prune(
        places,
        everything=parsed.flag("all"),
        in_use=cleaning.in_use_by(places, images.takes),
    )
    _write_removed("Deleted Images:", lines)
    output.write_line(f"Total reclaimed space: {output.human_size(freed + bytes_of_images)}")
    return 0


def _warning(parsed: Parsed) -> str:
    images = "every image that no container uses" if parsed.flag("all") else "all dangling images"
    volumes = ", every anonymous volume that no container uses" if parsed.flag("volumes") else ""
    return f"This removes every container that does not run, {images}{volumes}."


def reset(parsed: Parsed) -> int:
    """Empty the store."""
    from rootless.engine import cleaning
    from rootless.store import paths

    force = parsed.flag("force")
    if not force and not cmd_prune.is_wanted("rl system reset", _RESET_WARNING):
        return 1
    cleaning.reset(paths.discover(), force=force)
    return 0


_FORCE = flag("-f --force", "Do not ask")
_FILTER = repeat("--filter", "KEY=VALUE", "until, label, label!")

CONTAINER_PRUNE = Signature(
    prune_containers,
    "Remove every container that does not run; its volumes stay.",
    (_FORCE, _FILTER),
    examples=("rl container prune --force --filter until=24h",),
)

PRUNE = Signature(
    prune,
    "Remove containers that do not run, and images that nothing uses.",
    (
        flag("-a --all", "Every image that no container uses, not only those without a name"),
        flag("--volumes", "Also anonymous volumes that no container uses"),
        _FORCE,
        _FILTER,
    ),
)

RESET = Signature(
    reset,
    "Remove every container, image and volume of the store.",
    (flag("-f --force", "Do not ask, and kill what runs"),),
)
