"""Directives, comments, continuation lines and heredocs."""

from __future__ import annotations

import pytest

from rootless.model.dockerfile import lines
from rootless.model.dockerfile.place import DockerfileError


def shown(text: str) -> list[tuple[str, str]]:
    return [(one.name, one.rest) for one in lines.parse(text.encode(), "Dockerfile").statements]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FROM a", [("FROM", "a")]),
        ("\ufefffrom   a  ", [("FROM", "a")]),
        ("  FROM a\r\nRUN b\r\n", [("FROM", "a"), ("RUN", "b")]),
        ("FROM a\n\n# c\n   # d\nRUN b # no comment", [("FROM", "a"), ("RUN", "b # no comment")]),
        ("RUN a \\\n  b", [("RUN", "a   b")]),
        ("RUN a \\  \n  b", [("RUN", "a   b")]),
        ("RUN a\\\nb", [("RUN", "ab")]),
        ("RUN a \\\n# comment\n  # another\n  b", [("RUN", "a   b")]),
        ("RUN a \\\n\n\n  b", [("RUN", "a   b")]),
        ("RUN a \\", [("RUN", "a")]),
        ("RUN a \\\\\nRUN b", [("RUN", "a \\\\"), ("RUN", "b")]),
        ("\\\nFROM a", [("FROM", "a")]),
        ("RUN a\tb", [("RUN", "a\tb")]),
        ("CMD", [("CMD", "")]),
    ],
)
def test_statements(text: str, expected: list[tuple[str, str]]) -> None:
    assert shown(text) == expected


def test_the_escape_directive() -> None:
    text = "# escape=`\nFROM a\nRUN C:\\dir\\\nRUN b `\n  c"
    assert shown(text) == [("FROM", "a"), ("RUN", "C:\\dir\\"), ("RUN", "b   c")]


def test_directives_end_with_the_first_other_line() -> None:
    text = b"# Syntax = docker/dockerfile:1 \n#check=skip=all\n# unknown=1\n# escape=`\nFROM a"
    parsed = lines.parse(text, "Dockerfile")
    assert parsed.directives == {"syntax": "docker/dockerfile:1", "check": "skip=all"}
    assert parsed.escape == "\\"


def test_a_directive_after_an_instruction_is_a_comment() -> None:
    assert lines.parse(b"FROM a\n# escape=`", "Dockerfile").escape == "\\"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# escape=x\nFROM a", "Dockerfile:1: escape=x is not possible: # escape=x"),
        (
            "# escape=`\n# escape=`\nFROM a",
            "Dockerfile:2: the directive escape stands here a second time: # escape=`",
        ),
        ("FROM a\nRNU b", "Dockerfile:2: unknown instruction RNU: RNU b"),
        ("FROM a\nRUN <<E\nb", "Dockerfile:2: the heredoc <<E has no end: RUN <<E"),
        ("FROM a\nRUN <<E\nb\n E\n", "Dockerfile:2: the heredoc <<E has no end: RUN <<E"),
        ("FROM a\nCOPY --=x a b", "Dockerfile:2: --=x: the name of the flag is missing"),
        ("FROM a\n\0", "Dockerfile:2: a null byte: this is no text file: \\0"),
    ],
)
def test_errors_show_file_line_and_text(text: str, message: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        lines.parse(text.encode(), "Dockerfile")
    assert caught.value.message.startswith(message)


def test_not_utf8() -> None:
    with pytest.raises(DockerfileError, match=r"^D:2: not UTF-8: RUN \\xff$"):
        lines.parse(b"FROM a\nRUN \xff", "D")


def test_an_unknown_instruction_has_a_suggestion() -> None:
    with pytest.raises(DockerfileError) as caught:
        lines.parse(b"ENTRYPONT x", "Dockerfile")
    assert caught.value.hint == "did you mean ENTRYPOINT?"


def test_the_number_is_that_of_the_first_line() -> None:
    parsed = lines.parse(b"\n# c\nRUN a \\\n b\n\nRUN c", "Dockerfile")
    assert [one.place.number for one in parsed.statements] == [3, 6]


@pytest.mark.parametrize(
    ("text", "flags", "rest"),
    [
        ("COPY --from=x --link a b", [("from", "x"), ("link", None)], "a b"),
        ('RUN --mount="type=bind,target=/a b" c', [("mount", "type=bind,target=/a b")], "c"),
        (r"COPY --chown=a\ b c d", [("chown", "a b")], "c d"),
        ("COPY --link -- --x b", [("link", None)], "--x b"),
        ("RUN a --b", [], "a --b"),
        ("COPY --chmod= a b", [("chmod", "")], "a b"),
    ],
)
def test_flags(text: str, flags: list[tuple[str, str | None]], rest: str) -> None:
    (one,) = lines.parse(text.encode(), "Dockerfile").statements
    assert [(flag.name, flag.value) for flag in one.flags] == flags
    assert one.rest == rest


def heredocs(text: str) -> list[lines.Heredoc]:
    return lines.parse(text.encode(), "Dockerfile").statements[0].heredocs


@pytest.mark.parametrize(
    ("text", "name", "content", "expand"),
    [
        ("RUN <<EOF\na\n  b\nEOF\n", "EOF", "a\n  b\n", True),
        ("RUN <<EOF\nEOF", "EOF", "", True),
        ("RUN <<'EOF'\n$a\nEOF", "EOF", "$a\n", False),
        ('RUN <<"EOF"\n$a\nEOF', "EOF", "$a\n", False),
        ("RUN <<-EOF\n\t\ta\n\tEOF", "EOF", "a\n", True),
        ("RUN <<-'EOF'\n\ta\n\tEOF", "EOF", "a\n", False),
        ("RUN cat <<EOF > /x\n# no comment\n\\\nEOF", "EOF", "# no comment\n\\\n", True),
        ("ONBUILD RUN <<EOF\na\nEOF", "EOF", "a\n", True),
        ("COPY <<file.txt /x\r\na\r\nfile.txt\r\n", "file.txt", "a\n", True),
    ],
)
def test_heredocs(text: str, name: str, content: str, *, expand: bool) -> None:
    (one,) = heredocs(text)
    assert (one.name, one.text, one.expand) == (name, content, expand)


def test_several_heredocs_on_a_line() -> None:
    text = "COPY <<A <<-'B' /x/\na\nA\n\tb\nB\nRUN c"
    assert [(one.name, one.text) for one in heredocs(text)] == [("A", "a\n"), ("B", "b\n")]
    assert shown(text)[1] == ("RUN", "c")


@pytest.mark.parametrize(
    "text",
    ["RUN ['a', '<<E']", 'RUN ["a", "<<E"]', "RUN cat <<<word", "ENV a=<<E", "RUN echo '<<E'",
     "RUN a << b", "RUN echo $((1<<2))"],
)  # fmt: skip
def test_what_is_no_heredoc(text: str) -> None:
    assert heredocs(text) == []


def test_one_instruction_alone() -> None:
    place = lines.parse(b"FROM a", "Dockerfile").statements[0].place
    assert lines.parse_one("RUN <<E\na\nE", place).heredocs[0].text == "a\n"
    with pytest.raises(DockerfileError, match="one instruction was expected"):
        lines.parse_one("RUN a\nRUN b", place)
