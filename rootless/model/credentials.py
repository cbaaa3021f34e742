"""The ids of a process, and what the set*id calls make of them (credentials(7), kernel/sys.c).

For processes that are all the same user to the kernel and have to believe otherwise. Pure.
"""

from __future__ import annotations

import errno

from rootless.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    # Real, effective, saved.
    Three = tuple[int, int, int]

KEEP = 2**32 - 1  # (uid_t) -1: this one stays


class Refused(Exception):
    """errno: what the call fails with."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.errno = number


class Credentials(Value):
    """uids, gids: real, effective, saved. groups: the supplementary ones. keeps: capabilities are
    kept when root becomes somebody else (PR_SET_KEEPCAPS), for good: the end of that at execve(2)
    is not seen."""

    __slots__ = ("gids", "groups", "keeps", "uids")

    def __init__(
        self, uids: Three, gids: Three, groups: tuple[int, ...], *, keeps: bool = False
    ) -> None:
        self.uids = uids
        self.gids = gids
        self.groups = groups
        self.keeps = keeps

    @classmethod
    def of(cls, uid: int, gid: int) -> Credentials:
        """Those of a process that has been one user from its start."""
        return cls((uid, uid, uid), (gid, gid, gid), (gid,))

    @property
    def is_root(self) -> bool:
        """Whether it may become anybody."""
        return self.uids[1] == 0 or self.keeps

    def fields(self) -> tuple[Three, Three, tuple[int, ...], bool]:
        """In types that marshal carries; `from_fields` reads them."""
        return self.uids, self.gids, self.groups, self.keeps

    @classmethod
    def from_fields(cls, fields: tuple[Three, Three, tuple[int, ...], bool]) -> Credentials:
        """The inverse of `fields`."""
        return cls(*fields[:3], keeps=fields[3])

    def keeping(self, *, keeps: bool) -> Credentials:
        """PR_SET_KEEPCAPS: it means something to root alone."""
        return Credentials(self.uids, self.gids, self.groups, keeps=keeps and self.is_root)

    def after(self, name: str, arguments: Sequence[int]) -> Credentials:
        """What the call `name` makes of them: setuid to setresgid. Raises Refused."""
        change = _CHANGES[name.replace("gid", "uid")]
        uids, gids = self.uids, self.gids
        if name.endswith("gid"):
            gids = change(gids, arguments, root=self.is_root)
        else:
            uids = change(uids, arguments, root=self.is_root)
        return Credentials(uids, gids, self.groups, keeps=self.keeps)

    def with_groups(self, groups: tuple[int, ...]) -> Credentials:
        """setgroups(2). Raises Refused."""
        if not self.is_root:
            raise Refused(errno.EPERM)
        return Credentials(self.uids, self.gids, groups, keeps=self.keeps)


def _set(now: Three, arguments: Sequence[int], *, root: bool) -> Three:
    wanted = arguments[0]
    _check(wanted)
    if root:
        return wanted, wanted, wanted
    _check_allowed(wanted, (now[0], now[2]))
    return now[0], wanted, now[2]


def _setre(now: Three, arguments: Sequence[int], *, root: bool) -> Three:
    real, effective = arguments[:2]
    if not root:
        _check_allowed(real, (KEEP, now[0], now[1]))
        _check_allowed(effective, (KEEP, *now))
    new_real, new_effective = _or(real, now[0]), _or(effective, now[1])
    follows = real != KEEP or (effective != KEEP and effective != now[0])
    return new_real, new_effective, new_effective if follows else now[2]


def _setres(now: Three, arguments: Sequence[int], *, root: bool) -> Three:
    for wanted in () if root else arguments[:3]:
        _check_allowed(wanted, (KEEP, *now))
    real, effective, saved = arguments[:3]
    return _or(real, now[0]), _or(effective, now[1]), _or(saved, now[2])


def _or(wanted: int, now: int) -> int:
    return now if wanted == KEEP else wanted


def _check(wanted: int) -> None:
    if wanted == KEEP:
        raise Refused(errno.EINVAL)


def _check_allowed(wanted: int, allowed: Sequence[int]) -> None:
    if wanted not in allowed:
        raise Refused(errno.EPERM)


_CHANGES = {"setuid": _set, "setreuid": _setre, "setresuid": _setres}
