"""Stages, what they need of each other, and ARG before FROM."""

from __future__ import annotations

import pytest

from rootless.model.dockerfile import stages
from rootless.model.dockerfile.place import DockerfileError
from rootless.model.dockerfile.stages import Dockerfile


def load(text: str, **build_args: str) -> Dockerfile:
    predefined = {"TARGETARCH": "amd64"}
    return stages.load(text.encode(), "Dockerfile", build_args, predefined)


def names(text: str, target: str = "") -> list[str]:
    found = load(text)
    return [stage.name for stage in found.needed(found.target(target))]


GRAPH = """FROM i AS base
FROM base AS a
RUN x
FROM i AS unused
FROM base AS b
COPY --from=a /x /y
FROM i
RUN --mount=from=b,target=/b x
COPY --from=other/image:1 /x /y
"""


def test_unused_stages_are_skipped() -> None:
    assert names(GRAPH) == ["base", "a", "b", "4"]


@pytest.mark.parametrize(
    ("target", "expected"),
    [("a", ["base", "a"]), ("UNUSED", ["unused"]), ("0", ["base"]), ("3", ["base", "a", "b"])],
)
def test_target(target: str, expected: list[str]) -> None:
    assert names(GRAPH, target) == expected


def test_images_of_from_are_no_stages() -> None:
    assert load(GRAPH).stages[4].images == {"other/image:1"}


def test_a_number_after_from_is_an_image() -> None:
    assert load("FROM i\nFROM 0").stages[1].base_stage is None


def test_a_later_stage_can_have_the_same_name() -> None:
    found = load("FROM i AS a\nFROM j AS a\nFROM a")
    assert found.stages[2].base_stage == 1


@pytest.mark.parametrize(
    ("text", "image"),
    [
        ("ARG A=x\nFROM $A", "x"),
        ("ARG A=x\nARG B=${A}y\nFROM $B:$TARGETARCH", "xy:amd64"),
        ("ARG V=1 W=$V\nFROM i:$W", "i:1"),
        ("ARG A\nFROM ${A:-scratch}", "scratch"),
        ("ARG GIVEN=x\nFROM $GIVEN", "mine"),
        ("ARG GIVEN\nFROM $GIVEN", "mine"),
        ("FROM ${NOT_DECLARED:-i}", "i"),
    ],
)
def test_arg_before_from(text: str, image: str) -> None:
    assert load(text, GIVEN="mine", NOT_DECLARED="no").stages[0].base.image == image


def test_every_declared_name_is_known() -> None:
    assert load("ARG A\nFROM i\nARG B=1 C").declared == {"A", "B", "C"}


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "Dockerfile: no instructions"),
        ("# only this", "Dockerfile: no instructions"),
        ("ARG a", "Dockerfile: no FROM"),
        ("RUN a", "Dockerfile:1: RUN before FROM: RUN a"),
        ("ARG A\nFROM $A", "Dockerfile:2: the name of the image is empty: FROM $A"),
        ("FROM i\nCOPY --from=3 a b", "Dockerfile:2: there is no stage 3 before this one"),
        ("FROM i AS a\nCOPY --from=a x y", "Dockerfile:2: the stage a cannot take files from"),
        ("FROM i\nCOPY --from=0 x y", "Dockerfile:2: there is no stage 0 before this one"),
    ],
)
def test_errors(text: str, what: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        load(text)
    assert caught.value.message.startswith(what)


def test_an_unknown_target_has_a_suggestion() -> None:
    found = load("FROM i AS builder")
    with pytest.raises(DockerfileError, match="--target builders") as caught:
        found.target("builders")
    assert caught.value.hint == "did you mean builder?"
