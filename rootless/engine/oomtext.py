"""What the OOM killer did to a container, in words."""

from __future__ import annotations

import os

from rootless.model.units import binary_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from rootless.runtime.oom import OomKill


def sentence(kills: Sequence[OomKill], top: str) -> str:
    """The line for who started the container. top: the directory of its group."""
    count = sum(kill["count"] for kill in kills)
    last = kills[-1]
    what = victim(last)
    if count > 1:
        what = f"{count} processes" + (f", the last {what}" if last["pid"] else "")
    return f"out of memory: the kernel killed {what or 'a process'} at {whose_limit(last, top)}"


def victim(kill: OomKill) -> str:
    """The largest process that it took, "" when that was not seen."""
    if not kill["pid"]:
        return ""
    size = f", {binary_size(kill['rss'])}" if kill["rss"] else ""
    return f"{kill['command'] or 'a process without a name'} (process {kill['pid']}{size})"


def whose_limit(kill: OomKill, top: str) -> str:
    """Whose limit had been reached, and how much that is."""
    path, limit = kill["limit_of"], kill["limit"]
    size = f" of {binary_size(limit)}" if limit else ""
    if not path:
        return "the end of the host's memory"
    if path.endswith("/*"):
        return "a limit that the container has set itself"
    if path.startswith(top):
        return f"the container's limit{size}"
    return f"the limit{size} of {os.path.basename(path)}, which is not the container's own"
