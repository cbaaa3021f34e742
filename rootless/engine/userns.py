"""`--userns`: which ids the container sees, without touching a file of the image. Pure.

The image's layers are owned after the canonical maps (image id n is canonical id n). A container
with other maps gets a user namespace inside the canonical one, and fuse-overlayfs shows each file
with the id that this inner namespace knows: nothing is copied or chowned.
"""

from __future__ import annotations

from rootless.errors import HostError, UsageError
from rootless.model.digits import number
from rootless.model.idmap import IdMaps, size_of, split, through
from rootless.model.user import MAXIMUM_ID

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.model.idmap import IdMap

AUTO_SIZE = 65536
_OPTIONS: dict[str, tuple[str, ...]] = {
    "": (), "host": (), "keep-id": ("uid", "gid"), "auto": ("size",), "nomap": (),
}  # fmt: skip


class UserNamespace:
    """The outcome. inner: maps onto canonical ids, None when the canonical namespace is used.

    host: the same as ids of the host, for the document. default_user: "UID:GID" of the process
    when neither flag nor image names one, "" for root.
    """

    __slots__ = ("default_user", "host", "inner")

    def __init__(self, host: IdMaps, inner: IdMaps | None = None, default_user: str = "") -> None:
        self.host = host
        self.inner = inner
        self.default_user = default_user

    @property
    def is_of_one_id(self) -> bool:
        """Whether this user has no other id than their own."""
        is_own = self.inner is None or self.inner.uids[0][1] == 0
        return self.host.is_single and is_own

    @property
    def has_no_root(self) -> bool:
        """Whether a single id is mapped, which is not root."""
        return self.inner is not None and self.is_of_one_id and self.inner.uids[0][0] != 0

    @property
    def shift(self) -> IdMaps:
        """From ids on disk to canonical ids, for the file system to show; empty where they agree.

        With a single id every file is the user's on disk, and stays so.
        """
        if self.inner is None or self.host.is_single:
            return IdMaps((), ())
        return self.inner


def choose(
    text: str, canonical: IdMaps, uid: int, gid: int, taken: list[tuple[int, int]]
) -> UserNamespace:
    """Read `--userns` `text`. taken: canonical ranges (first, size) of other "auto" containers.

    Raises UsageError for an unknown mode, HostError when there are too few subordinate ids.
    """
    mode, options = _parse(text)
    if mode in ("", "host"):
        return UserNamespace(canonical)
    if canonical.is_single:
        if mode == "keep-id":
            return as_single(canonical, options.get("uid", uid), options.get("gid", gid))
        raise HostError(
            f"--userns {text}: needs subordinate ids, and this user has none",
            hint='sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 "$(id -un)"',
        )
    if mode == "keep-id":
        user, group = options.get("uid", uid), options.get("gid", gid)
        inner = IdMaps(_keep(canonical.uids, user), _keep(canonical.gids, group))
        return _nested(inner, canonical, f"{user}:{group}")
    available = min(size_of(canonical.uids), size_of(canonical.gids)) - 1
    if mode == "nomap":
        row = ((0, 1, available),)
        return _nested(IdMaps(row, row), canonical, "")
    size = options.get("size", min(AUTO_SIZE, available))
    row = ((0, _free_range(text, size, available, taken), size),)
    return _nested(IdMaps(row, row), canonical, "")


def _nested(inner: IdMaps, canonical: IdMaps, default_user: str) -> UserNamespace:
    inner = IdMaps(split(inner.uids, canonical.uids), split(inner.gids, canonical.gids))
    host = IdMaps(through(inner.uids, canonical.uids), through(inner.gids, canonical.gids))
    return UserNamespace(host, inner, default_user)


def _parse(text: str) -> tuple[str, dict[str, int]]:
    mode, _, rest = text.partition(":")
    if mode not in _OPTIONS:
        modes = ", ".join(filter(None, _OPTIONS))
        raise UsageError(f"--userns {text}: no such mode", hint=f"one of: {modes}")
    return mode, dict(_option(text, mode, item) for item in filter(None, rest.split(",")))


def _option(text: str, mode: str, item: str) -> tuple[str, int]:
    key, _, value = item.partition("=")
    if key not in _OPTIONS[mode]:
        known = ", ".join(_OPTIONS[mode]) or "none"
        raise UsageError(f"--userns {text}: {item!r} is no option of it", hint=f"there is: {known}")
    lowest = 1 if key == "size" else 0
    chosen = number(value, lowest, MAXIMUM_ID)
    if chosen is None:
        raise UsageError(f"--userns {text}: {key} is a number from {lowest} to {MAXIMUM_ID}")
    return key, chosen


def as_single(canonical: IdMaps, uid: int, gid: int) -> UserNamespace:
    """Of a user without subordinate ids: the one id that there is, as `uid` and `gid`."""
    inner = IdMaps(((uid, 0, 1),), ((gid, 0, 1),))
    return _nested(inner, canonical, f"{uid}:{gid}")


def _keep(canonical: IdMap, own: int) -> IdMap:
    """Canonical 0 (the user) becomes `own`; the subordinate ids fill what is below and above."""
    others = size_of(canonical) - 1
    below = min(own, others)
    rows = [(0, 1, below), (own, 0, 1), (own + 1, below + 1, others - below)]
    return tuple(row for row in rows if row[2] > 0)


def _free_range(text: str, size: int, available: int, taken: list[tuple[int, int]]) -> int:
    start = 1
    for first, length in sorted(taken):
        if start + size <= first:
            break
        start = max(start, first + length)
    if start + size > available + 1:
        raise HostError(
            f"--userns {text}: no {size} subordinate ids are free"
            f" ({available} in all, {len(taken)} running containers use some)",
            hint="rl run --userns auto:size=1024 …",
        )
    return start
