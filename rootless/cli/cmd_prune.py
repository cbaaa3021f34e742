"""`rl image prune` and `rl volume prune`."""

from __future__ import annotations

import os
import sys
import time

from rootless.cli import output
from rootless.cli.options import Parsed, Signature, flag, repeat
from rootless.errors import UsageError
from rootless.model import moment
from rootless.model.filters import Filters

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.store.images import StoredImage

_IMAGE_KEYS = {"until": "24h|TIME", "label": "KEY[=VALUE]", "label!": "KEY[=VALUE]"}
_VOLUME_KEYS = {"label": "KEY[=VALUE]", "label!": "KEY[=VALUE]", "all": "true|false"}
_IMAGE_WARNINGS = {
    False: "This removes all dangling images, and what no image in the store needs.",
    True: "This removes every image that no container uses, and what no image in the store needs.",
}
_VOLUME_WARNINGS = {
    False: "This removes every anonymous volume that no container uses, with its data.",
    True: "This removes every volume that no container uses, with its data.",
}


def prune_images(parsed: Parsed) -> int:
    """Remove images that nothing uses, and say how much space that gave back."""
    from rootless.cli import cmd_images
    from rootless.engine import recover
    from rootless.image import prune
    from rootless.store import paths

    everything = parsed.flag("all")
    wanted = ImageFilter(Filters(parsed.all("filter"), _IMAGE_KEYS, "rl image prune"))
    if not parsed.flag("force") and not is_wanted("rl image prune", _IMAGE_WARNINGS[everything]):
        return 1
    places = paths.discover()
    # Before its layers are looked at: a crashed container uses its image until it is cleared.
    recover.sweep(places)

    def kept_for(image: StoredImage) -> list[str]:
        return cmd_images.users(places, image) if wanted.takes(image) else ["--filter"]

    lines, freed = prune.prune(places, everything=everything, in_use=kept_for)
    for line in lines:
        output.write_line(line)
    output.write_line(f"Total reclaimed space: {output.human_size(freed)}")
    return 0


def prune_volumes(parsed: Parsed) -> int:
    """Remove volumes that no container uses, and say how much space that gave back."""
    from rootless.engine import recover, volumes
    from rootless.store import paths

    filters = Filters(parsed.all("filter"), _VOLUME_KEYS, "rl volume prune")
    named = parsed.flag("all") or bool(filters.boolean("all"))
    if not parsed.flag("force") and not is_wanted("rl volume prune", _VOLUME_WARNINGS[named]):
        return 1
    places = paths.discover()
    recover.tidy(places)
    freed = 0
    # Volumes have no labels: a filter for one takes none of them, one against it all.
    for name in volumes.unused(places, named=named) if filters.labels_fit({}) else ():
        size = volumes.size(places, name)
        volumes.remove(places, name)
        freed += size
        output.write_line(f"Deleted: {name}")
    output.write_line(f"Total reclaimed space: {output.human_size(freed)}")
    return 0


class ImageFilter:
    """Which images may go. Raises UsageError."""

    def __init__(self, filters: Filters) -> None:
        self._filters = filters
        now = time.time_ns()
        words = filters.values("until")
        self._until = [moment.parse_moment(word, now, "--filter until") for word in words]

    def takes(self, image: StoredImage) -> bool:
        """Whether the filters fit; an image that does not say when it was built is old."""
        built = output.parse_time(str(image.config.get("created") or "")) or 0.0
        labels = (image.config.get("config") or {}).get("Labels") or {}
        is_old = not self._until or built * 10**9 < min(self._until)
        return is_old and self._filters.labels_fit(labels)


def is_wanted(command: str, warning: str) -> bool:
    """Ask at the terminal. Raises UsageError where there is none to ask at."""
    if not os.isatty(0):
        raise UsageError(
            f"{command}: asks before it removes anything, and standard input is no terminal",
            hint=f"{command} --force",
        )
    # Not on standard output, which is for results.
    os.write(2, f"{warning}\nAre you sure you want to continue? [y/N] ".encode())
    return sys.stdin.readline().strip().lower() in ("y", "yes")


IMAGE_PRUNE = Signature(
    prune_images,
    "Remove dangling images, unfinished downloads, and whatever no image needs.",
    (
        flag("-a --all", "Every image that no container uses, not only those without a name"),
        flag("-f --force", "Do not ask"),
        repeat("--filter", "KEY=VALUE", "until, label, label!"),
    ),
    examples=("rl image prune --force",),
)

VOLUME_PRUNE = Signature(
    prune_volumes,
    "Remove anonymous volumes that no container uses.",
    (
        flag("-a --all", "Also those with a name"),
        flag("-f --force", "Do not ask"),
        repeat("--filter", "KEY=VALUE", "label, label!, all"),
    ),
)
