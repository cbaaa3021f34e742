"""What results look like: tables, JSON, sizes and ages, as docker and podman write them."""

from __future__ import annotations

import sys
import time

from rootless.cli.diagnostics import harmless
from rootless.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

# docker/go-units, HumanSize: decimal, four significant digits at most.
_SIZE_UNITS = ("B", "kB", "MB", "GB", "TB", "PB", "EB")
# docker/go-units, BytesSize.
_MINUTE, _HOUR = 60, 3600
_SHORT_ID = 12


def write_line(text: str) -> None:
    """One line on standard output."""
    sys.stdout.write(f"{harmless(text)}\n")


def write_json(document: object) -> None:
    """`document`, indented by four as docker does it."""
    # With what it imports it costs as much as listing five hundred containers.
    import json

    sys.stdout.write(json.dumps(document, indent=4, ensure_ascii=False) + "\n")


def write_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns, each as wide as its widest field and three spaces."""
    write_rows([list(heads), *rows])


def write_rows(rows: Sequence[Sequence[str]]) -> None:
    """A table without a heading."""
    for line in table_lines(rows):
        sys.stdout.write(f"{line}\n")


def table_lines(rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table, without their ends."""
    shown = [[harmless(field) for field in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    return [
        "   ".join(field.ljust(width) for field, width in zip(row, widths, strict=True)).rstrip()
        for row in shown
    ]


def refuse_terminal(command: str, hint: str) -> None:
    """Raises UsageError where standard output, which gets an archive, is a terminal."""
    if sys.stdout.isatty():
        raise UsageError(f"{command}: does not write an archive to a terminal", hint)


def short_id(digest: str) -> str:
    """The twelve digits that stand for an image or a container."""
    return digest.partition(":")[2][:_SHORT_ID] if ":" in digest else digest[:_SHORT_ID]


def human_size(size: float) -> str:
    """Bytes as docker writes them: 7.05MB, 512B."""
    unit = 0
    while size >= 1000 and unit < len(_SIZE_UNITS) - 1:
        size /= 1000
        unit += 1
    return f"{size:.3g}{_SIZE_UNITS[unit]}" if size < 999.5 else f"{size:.0f}{_SIZE_UNITS[unit]}"


def human_age(seconds: float) -> str:
    """Seconds as docker writes an age (go-units, HumanDuration)."""
    return f"{human_duration(seconds)} ago"


def human_duration(length: float) -> str:
    """Seconds in words, roughly."""
    seconds = int(length)
    hours = (seconds + _HOUR // 2) // _HOUR
    if seconds < 1:
        return "Less than a second"
    if seconds < _MINUTE:
        return f"{seconds} second{'s' if seconds > 1 else ''}"
    if seconds < _HOUR:
        minutes = seconds // _MINUTE
        return "About a minute" if minutes == 1 else f"{minutes} minutes"
    if hours == 1:
        return "About an hour"
    return _long_duration(hours)


def _long_duration(hours: int) -> str:
    if hours < 48:
        return f"{hours} hours"
    if hours < 24 * 7 * 2:
        return f"{hours // 24} days"
    if hours < 24 * 30 * 2:
        return f"{hours // 24 // 7} weeks"
    if hours < 24 * 365 * 2:
        return f"{hours // 24 // 30} months"
    return f"{hours // 24 // 365} years"


def age_of(created: str, now: float) -> str:
    """An RFC 3339 time such as an image's "created" as its age at `now`; "N/A" when unreadable."""
    seconds = parse_time(created)
    if seconds is None:
        return "N/A"
    return human_age(max(0.0, now - seconds))


def local_time(seconds: float) -> str:
    """Seconds since 1970 as Go's time.String: 2026-11-21 03:56:57 +0000 UTC."""
    return time.strftime("%Y-%m-%d %H:%M:%S %z %Z", time.localtime(seconds))


def parse_time(text: str) -> float | None:
    """RFC 3339 to seconds since 1970, None for what is no time."""
    # Not time.strptime or calendar: both import the locale.
    from datetime import datetime, timezone

    head, zone = text[:19], text[19:].lstrip(".0123456789")
    try:
        moment = datetime.fromisoformat(head).replace(tzinfo=timezone.utc)
        return moment.timestamp() - _offset(zone)
    except ValueError:
        return None


def _offset(zone: str) -> int:
    """Seconds of a zone such as +02:00; Z and nothing are UTC."""
    if zone in ("Z", "z", ""):
        return 0
    sign = {"+": 1, "-": -1}.get(zone[0])
    if sign is None or len(zone) != 6 or zone[3] != ":":
        raise ValueError(zone)
    return sign * (int(zone[1:3]) * _HOUR + int(zone[4:6]) * _MINUTE)
