"""Resource limits of the calling process (setrlimit(2))."""

from __future__ import annotations

from rootless.errors import HostError
from rootless.model.ulimits import UNLIMITED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any


def apply(rlimits: Sequence[Mapping[str, Any]]) -> None:
    """Set each of the OCI document's `process.rlimits` on this process and its later children.

    A hard limit can only be lowered: CAP_SYS_RESOURCE would have to be held in the host's own user
    namespace. Raises HostError that names the present hard limit, also for a limit that this
    kernel does not have.
    """
    if not rlimits:
        return
    # An extension module that a start without --ulimit does not need to load.
    import resource

    for limit in rlimits:
        number = getattr(resource, limit["type"], None)
        if number is None:
            number = _OTHERS.get(limit["type"])
        if number is None:
            raise HostError(f"{_short(limit['type'])}: no such limit on this system")
        _set(resource, number, limit)


def raise_open_files() -> None:
    """Let this process open as many files as its hard limit allows: for deep trees."""
    import resource

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


# Limits that the resource module has no constant for; the numbers are asm-generic/resource.h's.
_OTHERS = {"RLIMIT_LOCKS": 10}


def _set(resource: Any, number: int, limit: Mapping[str, Any]) -> None:
    soft, hard = (_signed(limit["soft"]), _signed(limit["hard"]))
    try:
        resource.setrlimit(number, (soft, hard))
    except (ValueError, OSError) as error:
        raise _refused(resource, number, limit) from error


def _signed(value: int) -> int:
    # resource.RLIM_INFINITY is -1, the same bits as the OCI document's unsigned number.
    return -1 if value == UNLIMITED else value


def _refused(resource: Any, number: int, limit: Mapping[str, Any]) -> HostError:
    name = _short(limit["type"])
    present = resource.getrlimit(number)[1]
    allowed = "unlimited" if present == resource.RLIM_INFINITY else str(present)
    wanted = "unlimited" if limit["hard"] == UNLIMITED else str(limit["hard"])
    return HostError(
        f"--ulimit {name}={wanted}: above the hard limit of this session, {allowed}",
        hint=f"--ulimit {name}={allowed}; an administrator raises it in /etc/security/limits.conf",
    )


def _short(kind: str) -> str:
    return kind.removeprefix("RLIMIT_").lower()
