"""Sizes as docker and podman read and write them."""

from __future__ import annotations

from rootless.errors import UsageError

# docker/go-units, RAMInBytes: every suffix is binary, "b" and "ib" may follow the letter.
_SIZE_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}
_BINARY_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


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


def size_text(size: int) -> str:
    """`size` as `parse_size` reads it, in the largest unit that it is a whole number of."""
    power = 0
    while size and size % 1024 == 0 and power < 3:
        size //= 1024
        power += 1
    return f"{size}{('', 'k', 'm', 'g')[power]}"


def binary_size(size: float) -> str:
    """Bytes of memory as docker writes them: 1.5GiB, 512B; four digits at most."""
    unit = 0
    while size >= 1024 and unit < len(_BINARY_UNITS) - 1:
        size /= 1024
        unit += 1
    return f"{size:.4g}{_BINARY_UNITS[unit]}"


def _is_decimal(text: str) -> bool:
    whole, _, fraction = text.partition(".")
    # More digits than any size has would overflow a float.
    return len(text) < 40 and text.isascii() and (whole + fraction).isdigit() and bool(whole)
