"""Where a user's subordinate ids are listed, and whether the helpers that map them can do so.

/etc/subuid and /etc/subgid, unless the line `subid:` of nsswitch.conf(5) names something else (one
source, as libsubid reads it): a directory server, say, behind SSSD. Then getsubids(1) is asked, or
libsubid itself where that program is not installed. newuidmap(1) asks in the same way.
"""

from __future__ import annotations

import os
import stat

from rootless import log
from rootless.model.digits import number
from rootless.model.idmap import parse_subid
from rootless.tools import spawn

TYPE_CHECKING = False
if TYPE_CHECKING:
    Ranges = list[tuple[int, int]]

NSSWITCH = "/etc/nsswitch.conf"
HELPERS = ("newuidmap", "newgidmap")
_FILES = "files"
_MOST = 2**32 - 1


def ranges(path: str, user: str, uid: int) -> Ranges:
    """(start, count) of the ranges of `user`; path: /etc/subuid, or /etc/subgid for groups."""
    if source() == _FILES:
        try:
            with open(path) as file:
                return parse_subid(file.read(), user, uid)
        except FileNotFoundError:
            return []
    return _asked(user, groups=path.endswith("gid"))


_sources: dict[str, str] = {}


def source() -> str:
    """Who is asked: "files", or what nsswitch.conf names."""
    if NSSWITCH not in _sources:
        _sources[NSSWITCH] = _source_in(NSSWITCH)
    return _sources[NSSWITCH]


def _source_in(path: str) -> str:
    try:
        with open(path) as file:
            text = file.read()
    except (OSError, ValueError):
        return _FILES
    if "subid" in text:
        for line in text.splitlines():
            name, _, words = line.partition("#")[0].partition(":")
            if name.strip() == "subid" and words.split():
                return words.split()[0].lower()
    return _FILES


def _asked(user: str, *, groups: bool) -> Ranges:
    program = spawn.which("getsubids")
    if program is None:
        from rootless.kernel import subid

        return subid.ranges(user, groups=groups)
    done = spawn.run([program, *(["-g"] if groups else []), user])
    if done.code:
        log.effect(f"{program}: {done.complaint()}")
        return []
    return parse_getsubids(done.stdout.decode(errors="replace"))


def parse_getsubids(text: str) -> Ranges:
    """The lines of getsubids(1), "0: user 100000 65536"; others are skipped."""
    found = []
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 4 and words[0].endswith(":"):
            start, count = number(words[-2], 0, _MOST), number(words[-1], 1, _MOST)
            if start is not None and count is not None:
                found.append((start, count))
    return found


def can_be_mapped() -> bool:
    """Whether newuidmap and newgidmap are there and get the privileges that they need."""
    from rootless.kernel import libc

    paths = [spawn.which(name) for name in HELPERS]
    if not all(path is not None and _is_privileged(path) for path in paths):
        return False
    return not libc.prctl(libc.PR_GET_NO_NEW_PRIVS)


def why_none() -> str:
    """Why one id alone is mapped."""
    for name in HELPERS:
        path = spawn.which(name)
        if path is None:
            return f"{name} is not installed"
        if not _is_privileged(path):
            return f"{path} gets no privileges"
    return "no subordinate ids for this user" if can_be_mapped() else "no_new_privs is set"


def _is_privileged(path: str) -> bool:
    """Whether a program runs as root, or has the file capability to act so."""
    try:
        setuid, capability, nosuid = rights_of(path)
    except OSError:
        return False
    return (setuid or capability) and not nosuid


def rights_of(path: str) -> tuple[bool, bool, bool]:
    """Of a program: whether it is setuid root; else, whether it has file capabilities; whether it
    is on a file system that makes both void. Raises OSError."""
    info = os.stat(path)
    # Seen from a user namespace without the host's root, it is somebody else's.
    setuid = bool(info.st_mode & stat.S_ISUID) and info.st_uid == 0
    nosuid = bool(os.statvfs(path).f_flag & os.ST_NOSUID)
    return setuid, not setuid and _has_capabilities(path), nosuid


def _has_capabilities(path: str) -> bool:
    try:
        return bool(os.getxattr(path, "security.capability"))
    except OSError:
        return False
