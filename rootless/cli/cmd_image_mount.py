"""`rl image mount` and `rl image unmount`."""

from __future__ import annotations

from rootless.cli import output
from rootless.cli.options import Argument, Parsed, Signature, flag, value
from rootless.errors import EXIT_ENGINE, RlError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.store.paths import Paths


def mount(parsed: Parsed) -> int:
    """Mount images and print where; without a name list what is mounted."""
    from rootless.engine import image_mounts, recover
    from rootless.store import paths

    places = paths.discover()
    recover.tidy(places)
    if not parsed.arguments:
        _list(parsed, places)
        return 0
    found = [(text, image_mounts.mount(places, text)) for text in parsed.arguments]
    if len(found) == 1:
        output.write_line(found[0][1])
    else:
        output.write_rows(found)
    return 0


def _list(parsed: Parsed, places: Paths) -> None:
    from rootless.engine import image_mounts
    from rootless.store import images

    mounted = image_mounts.everything(places)
    names: dict[str, list[str]] = {}
    for image, _ in images.list_visible(places) if mounted else ():
        names.setdefault(image.image_id, []).extend([image.name] if image.name else [])
    if parsed.text("format") == "json":
        documents = [
            {"id": image_id, "Repositories": names.get(image_id, []), "mountpoint": place}
            for image_id, place in mounted
        ]
        output.write_json(documents)
    elif mounted:
        rows = [(" ".join(names.get(one) or [one[:12]]), place) for one, place in mounted]
        output.write_rows(rows)


def unmount(parsed: Parsed) -> int:
    """Take the mounts of images off; goes on after an error."""
    from rootless.cli import each
    from rootless.engine import image_mounts
    from rootless.store import paths

    places = paths.discover()
    words = list(parsed.arguments)
    if parsed.flag("all"):
        words = [image_id for image_id, _ in image_mounts.everything(places)]
    elif not words:
        raise RlError("rl image unmount: name an image, or give --all", "rl image mount")

    def one(text: str) -> list[str]:
        return [image_mounts.unmount(places, text, lazy=parsed.flag("force"))]

    return each.do_each(words, one)


MOUNT = Signature(
    mount,
    "Mount images read-only, with all of their files readable for you, and print where. Owners are"
    " shown as numbers of the image. Without a name: list what is mounted.",
    (value("--format", "FORMAT", "json for a document of the list", choices=("json",)),),
    (Argument("IMAGE", 0, None),),
    error_code=EXIT_ENGINE,
    examples=("ls -l $(rl image mount alpine)/etc", "rl image unmount alpine"),
)

UNMOUNT = Signature(
    unmount,
    "Take off what rl image mount has mounted.",
    (
        flag("-a --all", "All of them"),
        flag("-f --force", "Also where a program has files of it open, for which it stays"),
    ),
    (Argument("IMAGE", 0, None),),
    error_code=EXIT_ENGINE,
)
