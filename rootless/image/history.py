"""What an image says of how it was made, and which of its layers other images have as well."""

from __future__ import annotations

from rootless.store import images, layers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.store.images import StoredImage
    from rootless.store.paths import Paths


class Step:
    """One row of the history. diff_id: of its layer, "" without one; size: bytes in its files."""

    __slots__ = ("by", "comment", "created", "diff_id", "size")

    def __init__(self, row: dict[str, Any], diff_id: str, size: int) -> None:
        self.created = str(row.get("created") or "")
        self.by = str(row.get("created_by") or "")
        self.comment = str(row.get("comment") or "")
        self.diff_id = diff_id
        self.size = size


def of(paths: Paths, image: StoredImage) -> list[Step]:
    """The steps of `image`, the newest first; layers that no step tells of have one of their own.

    Raises StoreError.
    """
    ids = iter(image.diff_ids)
    steps = [_step(paths, row, ids) for row in _rows(image)]
    steps += [Step({}, diff_id, _size(paths, diff_id)) for diff_id in ids]
    return steps[::-1]


def _rows(image: StoredImage) -> list[dict[str, Any]]:
    rows = image.config.get("history")
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _step(paths: Paths, row: dict[str, Any], ids: Any) -> Step:
    diff_id = "" if row.get("empty_layer") else next(ids, "")
    return Step(row, diff_id, _size(paths, diff_id) if diff_id else 0)


def _size(paths: Paths, diff_id: str) -> int:
    # It may have gone with an additional store.
    return int(layers.info(paths, diff_id)["size"]) if layers.has(paths, diff_id) else 0


class TreeLayer:
    """A layer of an image. top_of: the names of the images that end with it, with the same layers
    below; also_in: those that go on from there; elsewhere: those that have it on other layers."""

    __slots__ = ("also_in", "diff_id", "elsewhere", "size", "top_of")

    def __init__(self, diff_id: str, size: int) -> None:
        self.diff_id = diff_id
        self.size = size
        self.top_of: list[str] = []
        self.also_in: list[str] = []
        self.elsewhere: list[str] = []


def tree(paths: Paths, image: StoredImage) -> list[TreeLayer]:
    """The layers of `image`, lowest first, and what the store's other images share of them."""
    everything = [other for other, _ in images.list_visible(paths)]
    found = []
    for count, diff_id in enumerate(image.diff_ids, start=1):
        layer = TreeLayer(diff_id, _size(paths, diff_id))
        for other in everything:
            names = _share_of(layer, image, other, count)
            if names is not None:
                names.append(other.name or other.image_id[:12])
        found.append(layer)
    return found


def _share_of(
    layer: TreeLayer, image: StoredImage, other: StoredImage, count: int
) -> list[str] | None:
    """Where the name of `other` belongs, for the layer that is the `count`th of `image`."""
    if other.diff_ids[:count] == image.diff_ids[:count]:
        if len(other.diff_ids) == count:
            return layer.top_of
        return None if other.manifest_digest == image.manifest_digest else layer.also_in
    return layer.elsewhere if layer.diff_id in other.diff_ids else None
