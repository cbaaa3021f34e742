"""D-Bus on the wire: values and messages as bytes. Pure.

As much as asking systemd for a scope takes: all types but file descriptors. Whatever the bytes are,
reading them ends, in values or in ProtocolError, and takes no more memory than a few times their
length. Written is little endian, read are both orders: a bus passes messages on as they came.

Format: the D-Bus Specification, "Type System" and "Message Protocol"
(dbus.freedesktop.org/doc/dbus-specification.html).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any, Literal

    # A type code and, for containers, the types inside.
    Type = tuple[str, tuple["Type", ...]]
    Order = Literal["little", "big"]

METHOD_CALL, METHOD_RETURN, ERROR, SIGNAL = 1, 2, 3, 4

# Size and sign; the size is the alignment too.
_INTEGERS = {
    "y": (1, False), "n": (2, True), "q": (2, False), "i": (4, True), "u": (4, False),
    "x": (8, True), "t": (8, False), "b": (4, False),
}  # fmt: skip
_ALIGNMENTS = {"s": 4, "o": 4, "g": 1, "v": 1, "d": 8, "a": 4, "(": 8, "{": 8}
_BASIC = frozenset(_INTEGERS) | frozenset("sogd")
_DEEPEST = 64
_LONGEST_SIGNATURE = 255

# The header's fields that are used here, by their code.
_PATH, _INTERFACE, _MEMBER, _ERROR_NAME, _REPLY_SERIAL, _DESTINATION, _SIGNATURE = (
    1, 2, 3, 4, 5, 6, 8,
)  # fmt: skip
_FIELD_TYPES = {1: "o", 2: "s", 3: "s", 4: "s", 5: "u", 6: "s", 7: "s", 8: "g", 9: "u"}
_HEADER = "yyyyuua(yv)"
FIXED_HEADER = 16
_VERSION = 1

# The specification allows 128 MiB. What we ask for has a few hundred bytes; a signal that is not
# for us can have some thousand.
_LARGEST_HEADER = 16 * 1024
_LARGEST_MESSAGE = 1024 * 1024


class ProtocolError(Exception):
    """Bytes that are not D-Bus; the text says which part."""


def parse_signature(signature: str) -> tuple[Type, ...]:
    """The complete types of `signature`. Raises ProtocolError."""
    if len(signature) > _LONGEST_SIGNATURE:
        raise ProtocolError("a signature of more than 255 bytes")
    types, place = [], 0
    while place < len(signature):
        kind, place = _parse_type(signature, place, 0)
        types.append(kind)
    return tuple(types)


def _parse_type(signature: str, place: int, depth: int) -> tuple[Type, int]:
    code = signature[place : place + 1]
    if code in _BASIC or code == "v":
        return (code, ()), place + 1
    if depth < _DEEPEST:
        if code == "a":
            dictionary = signature[place + 1 : place + 2] == "{"
            parse = _parse_members if dictionary else _parse_type
            element, place = parse(signature, place + 1, depth + 1)
            return (code, (element,)), place
        if code == "(":
            return _parse_members(signature, place, depth + 1)
    raise ProtocolError(f"signature {signature!r}: no type at {place}")


def _parse_members(signature: str, place: int, depth: int) -> tuple[Type, int]:
    """A structure, or an array's dictionary entry, whose opening bracket stands at `place`."""
    code = signature[place]
    closing = {"(": ")", "{": "}"}[code]
    members, place = [], place + 1
    while signature[place : place + 1] != closing:
        kind, place = _parse_type(signature, place, depth)
        members.append(kind)
    if not members or (code == "{" and (len(members) != 2 or members[0][0] not in _BASIC)):
        raise ProtocolError(f"signature {signature!r}: bad members before {place}")
    return (code, tuple(members)), place + 1


def _alignment(kind: Type) -> int:
    code = kind[0]
    return _INTEGERS[code][0] if code in _INTEGERS else _ALIGNMENTS[code]


def marshal(signature: str, values: Sequence[Any]) -> bytes:
    """`values`, one for each complete type of `signature`, little endian from an 8-byte boundary.

    Structures are sequences, dictionaries are dict, a variant is the pair (signature, value).
    Raises ValueError or OverflowError for a value that its type cannot hold, ProtocolError for a
    signature that is none.
    """
    out = bytearray()
    _put_all(out, parse_signature(signature), values)
    return bytes(out)


def _put_all(out: bytearray, types: Sequence[Type], values: Iterable[Any]) -> None:
    items = tuple(values)
    if len(items) != len(types):
        raise ValueError(f"{len(items)} values for {len(types)} types")
    for kind, value in zip(types, items):
        _put(out, kind, value)


def _put(out: bytearray, kind: Type, value: Any) -> None:
    out += bytes(-len(out) % _alignment(kind))
    code, inner = kind
    if code in _INTEGERS:
        size, signed = _INTEGERS[code]
        out += int(value).to_bytes(size, "little", signed=signed)
    elif code == "v":
        signature, content = value
        _put_text(out, 1, signature)
        _put_all(out, parse_signature(signature), (content,))
    elif code == "a":
        _put_array(out, inner[0], value)
    elif code in "({":
        _put_all(out, inner, value)
    elif code == "d":
        from struct import pack

        out += pack("<d", value)
    else:
        _put_text(out, 1 if code == "g" else 4, value)


def _put_text(out: bytearray, size: int, value: str) -> None:
    raw = value.encode()
    if b"\0" in raw:
        raise ValueError(f"{value!r}: a text cannot hold a zero byte")
    out += len(raw).to_bytes(size, "little") + raw + b"\0"


def _put_array(out: bytearray, element: Type, value: Any) -> None:
    place = len(out)
    out += bytes(4)
    # Not counted in the array's length.
    out += bytes(-len(out) % _alignment(element))
    start = len(out)
    for item in value.items() if element[0] == "{" else value:
        _put(out, element, item)
    out[place : place + 4] = (len(out) - start).to_bytes(4, "little")


def unmarshal(signature: str, data: bytes, order: Order = "little") -> tuple[Any, ...]:
    """The inverse of `marshal`; arrays become lists, structures tuples. Raises ProtocolError."""
    reader = _Reader(data, order)
    values = tuple(reader.value(kind, 0) for kind in parse_signature(signature))
    if reader.place != len(data):
        raise ProtocolError("bytes after the last value")
    return values


class _Reader:
    """A place in `data` that only moves forward, never past the end."""

    __slots__ = ("data", "order", "place")

    def __init__(self, data: bytes, order: Order) -> None:
        self.data = data
        self.order = order
        self.place = 0

    def align(self, size: int) -> None:
        self.take(-self.place % size)

    def take(self, count: int) -> bytes:
        start, self.place = self.place, self.place + count
        if self.place > len(self.data):
            raise ProtocolError("a value ends after the message")
        return self.data[start : self.place]

    def integer(self, size: int, signed: bool = False) -> int:
        return int.from_bytes(self.take(size), self.order, signed=signed)

    def value(self, kind: Type, depth: int) -> Any:
        if depth > _DEEPEST:
            raise ProtocolError("values nested too deeply")
        self.align(_alignment(kind))
        code, inner = kind
        if code in _INTEGERS:
            number = self.integer(*_INTEGERS[code])
            return number if code != "b" else self._truth(number)
        if code == "v":
            return self._variant(depth + 1)
        if code == "a":
            return self._array(inner[0], depth + 1)
        if code in "({":
            return tuple(self.value(member, depth + 1) for member in inner)
        return self._double() if code == "d" else self._text(1 if code == "g" else 4)

    def _truth(self, number: int) -> bool:
        if number > 1:
            raise ProtocolError(f"{number} is no boolean")
        return bool(number)

    def _text(self, size: int) -> str:
        raw = self.take(self.integer(size) + 1)
        if raw.find(b"\0") != len(raw) - 1:
            raise ProtocolError("a text does not end where it says")
        try:
            return raw[:-1].decode()
        except UnicodeDecodeError:
            raise ProtocolError("a text is not UTF-8") from None

    def _double(self) -> float:
        from struct import unpack

        number: float = unpack("<d" if self.order == "little" else ">d", self.take(8))[0]
        return number

    def _variant(self, depth: int) -> tuple[str, Any]:
        signature = self._text(1)
        types = parse_signature(signature)
        if len(types) != 1:
            raise ProtocolError(f"a variant of {len(types)} values")
        return signature, self.value(types[0], depth)

    def _array(self, element: Type, depth: int) -> list[Any] | dict[Any, Any]:
        size = self.integer(4)
        self.align(_alignment(element))
        end = self.place + size
        if end > len(self.data):
            raise ProtocolError("an array ends after the message")
        items = []
        while self.place < end:
            items.append(self.value(element, depth))
        if self.place != end:
            raise ProtocolError("an array ends inside a value")
        return dict(items) if element[0] == "{" else items


class Message:
    """A received message. kind: METHOD_RETURN, ERROR, SIGNAL…; texts that it lacks are empty."""

    __slots__ = (
        "_body", "_order",
        "error_name", "interface", "kind", "member", "path", "reply_to", "signature",
    )  # fmt: skip

    def __init__(self, kind: int, fields: dict[int, Any], body: bytes, order: Order) -> None:
        self.kind = kind
        self.path: str = fields.get(_PATH, "")
        self.interface: str = fields.get(_INTERFACE, "")
        self.member: str = fields.get(_MEMBER, "")
        self.error_name: str = fields.get(_ERROR_NAME, "")
        self.reply_to: int = fields.get(_REPLY_SERIAL, 0)
        self.signature: str = fields.get(_SIGNATURE, "")
        self._body = body
        self._order = order

    def body(self, signature: str) -> tuple[Any, ...]:
        """The values, which must be of `signature`. Raises ProtocolError."""
        if signature != self.signature:
            raise ProtocolError(f"{self.signature!r} came where {signature!r} should")
        return unmarshal(signature, self._body, self._order)


def build_call(
    serial: int,
    destination: str,
    path: str,
    interface: str,
    member: str,
    signature: str = "",
    args: Sequence[Any] = (),
) -> bytes:
    """A method call as bytes; `destination` is empty between two peers without a bus."""
    fields: list[tuple[int, tuple[str, str]]] = [
        (_PATH, ("o", path)),
        (_INTERFACE, ("s", interface)),
        (_MEMBER, ("s", member)),
    ]
    fields += [(_DESTINATION, ("s", destination))] if destination else []
    fields += [(_SIGNATURE, ("g", signature))] if signature else []
    body = marshal(signature, args)
    start = (ord("l"), METHOD_CALL, 0, _VERSION, len(body), serial, fields)
    head = marshal(_HEADER, start)
    return head + bytes(-len(head) % 8) + body


def message_size(start: bytes) -> int:
    """The length of the message that begins with the 16 bytes `start`. Raises ProtocolError."""
    order = _order(start)
    if start[3] != _VERSION:
        raise ProtocolError(f"version {start[3]} of the protocol")
    body, fields = (int.from_bytes(start[at : at + 4], order) for at in (4, 12))
    if fields > _LARGEST_HEADER or body > _LARGEST_MESSAGE:
        raise ProtocolError(f"a message with {fields} bytes of header and {body} of values")
    return FIXED_HEADER + fields + -fields % 8 + body


def _order(start: bytes) -> Order:
    if start[0] not in b"lB":
        raise ProtocolError(f"{start[0]:#04x} where the byte order should be")
    return "little" if start[0] == ord("l") else "big"


def parse_message(data: bytes) -> Message:
    """One whole message of `message_size` bytes. Raises ProtocolError."""
    order = _order(data)
    body_at = len(data) - int.from_bytes(data[4:8], order)
    reader = _Reader(data[:body_at], order)
    _, kind, _, _, _, _, pairs = (reader.value(item, 0) for item in parse_signature(_HEADER))
    fields = {}
    for code, (signature, value) in pairs:
        if _FIELD_TYPES.get(code, signature) != signature:
            raise ProtocolError(f"header field {code} of type {signature!r}")
        fields[code] = value
    return Message(kind, fields, data[body_at:], order)
