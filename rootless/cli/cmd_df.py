"""`rl system df`."""

from __future__ import annotations

import time
from operator import itemgetter

from rootless.cli import output, templates
from rootless.cli.options import Parsed, Signature, flag
from rootless.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.engine.cleaning import Usage
    from rootless.model.gotemplate.values import View
    from rootless.store.paths import Paths

_HEADS = {
    "Type": "TYPE", "TotalCount": "TOTAL", "Active": "ACTIVE", "Size": "SIZE",
    "Reclaimable": "RECLAIMABLE",
}  # fmt: skip
_IMAGE_COLUMNS = ["Repository", "Tag", "ID", "CreatedSince", "Size"]
_CONTAINER_COLUMNS = [
    "ID", "Image", "Command", "LocalVolumes", "Size", "RunningFor", "Status", "Names",
]  # fmt: skip


def disk_usage(parsed: Parsed) -> int:
    """What images, containers and volumes take."""
    from rootless.store import paths

    form = parsed.text("format")
    places = paths.discover()
    if not parsed.flag("verbose"):
        _write_sums(places, form)
        return 0
    if form:
        raise UsageError("rl system df: --verbose and --format exclude each other")
    _write_images(places)
    _write_containers(places)
    _write_volumes(places)
    return 0


def _write_sums(places: Paths, form: str) -> None:
    from rootless.engine import cleaning

    found = {
        "Images": cleaning.image_usage(places),
        "Containers": cleaning.container_usage(places),
        "Local Volumes": cleaning.volume_usage(places),
    }
    unpacked = cleaning.unpacked_usage(places)
    if unpacked.rows:
        # docker has none, and whoever reads its rows need not see an empty one.
        found["Unpacked Files"] = unpacked
    if form == "json":
        output.write_json([_document(kind, usage) for kind, usage in found.items()])
    else:
        views = [_view(_row(kind, usage)) for kind, usage in found.items()]
        templates.write_listing(form, list(_HEADS), views, _HEADS)


def _view(row: dict[str, str]) -> View:
    from rootless.model.gotemplate.values import View

    return View("usage", row, {name: itemgetter(name) for name in _HEADS}, {})


def _row(kind: str, usage: Usage) -> dict[str, str]:
    share = f" ({usage.reclaimable * 100 // usage.size}%)" if usage.size else ""
    return {
        "Type": kind,
        "TotalCount": str(len(usage.rows)),
        "Active": str(usage.active),
        "Size": output.human_size(usage.size),
        "Reclaimable": output.human_size(usage.reclaimable) + share,
    }


def _document(kind: str, usage: Usage) -> dict[str, Any]:
    return {
        "Type": kind,
        "Total": len(usage.rows),
        "Active": usage.active,
        "Size": usage.size,
        "Reclaimable": usage.reclaimable,
    }


def _write_title(kind: str) -> None:
    output.write_line(f"{kind} space usage:")
    output.write_line("")


def _write_images(places: Paths) -> None:
    from rootless.cli import image_rows
    from rootless.engine import cleaning, listing
    from rootless.store import images

    _write_title("Images")
    shared = cleaning.shared_sizes(places)
    used = [record["image_id"] for record in listing.records(places)]
    rows, now = [], time.time()
    for image in images.list_all(places):
        row = image_rows.row_of(places, image)
        view = image_rows.Shown(row, now, full=False).view()
        both = shared[image.image_id]
        sizes = [output.human_size(both), output.human_size(max(0, row.size - both))]
        (cells,) = templates.cells(_IMAGE_COLUMNS, [view])
        rows.append([*cells, *sizes, str(used.count(image.image_id))])
    heads = [image_rows.HEADS[name] for name in _IMAGE_COLUMNS]
    output.write_table([*heads, "SHARED SIZE", "UNIQUE SIZE", "CONTAINERS"], rows)


def _write_containers(places: Paths) -> None:
    from rootless.cli import ps_rows
    from rootless.engine import listing

    output.write_line("")
    _write_title("Containers")
    shown = ps_rows.Listing(places, listing.current(places), full=False)
    size = _CONTAINER_COLUMNS.index("Size")
    rows = templates.cells(_CONTAINER_COLUMNS, [row.view() for row in shown.rows()])
    for row in rows:
        # What it shares with the image is told above.
        row[size] = row[size].partition(" (")[0]
    heads = [ps_rows.HEADS[name] for name in _CONTAINER_COLUMNS]
    output.write_table(heads, rows)


def _write_volumes(places: Paths) -> None:
    from rootless.engine import cleaning, volumes

    output.write_line("")
    _write_title("Local Volumes")
    users = volumes.users(places)
    output.write_table(
        ("VOLUME NAME", "LINKS", "SIZE"),
        [
            [name, str(len(users.get(name, ()))), output.human_size(size)]
            for name, size, _ in cleaning.volume_usage(places).rows
        ],
    )


DF = Signature(
    disk_usage,
    "Show what images, containers and volumes take on the disk.",
    (flag("-v --verbose", "Each of them"), templates.LIST_FORMAT),
    examples=("rl system df --format '{{.Type}}: {{.Reclaimable}}'",),
)
