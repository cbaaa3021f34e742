"""`rl pull`, `rl images`, `rl rmi`, `rl image inspect`: thin calls, how their results are shown."""

from __future__ import annotations

import os

from rootless.cli import image_rows, output, registry_options, templates
from rootless.cli.options import Argument, Parsed, Signature, flag, repeat, value
from rootless.errors import EXIT_ENGINE, RlError
from rootless.model import imagefile
from rootless.model.container import PULL_POLICIES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.store.images import StoredImage
    from rootless.store.paths import Paths


def pull(parsed: Parsed) -> int:
    """Pull images; each one's id on standard output, all else on standard error."""
    from rootless import log
    from rootless.cli import progress
    from rootless.engine import recover
    from rootless.image import pull as image_pull
    from rootless.model import platform
    from rootless.store import paths

    places = paths.discover()
    recover.tidy(places)
    asked = parsed.text("platform")
    wanted = platform.parse(asked) if asked else None
    insecure, credentials = registry_options.access(parsed)
    for text in parsed.arguments:
        with progress.choose(quiet=parsed.flag("quiet")) as shown:
            pulled = image_pull.pull(
                places, text, platform=wanted, policy=parsed.text("policy"), progress=shown,
                insecure=insecure, credentials=credentials,
            )  # fmt: skip
        for note in pulled.notes:
            log.warn(note)
        output.write_line(pulled.image_id.partition(":")[2] or pulled.image_id)
    return 0


def show(parsed: Parsed) -> int:
    """List images, the newest first."""
    from rootless.engine import recover
    from rootless.store import images, paths

    places = paths.discover()
    recover.tidy(places)
    repository = (parsed.arguments or [""])[0]
    wanted = image_rows.Filter(parsed.all("filter"), repository, lambda text: _born(places, text))
    visible = images.list_visible(places)
    rows = [image_rows.row_of(places, image, read_only=is_other) for image, is_other in visible]
    rows = [row for row in rows if wanted.takes(row)]
    rows.sort(key=lambda row: (-row.created_seconds, row.repository, row.tag))
    if parsed.flag("quiet"):
        ids = dict.fromkeys(row.shown_id(full=parsed.flag("no-trunc")) for row in rows)
        for image_id in ids:
            output.write_line(image_id)
    elif parsed.text("format") == "json":
        output.write_json([row.document() for row in rows])
    else:
        _write(parsed, rows)
    return 0


def _born(places: Paths, text: str) -> float:
    """When the image `text` was built, seconds since 1970. Raises NotFoundError."""
    from rootless.image import resolve
    from rootless.store import images

    image = images.load(places, resolve.require(places, text).descriptor)
    return image_rows.Row(image, 0).created_seconds


def _write(parsed: Parsed, rows: list[image_rows.Row]) -> None:
    import time

    now, full = time.time(), parsed.flag("no-trunc")
    columns = ["Repository", "Tag", "ID", "CreatedSince", "Size"]
    if parsed.flag("digests"):
        columns.insert(2, "Digest")
    if any(row.read_only for row in rows):
        columns.append("ReadOnly")
    views = [image_rows.Shown(row, now, full=full).view() for row in rows]
    if parsed.flag("noheading") and not parsed.text("format"):
        output.write_rows(templates.cells(columns, views))
        return
    templates.write_listing(parsed.text("format"), columns, views, image_rows.HEADS)


def remove(parsed: Parsed) -> int:
    """Remove images; goes on after an error, and ends with the first one's exit code."""
    from rootless.cli import removal
    from rootless.engine import recover
    from rootless.image import remove as image_remove
    from rootless.image import resolve
    from rootless.store import images, paths

    places = paths.discover()
    recover.tidy(places)
    words = list(parsed.arguments)
    if parsed.flag("all"):
        words = list(dict.fromkeys(image.image_id for image in images.list_all(places)))
    elif not words:
        raise RlError("rl rmi: name an image, or give --all", "rl images", EXIT_ENGINE)
    # With --all an id stands for all of its names.
    force = parsed.flag("force") or parsed.flag("all")

    def one(text: str) -> list[str]:
        # Also before the lock is taken, for which there is no place before the first pull.
        resolve.require(places, text)
        return image_remove.rmi(
            places, text, force=force, in_use=lambda image: _users_or_refusal(places, image)
        )

    gone_is_well = parsed.flag("force") or parsed.flag("ignore")
    return removal.remove_each(words, one, gone_is_well=gone_is_well)


def users(places: Paths, image: StoredImage) -> list[str]:
    """Who needs `image`: the names of containers that were made from it, where it is mounted."""
    from rootless.engine import image_mounts

    place = image_mounts.find(places, image.image_id)
    return [*_containers_of(places, image), *([place] if place else ())]


def _containers_of(places: Paths, image: StoredImage) -> list[str]:
    from rootless.engine.listing import records

    fitting = (one for one in records(places) if one["manifest"] == image.manifest_digest)
    return [str(one["name"]) for one in fitting]


def _users_or_refusal(places: Paths, image: StoredImage) -> list[str]:
    from rootless.engine import image_mounts

    image_mounts.refuse_if_mounted(places, image)
    return _containers_of(places, image)


def inspect(parsed: Parsed) -> int:
    """Print images as an array of JSON documents, as docker does."""
    from rootless.cli.inspecting import write_each
    from rootless.store import paths

    places = paths.discover()
    return write_each(parsed, lambda text: document(places, text))


def document(places: Paths, text: str) -> dict[str, Any]:
    """docker's document of the image, or the image file, `text`. Raises NotFoundError."""
    if imagefile.is_path(text):
        from rootless.image import squashfile

        return image_rows.inspect_file(squashfile.read(os.path.abspath(text)))
    from rootless.image import resolve
    from rootless.store import images

    image = images.load(places, resolve.require(places, text).descriptor)
    everything = [other for other, _ in images.list_visible(places)]
    return image_rows.inspect_document(places, image, everything)


PULL = Signature(
    pull,
    "Fetch images from registries or OCI directories.",
    (
        flag("-q --quiet", "Print only the image's id"),
        value("--platform", "OS/ARCH[/VARIANT]", "Platform to choose (default the host's)"),
        value(
            "--policy", "WHEN", "When to ask the registry", default="always", choices=PULL_POLICIES
        ),
        *registry_options.ACCESS,
    ),
    (Argument("IMAGE", 1, None),),
    error_code=EXIT_ENGINE,
    examples=("rl pull alpine:3.20", "rl pull quay.io/podman/hello", "rl pull oci:./image"),
)

LIST = Signature(
    show,
    "List images.",
    (
        flag("-q --quiet", "Only ids"),
        flag("-a --all", "All images; there are no hidden ones, so this changes nothing"),
        flag("--digests", "Show digests"),
        flag("--no-trunc", "Show whole ids"),
        flag("-n --noheading", "No heading"),
        templates.LIST_FORMAT,
        repeat("-f --filter", "KEY=VALUE", "reference, dangling, readonly, label, label!, …"),
    ),
    (Argument("REPOSITORY", 0, 1),),
)

REMOVE = Signature(
    remove,
    "Remove images that no container uses, or one of their names.",
    (
        flag("-f --force", "Also with several names, damaged, or not there"),
        flag("-i --ignore", "It is no error that one is not there"),
        flag("--no-prune", "There are no parents that would go too, so this changes nothing"),
        flag("-a --all", "Every image"),
    ),
    (Argument("IMAGE", 0, None),),
)

INSPECT = Signature(
    inspect,
    "Print images as JSON.",
    (templates.FORMAT,),
    (Argument("IMAGE", 1, None),),
)
