"""Values and messages of D-Bus as bytes, against the specification's rules and against jeepney."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jeepney import low_level

from rootless.tools import dbuswire
from rootless.tools.dbuswire import ProtocolError, marshal, unmarshal

TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
INTEGERS = {
    "n": st.integers(-(2**15), 2**15 - 1), "q": st.integers(0, 2**16 - 1),
    "i": st.integers(-(2**31), 2**31 - 1), "u": st.integers(0, 2**32 - 1),
    "x": st.integers(-(2**63), 2**63 - 1), "t": st.integers(0, 2**64 - 1),
}  # fmt: skip
PLAIN = {
    **INTEGERS, "b": st.booleans(), "s": TEXTS, "o": st.just("/a/b"), "g": st.just("a{sv}"),
    "d": st.floats(allow_nan=False),
}  # fmt: skip
# A type, and a strategy for its values.
Kind = tuple[str, Any]


def wrapped(inner: st.SearchStrategy[Kind]) -> st.SearchStrategy[Kind]:
    arrays = inner.map(lambda k: (f"a{k[0]}", st.lists(k[1], max_size=3)))
    structures = st.lists(inner, min_size=1, max_size=3).map(
        lambda ks: (f"({''.join(k[0] for k in ks)})", st.tuples(*(k[1] for k in ks)))
    )
    keys = st.sampled_from([code for code in PLAIN if code != "d"])
    dictionaries = st.tuples(keys, inner).map(
        lambda pair: (
            f"a{{{pair[0]}{pair[1][0]}}}",
            st.dictionaries(PLAIN[pair[0]], pair[1][1], max_size=3),
        )
    )
    variants = inner.map(lambda k: ("v", k[1].map(lambda value: (k[0], value))))
    return arrays | structures | dictionaries | variants


KINDS = st.recursive(
    st.sampled_from(sorted(PLAIN)).map(lambda code: (code, PLAIN[code])), wrapped, max_leaves=6
)
TYPED = KINDS.flatmap(lambda kind: st.tuples(st.just(kind[0]), kind[1]))


def by_jeepney(signature: str, values: tuple[Any, ...], order: str) -> bytes:
    kind = low_level.parse_signature(list(f"({signature})"))
    data: bytes = kind.serialise(values, 0, low_level.Endianness[order])
    return data


@given(st.lists(TYPED, max_size=4))
def test_values_come_back_and_are_the_bytes_of_jeepney(items: list[tuple[str, Any]]) -> None:
    signature = "".join(kind for kind, _ in items)
    values = tuple(value for _, value in items)
    assert unmarshal(signature, marshal(signature, values)) == values
    assert marshal(signature, values) == by_jeepney(signature, values, "little")
    assert unmarshal(signature, by_jeepney(signature, values, "big"), "big") == values


def test_bytes_and_their_array() -> None:
    assert marshal("yay", (7, [1, 2])) == b"\7\0\0\0\2\0\0\0\1\2"
    assert unmarshal("yay", b"\7\0\0\0\2\0\0\0\1\2") == (7, [1, 2])


def test_the_padding_before_the_first_element_is_not_counted() -> None:
    """The specification's own example: an array of one 64-bit integer, from a 4-byte boundary."""
    data = b"\1\0\0\0" + b"\x08\0\0\0" + b"\5\0\0\0\0\0\0\0"
    assert marshal("uat", (1, [5])) == data
    assert marshal("at", ([],)) == bytes(8)


def test_a_call_byte_by_byte() -> None:
    fields = (
        b"\1\1o\0" b"\2\0\0\0/a\0" b"\0\0\0\0\0"
        b"\2\1s\0" b"\3\0\0\0a.b\0" b"\0\0\0\0"
        b"\3\1s\0" b"\1\0\0\0M\0" b"\0\0\0\0\0\0"
        b"\6\1s\0" b"\1\0\0\0d\0" b"\0\0\0\0\0\0"
        b"\x08\1g\0" b"\1s\0"
    )  # fmt: skip
    body = b"\2\0\0\0hi\0"
    start = struct.pack("<4BIII", ord("l"), 1, 0, 1, len(body), 9, len(fields))
    expected = start + fields + bytes(-len(start + fields) % 8) + body
    assert dbuswire.build_call(9, "d", "/a", "a.b", "M", "s", ("hi",)) == expected
    assert dbuswire.message_size(expected[:16]) == len(expected)


def test_jeepney_reads_a_call_and_writes_the_same_again() -> None:
    properties = [("Delegate", ("b", True)), ("PIDs", ("au", [1, 2])), ("Slice", ("s", "é"))]
    data = dbuswire.build_call(
        3, "org.x", "/a/b", "a.b", "Go", "sa(sv)a(sa(sv))", ("u", properties, [])
    )
    message = low_level.Message.from_buffer(data)
    assert message.body == ("u", properties, [])
    assert message.serialise() == data


@pytest.mark.parametrize("order", ["little", "big"])
def test_a_message_of_either_byte_order(order: str) -> None:
    fields = {
        low_level.HeaderFields.path: "/p", low_level.HeaderFields.interface: "i.i",
        low_level.HeaderFields.member: "M", low_level.HeaderFields.sender: ":1.1",
        low_level.HeaderFields.signature: "us",
    }  # fmt: skip
    header = low_level.Header(
        low_level.Endianness[order], low_level.MessageType.signal, 0, 1, 0, 4, fields
    )
    data = low_level.Message(header, (5, "x")).serialise()
    assert dbuswire.message_size(data[:16]) == len(data)
    message = dbuswire.parse_message(data)
    assert (message.kind, message.path, message.interface) == (dbuswire.SIGNAL, "/p", "i.i")
    assert (message.member, message.signature, message.body("us")) == ("M", "us", (5, "x"))
    with pytest.raises(ProtocolError, match="'us' came where 'o' should"):
        message.body("o")


@pytest.mark.parametrize(
    "signature",
    ["a", "(", "()", "(s", ")", "a{s}", "a{sss}", "a{vs}", "a{(s)s}", "{ss}", "a{", "z", "h",
     "a" * 200 + "y", "(" * 100 + "y" + ")" * 100, "y" * 256],
)  # fmt: skip
def test_a_signature_that_is_none(signature: str) -> None:
    with pytest.raises(ProtocolError):
        dbuswire.parse_signature(signature)
    with pytest.raises(ProtocolError):
        unmarshal("v", bytes([min(len(signature), 255)]) + signature.encode()[:255] + bytes(300))


@pytest.mark.parametrize(
    ("signature", "data", "reason"),
    [
        ("u", b"\0\0\0", "after the message"),
        ("u", bytes(5), "bytes after the last"),
        ("s", b"\5\0\0\0hi\0", "after the message"),
        ("s", b"\xff\xff\xff\xffhi\0", "after the message"),
        ("s", b"\2\0\0\0hi!", "does not end where it says"),
        ("s", b"\2\0\0\0h\0\0", "does not end where it says"),
        ("s", b"\1\0\0\0\xff\0", "not UTF-8"),
        ("b", b"\2\0\0\0", "2 is no boolean"),
        ("at", b"\xff\xff\xff\xff\0\0\0\0", "array ends after"),
        ("at", b"\4\0\0\0\0\0\0\0" + bytes(8), "array ends after|inside a value"),
        ("aas", b"\4\0\0\0\1\0\0\0" + bytes(8), "inside a value|after the message"),
        ("v", b"\2uu\0" + bytes(8), "a variant of 2 values"),
        ("v", b"\0\0", "a variant of 0 values"),
        ("v", b"\1v\0" * 200, "nested too deeply"),
    ],
)
def test_values_that_are_none(signature: str, data: bytes, reason: str) -> None:
    with pytest.raises(ProtocolError, match=reason):
        unmarshal(signature, data)


def test_values_that_their_type_cannot_hold() -> None:
    for signature, value in (("s", "a\0b"), ("s", "\udcff"), ("(uu)", (1,)), ("(uu)", (1, 2, 3))):
        with pytest.raises(ValueError):
            marshal(signature, (value,))
    for signature, value in (("u", -1), ("t", 2**64), ("g", "y" * 256)):
        with pytest.raises(OverflowError):
            marshal(signature, (value,))
    with pytest.raises(ValueError, match="1 values for 2 types"):
        marshal("uu", (1,))


@pytest.mark.parametrize(
    ("place", "byte", "reason"),
    [
        (0, b"x", "where the byte order"),
        (3, b"\2", "version 2"),
        (6, b"\xff", "bytes of header and"),
        (15, b"\x7f", "of header"),
    ],
)
def test_the_start_of_no_message(place: int, byte: bytes, reason: str) -> None:
    data = bytearray(dbuswire.build_call(1, "", "/a", "a.b", "M"))
    data[place : place + 1] = byte
    with pytest.raises(ProtocolError, match=reason):
        dbuswire.message_size(bytes(data[:16]))


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 255)), min_size=1, max_size=8))
def test_damage_ends_in_one_kind_of_error(damage: list[tuple[int, int]]) -> None:
    properties = [("PIDs", ("au", [1])), ("A", ("v", ("a{sv}", {"x": ("d", 1.5)})))]
    data = bytearray(dbuswire.build_call(1, "org.x", "/a", "a.b", "M", "a(sv)", (properties,)))
    for place, byte in damage:
        data[place % len(data)] = byte
    try:
        size = dbuswire.message_size(bytes(data[:16]))
        message = dbuswire.parse_message(bytes(data[:size].ljust(size, b"\0")))
        assert isinstance(message.body(message.signature), tuple)
    except ProtocolError as error:
        assert str(error)


@given(st.binary(max_size=200), st.sampled_from(["v", "a(sv)", "a{sv}", "aav", "(ss)d"]))
def test_noise_ends_in_one_kind_of_error(data: bytes, signature: str) -> None:
    try:
        assert marshal(signature, unmarshal(signature, data))
    except ProtocolError as error:
        assert str(error)
