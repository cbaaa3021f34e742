"""Typed instructions, their flags and errors; variables in them."""

from __future__ import annotations

import pytest

from rootless.model.dockerfile import lines, read
from rootless.model.dockerfile.expansion import Expander
from rootless.model.dockerfile.instructions import (
    Arg,
    Assign,
    Command,
    Copy,
    From,
    Healthcheck,
    Instruction,
    OnBuild,
    Run,
    Several,
    Text,
)
from rootless.model.dockerfile.place import DockerfileError


def instruction(text: str) -> Instruction:
    (statement,) = lines.parse(text.encode(), "Dockerfile").statements
    return read.instruction(statement)


@pytest.mark.parametrize(
    ("text", "image", "stage", "platform"),
    [
        ("FROM a", "a", "", ""),
        ("FROM a:1@sha256:00 AS Build", "a:1@sha256:00", "build", ""),
        ("FROM --platform=linux/arm64 a as b.c-d_1", "a", "b.c-d_1", "linux/arm64"),
        ("FROM ${A:-b}", "${A:-b}", "", ""),
    ],
)
def test_from(text: str, image: str, stage: str, platform: str) -> None:
    one = instruction(text)
    assert isinstance(one, From)
    assert (one.image, one.stage, one.platform) == (image, stage, platform)


def test_arg() -> None:
    one = instruction("ARG a b=1 c='x y' d=")
    assert isinstance(one, Arg)
    assert one.pairs == [("a", None), ("b", "1"), ("c", "'x y'"), ("d", "")]


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("ENV a=1 b=2", [("a", "1"), ("b", "2")]),
        ("ENV a=1\\\n b='x y'", [("a", "1"), ("b", "'x y'")]),
        ('ENV a="x y" b=c\\ d', [("a", '"x y"'), ("b", "c\\ d")]),
        ("ENV a b  c=d", [("a", "b  c=d")]),
        ("ENV a=", [("a", "")]),
        ('LABEL "com.example.a"="b" c=d', [('"com.example.a"', '"b"'), ("c", "d")]),
    ],
)
def test_assignments(text: str, pairs: list[tuple[str, str]]) -> None:
    one = instruction(text)
    assert isinstance(one, Assign)
    assert one.pairs == pairs


@pytest.mark.parametrize(
    ("text", "words", "shell"),
    [
        ("CMD a b", ["a b"], True),
        ('CMD ["a", "b c"]', ["a", "b c"], False),
        ("CMD ['a']", ["['a']"], True),
        ("CMD [ -f x ] && a", ["[ -f x ] && a"], True),
        ("CMD []", [], False),
        ('ENTRYPOINT ["a"] ', ["a"], False),
        ('SHELL ["/bin/bash", "-c"]', ["/bin/bash", "-c"], False),
        ('RUN ["a", "$b"]', ["a", "$b"], False),
    ],
)
def test_commands(text: str, words: list[str], *, shell: bool) -> None:
    one = instruction(text)
    assert isinstance(one, Command)
    assert (one.words, one.shell) == (words, shell)


def test_run_flags() -> None:
    one = instruction(
        "RUN --mount=type=cache,target=/c,id=x,sharing=locked,mode=0700 "
        "--mount=target=/src,readwrite --mount=type=secret,id=k,required --network=none make"
    )
    assert isinstance(one, Run)
    cache, bind, secret = one.mounts
    assert (cache.kind, cache.get("target"), cache.number("mode", 0o755)) == ("cache", "/c", 0o700)
    assert cache.rw
    assert (bind.kind, bind.get("target"), bind.rw) == ("bind", "/src", True)
    assert secret.required
    assert not secret.rw
    assert (one.network, one.words) == ("none", ["make"])


def test_copy() -> None:
    one = instruction("COPY --from=b --chown=1:2 --chmod=u+x --link --parents --exclude=*.o a b /c")
    assert isinstance(one, Copy)
    assert (one.sources, one.destination, one.source_stage) == (["a", "b"], "/c", "b")
    assert (one.chown, one.chmod, one.exclude) == ("1:2", "u+x", ["*.o"])
    assert one.link
    assert one.parents
    assert not one.inline


def test_copy_of_names_with_spaces() -> None:
    one = instruction('COPY ["a b", "c d/"]')
    assert isinstance(one, Copy)
    assert (one.sources, one.destination) == (["a b"], "c d/")


def test_copy_of_heredocs() -> None:
    one = instruction("COPY <<a x <<'b' /d/\n$1\na\n$2\nb")
    assert isinstance(one, Copy)
    assert one.sources == ["x"]
    assert [(file.name, file.text, file.expand) for file in one.inline] == [
        ("a", "$1\n", True),
        ("b", "$2\n", False),
    ]


def test_add() -> None:
    one = instruction("ADD --checksum=sha256:00 --keep-git-dir=true https://x/y /z")
    assert isinstance(one, Copy)
    assert (one.checksum, one.keep_git_dir, one.unpack) == ("sha256:00", True, None)


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("VOLUME /a /b", ["/a", "/b"]),
        ('VOLUME ["/a b"]', ["/a b"]),
        ("EXPOSE 80 443/tcp 1-3/udp", ["80", "443/tcp", "1-3/udp"]),
    ],
)
def test_lists(text: str, items: list[str]) -> None:
    one = instruction(text)
    assert isinstance(one, Several)
    assert one.items == items


@pytest.mark.parametrize(
    ("text", "document"),
    [
        ("HEALTHCHECK NONE", {"Test": ["NONE"]}),
        ("HEALTHCHECK CMD a b", {"Test": ["CMD-SHELL", "a b"]}),
        (
            'HEALTHCHECK --interval=5m --timeout=1.5s --retries=4 cmd ["a"]',
            {"Test": ["CMD", "a"], "Interval": 300 * 10**9, "Timeout": 15 * 10**8, "Retries": 4},
        ),
        (
            "HEALTHCHECK --start-period=1s --start-interval=2s CMD a",
            {"Test": ["CMD-SHELL", "a"], "StartPeriod": 10**9, "StartInterval": 2 * 10**9},
        ),
    ],
)
def test_healthcheck(text: str, document: dict[str, object]) -> None:
    one = instruction(text)
    assert isinstance(one, Healthcheck)
    assert one.document == document


def test_onbuild() -> None:
    one = instruction("ONBUILD COPY <<a /b\n\tx\na")
    assert isinstance(one, OnBuild)
    assert one.text == "COPY <<a /b\n\tx\na"
    inner = read.trigger(one.text, one.place)
    assert isinstance(inner, Copy)
    assert inner.inline[0].text == "\tx\n"


@pytest.mark.parametrize(
    ("text", "what", "hint"),
    [
        ("FROM", "FROM without arguments", "FROM IMAGE"),
        ("FROM a b", "FROM has one or three arguments", "FROM IMAGE [AS NAME]"),
        ("FROM a AS 1b", "1b cannot be the name of a stage", "a letter first"),
        ("FROM --plattform=x a", "FROM has no flag --plattform", "did you mean --platform?"),
        ("RUN", "RUN without a command", "RUN COMMAND"),
        ("RUN []", "RUN without a command", "RUN COMMAND"),
        ("RUN --mount a", "--mount needs a value", "--mount=VALUE"),
        ("RUN --mount=type=cash,target=/a b", "--mount: unknown type cash", "did you mean cache?"),
        ("RUN --mount=type=cache b", "--mount: type=cache needs target=PATH", ""),
        ("RUN --mount=type=tmpfs,target=/a,id=1 b", "--mount: type=tmpfs knows no id", "one of:"),
        ("RUN --mount=type=bind,target b", "--mount: target: NAME=VALUE was expected", ""),
        ("RUN --mount=target=/a,ro=x b", "--mount: ro=x: true or false was expected", ""),
        ("RUN --mount=target=/a,from=$b c", "--mount: variables are not possible in from=", "FROM"),
        ("RUN --network=nothing a", "unknown --network=nothing", "one of: default, host, none"),
        ("RUN --network=none --network=none a", "--network stands here twice", ""),
        ("COPY a", "COPY needs a source and a destination", "COPY SOURCE"),
        ("COPY --form=x a b", "COPY has no flag --form", "did you mean --from?"),
        ("COPY --link=maybe a b", "--link=maybe: true or false was expected", ""),
        ("COPY --from=$a b c", "variables are not possible in --from", "FROM"),
        ("COPY --checksum=x a b", "COPY has no flag --checksum", "one of: "),
        ("COPY [1, 2]", "COPY: the array holds something that is no string", 'COPY ["WORD"'),
        ("COPY a <<b\nb", "a heredoc cannot be the destination", ""),
        ("CMD [1]", "CMD: the array holds something that is no string", 'CMD ["WORD"'),
        ("SHELL sh -c", "SHELL takes a JSON array", 'SHELL ["/bin/sh", "-c"]'),
        ("ENV", "ENV without arguments", "ENV NAME=VALUE"),
        ("ENV a", "ENV: a has no value", "ENV a=VALUE"),
        ("ENV a=1 b", "b: NAME=VALUE was expected", "quotes keep spaces"),
        ("ENV =1", "the name before '=' is missing", ""),
        ("ARG =1", "the name before '=' is missing", ""),
        ("LABEL a=b =c", "the name before '=' is missing", ""),
        ("WORKDIR", "WORKDIR without arguments", "WORKDIR VALUE"),
        ("VOLUME []", "VOLUME needs a path", "VOLUME PATH"),
        ("EXPOSE", "EXPOSE without arguments", "EXPOSE PORT"),
        ("HEALTHCHECK", "HEALTHCHECK takes CMD and a command, or NONE alone", "HEALTHCHECK CMD"),
        ("HEALTHCHECK NONE a", "HEALTHCHECK takes CMD and a command, or NONE alone", ""),
        ("HEALTHCHECK --interval=x CMD a", "--interval=x is no duration", "--interval=30s"),
        ("HEALTHCHECK --interval=1us CMD a", "--interval=1us is no duration", "--interval=30s"),
        ("HEALTHCHECK --retries=-1 CMD a", "--retries=-1 is no number", "--retries=3"),
        ("ONBUILD", "ONBUILD without arguments", "ONBUILD INSTRUCTION"),
        ("ONBUILD FROM a", "ONBUILD FROM is not possible", ""),
        ("ONBUILD ONBUILD RUN a", "ONBUILD ONBUILD is not possible", ""),
        ("ONBUILD RNU a", "ONBUILD: unknown instruction RNU", "did you mean RUN?"),
        ("ONBUILD COPY a", "COPY needs a source and a destination", ""),
        ("USER --x a", "USER has no flag --x", ""),
    ],
)
def test_errors(text: str, what: str, hint: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        instruction(text)
    assert caught.value.message.startswith(f"Dockerfile:1: {what}")
    assert caught.value.message.endswith(f": {text.partition(chr(10))[0]}")
    assert caught.value.hint.startswith(hint)


def expanded(text: str, **variables: str) -> Instruction:
    return Expander(variables).instruction(instruction(text))


def test_variables_of_one_instruction_are_those_before_it() -> None:
    one = expanded("ENV a=new b=$a c='$a' $a=d", a="old")
    assert isinstance(one, Assign)
    assert one.pairs == [("a", "new"), ("b", "old"), ("c", "$a"), ("old", "d")]


@pytest.mark.parametrize("name", ["WORKDIR", "USER", "STOPSIGNAL"])
def test_variables_in_a_text(name: str) -> None:
    one = expanded(f'{name} ${{a:-x}}/"b c"', a="1")
    assert isinstance(one, Text)
    assert one.text == "1/b c"


def test_variables_of_expose_can_hold_several() -> None:
    one = expanded("EXPOSE $a 443", a="80 81/udp")
    assert isinstance(one, Several)
    assert one.items == ["80", "81/udp", "443"]


def test_variables_of_a_volume_are_one_path() -> None:
    one = expanded("VOLUME $a", a="/x y")
    assert isinstance(one, Several)
    assert one.items == ["/x y"]


def test_variables_in_copy() -> None:
    one = expanded(
        "COPY --chown=$u --chmod=$m $a <<b $d/\n'$a' \\$a\nb", u="1", m="700", a="s", d="/d"
    )
    assert isinstance(one, Copy)
    assert (one.chown, one.chmod, one.sources, one.destination) == ("1", "700", ["s"], "/d/")
    assert one.inline[0].text == "'s' $a\n"


def test_a_quoted_heredoc_keeps_its_variables() -> None:
    one = expanded("COPY <<'b' /d\n$a\nb", a="s")
    assert isinstance(one, Copy)
    assert one.inline[0].text == "$a\n"


def test_run_has_variables_in_its_mounts_only() -> None:
    one = expanded("RUN --mount=type=cache,target=/$a,uid=$u echo $a", a="x", u="7")
    assert isinstance(one, Run)
    assert one.words == ["echo $a"]
    assert (one.mounts[0].get("target"), one.mounts[0].number("uid", 0)) == ("/x", 7)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("RUN --mount=type=cache,target=/a,uid=$u echo", "--mount: uid=x is no number"),
        ("RUN --mount=type=cache,target=/a,mode=9 echo", "--mount: mode=9 is no number"),
        ("RUN --mount=type=tmpfs,target=/a,size=much echo", "--mount: size=much is no size"),
        ("WORKDIR ${u", "'${' without '}'"),
        ("ENV a='b", "' without another '"),
    ],
)
def test_errors_of_variables(text: str, what: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        expanded(text, u="x")
    assert caught.value.message == f"Dockerfile:1: {what}: {text}"


@pytest.mark.parametrize("text", ["CMD $a", "ENTRYPOINT $a", "HEALTHCHECK CMD $a", 'SHELL ["$a"]'])
def test_the_shell_has_its_own_variables(text: str) -> None:
    one = instruction(text)
    assert Expander({"a": "b"}).instruction(one) is one
