"""Linux capabilities: their names, the default set, and what --cap-add and --cap-drop make of it.

Pure. A set is a tuple of names ("CAP_CHOWN") in the order of their numbers, as the OCI runtime
document holds it (runtime-spec, config.md, "capabilities"); `rootless.kernel.capabilities` applies
it. Whatever is granted here counts only inside the container's user namespace.
"""

from __future__ import annotations

from rootless.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    Names = tuple[str, ...]

# capabilities(7) and linux/capability.h: the position is the number.
NAMES = (
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
)

# podman 4's set (containers.conf, default_capabilities): enough for package managers and for
# daemons that change their user, without raw sockets, device nodes or anything of SYS_ADMIN's.
DEFAULT = (
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_SETFCAP",
)

_ALL = "ALL"


def resolve(add: Sequence[str], drop: Sequence[str], *, privileged: bool) -> Names:
    """The bounding set that --cap-add `add` and --cap-drop `drop` ask for.

    They start from DEFAULT, or from all with --privileged. Names may be written in any case, with
    or without CAP_; ALL stands for every one. Raises UsageError for an unknown name and for one
    that is both added and dropped.
    """
    added, dropped = _read("--cap-add", add), _read("--cap-drop", drop)
    _refuse_both(added, dropped)
    if _ALL in dropped:
        return _ordered(added)
    base: Iterable[str] = NAMES if privileged or _ALL in added else DEFAULT
    return _ordered((set(base) | added) - dropped)


def explicitly_added(add: Sequence[str], bounding: Sequence[str]) -> Names:
    """The part of `bounding` that --cap-add named: what a user other than root gets."""
    added = _read("--cap-add", add)
    return _ordered(bounding) if _ALL in added else _ordered(added & set(bounding))


def process_capabilities(
    bounding: Sequence[str], *, is_root: bool, added: Sequence[str] = ()
) -> dict[str, list[str]]:
    """The OCI document's `process.capabilities`.

    Root gets all of `bounding`. Another user gets `added` alone, through the ambient set (execve(2)
    would clear anything else); the bounding set stays, for file capabilities and set-user-ID
    programs. Nothing is inheritable beside the ambient set: that would let a program with file
    capabilities gain what its user was not meant to have (CVE-2022-27651).
    """
    held = list(bounding if is_root else added)
    ambient = [] if is_root else held
    return {
        "bounding": list(bounding),
        "effective": held,
        "permitted": held,
        "inheritable": ambient,
        "ambient": ambient,
    }


def to_mask(names: Iterable[str]) -> int:
    """The names as a bit mask, bit n for capability number n. Unknown names are left out."""
    mask = 0
    for name in names:
        if name in NAMES:
            mask |= 1 << NAMES.index(name)
    return mask


def from_mask(mask: int) -> Names:
    """The names of the bits that are set; bits without a name are left out."""
    return tuple(name for number, name in enumerate(NAMES) if mask >> number & 1)


def _read(flag: str, values: Sequence[str]) -> set[str]:
    return {_name(flag, value) for value in values}


def _name(flag: str, value: str) -> str:
    name = value.upper()
    if name in (_ALL, "CAP_ALL"):
        return _ALL
    full = name if name.startswith("CAP_") else f"CAP_{name}"
    if full not in NAMES:
        raise UsageError(f"{flag} {value}: no such capability", hint=_closest(full))
    return full


def _closest(name: str) -> str:
    import difflib

    close = difflib.get_close_matches(name, NAMES, n=3)
    return f"did you mean {' or '.join(close)}?" if close else "man 7 capabilities"


def _refuse_both(added: set[str], dropped: set[str]) -> None:
    both = sorted(added & dropped)
    if both:
        raise UsageError(
            f"--cap-add {both[0]}: also given to --cap-drop", hint="leave out one of the two flags"
        )


def _ordered(names: Iterable[str]) -> Names:
    wanted = set(names)
    return tuple(name for name in NAMES if name in wanted)
