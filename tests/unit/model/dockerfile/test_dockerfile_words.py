"""Substitution and quoting; the expected values are those of docker's reference and of sh(1)."""

from __future__ import annotations

import pytest

from rootless.model.dockerfile import patterns
from rootless.model.dockerfile.words import Lexer

VARIABLES = {
    "x": "value", "EMPTY": "", "path": "/usr/local/lib/libfoo.so.1", "name": "foobarbaz",
    "dots": "a.b.c", "stars": "a*b*c", "É": "accent", "1": "one",
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("$x", "value"),
        ("${x}", "value"),
        ("$x$x", "valuevalue"),
        ("a$x/b", "avalue/b"),
        ("${x}_b", "value_b"),
        ("$x_b", ""),
        ("$UNSET", ""),
        ("$", "$"),
        ("$.", "$."),
        ("a$/b", "a$/b"),
        ("$1a", "onea"),
        ("${É}", "accent"),
        (r"\$x", "$x"),
        (r"\${x}", "${x}"),
        (r"\\$x", r"\value"),
        (r"a\ b", "a b"),
        ("\\", ""),
        ("'$x'", "$x"),
        ('"$x"', "value"),
        ("\"'$x'\"", "'value'"),
        ("'\"'", '"'),
        (r'"\$x"', "$x"),
        (r'"a\b"', r"a\b"),
        (r'"a\"b"', 'a"b'),
        (r'"a\\b"', r"a\b"),
        (r"'a\b'", r"a\b"),
        ("a b  c", "a b  c"),
        ("${x:-w}", "value"),
        ("${EMPTY:-w}", "w"),
        ("${UNSET:-w}", "w"),
        ("${x-w}", "value"),
        ("${EMPTY-w}", ""),
        ("${UNSET-w}", "w"),
        ("${UNSET:-}", ""),
        ("${UNSET:-$x}", "value"),
        ("${UNSET:-${EMPTY:-${x}}}", "value"),
        ("${UNSET:-'$x'}", "$x"),
        (r"${UNSET:-a\}b}", "a}b"),
        ("${x:+w}", "w"),
        ("${EMPTY:+w}", ""),
        ("${UNSET:+w}", ""),
        ("${x+w}", "w"),
        ("${EMPTY+w}", "w"),
        ("${UNSET+w}", ""),
        ("${x:?gone}", "value"),
        ("${x?gone}", "value"),
        ("${EMPTY?gone}", ""),
        ("${path#*/}", "usr/local/lib/libfoo.so.1"),
        ("${path##*/}", "libfoo.so.1"),
        ("${path%.*}", "/usr/local/lib/libfoo.so"),
        ("${path%%.*}", "/usr/local/lib/libfoo"),
        ("${name#foo}", "barbaz"),
        ("${name#bar}", "foobarbaz"),
        ("${name%baz}", "foobar"),
        ("${name%%b*}", "foo"),
        ("${name%b*}", "foobar"),
        ("${name#???}", "barbaz"),
        ("${dots#a.}", "b.c"),
        ("${stars%\\*c}", "a*b"),
        ("${name/ba/XX}", "fooXXrbaz"),
        ("${name//ba/XX}", "fooXXrXXz"),
        ("${name//ba/}", "foorz"),
        ("${dots//./-}", "a-b-c"),
        ("${path//\\//:}", ":usr:local:lib:libfoo.so.1"),
        ("${name/b*/-}", "foo-"),
        ("${name/zzz/-}", "foobarbaz"),
        ("${dots/b/$x}", "a.value.c"),
        ("${UNSET/a/b}", ""),
    ],
)
def test_one_word(text: str, expected: str) -> None:
    assert Lexer().word(text, VARIABLES) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${x", "without '}'"),
        ("${", "without '}'"),
        ("${}", "without the name"),
        ("${{x}", "without the name"),
        ("${:x}", "without the name"),
        ("${x:", "without '}'"),
        ("${x:-w", "without '}'"),
        ("${x:#w}", "':#' is not known"),
        ("${x&w}", "'&' is not known"),
        ("${x/a}", "without '/'"),
        ("${x/a/b", "without '}'"),
        ("${x#\\a}", "a backslash before 'a'"),
        ("${UNSET:?}", "UNSET: is unset"),
        ("${EMPTY:?}", "EMPTY: is empty"),
        ("${UNSET:?say which}", "UNSET: say which"),
        ("${UNSET?say which}", "UNSET: say which"),
        ("'a", "without another '"),
        ('"a', 'without another "'),
    ],
)
def test_what_cannot_be_read(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("$", r"\$").replace("?", r"\?")):
        Lexer().word(text, VARIABLES)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a b", ["a", "b"]),
        ("  a   b  ", ["a", "b"]),
        ("'a b' c", ["a b", "c"]),
        (r"a\ b c", ["a b", "c"]),
        ("$two c", ["1", "2", "c"]),
        ('"$two" c', ["1 2", "c"]),
        ("$UNSET", []),
        ("x$two", ["x1", "2"]),
    ],
)
def test_words_are_split_after_substitution(text: str, expected: list[str]) -> None:
    assert Lexer().words(text, {"two": "1 2"}) == expected


def test_the_escape_can_be_a_backtick() -> None:
    assert Lexer("`").word(r"C:\dir`$x\$x", {"x": "1"}) == r"C:\dir$x\1"


def test_quotes_mean_nothing_in_a_heredoc() -> None:
    assert Lexer(quotes=False).word('it\'s "$x"', {"x": "1"}) == 'it\'s "1"'


def test_what_is_kept() -> None:
    lexer = Lexer(keep_quotes=True, keep_escapes=True, keep_unset=True)
    assert lexer.word(r"""'a' "b" \c $d ${e} ${f:-g}""", {}) == r"""'a' "b" \c $d ${e} ${f:-g}"""


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("*.py", ["a.py", ".py"], ["a.pyc", "a/b.py", "a.py\n"]),
        ("?", ["a", "é"], ["", "ab", "/"]),
        ("[a-c]x", ["ax", "cx"], ["dx", "x"]),
        ("[^a]", ["b"], ["a", ""]),
        (r"\*", ["*"], ["a"]),
        (r"[\]]", ["]"], ["\\"]),
        ("a.b", ["a.b"], ["axb"]),
    ],
)
def test_components_of_copy_sources(pattern: str, matching: list[str], others: list[str]) -> None:
    regex = patterns.of_component(pattern)
    assert [text for text in [*matching, *others] if regex.match(text)] == matching


@pytest.mark.parametrize("pattern", ["[", "[a", "[]", "[b-a]", "a\\", "[a-]"])
def test_components_that_are_no_pattern(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        patterns.of_component(pattern)
