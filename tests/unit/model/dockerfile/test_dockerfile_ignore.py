"""Patterns of .dockerignore; the table is after the documented behaviour of moby's matcher."""

from __future__ import annotations

import pytest

from rootless.errors import UsageError
from rootless.model.dockerfile import ignore


def ignored(text: str, paths: list[str]) -> list[str]:
    rules = ignore.parse(text.encode(), ".dockerignore")
    return [path for path in paths if rules.ignores(path)]


@pytest.mark.parametrize(
    ("text", "left_out", "kept"),
    [
        ("", [], ["a"]),
        ("# a comment\na", ["a"], ["# a comment"]),
        (" # no comment", ["# no comment"], ["a"]),
        ("a", ["a", "a/b", "a/b/c"], ["b", "b/a", "ab"]),
        ("/a", ["a", "a/b"], ["b/a"]),
        ("a/", ["a", "a/b"], ["b"]),
        ("./a", ["a"], ["b"]),
        ("a/../b", ["b"], ["a"]),
        ("  a  ", ["a"], ["  a  "]),
        ("a\r", ["a"], []),
        ("\ufeffa", ["a"], []),
        ("*", ["a", "a/b", ".git"], []),
        ("*.o", ["x.o"], ["d/x.o", "x.ob"]),
        ("*/x", ["d/x"], ["x", "d/e/x"]),
        ("**/x", ["x", "d/x", "d/e/x", "x/y"], ["xx", "dx"]),
        ("**/*.o", ["a.o", "d/a.o"], ["a.c"]),
        ("d/**", ["d/a", "d/a/b"], ["e"]),
        ("d/**/x", ["d/x", "d/a/x", "d/a/b/x"], ["x", "d/xx"]),
        ("**", ["a", "a/b"], []),
        ("a?c", ["abc"], ["ac", "a/c", "abbc"]),
        ("[ab]", ["a", "b"], ["c"]),
        ("[^ab]", ["c"], ["a"]),
        ("[a-c]x", ["bx"], ["dx"]),
        (r"\*", ["*"], ["a"]),
        (r"\!a", ["!a"], ["a"]),
        ("a.b+c(d)", ["a.b+c(d)"], ["axb+c(d)"]),
        ("$x{1}|2", ["$x{1}|2"], ["x"]),
        ("*.md\n!README.md", ["a.md"], ["README.md"]),
        ("!README.md\n*.md", ["README.md", "a.md"], []),
        ("*.md\n!README*.md\nREADME-secret.md", ["a.md", "README-secret.md"], ["README.md"]),
        ("d\n!d/keep", ["d", "d/other"], ["d/keep"]),
        ("*\n!src\nsrc/*.o", ["a", "src/x.o"], ["src", "src/x.c"]),
        ("! d", ["e"][:0], ["d"]),
        ("*\n! d", ["e"], ["d"]),
        ("a b", ["a b"], ["a"]),
        ("é*", ["été"[::-1], "éa"], ["a"]),
    ],
)
def test_patterns(text: str, left_out: list[str], kept: list[str]) -> None:
    assert ignored(text, [*left_out, *kept]) == left_out


def test_names_that_are_not_utf8() -> None:
    rules = ignore.parse(b"\xff*", ".dockerignore")
    assert rules.ignores("\udcffname")
    assert not rules.ignores("name")


@pytest.mark.parametrize("text", ["!", "a\n! ", "[", "[a", "[b-a]", "a\\"])
def test_what_is_no_pattern(text: str) -> None:
    with pytest.raises(UsageError, match=r"^\.dockerignore:[12]: "):
        ignore.parse(text.encode(), ".dockerignore")


@pytest.mark.parametrize(
    ("text", "directory", "expected"),
    [
        ("node", "node", True),
        ("node\n!node/keep", "node", False),
        ("*\n!src", "other", True),
        ("*\n!src/deep/file", "src", False),
        ("*\n!**/file", "other", False),
        ("*\n!src*", "other", False),
    ],
)
def test_which_directories_need_no_look(text: str, directory: str, *, expected: bool) -> None:
    assert ignore.parse(text.encode(), "x").skips_below(directory) is expected
