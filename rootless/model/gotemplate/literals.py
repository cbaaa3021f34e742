"""Constants in Go's syntax: strings, characters and numbers (Go specification, "Lexical elements").

Each raises ValueError with Go's words for what is none.
"""

from __future__ import annotations

_SIMPLE = {
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\",
}  # fmt: skip
_CODES = {"x": 2, "u": 4, "U": 8}
_INT_BITS = 63


def unquote(text: str) -> str:
    """The value of `"…"` or of a raw string in back quotes."""
    if text[0] == "`":
        return text[1:-1].replace("\r", "")
    return _unescaped(text[1:-1], '"')


def character(text: str) -> int:
    """The code of `'x'`."""
    value = _unescaped(text[1:-1], "'")
    if len(value) != 1:
        raise ValueError(f"malformed character constant: {text}")
    return ord(value)


def number(text: str) -> int | float:
    """An integer (decimal, 0x, 0o, 0b, leading 0, with _) or a floating-point constant."""
    try:
        value = _float(text) if _is_float(text) else _integer(text)
    except (ValueError, OverflowError):
        raise ValueError(f"bad number syntax: {_go_quoted(text)}") from None
    if isinstance(value, int) and not -(2**_INT_BITS) <= value < 2**_INT_BITS:
        raise ValueError(f"integer overflow: {_go_quoted(text)}")
    return value


def _go_quoted(text: str) -> str:
    return f'"{text}"'


def _is_float(text: str) -> bool:
    low = text.lower()
    if low.lstrip("+-").startswith("0x"):
        return "." in low or "p" in low
    return "." in low or "e" in low


def _float(text: str) -> float:
    low = text.lower()
    if "p" in low:
        return float.fromhex(low.replace("_", ""))
    if not set(low) <= set("0123456789+-._e"):
        raise ValueError(text)
    return float(low)


def _integer(text: str) -> int:
    digits = text.lstrip("+-")
    if len(text) - len(digits) > 1:
        raise ValueError(text)
    is_octal = len(digits) > 1 and digits.isdecimal() and digits[0] == "0"
    value = int(digits, 8 if is_octal else 0)
    return -value if text[0] == "-" else value


def _unescaped(text: str, quote: str) -> str:
    parts = []
    at = 0
    while at < len(text):
        if text[at] != "\\":
            parts.append(text[at])
            at += 1
            continue
        value, length = _escape(text[at + 1 :], quote)
        parts.append(value)
        at += 1 + length
    return "".join(parts)


def _escape(rest: str, quote: str) -> tuple[str, int]:
    """What follows a backslash: its value, and how long it is."""
    letter = rest[:1]
    if letter in _SIMPLE and letter:
        return _SIMPLE[letter], 1
    if letter == quote:
        return quote, 1
    digits, base, skipped = rest[:3], 8, 0
    if letter in _CODES and letter:
        digits, base, skipped = rest[1 : 1 + _CODES[letter]], 16, 1
    wanted = 3 if base == 8 else _CODES[letter]
    if len(digits) != wanted or not digits.isalnum():
        raise ValueError("invalid syntax")
    try:
        return chr(int(digits, base)), skipped + wanted
    except (ValueError, OverflowError):
        raise ValueError("invalid syntax") from None
