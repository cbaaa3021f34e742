"""Capability sets of the calling thread, in the order that the kernel's rules ask for.

`drop_bounding` comes first, while CAP_SETPCAP is held; then the caller becomes the container's user
(with PR_SET_KEEPCAPS set where that is not root, so that the permitted set outlives setresuid(2));
`set_sets` comes last. capabilities(7), "Transformation of capabilities during execve()".
"""

from __future__ import annotations

import errno

from rootless import log
from rootless.kernel import libc
from rootless.model.capabilities import NAMES, from_mask, to_mask

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    Names = tuple[str, ...]


def last_capability() -> int:
    """The number of this kernel's last capability.

    What /proc/sys/kernel/cap_last_cap says, but asked of the kernel itself: after pivot_root /proc
    is the container's.
    """
    number = len(NAMES) - 1
    while not _is_known(number):
        number -= 1
    while _is_known(number + 1):
        number += 1
    return number


def _is_known(number: int) -> bool:
    try:
        libc.prctl(libc.PR_CAPBSET_READ, number)
    except OSError:
        return False
    return True


def drop_bounding(names: Iterable[str]) -> None:
    """Drop all but `names` from the bounding set, also what only a newer kernel knows.

    Names that this kernel lacks are nothing to keep. Raises OSError (EPERM) without CAP_SETPCAP.
    """
    wanted = to_mask(names)
    for number in range(last_capability() + 1):
        if not wanted >> number & 1:
            libc.prctl(libc.PR_CAPBSET_DROP, number)


def set_sets(document: Mapping[str, Sequence[str]]) -> Names:
    """Set the permitted, effective, inheritable and ambient sets of `process.capabilities`.

    Returns the wanted permitted capabilities that this process does not have to give (the host may
    hold some back from everybody); they are left out and told to log.effect.
    """
    held = libc.capget()[1]
    permitted = to_mask(document.get("permitted", ()))
    inheritable = to_mask(document.get("inheritable", ())) & held
    effective = to_mask(document.get("effective", ())) & permitted & held
    libc.capset(effective, permitted & held, inheritable)
    _set_ambient(to_mask(document.get("ambient", ())) & permitted & inheritable)
    missing = from_mask(permitted & ~held)
    if missing:
        log.effect(f"capabilities that this host holds back: {' '.join(missing)}")
    return missing


def _set_ambient(mask: int) -> None:
    try:
        libc.prctl(libc.PR_CAP_AMBIENT, libc.PR_CAP_AMBIENT_CLEAR_ALL)
    except OSError as error:
        # No ambient set before Linux 4.3, and nothing lost when none is wanted.
        if error.errno != errno.EINVAL or mask:
            raise
    for number in range(len(NAMES)):
        if mask >> number & 1:
            libc.prctl(libc.PR_CAP_AMBIENT, libc.PR_CAP_AMBIENT_RAISE, number)
