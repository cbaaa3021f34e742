"""Go's fmt.Sprintf, as its documentation has it, for what a template can hand it.

Not there: `%p`, complex numbers, and `%#v`, which shows a value as %v does.
"""

from __future__ import annotations

from rootless.model.gotemplate import goprint
from rootless.model.gotemplate.values import MISSING, Struct, type_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

_FLAGS = "+-# 0"
_BASES = {"b": "b", "d": "d", "o": "o", "O": "o", "x": "x", "X": "X"}
_PREFIXES = {"b": "0b", "o": "0", "x": "0x", "X": "0X"}
_FLOATS = "eEfFgG"
# A width or a precision beyond this is none (fmt's tooLarge).
_MOST = 1_000_000


class _Spec:
    """One verb: its flags, width and precision (None where they are not given)."""

    __slots__ = ("flags", "precision", "verb", "width")

    def __init__(self) -> None:
        self.flags: set[str] = set()
        self.width: int | None = None
        self.precision: int | None = None
        self.verb = ""


def sprintf(form: str, values: Sequence[Any]) -> str:
    """`form` with its verbs filled from `values`; mistakes show up in it as Go writes them."""
    return _Printf(form, values).run()


class _Printf:
    def __init__(self, form: str, values: Sequence[Any]) -> None:
        self._form = form
        self._values = values
        self._at = 0
        self._number = 0
        self._reordered = False
        self._bad_index = False

    def run(self) -> str:
        parts = []
        while True:
            percent = self._form.find("%", self._at)
            if percent < 0:
                parts.append(self._form[self._at :])
                break
            parts.append(self._form[self._at : percent])
            self._at = percent + 1
            parts.append(self._verb())
        if not self._reordered and self._number < len(self._values):
            extra = self._values[self._number :]
            parts.append(f"%!(EXTRA {', '.join(map(_typed, extra))})")
        return "".join(parts)

    def _char(self) -> str:
        return self._form[self._at : self._at + 1]

    def _verb(self) -> str:
        spec = _Spec()
        self._bad_index = False
        while self._char() and self._char() in _FLAGS:
            spec.flags.add(self._char())
            self._at += 1
        self._index()
        spec.width = self._amount()
        if spec.width is not None and spec.width < 0:
            spec.flags.add("-")
            spec.width = -spec.width
        if self._char() == ".":
            self._at += 1
            self._index()
            spec.precision = self._amount() or 0
        self._index()
        spec.verb = self._char()
        self._at += 1
        return self._shown(spec)

    def _shown(self, spec: _Spec) -> str:
        if not spec.verb:
            return "%!(NOVERB)"
        if spec.verb == "%":
            return "%"
        if self._bad_index:
            return f"%!{spec.verb}(BADINDEX)"
        if self._number >= len(self._values):
            return f"%!{spec.verb}(MISSING)"
        self._number += 1
        return show(self._values[self._number - 1], spec)

    def _index(self) -> None:
        """`[n]`: the value that is taken next."""
        if self._char() != "[":
            return
        end = self._form.find("]", self._at)
        digits = self._form[self._at + 1 : end] if end >= 0 else ""
        self._at = end + 1 if end >= 0 else self._at + 1
        self._reordered = True
        if digits.isdecimal() and 1 <= int(digits) <= len(self._values):
            self._number = int(digits) - 1
        else:
            self._bad_index = True

    def _amount(self) -> int | None:
        if self._char() == "*":
            self._at += 1
            found = self._values[self._number] if self._number < len(self._values) else None
            self._number += 1
            return found if type(found) is int and abs(found) <= _MOST else None
        start = self._at
        while self._char().isdecimal():
            self._at += 1
        digits = self._form[start : self._at]
        return min(int(digits), _MOST) if digits else None


def show(value: Any, spec: _Spec) -> str:
    """One value; lists and maps are gone into."""
    if spec.verb == "T":
        return _padded("<nil>" if value is None else type_name(value), spec)
    if value is None or value is MISSING:
        return _padded("<nil>", spec) if spec.verb == "v" else f"%!{spec.verb}(<nil>)"
    if isinstance(value, (list, tuple)):
        return f"[{' '.join(show(one, spec) for one in value)}]"
    if isinstance(value, dict) and spec.verb != "v":
        return _map(value, spec)
    if isinstance(value, bool):
        fits = spec.verb in "tv"
        return _padded(goprint.text(value), spec) if fits else _bad(value, spec)
    if isinstance(value, int):
        return _integer(value, spec)
    if isinstance(value, float):
        return _float(value, spec)
    return _text(value, spec)


def _map(value: dict[str, Any], spec: _Spec) -> str:
    if isinstance(value, Struct):
        return "{" + " ".join(show(one, spec) for one in value.values()) + "}"
    rows = (f"{show(key, spec)}:{show(value[key], spec)}" for key in sorted(value))
    return f"map[{' '.join(rows)}]"


def _typed(value: Any) -> str:
    if value is None or value is MISSING:
        return "<nil>"
    return f"{type_name(value)}={goprint.text(value)}"


def _bad(value: Any, spec: _Spec) -> str:
    return f"%!{spec.verb}({_typed(value)})"


def _padded(text: str, spec: _Spec) -> str:
    width = spec.width or 0
    return text.ljust(width) if "-" in spec.flags else text.rjust(width)


def _text(value: Any, spec: _Spec) -> str:
    if spec.verb == "v" or not isinstance(value, str):
        return _padded(goprint.text(value, names="+" in spec.flags), spec)
    cut = value if spec.precision is None else value[: spec.precision]
    if spec.verb == "s":
        return _padded(cut, spec)
    if spec.verb == "q":
        return _padded(_quoted(cut, spec), spec)
    if spec.verb in "xX":
        between = " " if " " in spec.flags else ""
        digits = between.join(f"{one:02{spec.verb}}" for one in cut.encode("utf-8", "replace"))
        return _padded(f"0{spec.verb}{digits}" if "#" in spec.flags else digits, spec)
    return _bad(value, spec)


def _quoted(text: str, spec: _Spec) -> str:
    if "#" in spec.flags and "`" not in text and (text.isprintable() or text == "\t"):
        return f"`{text}`"
    quoted = goprint.quoted(text)
    if "+" not in spec.flags:
        return quoted
    return "".join(one if ord(one) < 128 else _unicode_escape(ord(one)) for one in quoted)


def _unicode_escape(code: int) -> str:
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _integer(value: int, spec: _Spec) -> str:
    verb = "d" if spec.verb == "v" else spec.verb
    if verb == "c":
        return _padded(chr(value) if 0 <= value <= 0x10FFFF else "\ufffd", spec)
    if verb == "q":
        return _padded(goprint.quoted_character(value), spec)
    if verb == "U":
        return _padded(f"U+{value:04X}", spec)
    if verb not in _BASES:
        return _bad(value, spec)
    digits = format(abs(value), _BASES[verb])
    if spec.precision is not None:
        digits = digits.rjust(spec.precision, "0")
    prefix = "0o" if verb == "O" else _PREFIXES.get(verb, "") if "#" in spec.flags else ""
    return _number(_sign(value < 0, spec), prefix, digits, spec, zeros=spec.precision is None)


def _sign(negative: bool, spec: _Spec) -> str:
    return "-" if negative else "+" if "+" in spec.flags else " " if " " in spec.flags else ""


def _number(sign: str, prefix: str, digits: str, spec: _Spec, *, zeros: bool) -> str:
    if zeros and "0" in spec.flags and "-" not in spec.flags:
        digits = digits.rjust((spec.width or 0) - len(sign), "0")
    return _padded(f"{sign}{prefix}{digits}", spec)


def _float(value: float, spec: _Spec) -> str:
    verb = "g" if spec.verb == "v" else spec.verb
    if verb not in _FLOATS:
        return _bad(value, spec)
    size = abs(value)
    if verb in "gG" and spec.precision is None:
        digits = goprint.float_text(size)
        digits = digits.upper() if verb == "G" else digits
    else:
        precision = 6 if spec.precision is None else spec.precision
        digits = format(size, f".{precision}{verb}")
    return _number(_sign(str(value).startswith("-"), spec), "", digits, spec, zeros=True)
