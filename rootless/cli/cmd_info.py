"""`rl version` and `rl info`."""

from __future__ import annotations

import os
import sys

from rootless.cli import output, templates
from rootless.cli.options import Parsed, Signature

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from rootless.engine.facts import HostFacts
    from rootless.store.paths import Paths
    from rootless.store.verdicts import Verdicts

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
    from rootless.model.idmap import outside_ranges, size_of
    from rootless.store import containers, index, paths, verdicts

    places = paths.discover()
    known = verdicts.Verdicts(places)
    host = _look(known)
    return {
        "rl": {"version": VERSION, "python": sys.executable},
        "store": {
            "root": places.root,
            **_instead_of(places.root),
            "runtime": places.runtime,
            **_additional(places),
            "images": len(index.entries(places)),
            "containers": len(containers.all_ids(places)),
            "running": len(containers.live_ids(places)),
        },
        "drivers": _drivers(places, host, known),
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


def _additional(places: Paths) -> dict[str, str]:
    """The image stores of others that are read."""
    roots = [other.root for other in places.additional]
    return {"additional image stores": ", ".join(roots)} if roots else {}


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


def _look(known: Verdicts) -> HostFacts:
    from rootless.engine import facts
    from rootless.errors import StoreError

    try:
        return facts.gather(verdicts=known)
    except StoreError:
        # Nothing can be tried in a store that cannot be written to, which may be looked at.
        return facts.gather()


def _drivers(places: Paths, host: HostFacts, known: Verdicts) -> dict[str, str]:
    """What a run without flags would use, with the reason where it is not the first choice."""
    from rootless.cgroup import choice
    from rootless.engine import networks, storage

    groups = choice.choose()
    return {
        "storage": _or_none(lambda: storage.choose("", host, places.containers, shifts=False)),
        "network": _or_none(lambda: networks.describe(known)),
        "cgroups": f"{groups.manager} ({groups.reason})" if groups.reason else groups.manager,
        "ids": _ids(host),
    }


def _or_none(find: Callable[[], str]) -> str:
    from rootless.errors import HostError

    try:
        return find()
    except HostError as error:
        return f"none: {error.message}"


def _ids(host: HostFacts) -> str:
    if not host.maps.is_single:
        return "root of this namespace" if host.uid == 0 else "subordinate ids"
    return "one id: no subordinate ids, or no newuidmap"


VERSION_COMMAND = Signature(version, "Show the version.", (templates.FORMAT,))
INFO = Signature(info, "Show where things are kept, the drivers and the host.", (templates.FORMAT,))
