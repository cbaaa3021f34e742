"""`rl volume ls` and `rl volume rm`."""

from __future__ import annotations

from rootless.cli import output
from rootless.cli.options import Argument, Parsed, Signature, flag, value
from rootless.errors import NotFoundError


def show(parsed: Parsed) -> int:
    """List the volumes."""
    from rootless.store import paths, volumes

    places = paths.discover()
    names = volumes.names(places)
    if parsed.flag("quiet"):
        for name in names:
            output.write_line(name)
    elif parsed.text("format"):
        output.write_json([_document(name, volumes.data_path(places, name)) for name in names])
    else:
        output.write_table(("DRIVER", "VOLUME NAME"), [("local", name) for name in names])
    return 0


def _document(name: str, mountpoint: str) -> dict[str, str]:
    return {"Name": name, "Driver": "local", "Mountpoint": mountpoint}


def remove(parsed: Parsed) -> int:
    """Remove volumes with their data, and say which."""
    from rootless.store import paths, volumes
    from rootless.tools import idmap

    places = paths.discover()
    for name in parsed.arguments:
        try:
            # Files of the container's users belong to subordinate ids, which only a user
            # namespace with the same maps may remove.
            idmap.call(lambda name=name: volumes.remove(places, name))  # type: ignore[misc]
        except NotFoundError:
            if not parsed.flag("force"):
                raise
            continue
        output.write_line(name)
    return 0


LIST = Signature(
    show,
    "List volumes.",
    (
        flag("-q --quiet", "Only names"),
        value("--format", "FORMAT", "json for a document", choices=("json",)),
    ),
)

REMOVE = Signature(
    remove,
    "Remove volumes and the data in them.",
    (flag("-f --force", "A volume that does not exist is no error"),),
    (Argument("VOLUME", 1, None),),
)
