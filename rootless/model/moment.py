"""Points in time and spans as docker and podman take them: --since, --until.

Nanoseconds since 1970, as integers: a float has none left for them.
"""

from __future__ import annotations

import time

from rootless.errors import UsageError

_SECOND = 1_000_000_000
# Go, time.ParseDuration.
_UNITS = {
    "ns": 1, "us": 1000, "µs": 1000, "μs": 1000, "ms": 1_000_000,
    "s": _SECOND, "m": 60 * _SECOND, "h": 3600 * _SECOND,
}  # fmt: skip
_DIGITS = "0123456789"


def rfc3339(when_ns: int) -> str:
    """A time as docker writes it: 2026-11-21T03:54:00.123456789Z. As texts they sort as in time."""
    second, nanoseconds = divmod(max(0, when_ns), _SECOND)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(second))}.{nanoseconds:09d}Z"


def parse_duration(text: str) -> int | None:
    """A span of Go such as 10m, 1h30m or -1.5s in nanoseconds; None for what is none."""
    sign = -1 if text.startswith("-") else 1
    rest = text[1:] if text[:1] in ("-", "+") else text
    if rest == "0":
        return 0
    total = 0
    while rest:
        unit = rest.lstrip(_DIGITS + ".")
        amount = _fixed(rest[: len(rest) - len(unit)])
        name = unit[: len(unit) - len(unit.lstrip("nuµμmsh"))]
        # "1m30s": letters end where the next number begins.
        if amount is None or name not in _UNITS:
            return None
        total += amount * _UNITS[name] // _SECOND
        rest = unit[len(name) :]
    return sign * total if text.strip("+-") else None


def duration_text(nanoseconds: int) -> str:
    """A span as Go writes it: 1h30m0s, 1.5s, 250ms (time.Duration.String)."""
    for unit in ("ns", "us", "ms"):
        if nanoseconds and nanoseconds < 1000 * _UNITS[unit]:
            return f"{_decimal(nanoseconds, _UNITS[unit])}{unit.replace('u', 'µ')}"
    minutes, rest = divmod(nanoseconds, _UNITS["m"])
    hours, minutes = divmod(minutes, 60)
    head = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
    return f"{head}{_decimal(rest, _SECOND)}s"


def _decimal(amount: int, unit: int) -> str:
    whole, rest = divmod(amount, unit)
    digits = f"{rest:0{len(str(unit)) - 1}d}".rstrip("0") if rest else ""
    return f"{whole}.{digits}" if digits else str(whole)


def parse_moment(text: str, now_ns: int, flag: str) -> int:
    """What `flag` ("--since") says: RFC 3339, or a part of it in local time; seconds since 1970
    with a fraction; or a span, which counts back from `now_ns`. Raises UsageError.
    """
    span = parse_duration(text)
    found = now_ns - span if span is not None else _fixed(text)
    if found is None:
        found = _date(text)
    if found is None:
        raise UsageError(
            f"{flag} {text}: not a time", hint=f"{flag} 2026-11-21T03:54:00Z, or {flag} 10m"
        )
    return found


def _fixed(text: str) -> int | None:
    """A decimal number of seconds in nanoseconds."""
    whole, _, fraction = text.partition(".")
    digits = whole + fraction
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 30:
        return None
    return int(whole or "0") * _SECOND + int(fraction[:9].ljust(9, "0"))


def _date(text: str) -> int | None:
    """RFC 3339; without a zone in local time, without a time of day at midnight."""
    body, zone = _split_zone(text)
    day, _, clock = body.replace("t", "T").partition("T")
    clock, dot, fraction = clock.partition(".")
    if dot and not _fixed(f"0.{fraction}") and fraction.strip("0"):
        return None
    numbers = _numbers(day.split("-"), (4, 2, 2)), _numbers(clock.split(":"), (2, 2, 2))
    if numbers[0] is None or len(numbers[0]) != 3 or (clock and numbers[1] is None):
        return None
    hour, minute, second = [*(numbers[1] or [] if clock else []), 0, 0, 0][:3]
    seconds = _epoch(numbers[0], hour, minute, second, zone)
    if seconds is None:
        return None
    return seconds * _SECOND + int(fraction[:9].ljust(9, "0"))


def _epoch(day: list[int], hour: int, minute: int, second: int, zone: str) -> int | None:
    from datetime import datetime, timedelta, timezone

    try:
        moment = datetime(day[0], day[1], day[2], hour, minute, min(second, 59))
        if zone == "local":
            return int(moment.timestamp())
        offset = timedelta(0)
        if zone != "Z":
            hours, minutes = zone[1:].split(":")
            offset = timedelta(hours=int(hours), minutes=int(minutes))
        sign = -1 if zone.startswith("-") else 1
        return int((moment - sign * offset).replace(tzinfo=timezone.utc).timestamp())
    except (ValueError, OverflowError):
        return None


def _split_zone(text: str) -> tuple[str, str]:
    """The text without its zone, and the zone: "Z", "+01:00", or "local" for none."""
    if text[-1:] in ("Z", "z"):
        return text[:-1], "Z"
    if len(text) > 16 and text[-6] in "+-" and text[-3] == ":":
        return text[:-6], text[-6:]
    return text, "local"


def _numbers(words: list[str], lengths: tuple[int, ...]) -> list[int] | None:
    """`words` as numbers of just so many digits; fewer words than lengths are fine."""
    if len(words) > len(lengths):
        return None
    for word, length in zip(words, lengths, strict=False):
        if len(word) != length or not (word.isascii() and word.isdigit()):
            return None
    return [int(word) for word in words]
