"""Maps of sparse files in tar archives (GNU tar manual, "Storing Sparse Files"). Pure."""

from __future__ import annotations

from rootless.image import tarnumbers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Map = list[tuple[int, int]]

_MAX_TEXT = 1024 * 1024


def check(parts: Map, stored: int, real_size: int) -> None:
    """Raise ValueError unless the parts are in order, inside the file, and are the stored data."""
    if not 0 <= real_size <= tarnumbers.MAX_SIZE:
        raise ValueError(f"impossible size {real_size}")
    position = 0
    for offset, length in parts:
        if offset < position or length < 0 or offset + length > real_size:
            raise ValueError(f"part {offset}+{length} of {real_size} bytes")
        position = offset + length
    total = sum(length for _, length in parts)
    if total != stored:
        raise ValueError(f"{total} bytes of data, but {stored} are stored")


def parse_old(data: bytes) -> Map:
    """The entries of 24 bytes in a GNU header or an extension block, up to the first empty one."""
    parts = []
    for start in range(0, len(data) - 23, 24):
        if not data[start]:
            break
        offset = tarnumbers.parse(data[start : start + 12])
        parts.append((offset, tarnumbers.parse(data[start + 12 : start + 24])))
    return parts


def parse_pairs(numbers: list[bytes]) -> Map:
    """PAX formats 0.0 and 0.1: offset, length, offset, length, …"""
    if len(numbers) % 2:
        raise ValueError("an odd number of numbers")
    values = [tarnumbers.parse_decimal(number) for number in numbers]
    return list(zip(values[::2], values[1::2], strict=True))


def parse_in_data(next_block: Callable[[], bytes]) -> Map:
    """PAX format 1.0: lines of decimal numbers before the data, the first is how many pairs."""
    text = next_block()
    while b"\n" not in text:
        text += _bounded(text, next_block)
    count = tarnumbers.parse_decimal(text.partition(b"\n")[0])
    if count > _MAX_TEXT // 4:
        raise ValueError(f"{count} parts")
    lines = text.count(b"\n")
    while lines < 2 * count + 1:
        block = _bounded(text, next_block)
        lines += block.count(b"\n")
        text += block
    return parse_pairs(text.split(b"\n")[1 : 2 * count + 1])


def _bounded(text: bytes, next_block: Callable[[], bytes]) -> bytes:
    if len(text) > _MAX_TEXT:
        raise ValueError("too long")
    return next_block()
