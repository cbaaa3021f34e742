"""The view of /proc beside Debian's LXCFS, as root, on the same container at the same moment."""

from __future__ import annotations

import pytest

from tests.system import side_by_side
from tests.system.guest import Guest
from tests.system.side_by_side import Row

PAGE = side_by_side.PAGE_OF_FIELDS.read_text()


@pytest.fixture(scope="module")
def rows(session_guest: Guest) -> list[Row]:
    return side_by_side.compare(*side_by_side.take(session_guest), PAGE)


def test_every_field_is_equal_or_has_its_reason(rows: list[Row]) -> None:
    assert len(rows) > 100
    assert [row for row in rows if not row.explained] == []


def test_what_ours_knows_of_the_container(rows: list[Row]) -> None:
    """The load of the container has left its traces in ours where LXCFS has 0 or the host's."""
    ours = {(row.file, row.field): row.ours for row in rows if not row.equal}
    mib = 1024
    for field, least in (("Mapped", 16), ("Dirty", 8), ("AnonHugePages", 40), ("SwapTotal", 128)):
        assert float(ours["meminfo", field]) >= least * mib, field
    assert float(ours["diskstats", "read_sectors"]) >= 16 * mib * 2
    assert float(ours["diskstats", "written_sectors"]) >= 16 * mib * 2
    assert float(ours["stat", "cpu user"]) + float(ours["stat", "cpu system"]) >= 500
    assert float(ours["uptime", "idle"]) <= 10


@pytest.mark.parametrize(
    ("field", "ours", "theirs"),
    [("MemTotal", "1", "2"), ("Unheard", "1", "1"), ("MemFree", "100000", "300000")],
)
def test_a_difference_without_a_reason_is_found(field: str, ours: str, theirs: str) -> None:
    texts = [{"proc:meminfo": f"{field}:  {number} kB"} for number in (ours, theirs)]
    (row,) = side_by_side.compare(texts[0], texts[1], PAGE)
    assert not row.explained


def test_what_differs_in_the_time_between_is_equal() -> None:
    texts = [{"proc:meminfo": f"MemFree:  {number} kB"} for number in (100_000, 101_000)]
    (row,) = side_by_side.compare(texts[0], texts[1], PAGE)
    assert row.explained and row.equal
