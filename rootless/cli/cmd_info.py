"""`rl version` and `rl info`."""

from __future__ import annotations

import os
import sys

from rootless.cli import output, templates
from rootless.cli.options import Parsed, Signature

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# Written here and in pyproject.toml: asking importlib.metadata costs 40 ms.
VERSION = "0.1.0"

_HELPERS = ("fuse-overlayfs", "slirp4netns", "pasta", "newuidmap", "newgidmap")
# They know no --version.
_SET_UID = ("newuidmap", "newgidmap")


def version(parsed: Parsed) -> int:
    """Print the version of `rl`."""
    python = ".".join(str(part) for part in sys.version_info[:3])
    if parsed.text("format"):
        from rootless.model import platform

        host = os.uname()
        part = {"Version": VERSION, "Os": "linux", "Arch": platform.host().architecture}
        # There is no server; what scripts ask docker's for is ours.
        document = {"Version": VERSION, "Python": python, "Client": part}
        server = {**part, "KernelVersion": host.release}
        templates.write_document({**document, "Server": server}, parsed.text("format"))
    else:
        output.write_line(f"rl version {VERSION}")
    return 0


def info(parsed: Parsed) -> int:
    """Print where things are kept and what the host lets us do."""
    document = _gather()
    if parsed.text("format"):
        from rootless.cli import info_document

        dockers = info_document.build(document, VERSION)
        templates.write_document({**document, **dockers}, parsed.text("format"))
        return 0
    for title, facts in document.items():
        output.write_line(f"{title}:")
        for name, fact in facts.items():
            output.write_line(f"  {name}: {fact}")
    return 0


def _gather() -> dict[str, dict[str, Any]]:
    from rootless.engine import facts, storage
    from rootless.errors import HostError
    from rootless.model.idmap import outside_ranges, size_of
    from rootless.store import containers, index, paths

    places = paths.discover()
    host = facts.gather()
    try:
        driver = storage.choose("", host, places.containers, shifts=False)
    except HostError as error:
        driver = f"none: {error.message}"
    return {
        "rl": {"version": VERSION, "python": sys.executable},
        "store": {
            "root": places.root,
            **_instead_of(places.root),
            "runtime": places.runtime,
            "images": len(index.entries(places)),
            "containers": len(containers.all_ids(places)),
            "running": len(containers.live_ids(places)),
        },
        "drivers": {"storage": driver, "network": _network()},
        "helpers": {name: _helper(name) for name in _HELPERS},
        "host": {
            "kernel": os.uname().release,
            "architecture": os.uname().machine,
            "user": f"{host.uid}:{host.gid}",
            "uids": size_of(host.maps.uids),
            "gids": size_of(host.maps.gids),
            "uid ranges": outside_ranges(host.maps.uids),
            "gid ranges": outside_ranges(host.maps.gids),
        },
    }


def _instead_of(root: str) -> dict[str, str]:
    """What the store stands for, where that could not hold one (store.instead)."""
    from rootless.store import instead

    refused = instead.read(root)
    return (
        {"instead of": ", ".join(f"{p or 'a home'} ({r})" for p, r in refused.items())}
        if refused
        else {}
    )


def _helper(name: str) -> str:
    """The version and the path of a program that we run, as far as it tells them."""
    from rootless.tools import spawn

    path = spawn.which(name)
    if path is None:
        return "not installed"
    if name in _SET_UID:
        return path
    done = spawn.run([path, "--version"])
    lines = (done.stdout + done.stderr).decode(errors="replace").splitlines()
    # fuse-overlayfs tells fusermount's version first.
    own = next((line for line in lines if line.startswith(name) and "version" in line), "")
    version = own.removeprefix(name).strip(": ").removeprefix("version ")
    return f"{version} ({path})" if version else path


def _network() -> str:
    from rootless.tools import spawn

    path = spawn.which("slirp4netns")
    return f"slirp4netns ({path})" if path else "none: slirp4netns is not installed"


VERSION_COMMAND = Signature(version, "Show the version.", (templates.FORMAT,))
INFO = Signature(info, "Show where things are kept, the drivers and the host.", (templates.FORMAT,))
