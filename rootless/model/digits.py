"""Whole numbers as people and files write them, where int() takes too much. Pure."""

from __future__ import annotations


def number(text: str, least: int, most: int) -> int | None:
    """The number that `text` writes in plain digits, None when it is not from `least` to `most`.

    int() alone also takes signs, blanks, underscores and other scripts' digits, and raises
    ValueError for thousands of digits, which a hostile document may hold.
    """
    digits = text.lstrip("0") or text[:1]
    if not (digits.isascii() and digits.isdigit()) or len(digits) > len(str(most)):
        return None
    value = int(digits)
    return value if least <= value <= most else None
