"""Files from a context or a stage into a stage: who mounts what for it, and the digests."""

from __future__ import annotations

import json
import os

from rootless.engine.building import roots, selection, state
from rootless.engine.building.placing import Placing
from rootless.store import buildcache, layers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rootless.engine.building.placing import Changes
    from rootless.engine.building.selection import Wish
    from rootless.runtime.messages import RootfsRequest
    from rootless.store.paths import Paths

    # Gets where it writes, and the root of what it reads.
    Use = Callable[[Placing, int], None]


class Source:
    """fd: a directory that is open here, the context's; else -1 and the layers of a stage."""

    __slots__ = ("diff_ids", "fd", "shown", "trees")

    def __init__(
        self, shown: str, fd: int = -1, trees: list[str] | None = None,
        diff_ids: list[str] | None = None,
    ) -> None:  # fmt: skip
        self.shown = shown
        self.fd = fd
        self.trees = trees or []
        self.diff_ids = diff_ids or []


def digest(paths: Paths, source: Source, wish: Wish) -> str:
    """Of what `wish` means in `source`. Of layers it is remembered. Raises RlError."""
    if source.fd >= 0:
        return selection.digest(source.fd, wish)
    excluded = [one.text for one in wish.exclude.patterns] if wish.exclude else []
    key = state.key_of("content", source.diff_ids, wish.sources, excluded, wish.parents)
    known = buildcache.find_content(paths, key)
    if known:
        return known
    with layers.Workspace(paths) as workspace:
        request = roots.prepare(f"{workspace.path}/source", source.trees)
        work = roots.sender(lambda root: selection.digest(root, wish))
        found = str(roots.work_in(request, work))
    buildcache.keep_content(paths, key, found)
    return found


def copy(
    folder: str,
    trees: list[str],
    source: Source | None,
    changes: Changes,
    use: Use,
    keep: Sequence[int] = (),
) -> list[str]:
    """Have `use` write on top of `trees`; what it wrote is then in `upper_of(folder)`.

    keep: descriptors that it needs. What had to be left out, in lines. Raises RlError.
    """
    os.mkdir(folder, 0o700)
    return _write(folder, roots.prepare(f"{folder}/root", trees), source, changes, use, keep)


def _write(
    folder: str,
    request: RootfsRequest,
    source: Source | None,
    changes: Changes,
    use: Use,
    keep: Sequence[int] = (),
) -> list[str]:
    from_layers = source is not None and source.fd < 0
    second = roots.prepare(f"{folder}/source", source.trees) if source and from_layers else None

    def write(root: int) -> str:
        placing = Placing(root, changes)
        try:
            if second is not None:
                roots.with_mounted(second, lambda read: use(placing, read))
            else:
                use(placing, source.fd if source is not None else -1)
        finally:
            placing.close()
        return json.dumps(placing.notes.lines())

    fds = [*keep, source.fd] if source is not None and source.fd >= 0 else list(keep)
    lines: list[str] = json.loads(roots.work_in(request, roots.sender(write), fds))
    return lines


def upper_of(folder: str) -> str:
    """Where `copy` has written."""
    return roots.upper_of(f"{folder}/root")


def materialise(folder: str, source: Source, changes: Changes, use: Use) -> str:
    """Have `use` write into a new directory below `folder`; its path. Raises RlError."""
    os.mkdir(folder, 0o700)
    _write(folder, roots.prepare_plain(f"{folder}/root"), source, changes, use)
    return f"{folder}/root/tree"
