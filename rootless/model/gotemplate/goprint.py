"""Values as Go's fmt prints them with %v: `[a b]`, `map[k:v]`, `{field field}`, `1e+06`."""

from __future__ import annotations

from rootless.model.gotemplate.values import MISSING, NO_VALUE, Struct, View

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

# strconv: the exponents from which %g of a shortest number writes `e`.
_SMALL, _LARGE = -4, 6
_SHORT_ESCAPES = {
    "\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v",
    "\\": "\\\\",
}  # fmt: skip


def printed(value: Any) -> str:
    """What an action prints: as %v, but for what is not there."""
    return NO_VALUE if value is None or value is MISSING else text(value)


def text(value: Any, *, names: bool = False) -> str:
    """The value as %v, with `names` as %+v, which names the fields of structs."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return float_text(value)
    if isinstance(value, View):
        value = Struct(value.plain())
    if isinstance(value, dict):
        return _dict_text(value, names=names)
    if isinstance(value, (list, tuple)):
        return f"[{' '.join(text(one, names=names) for one in value)}]"
    return "<nil>" if value is None or value is MISSING else str(value)


def _dict_text(value: dict[str, Any], *, names: bool) -> str:
    if isinstance(value, Struct):
        shown = [(f"{name}:" if names else "", one) for name, one in value.items()]
        return "{" + " ".join(f"{name}{text(one, names=names)}" for name, one in shown) + "}"
    rows = (f"{key}:{text(value[key], names=names)}" for key in sorted(value))
    return f"map[{' '.join(rows)}]"


def float_text(value: float, large: int = _LARGE, small: int = _SMALL) -> str:
    """The shortest digits that mean `value`, with an exponent outside of `small` to `large`."""
    if value != value or value in (float("inf"), float("-inf")):
        return {"inf": "+Inf", "-inf": "-Inf"}.get(str(value), "NaN")
    sign = "-" if str(value).startswith("-") else ""
    digits, exponent = _shortest(abs(value))
    if exponent < small or exponent >= large:
        fraction = f".{digits[1:]}" if digits[1:] else ""
        return f"{sign}{digits[0]}{fraction}e{'-' if exponent < 0 else '+'}{abs(exponent):02}"
    if exponent < 0:
        return f"{sign}0.{'0' * (-exponent - 1)}{digits}"
    whole = digits[: exponent + 1].ljust(exponent + 1, "0")
    fraction = digits[exponent + 1 :]
    return f"{sign}{whole}.{fraction}" if fraction else f"{sign}{whole}"


def _shortest(value: float) -> tuple[str, int]:
    """The digits without zeros at the ends, and the exponent of the first one."""
    mantissa, _, exponent = f"{value:e}".partition("e")
    shown = repr(value)
    if "e" in shown:
        mantissa, _, exponent = shown.partition("e")
        digits = mantissa.replace(".", "")
    else:
        digits = shown.replace(".", "").lstrip("0")
        exponent = f"{value:.17e}".partition("e")[2]
    return digits.rstrip("0") or "0", int(exponent)


def sprint(values: Sequence[Any]) -> str:
    """fmt.Sprint: a space between two values of which none is a text."""
    parts: list[str] = []
    for number, value in enumerate(values):
        if number and not isinstance(value, str) and not isinstance(values[number - 1], str):
            parts.append(" ")
        parts.append(text(value))
    return "".join(parts)


def sprintln(values: Sequence[Any]) -> str:
    """fmt.Sprintln: spaces between all, and a line's end."""
    return " ".join(map(text, values)) + "\n"


def quoted(value: str) -> str:
    """`value` in double quotes, as strconv.Quote and %q write it."""
    return '"' + "".join(_escaped(one, '"') for one in value) + '"'


def quoted_character(code: int) -> str:
    """A character in single quotes, as %q writes it."""
    valid = 0 <= code <= 0x10FFFF and not 0xD800 <= code <= 0xDFFF
    return "'" + _escaped(chr(code) if valid else "\ufffd", "'") + "'"


def _escaped(char: str, quote: str) -> str:
    if char == quote:
        return f"\\{quote}"
    if char in _SHORT_ESCAPES:
        return _SHORT_ESCAPES[char]
    if char.isprintable():
        return char
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is no UTF-8 (surrogateescape)
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
