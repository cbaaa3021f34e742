from __future__ import annotations

from rootless.model.loglines import Lines


def shown(lines, *pieces):
    return [part for piece in pieces for part in lines.show(*piece)]


def test_nothing_asked_for_changes_nothing():
    assert shown(Lines(), ("T", "stdout", b"a\nb"), ("U", "stderr", b"")) == [("stdout", b"a\nb")]


def test_each_line_gets_its_time_and_name():
    lines = Lines(before=b"web ", stamps=True)
    assert shown(
        lines, ("T", "stdout", b"a\nb\nc"), ("U", "stderr", b"e\n"), ("V", "stdout", b"d\n\n")
    ) == [
        ("stdout", b"web T a\nweb T b\nweb T c"),
        ("stderr", b"web U e\n"),
        ("stdout", b"d\nweb V \n"),
    ]


def test_details_stand_after_the_time():
    lines = Lines(before=b"web ", stamps=True, details=b"a=b ")
    assert shown(lines, ("T", "stdout", b"x\ny\n")) == [("stdout", b"web T a=b x\nweb T a=b y\n")]


def test_a_line_in_many_pieces_is_marked_once():
    pieces = (("T", "stdout", b"a"), ("U", "stdout", b"b"), ("V", "stdout", b"\n"))
    assert b"".join(data for _, data in shown(Lines(stamps=True), *pieces)) == b"T ab\n"


def test_lines_are_skipped_in_the_order_of_their_ends():
    pieces = (("T", "stdout", b"ab"), ("U", "stderr", b"x\n"), ("V", "stdout", b"cd\ne\n"))
    assert shown(Lines(skip=1), *pieces) == [("stdout", b"ab"), ("stdout", b"cd\ne\n")]
    assert shown(Lines(skip=2), *pieces) == [("stdout", b"e\n")]
    assert shown(Lines(skip=2, stamps=True), *pieces) == [("stdout", b"V e\n")]
    assert shown(Lines(skip=3), *pieces) == []
