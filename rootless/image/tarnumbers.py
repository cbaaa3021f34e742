"""Numbers in tar headers: octal text, GNU's base 256, decimal times; and the checksum. Pure."""

from __future__ import annotations

import re

# Beyond this, offsets overflow what lseek(2) and ftruncate(2) take.
MAX_SIZE = 2**63 - 1
_DECIMAL = re.compile(rb"(-?)([0-9]{1,20})(?:\.([0-9]*))?\Z")


def parse(field: bytes) -> int:
    """A numeric field of a header block; empty is 0. Raises ValueError.

    The first bit set means a big-endian two's complement number in the remaining bits (GNU tar
    manual, "Extending tar"); else octal digits with blanks or NULs around them.
    """
    if field[0] & 0x80:
        value = int.from_bytes(field, "big", signed=False) & ~(0x80 << 8 * (len(field) - 1))
        return value - (1 << (8 * len(field) - 1)) if field[0] & 0x40 else value
    digits = field.partition(b"\0")[0].strip() or field.strip(b" \0")
    # int() alone would also take signs, underscores and "0o".
    if digits.isdigit():
        return int(digits, 8)
    if digits:
        raise ValueError(digits)
    return 0


def parse_decimal(text: bytes) -> int:
    """A decimal number without a sign, as PAX has sizes and ids. Raises ValueError."""
    if not text.isdigit() or len(text) > 20:
        raise ValueError(f"not a number: {text[:40]!r}")
    return int(text)


def parse_time(text: bytes) -> int:
    """Seconds with a fraction of any length, as nanoseconds rounded down. Raises ValueError."""
    match = _DECIMAL.match(text)
    if match is None:
        raise ValueError(f"not a time: {text[:40]!r}")
    sign, seconds, fraction = match.groups()
    nanoseconds = int(seconds) * 1_000_000_000 + int((fraction or b"")[:9].ljust(9, b"0"))
    return -nanoseconds if sign else nanoseconds


def checksum(block: bytes) -> int:
    """The sum of a header's bytes, with the checksum's own field taken as blanks."""
    return sum(block) - sum(block[148:156]) + 8 * 32


def signed_checksum(block: bytes) -> int:
    """The same with signed bytes, as some old writers did it."""
    return checksum(block) - 256 * sum(byte > 127 for byte in block[:148] + block[156:])
