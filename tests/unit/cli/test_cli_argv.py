"""The fast parser, and that click reads whatever it accepts the same way."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rootless.cli import argv, click_adapter, commands
from rootless.cli.options import (
    BOOLEANS,
    FLAG,
    Argument,
    Parsed,
    Signature,
    flag,
    repeat,
    value,
)
from rootless.errors import UsageError

RUN = commands.ENTRIES["run"].load()


def parse(words: str) -> tuple[dict[str, object], list[str]] | None:
    parsed = argv.parse(RUN, words.split(" "))
    return None if parsed is None else (dict(parsed.values), parsed.arguments)


@pytest.mark.parametrize(
    ("words", "values", "arguments"),
    [
        ("alpine", {}, ["alpine"]),
        ("-it alpine", {"interactive": True, "tty": True}, ["alpine"]),
        ("--rm alpine sh -c -it", {"rm": True}, ["alpine", "sh", "-c", "-it"]),
        ("alpine --rm", {}, ["alpine", "--rm"]),
        ("-eA=B alpine", {"env": ["A=B"]}, ["alpine"]),
        ("-e=A=B alpine", {"env": ["A=B"]}, ["alpine"]),
        ("-e A=B --env C=D alpine", {"env": ["A=B", "C=D"]}, ["alpine"]),
        ("--env=A=B alpine", {"env": ["A=B"]}, ["alpine"]),
        ("-itv/a:/b alpine", {"interactive": True, "tty": True, "volume": ["/a:/b"]}, ["alpine"]),
        ("--rm=false alpine", {"rm": False}, ["alpine"]),
        ("--rm --rm=F alpine", {"rm": False}, ["alpine"]),
        ("-i=0 alpine", {"interactive": False}, ["alpine"]),
        ("-- -odd", {}, ["-odd"]),
        ("alpine -- sh", {}, ["alpine", "--", "sh"]),
        ("--net none alpine", {"network": "none"}, ["alpine"]),
        ("--name= alpine", {"name": ""}, ["alpine"]),
        ("-e -x alpine", {"env": ["-x"]}, ["alpine"]),
        ("-h box alpine", {"hostname": "box"}, ["alpine"]),
        ("--pull always - x", {"pull": "always"}, ["-", "x"]),
    ],
)
def test_accepts(words: str, values: dict[str, object], arguments: list[str]) -> None:
    assert parse(words) == (values, arguments)


@pytest.mark.parametrize(
    "words",
    [
        "--help",
        "--help alpine",
        "--nam x alpine",
        "--rm",
        "--name",
        "-e",
        "-iX alpine",
        "--rm=maybe alpine",
        "--pull sometimes alpine",
        "--unknown alpine",
        "--",
    ],
)
def test_leaves_what_is_unusual_to_click(words: str) -> None:
    assert parse(words) is None


def test_intermixed_options_follow_arguments() -> None:
    remove = commands.ENTRIES["rmi"].load()
    parsed = argv.parse(remove, ["one", "-f", "two", "--", "-f"])
    assert parsed is not None
    assert (parsed.values, parsed.arguments) == ({"force": True}, ["one", "two", "-f"])


def test_counts_arguments() -> None:
    one = Signature(lambda parsed: 0, "", (), (Argument("A"), Argument("B", 0, 1)))
    assert [one.takes(count) for count in range(4)] == [False, True, True, False]


def test_defaults_and_absence() -> None:
    parsed = argv.parse(RUN, ["alpine"])
    assert parsed is not None
    assert parsed.flag("sig-proxy") and not parsed.flag("rm")
    assert parsed.text("pull") == "missing" and parsed.text("name") == ""
    assert parsed.optional("entrypoint") is None and parsed.all("env") == []


def test_split_reads_commas() -> None:
    parsed = argv.parse(RUN, ["--cap-add", "A,B", "--cap-add=C", "alpine"])
    assert parsed is not None and parsed.split("cap-add") == ["A", "B", "C"]


SMALL = (
    flag("-a --alpha", ""),
    flag("--beta", "", default=True),
    value("-c --gamma --gam", "TEXT", ""),
    repeat("-d --delta", "TEXT", ""),
    value("--mode", "", "", choices=("one", "two")),
)
TEXTS = st.sampled_from(["", "x", "-", "--", "-a", "--alpha", "a=b", "one", "=", "-c", "é", "a b"])


def words() -> st.SearchStrategy[str]:
    names = [name for option in SMALL for name in option.names]
    joined = st.tuples(st.sampled_from(names), st.sampled_from(["", "="]), TEXTS).map("".join)
    bundle = st.tuples(st.text("acd=", min_size=1, max_size=4), TEXTS).map(
        lambda pair: "-" + "".join(pair)
    )
    switch = st.tuples(
        st.sampled_from(["--alpha=", "-a=", "--beta="]), st.sampled_from([*BOOLEANS])
    )
    return st.one_of(st.sampled_from(names), joined, bundle, switch.map("".join), TEXTS)


def read_by_click(signature: Signature, line: list[str]) -> Parsed | None:
    return click_adapter.parse(signature, "rl try", line)


@pytest.mark.parametrize("intermixed", [True, False])
@settings(max_examples=400, deadline=None, database=None)
@given(line=st.lists(words(), max_size=6))
def test_click_agrees_with_all_that_is_accepted(intermixed: bool, line: list[str]) -> None:
    arguments = (Argument("FIRST", 0, 1), Argument("REST", 0, None))
    signature = Signature(lambda parsed: 0, "", SMALL, arguments, intermixed=intermixed)
    quick = argv.parse(signature, line)
    if quick is None:
        with pytest.raises(UsageError):
            read_by_click(signature, line)
        return
    slow = read_by_click(signature, line)
    assert slow is not None
    assert (slow.values, slow.arguments) == (quick.values, quick.arguments)


RUN_NAMES = [name for option in RUN.options for name in option.names]


@settings(max_examples=200, deadline=None, database=None)
@given(st.lists(st.sampled_from([*RUN_NAMES, "x", "/a:/b", "A=B", "-it", "--rm=0"]), max_size=8))
def test_click_agrees_on_run(line: list[str]) -> None:
    quick = argv.parse(RUN, line)
    if quick is not None:
        slow = read_by_click(RUN, line)
        assert slow is not None
        assert (slow.values, slow.arguments) == (quick.values, quick.arguments)


def test_every_command_loads_and_no_name_is_twice() -> None:
    for entry in commands.ENTRIES.values():
        names = [name for option in entry.load().options for name in option.names]
        assert len(names) == len(set(names)), entry.path
        assert all(option.help for option in entry.load().options), entry.path


def test_flags_have_no_metavar_and_values_have() -> None:
    for option in RUN.options:
        assert (option.metavar == "") == (option.kind == FLAG), option.name
