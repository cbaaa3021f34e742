"""A value as JSON in one line, as encoding/json writes it: the function `json`, `--format json`."""

from __future__ import annotations

from rootless.model.gotemplate import goprint
from rootless.model.gotemplate.values import Struct, View

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# encoding/json: the exponents outside of which a number is written with one.
_SMALL, _LARGE = -6, 21
_ESCAPES = {
    '"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t",
    "\u2028": "\\u2028", "\u2029": "\\u2029",
}  # fmt: skip


def compact(value: Any) -> str:
    """Fields of a struct in their order, keys of a map sorted; nothing between the parts."""
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return goprint.float_text(value, _LARGE, _SMALL).replace("e-0", "e-")
    if isinstance(value, View):
        value = value.plain()
    if isinstance(value, dict):
        keys = value if isinstance(value, Struct) else sorted(value)
        return "{" + ",".join(f"{_text(key)}:{compact(value[key])}" for key in keys) + "}"
    if isinstance(value, (list, tuple)):
        return f"[{','.join(map(compact, value))}]"
    return "null"


def _text(value: str) -> str:
    if value.isprintable() and '"' not in value and "\\" not in value:
        return f'"{value}"'
    return '"' + "".join(map(_escaped, value)) + '"'


def _escaped(char: str) -> str:
    if char in _ESCAPES:
        return _ESCAPES[char]
    if "\udc80" <= char <= "\udcff":  # a byte that is no UTF-8 (surrogateescape)
        return "\\ufffd"
    return f"\\u{ord(char):04x}" if char < " " else char
