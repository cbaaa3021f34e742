"""Resource limits as --ulimit gives them (docker-run(1)) and as the OCI document holds them.

Pure; `rootless.kernel.rlimits` sets them. Values are in the kernel's units (setrlimit(2)): bytes,
seconds, counts.
"""

from __future__ import annotations

from rootless.errors import UsageError
from rootless.model.digits import number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    Ulimit = tuple[str, int, int]

# RLIM_INFINITY as the OCI document writes it: an unsigned 64-bit number.
UNLIMITED = 2**64 - 1

# The names that docker and podman know; RLIMIT_ and upper case make the kernel's name of each.
NAMES = (
    "as",
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
)


def parse(text: str) -> Ulimit:
    """`NAME=SOFT[:HARD]` as (name, soft, hard); -1 and "unlimited" give UNLIMITED.

    Without HARD both are SOFT. Raises UsageError.
    """
    name, equals, values = text.partition("=")
    name = name.strip().lower().removeprefix("rlimit_")
    if name not in NAMES:
        raise UsageError(f"--ulimit {text}: no such limit", hint=_closest(name))
    soft_text, colon, hard_text = values.partition(":")
    if not equals or not soft_text or (colon and not hard_text):
        raise _malformed(text, name)
    soft = _number(text, name, soft_text)
    hard = _number(text, name, hard_text) if colon else soft
    if soft > hard:
        raise UsageError(
            f"--ulimit {text}: the soft limit is above the hard limit",
            hint=f"--ulimit {name}={hard_text}:{soft_text}",
        )
    return (name, soft, hard)


def parse_all(options: Sequence[str]) -> tuple[Ulimit, ...]:
    """Every --ulimit of a command line; of several for one name the last counts.

    `host` keeps the limits that `rl` itself runs under and has to stand alone; so does no option.
    """
    if "host" in options:
        if len(set(options)) > 1:
            raise UsageError(
                "--ulimit host: cannot be combined with other limits", hint="--ulimit host"
            )
        return ()
    limits = {limit[0]: limit for limit in map(parse, options)}
    return tuple(limits.values())


def to_oci(limits: Sequence[Ulimit]) -> list[dict[str, Any]]:
    """The OCI document's `process.rlimits` (runtime-spec, config.md, "rlimits")."""
    return [
        {"type": f"RLIMIT_{name.upper()}", "soft": soft, "hard": hard}
        for name, soft, hard in limits
    ]


def _number(text: str, name: str, value: str) -> int:
    if value in ("-1", "unlimited"):
        return UNLIMITED
    limit = number(value, 0, UNLIMITED)
    if limit is None:
        raise _malformed(text, name)
    return limit


def _malformed(text: str, name: str) -> UsageError:
    return UsageError(
        f"--ulimit {text}: not of the form NAME=SOFT[:HARD]", hint=f"--ulimit {name}=1024:2048"
    )


def _closest(name: str) -> str:
    import difflib

    close = difflib.get_close_matches(name, NAMES, n=3)
    return f"did you mean {' or '.join(close)}?" if close else f"one of: {', '.join(NAMES)}"
