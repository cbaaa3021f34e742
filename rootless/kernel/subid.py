"""Subordinate ids as libsubid tells them (subid.h of shadow), whoever it asks."""

from __future__ import annotations

import ctypes

# By their sonames, the newest first; the interface is the same, but for the prefix of names.
_LIBRARIES = ("libsubid.so.5", "libsubid.so.4")


class _Range(ctypes.Structure):
    _fields_ = [("start", ctypes.c_ulong), ("count", ctypes.c_ulong)]


def ranges(user: str, *, groups: bool) -> list[tuple[int, int]]:
    """(start, count) of the ranges of `user`; empty where there are none, or no library."""
    library = _load()
    if library is None:
        return []
    function = getattr(library, f"subid_get_{'gid' if groups else 'uid'}_ranges")
    found = ctypes.POINTER(_Range)()
    count = function(user.encode(errors="surrogateescape"), ctypes.byref(found))
    return [(found[index].start, found[index].count) for index in range(count)]


def _load() -> ctypes.CDLL | None:
    for name in _LIBRARIES:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    return None
