"""`-c`: instructions of a Dockerfile as changes of an image's configuration."""

from __future__ import annotations

from typing import Any

import pytest

from rootless.errors import RlError
from rootless.model import image_change, image_config

BASE = {"Env": ["A=base"], "Cmd": ["base"], "WorkingDir": "/srv", "Shell": ["/bin/ash", "-c"]}


def after(*texts: str) -> dict[str, Any]:
    config = image_config.with_changes({"config": BASE}, image_change.parse(texts))
    section: dict[str, Any] = config["config"]
    return section


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ('CMD ["a", "b c"]', "Cmd", ["a", "b c"]),
        ("cmd echo $A", "Cmd", ["/bin/ash", "-c", "echo $A"]),
        ("CMD=/bin/true", "Cmd", ["/bin/ash", "-c", "/bin/true"]),
        ('ENTRYPOINT ["x"]', "Entrypoint", ["x"]),
        ("ENV B=2 C='3 4'", "Env", ["A=base", "B=2", "C=3 4"]),
        ("ENV A ${A}/more", "Env", ["A=base/more"]),
        ("ENV=B=c=d", "Env", ["A=base", "B=c=d"]),
        ("EXPOSE 80 53/udp", "ExposedPorts", {"80/tcp": {}, "53/udp": {}}),
        ("EXPOSE 80-82", "ExposedPorts", {"80/tcp": {}, "81/tcp": {}, "82/tcp": {}}),
        ('LABEL a="b c" d=e', "Labels", {"a": "b c", "d": "e"}),
        ("VOLUME /a /$A", "Volumes", {"/a": {}, "/base": {}}),
        ("WORKDIR sub/$A", "WorkingDir", "/srv/sub/base"),
        ("USER 1:2", "User", "1:2"),
        ("STOPSIGNAL SIGINT", "StopSignal", "SIGINT"),
        ('SHELL ["bash", "-c"]', "Shell", ["bash", "-c"]),
        ("ONBUILD COPY . /x", "OnBuild", ["COPY . /x"]),
        ("HEALTHCHECK NONE", "Healthcheck", {"Test": ["NONE"]}),
        (
            "HEALTHCHECK --retries=2 CMD true",
            "Healthcheck",
            {"Test": ["CMD-SHELL", "true"], "Retries": 2},
        ),
    ],
)
def test_each_instruction(text: str, key: str, value: object) -> None:
    # An ENTRYPOINT takes the CMD away, which is a test of its own.
    expected = {name: base for name, base in BASE.items() if key != "Entrypoint" or name != "Cmd"}
    assert after(text) == {**expected, key: value}


def test_an_entrypoint_drops_the_base_images_command_only() -> None:
    assert "Cmd" not in after('ENTRYPOINT ["x"]')
    assert after('CMD ["mine"]', 'ENTRYPOINT ["x"]')["Cmd"] == ["mine"]


def test_a_change_sees_those_before_it() -> None:
    section = after("ENV P=/opt", "WORKDIR $P/bin", 'SHELL ["zsh", "-c"]', "CMD run")
    assert section["WorkingDir"] == "/opt/bin"
    assert section["Cmd"] == ["zsh", "-c", "run"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("RUN make", "RUN changes more than a configuration"),
        ("FROM x", "FROM changes more"),
        ("COPY a b", "COPY changes more"),
        ("EXPOS 80", "did you mean EXPOSE"),
        ("EXPOSE http", "http"),
        ("STOPSIGNAL SIGNOTHING", "no such signal"),
        ("USER $NOBODY", "USER of nothing"),
        ("WORKDIR", "WORKDIR without"),
        ("", "--change"),
        ("ENV A", "A"),
    ],
)
def test_what_is_wrong_is_said_with_the_text(text: str, said: str) -> None:
    with pytest.raises(RlError) as raised:
        after(text)
    assert said in f"{raised.value.message} {raised.value.hint}"
