"""`rl volume ls`, `create`, `inspect` and `rm`."""

from __future__ import annotations

import os
from operator import itemgetter

from rootless.cli import output, templates
from rootless.cli.options import Argument, Parsed, Signature, flag, repeat
from rootless.errors import NotFoundError, UsageError
from rootless.model import mountspec
from rootless.model.gotemplate.values import View

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from rootless.store.paths import Paths

_KEYS = {"name": "PATTERN", "dangling": "true|false", "driver": "local", "label": "KEY[=VALUE]"}
_HEADS = {
    "Driver": "DRIVER", "Name": "VOLUME NAME", "Mountpoint": "MOUNTPOINT", "Scope": "SCOPE",
    "Labels": "LABELS", "Availability": "AVAILABILITY", "Group": "GROUP", "Links": "LINKS",
    "Size": "SIZE", "Status": "STATUS",
}  # fmt: skip
# What docker says of these without a cluster, and without `system df`.
_UNKNOWN = ("Availability", "Group", "Links", "Size", "Status")


def show(parsed: Parsed) -> int:
    """List the volumes."""
    from rootless.store import paths

    places = paths.discover()
    rows = [_document(places, name) for name in _wanted(places, parsed.all("filter"))]
    if parsed.flag("quiet"):
        for row in rows:
            output.write_line(row["Name"])
    elif parsed.text("format") == "json":
        output.write_json(rows)
    else:
        views = [_view(row) for row in rows]
        templates.write_listing(parsed.text("format"), ["Driver", "Name"], views, _HEADS)
    return 0


def _wanted(places: Paths, words: list[str]) -> list[str]:
    from rootless.store import volumes

    names = volumes.names(places)
    if not words:
        return names
    from rootless.engine import volumes as engine_volumes
    from rootless.model.filters import Filters, matches

    filters = Filters(words, _KEYS, "rl volume ls")
    dangling = filters.boolean("dangling")
    used = engine_volumes.users(places) if dangling is not None else {}
    return [
        name
        for name in names
        if (dangling is None or dangling == (name not in used))
        and filters.fits("name", lambda word, name=name: matches(word, name))  # type: ignore[misc]
        and filters.fits("driver", "local".__eq__)
        and filters.labels_fit({})
    ]


def _labels(row: dict[str, Any]) -> str:
    return ",".join(f"{key}={text}" for key, text in sorted(row["Labels"].items()))


def _view(row: dict[str, Any]) -> View:
    told: dict[str, Callable[[Any], Any]] = {
        key: itemgetter(key) for key in ("Name", "Driver", "Mountpoint", "Scope")
    }
    unknown: dict[str, Callable[[Any], Any]] = dict.fromkeys(_UNKNOWN, lambda _: "N/A")
    fields = {**told, **unknown, "Labels": _labels}
    return View("volume", row, fields, {"Label": lambda known, key: known["Labels"].get(key, "")})


def document(places: Paths, name: str) -> dict[str, Any]:
    """docker's document of the volume `name`. Raises NotFoundError."""
    from rootless.store import volumes

    if name not in volumes.names(places):
        raise NotFoundError(f"no such volume: {name}", hint="rl volume ls")
    return _document(places, name)


def _document(places: Paths, name: str) -> dict[str, Any]:
    from rootless.cli.container_document import time_text
    from rootless.store import volumes

    path = volumes.data_path(places, name)
    try:
        # Linux tells of no birth; the directory around the data changes with nothing else.
        made = time_text(os.stat(os.path.dirname(path)).st_mtime)
    except OSError:
        made = time_text(None)  # removed meanwhile
    return {
        "CreatedAt": made,
        "Driver": "local",
        "Labels": {},
        "Mountpoint": path,
        "Name": name,
        "Options": {},
        "Scope": "local",
    }


def create(parsed: Parsed) -> int:
    """Make a volume, which is no error when it is there, and print its name."""
    from rootless.store import paths, volumes

    name = parsed.arguments[0] if parsed.arguments else os.urandom(32).hex()
    if not mountspec.is_volume_name(name):
        raise UsageError(
            f"rl volume create: {name!r} is not a volume name",
            hint="two or more letters, digits, _ . -; the first a letter or a digit",
        )
    volumes.ensure(paths.discover(), name)
    output.write_line(name)
    return 0


def inspect(parsed: Parsed) -> int:
    """Print volumes as an array of JSON documents, as docker does."""
    from rootless.cli.inspecting import write_each
    from rootless.store import paths

    places = paths.discover()
    return write_each(parsed, lambda name: document(places, name))


def remove(parsed: Parsed) -> int:
    """Remove volumes; goes on after an error, and ends with the first one's exit code."""
    from rootless.cli import removal
    from rootless.engine import recover, volumes
    from rootless.store import paths

    places = paths.discover()
    # A crashed container uses its volumes until it is cleared.
    recover.tidy(places)

    def one(name: str) -> list[str]:
        volumes.remove(places, name)
        return [name]

    return removal.remove_each(parsed.arguments, one, gone_is_well=parsed.flag("force"))


LIST = Signature(
    show,
    "List volumes.",
    (
        flag("-q --quiet", "Only names"),
        templates.LIST_FORMAT,
        repeat("-f --filter", "KEY=VALUE", "name, dangling, driver, label"),
    ),
)

CREATE = Signature(
    create,
    "Make an empty volume; without NAME it gets one of 64 digits.",
    (),
    (Argument("NAME", 0, 1),),
)

INSPECT = Signature(
    inspect,
    "Print volumes as JSON.",
    (templates.FORMAT,),
    (Argument("VOLUME", 1, None),),
)

REMOVE = Signature(
    remove,
    "Remove volumes that no container uses, and the data in them.",
    (flag("-f --force", "A volume that does not exist is no error"),),
    (Argument("VOLUME", 1, None),),
)
