"""`rl history` and `rl image tree`."""

from __future__ import annotations

from rootless.cli import output, templates
from rootless.cli.options import Argument, Parsed, Signature, flag, value
from rootless.errors import EXIT_ENGINE
from rootless.model.gotemplate.values import View

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from rootless.image.history import Step, TreeLayer
    from rootless.store.images import StoredImage
    from rootless.store.paths import Paths

_HEADS = {
    "ID": "IMAGE", "CreatedSince": "CREATED", "CreatedAt": "CREATED AT", "CreatedBy": "CREATED BY",
    "Size": "SIZE", "Comment": "COMMENT",
}  # fmt: skip
# docker's: of a layer below the topmost no image is known.
_MISSING = "<missing>"
_LONGEST = 45


class Shown:
    """A step as it is listed. image_id: "" below the topmost; full: nothing is shortened."""

    __slots__ = ("full", "human", "image_id", "now", "step")

    def __init__(self, step: Step, image_id: str, now: float, *, full: bool, human: bool) -> None:
        self.step = step
        self.image_id = image_id
        self.now = now
        self.full = full
        self.human = human

    def view(self) -> View:
        """For a template."""
        return View("history", self, _FIELDS, {})

    def shown_id(self) -> str:
        """The image's id, on the row of its last step."""
        if not self.image_id:
            return _MISSING
        return f"sha256:{self.image_id}" if self.full else output.short_id(self.image_id)

    def by(self) -> str:
        """The instruction, on one line."""
        text = " ".join(self.step.by.split())
        return text if self.full or len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"

    def since(self) -> str:
        """How long ago; with --human=false when."""
        return output.age_of(self.step.created, self.now) if self.human else self.step.created

    def size(self) -> str:
        """Of its layer."""
        return output.human_size(self.step.size) if self.human else str(self.step.size)

    def document(self) -> dict[str, Any]:
        """The row for `--format json`, as podman has it."""
        step = self.step
        return {
            "id": self.image_id or _MISSING, "created": step.created, "CreatedBy": step.by,
            "size": step.size, "comment": step.comment,
        }  # fmt: skip


_FIELDS: dict[str, Callable[[Shown], Any]] = {
    "ID": Shown.shown_id,
    "CreatedSince": Shown.since,
    "CreatedAt": lambda shown: shown.step.created,
    "CreatedBy": Shown.by,
    "Size": Shown.size,
    "Comment": lambda shown: shown.step.comment,
}


def history(parsed: Parsed) -> int:
    """Show the steps that made an image, the newest first."""
    import time

    from rootless.image import history as image_history
    from rootless.store import paths

    places = paths.discover()
    image = _image(places, parsed.arguments[0])
    now, full, human = time.time(), parsed.flag("no-trunc"), parsed.flag("human")
    steps = image_history.of(places, image)
    ids = [image.image_id, *[""] * len(steps)]
    rows = [
        Shown(step, image_id, now, full=full, human=human)
        for step, image_id in zip(steps, ids, strict=False)
    ]
    if parsed.flag("quiet"):
        for row in rows:
            output.write_line(row.shown_id())
    elif parsed.text("format") == "json":
        output.write_json([row.document() for row in rows])
    else:
        columns = ["ID", "CreatedSince", "CreatedBy", "Size", "Comment"]
        views = [row.view() for row in rows]
        templates.write_listing(parsed.text("format"), columns, views, _HEADS)
    return 0


def _image(places: Paths, text: str) -> StoredImage:
    from rootless.image import resolve
    from rootless.store import images

    return images.load(places, resolve.require(places, text).descriptor)


def tree(parsed: Parsed) -> int:
    """Show an image's layers, and which other images have them."""
    from rootless.image import history as image_history
    from rootless.store import images, paths

    places = paths.discover()
    image = _image(places, parsed.arguments[0])
    layers = image_history.tree(places, image)
    visible = images.list_visible(places)
    names = [one.name for one, _ in visible if one.image_id == image.image_id]
    if parsed.text("format") == "json":
        output.write_json(_document(image, names, layers))
        return 0
    output.write_line(f"Image ID: {output.short_id(image.image_id)}")
    output.write_line(f"Tags:     [{' '.join(filter(None, names))}]")
    output.write_line(f"Size:     {output.human_size(images.size(places, image))}")
    output.write_line("Image Layers")
    for number, layer in enumerate(layers, start=1):
        output.write_line(("├── " if number < len(layers) else "└── ") + _line(layer))
    return 0


def _line(layer: TreeLayer) -> str:
    shares = (
        ("Top Layer of", layer.top_of),
        ("Also in", layer.also_in),
        ("Elsewhere in", layer.elsewhere),
    )
    told = (f"{title}: [{' '.join(names)}]" for title, names in shares if names)
    head = f"ID: {output.short_id(layer.diff_id)} Size: {output.human_size(layer.size)}"
    return " ".join([head, *told])


def _document(image: StoredImage, names: list[str], layers: list[TreeLayer]) -> dict[str, Any]:
    return {
        "Id": f"sha256:{image.image_id}",
        "Tags": [name for name in names if name],
        "Layers": [
            {
                "Id": layer.diff_id, "Size": layer.size, "TopLayerOf": layer.top_of,
                "AlsoIn": layer.also_in, "ElsewhereIn": layer.elsewhere,
            }
            for layer in layers
        ],
    }  # fmt: skip


HISTORY = Signature(
    history,
    "Show the steps that made an image, the newest first.",
    (
        templates.LIST_FORMAT,
        flag("-H --human", "Sizes and ages in words", default=True),
        flag("--no-trunc", "Nothing is shortened"),
        flag("-q --quiet", "Only ids"),
    ),
    (Argument("IMAGE"),),
    error_code=EXIT_ENGINE,
    examples=("rl history --no-trunc web", "rl history --format '{{.Size}}\\t{{.CreatedBy}}' web"),
)

TREE = Signature(
    tree,
    "Show the layers of an image, lowest first, and which other images of the store share them.",
    (value("--format", "FORMAT", "json for a document", choices=("json",)),),
    (Argument("IMAGE"),),
    error_code=EXIT_ENGINE,
)
