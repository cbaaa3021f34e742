"""Maps of user and group ids between a user namespace and its parent (user_namespaces(7)).

A map is a tuple of ranges `(inside, outside, size)`, the three columns of /proc/PID/uid_map.
Pure: reading /etc/subuid and running newuidmap are `rootless.tools.idmap`'s.
"""

from __future__ import annotations

from rootless.model.digits import number
from rootless.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    IdRange = tuple[int, int, int]
    IdMap = tuple[IdRange, ...]

# Ids are 32 bits, and the last of them means none.
_MOST = 2**32 - 1


class IdMaps(Value):
    """The uid and the gid map of one user namespace."""

    __slots__ = ("gids", "uids")

    def __init__(self, uids: IdMap, gids: IdMap) -> None:
        self.uids = uids
        self.gids = gids

    @property
    def is_single(self) -> bool:
        """Whether only one id is mapped: there were no subordinate ids to use."""
        return size_of(self.uids) == 1


def size_of(id_map: IdMap) -> int:
    """How many ids `id_map` maps."""
    return sum(size for _, _, size in id_map)


def outside_ranges(id_map: IdMap) -> str:
    """The ids outside that `id_map` uses, for a reader: "1000, 100000-165535"."""
    ends = ((start, start + size - 1) for _, start, size in id_map)
    return ", ".join(f"{low}" if low == high else f"{low}-{high}" for low, high in ends)


def rootful_map(own_id: int, subordinate: list[tuple[int, int]]) -> IdMap:
    """0 is the user, 1 and up are the user's subordinate ranges `(start, count)` in their order."""
    ranges = [(0, own_id, 1)]
    inside = 1
    for start, count in subordinate:
        ranges.append((inside, start, count))
        inside += count
    return tuple(ranges)


def to_outside(id_map: IdMap, inside: int) -> int | None:
    """The parent's id of `inside`, None where it is not mapped."""
    for first, outside, size in id_map:
        if first <= inside < first + size:
            return outside + inside - first
    return None


def to_inside(id_map: IdMap, outside: int) -> int | None:
    """The namespace's id of the parent's `outside`, None where it is not mapped."""
    for first, start, size in id_map:
        if start <= outside < start + size:
            return first + outside - start
    return None


def through(inner: IdMap, outer: IdMap) -> IdMap:
    """`inner` seen from outer's parent: each of inner's outside ids looked up in `outer`.

    Ranges are split where outer's are; ids that outer does not map are left out.
    """
    pieces = split(inner, outer)
    return tuple((inside, to_outside(outer, middle) or 0, size) for inside, middle, size in pieces)


def split(inner: IdMap, outer: IdMap) -> IdMap:
    """`inner` in ranges that each lie within one range of `outer`, the parent's map.

    The kernel takes no others (map_write in kernel/user_namespace.c).
    """
    result: list[IdRange] = []
    for inside, middle, size in inner:
        for first, _, length in sorted(outer):
            low, high = max(middle, first), min(middle + size, first + length)
            if low < high:
                result.append((inside + low - middle, low, high - low))
    return tuple(sorted(result))


def format_map(id_map: IdMap) -> str:
    """`id_map` in the format of /proc/PID/uid_map."""
    return "".join(f"{inside} {outside} {size}\n" for inside, outside, size in id_map)


def parse_map(text: str) -> IdMap:
    """The inverse of `format_map`; columns may be padded, as the kernel pads them."""
    rows = (line.split() for line in text.splitlines())
    return tuple((int(row[0]), int(row[1]), int(row[2])) for row in rows if row)


def parse_subid(text: str, user: str, uid: int) -> list[tuple[int, int]]:
    """The ranges of /etc/subuid or /etc/subgid that belong to `user`, by name or uid (subuid(5)).

    Lines that break the format are skipped, as newuidmap skips them.
    """
    ranges = []
    for line in text.splitlines():
        fields = line.strip().split(":")
        if len(fields) == 3 and fields[0] in (user, str(uid)):
            start, count = number(fields[1], 0, _MOST), number(fields[2], 1, _MOST)
            if start is not None and count is not None:
                ranges.append((start, count))
    return ranges
