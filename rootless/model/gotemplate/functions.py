"""The functions of a template: text/template's own, and docker's beside them.

A Signature says what each takes: "any", "string", "int", the last one again and again with "...".
"""

from __future__ import annotations

from rootless.model.gotemplate import comparing, goprint, printf
from rootless.model.gotemplate.errors import CallError
from rootless.model.gotemplate.gojson import compact
from rootless.model.gotemplate.values import MISSING, Map, Struct, View, is_true, type_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

_HTML = {'"': "&#34;", "'": "&#39;", "&": "&amp;", "<": "&lt;", ">": "&gt;", "\0": "\ufffd"}
_JAVASCRIPT = {
    "\\": "\\\\", "'": "\\'", '"': '\\"', "<": "\\u003C", ">": "\\u003E", "&": "\\u0026",
    "=": "\\u003D",
}  # fmt: skip


class Signature:
    """A function and the types that it takes; with `repeats` the last one any number of times."""

    __slots__ = ("call", "repeats", "types")

    def __init__(self, call: Callable[..., Any], *types: str) -> None:
        self.call = call
        self.repeats = bool(types) and types[-1].startswith("...")
        self.types = [one.removeprefix("...") for one in types]

    def type_of(self, number: int) -> str:
        """The type of argument `number`, from 0."""
        return self.types[min(number, len(self.types) - 1)]

    def refusal(self, name: str, count: int) -> str:
        """Why it does not take `count` arguments, "" when it does."""
        fixed = len(self.types) - self.repeats
        if self.repeats and count < fixed:
            return f"wrong number of args for {name}: want at least {fixed} got {count}"
        if not self.repeats and count != fixed:
            return f"wrong number of args for {name}: want {fixed} got {count}"
        return ""


def _index(item: Any, *indices: Any) -> Any:
    for index in indices:
        item = _item(item, index)
    return item


def _item(item: Any, index: Any) -> Any:
    if item is None:
        raise CallError("index of nil pointer")
    if isinstance(item, dict) and not isinstance(item, Struct):
        if not isinstance(index, str):
            raise CallError(f"value has type {type_name(index)}; should be string")
        return item.get(index, item.zero if isinstance(item, Map) else MISSING)
    if not isinstance(item, (list, str)):
        raise CallError(f"can't index item of type {type_name(item)}")
    position = _position(index, len(item) - 1)
    return ord(item[position]) if isinstance(item, str) else item[position]


def _position(index: Any, most: int) -> int:
    if type(index) is not int:
        raise CallError(f"cannot index slice/array with type {type_name(index)}")
    if not 0 <= index <= most:
        raise CallError(f"index out of range: {index}")
    return index


def _slice(item: Any, *indices: Any) -> Any:
    if not isinstance(item, (str, list)):
        raise CallError(f"can't slice item of type {type_name(item)}")
    if len(indices) > 2:
        raise CallError(f"too many slice indexes: {len(indices)}")
    bounds = [_position(one, len(item)) for one in indices]
    start, end = (*bounds, 0)[0], bounds[1] if len(bounds) == 2 else len(item)
    if start > end:
        raise CallError(f"invalid slice index: {start} > {end}")
    return item[start:end]


def _length(item: Any) -> int:
    if item is None:
        return 0  # docker's documents have empty slices where JSON says null
    if isinstance(item, (Struct, View)) or not isinstance(item, (str, list, dict)):
        raise CallError(f"len of type {type_name(item)}")
    return len(item.encode("utf-8", "surrogateescape")) if isinstance(item, str) else len(item)


def _join(items: Any, separator: str) -> str:
    if items is None:
        return ""
    if isinstance(items, dict) and not isinstance(items, Struct):
        return separator.join(sorted(map(goprint.text, items.values())))
    if not isinstance(items, list):
        raise CallError(f"expected slice, got {type_name(items)}")
    return separator.join(map(goprint.text, items))


def _split(text: str, separator: str) -> list[str]:
    return text.split(separator) if separator else list(text)


def _title(text: str) -> str:
    """Each word's first letter in upper case, the others as they are (strings.Title)."""
    before = " "
    shown = []
    for char in text:
        starts = not (before.isalnum() or before == "_")
        shown.append(char.upper() if starts else char)
        before = char
    return "".join(shown)


def _truncate(text: str, length: int) -> str:
    if length < 0:
        raise CallError(f"slice bounds out of range [:{length}]")
    return text[:length]


def _pad(text: str, before: int, after: int) -> str:
    return f"{' ' * before}{text}{' ' * after}" if text else text


def _html(*values: Any) -> str:
    return "".join(_HTML.get(char, char) for char in goprint.sprint(values))


def _javascript(*values: Any) -> str:
    text = goprint.sprint(values)
    return "".join(_JAVASCRIPT.get(char) or _printable(char) for char in text)


def _printable(char: str) -> str:
    return char if char.isprintable() else f"\\u{ord(char):04X}"


def _query(*values: Any) -> str:
    # url.QueryEscape
    shown = []
    for byte in goprint.sprint(values).encode("utf-8", "surrogateescape"):
        char = chr(byte)
        plain = char.isascii() and (char.isalnum() or char in "-_.~")
        shown.append(char if plain else "+" if char == " " else f"%{byte:02X}")
    return "".join(shown)


# `and` and `or` are here for their signatures only: the evaluator stops at the first that decides.
FUNCTIONS = {
    "and": Signature(lambda *values: values[-1], "any", "...any"),
    "or": Signature(lambda *values: values[-1], "any", "...any"),
    "not": Signature(lambda value: not is_true(value), "any"),
    "eq": Signature(comparing.equal, "any", "...any"),
    "ne": Signature(comparing.differs, "any", "any"),
    "lt": Signature(comparing.less, "any", "any"),
    "le": Signature(comparing.at_most, "any", "any"),
    "gt": Signature(comparing.greater, "any", "any"),
    "ge": Signature(comparing.at_least, "any", "any"),
    "index": Signature(_index, "any", "...any"),
    "slice": Signature(_slice, "any", "...any"),
    "len": Signature(_length, "any"),
    "print": Signature(lambda *values: goprint.sprint(values), "...any"),
    "printf": Signature(lambda form, *values: printf.sprintf(form, values), "string", "...any"),
    "println": Signature(lambda *values: goprint.sprintln(values), "...any"),
    "html": Signature(_html, "...any"),
    "js": Signature(_javascript, "...any"),
    "urlquery": Signature(_query, "...any"),
    "json": Signature(compact, "any"),
    "split": Signature(_split, "string", "string"),
    "join": Signature(_join, "any", "string"),
    "title": Signature(_title, "string"),
    "lower": Signature(str.lower, "string"),
    "upper": Signature(str.upper, "string"),
    "pad": Signature(_pad, "string", "int", "int"),
    "truncate": Signature(_truncate, "string", "int"),
}

# In the heading of a table the names of columns stay as they are (docker's HeaderFunctions).
HEADING_FUNCTIONS: Mapping[str, Signature] = {
    **FUNCTIONS,
    **{
        name: Signature(lambda text, *_: text, "any", "...any")
        for name in ("json", "split", "join", "title", "lower", "upper", "truncate")
    },
}
