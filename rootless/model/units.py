"""Sizes and durations as docker and podman read them."""

from __future__ import annotations

from rootless.errors import UsageError

# docker/go-units, RAMInBytes: every suffix is binary, "b" and "ib" may follow the letter.
_SIZE_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}
# Go's time.ParseDuration, in seconds; the longer suffixes first, because "m" begins "ms".
_SECONDS = (("ns", 1e-9), ("us", 1e-6), ("µs", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0))
_UNITS = (*_SECONDS, ("h", 3600.0))


def parse_size(text: str) -> int:
    """`64m`, `1.5GiB` or `65536` in bytes. Raises UsageError; the caller's message names the flag.

    A bare number is in bytes.
    """
    word = text.strip().lower()
    digits = word.rstrip("bikmgtp")
    suffix = word[len(digits) :]
    power = suffix.removesuffix("b").removesuffix("i")
    if power not in _SIZE_POWERS or not _is_decimal(digits.rstrip(" ")):
        raise UsageError(f"{text!r} is not a size; write a number with k, m or g, such as 64m")
    return int(float(digits) * 1024 ** _SIZE_POWERS[power])


def _is_decimal(text: str) -> bool:
    whole, _, fraction = text.partition(".")
    # More digits than any size has would overflow a float.
    return len(text) < 40 and text.isascii() and (whole + fraction).isdigit() and bool(whole)


def parse_duration(text: str) -> float:
    """`10s`, `1h30m` or `250ms` in seconds; `0` needs no unit. Raises UsageError."""
    if text == "0":
        return 0.0
    total, rest = 0.0, text
    while rest:
        seconds, rest = _first_part(rest, text)
        total += seconds
    if not text:
        raise UsageError("'' is not a duration; write one such as 10s or 1h30m")
    return total


def _first_part(rest: str, text: str) -> tuple[float, str]:
    length = 0
    while length < len(rest) and (rest[length].isdigit() or rest[length] == "."):
        length += 1
    number, tail = rest[:length], rest[length:]
    if _is_decimal(number):
        for suffix, seconds in _UNITS:
            if tail.startswith(suffix) and not _cuts_unit(suffix, tail):
                return float(number) * seconds, tail[len(suffix) :]
    raise UsageError(f"{text!r} is not a duration; write one such as 10s or 1h30m")


def _cuts_unit(suffix: str, tail: str) -> bool:
    after = tail[len(suffix) :]
    return bool(after) and not (after[0].isdigit() or after[0] == ".")
