"""JSON for the start path: the standard library's own C scanner and encoder, without its wrapper.

`import json` compiles regular expressions and loads `re` and `enum` for them, which costs as much
as mounting the container's file system. What it wraps is CPython's `_json`, used here directly.
"""

from __future__ import annotations

import _json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class _Context:
    """What the scanner asks of a decoder: the defaults of json.JSONDecoder."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float
    memo = None


def _not_serializable(value: object) -> Any:
    raise TypeError(f"{type(value).__name__} is not JSON serializable")


_scan = _json.make_scanner(_Context)  # type: ignore[arg-type]
_encode = _json.make_encoder(
    None, _not_serializable, _json.encode_basestring_ascii, None, ": ", ", ", False, False, True
)


def loads(text: str | bytes) -> Any:
    """The value of a JSON text, UTF-8 where it is bytes (RFC 8259). Raises ValueError."""
    if isinstance(text, bytes):
        text = text.decode()
    text = text.strip(" \t\r\n")
    try:
        value, end = _scan(text, 0)
    except StopIteration as stop:
        raise ValueError(f"not JSON: no value at character {stop.value}") from None
    if end != len(text):
        raise ValueError(f"not JSON: something follows at character {end}")
    return value


def quoted(text: str) -> str:
    """`text` as a JSON string in ASCII; half a surrogate pair (surrogateescape) is kept as such."""
    return _json.encode_basestring_ascii(text)


def dumps(value: Any) -> str:
    """`value` as JSON in ASCII. Raises TypeError for what JSON cannot say."""
    return "".join(_encode(value, 0))
