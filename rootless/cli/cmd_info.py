"""`rl version` and `rl info`."""

from __future__ import annotations

import os
import sys

from rootless.cli import output
from rootless.cli.options import Parsed, Signature, value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# Written here and in pyproject.toml: asking importlib.metadata costs 40 ms.
VERSION = "0.1.0"

FORMAT = value("--format", "FORMAT", "json for a document", choices=("json",))


def version(parsed: Parsed) -> int:
    """Print the version of `rl`."""
    python = ".".join(str(part) for part in sys.version_info[:3])
    if parsed.text("format"):
        output.write_json({"Version": VERSION, "Python": python})
    else:
        output.write_line(f"rl version {VERSION}")
    return 0


def info(parsed: Parsed) -> int:
    """Print where things are kept and what the host lets us do."""
    document = _gather()
    if parsed.text("format"):
        output.write_json(document)
        return 0
    for title, facts in document.items():
        output.write_line(f"{title}:")
        for name, fact in facts.items():
            output.write_line(f"  {name}: {fact}")
    return 0


def _gather() -> dict[str, dict[str, Any]]:
    from rootless.engine import facts, storage
    from rootless.errors import HostError
    from rootless.store import containers, index, paths

    places = paths.discover()
    host = facts.gather()
    try:
        driver = storage.choose("", host, shifts=False)
    except HostError as error:
        driver = f"none: {error.message}"
    return {
        "rl": {"version": VERSION, "python": sys.executable},
        "store": {
            "root": places.root,
            "runtime": places.runtime,
            "images": len(index.entries(places)),
            "containers": len(containers.all_ids(places)),
            "running": len(containers.live_ids(places)),
        },
        "drivers": {"storage": driver, "network": _network()},
        "host": {
            "kernel": os.uname().release,
            "architecture": os.uname().machine,
            "user": f"{host.uid}:{host.gid}",
            "uids": _size(host.maps.uids),
            "gids": _size(host.maps.gids),
        },
    }


def _size(id_map: tuple[tuple[int, int, int], ...]) -> int:
    from rootless.model.idmap import size_of

    return size_of(id_map)


def _network() -> str:
    from rootless.tools import spawn

    path = spawn.which("slirp4netns")
    return f"slirp4netns ({path})" if path else "none: slirp4netns is not installed"


VERSION_COMMAND = Signature(version, "Show the version.", (FORMAT,))
INFO = Signature(info, "Show where things are kept, the drivers and the host.", (FORMAT,))
