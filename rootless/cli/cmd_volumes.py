"""`rl volume ls`, `create`, `inspect` and `rm`."""

from __future__ import annotations

from rootless.cli import output
from rootless.cli.options import Argument, Parsed, Signature, flag, value
from rootless.errors import NotFoundError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    pass


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


def create(parsed: Parsed) -> int:
    """Make a volume, which is no error when it is there, and print its name."""
    import os

    from rootless.model import mountspec
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
    from rootless.store import paths, volumes

    places = paths.discover()
    known = volumes.names(places)
    for name in parsed.arguments:
        if name not in known:
            raise NotFoundError(f"no such volume: {name}", hint="rl volume ls")
    shown = [(name, volumes.data_path(places, name)) for name in parsed.arguments]
    more = {"Labels": {}, "Options": {}, "Scope": "local"}
    output.write_json([{**_document(name, path), **more} for name, path in shown])
    return 0


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
        value("--format", "FORMAT", "json for a document", choices=("json",)),
    ),
)

CREATE = Signature(
    create,
    "Make an empty volume; without NAME it gets one of 64 digits.",
    (),
    (Argument("NAME", 0, 1),),
)

INSPECT = Signature(inspect, "Print volumes as JSON.", (), (Argument("VOLUME", 1, None),))

REMOVE = Signature(
    remove,
    "Remove volumes that no container uses, and the data in them.",
    (flag("-f --force", "A volume that does not exist is no error"),),
    (Argument("VOLUME", 1, None),),
)
