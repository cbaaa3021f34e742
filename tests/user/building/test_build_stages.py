"""Several stages, files between them, ARG before FROM, ONBUILD, and stages side by side."""

from __future__ import annotations

import time
from pathlib import Path

from rootless.image import embedded
from tests.user.building.conftest import Builds
from tests.user.conftest import Registry, Rl

GRAPH = """ARG BASE=localhost/busybox
FROM $BASE AS base
ARG FROM_BASE=inherited
RUN echo base > /base
FROM base AS one
RUN echo one > /one; mkdir /d; echo x > /d/x; chown 5:6 /d/x
FROM base AS two
RUN echo two > /two
FROM scratch AS unused
RUN this never runs
FROM base
COPY --from=one /one /d /o/
COPY --from=2 /two /o/
COPY --from=localhost/busybox /etc/passwd /pw
RUN echo $FROM_BASE > /arg
"""


def test_stages_give_files_to_each_other(builds: Builds) -> None:
    builds(GRAPH)
    text = builds.run("cat", "/o/one", "/o/x", "/o/two", "/base", "/arg")
    assert text == "one\nx\ntwo\nbase\ninherited\n"
    assert builds.run("stat", "-c", "%u:%g", "/o/x") == "5:6\n"
    assert builds.run("grep", "-c", "^root:", "/pw") == "1\n"


def test_a_target_needs_only_its_own_stages(builds: Builds) -> None:
    said = builds.said(GRAPH, "--target", "two")
    assert "/two" in said
    assert "/one" not in said
    assert "this never runs" not in builds.said(GRAPH)
    assert "this never runs" in builds.fails(GRAPH, "--target", "unused")


def test_copied_files_that_stayed_the_same_are_found_again(builds: Builds) -> None:
    """Though the stage that they are from is another one."""
    text = "FROM localhost/busybox AS a\nRUN echo $X > /x; echo same > /s\n"
    text += "FROM localhost/busybox\nCOPY --from=a /s /\nRUN cat /s"
    builds(text.replace("$X", "1"))
    said = builds.said(text.replace("$X", "2"))
    assert said.count("--> Using cache") == 2
    assert "[1/2] --> Using cache" not in said


def test_independent_stages_run_side_by_side(builds: Builds) -> None:
    """Each waits for a sign of the other, which comes by a cache mount."""
    wait = "i=0; until [ -e /c/{0} ]; do i=$((i+1)); [ $i -lt 200 ] || exit 9; sleep .1; done"
    text = ""
    for mine, other in (("a", "b"), ("b", "a")):
        text += f"FROM localhost/busybox AS {mine}\n"
        text += "RUN --mount=type=cache,target=/c "
        text += f"touch /c/{mine}; {wait.format(other)}; touch /done\n"
    text += "FROM scratch\nCOPY --from=a /done /a\nCOPY --from=b /done /b\n"
    start = time.monotonic()
    builds(text, "--jobs", "2")
    assert time.monotonic() - start < 50
    (builds.context / "Dockerfile").unlink()


def test_a_failure_ends_the_stages_beside_it(builds: Builds) -> None:
    text = "FROM localhost/busybox AS a\nRUN sleep 100\nFROM localhost/busybox AS b\n"
    text += "RUN sleep 1; exit 4\nFROM scratch\nCOPY --from=a / /\nCOPY --from=b / /\n"
    start = time.monotonic()
    assert "ended with exit code 4" in builds.fails(text, "--jobs", "2")
    assert time.monotonic() - start < 50
    assert builds.rl("ps", "-aq").stdout == ""


def test_onbuild_runs_in_who_builds_on_it(builds: Builds) -> None:
    builds("FROM localhost/busybox\nONBUILD COPY a /a\nONBUILD RUN cat /a > /b")
    builds.rl("tag", "t", "parent")
    builds.write("a", "trigger\n")
    builds("FROM localhost/parent\nRUN cat /b > /c")
    assert builds.run("cat", "/c") == "trigger\n"
    assert "OnBuild" not in builds.config()


def test_from_scratch(builds: Builds) -> None:
    builds.write("a", "1")
    builds("FROM scratch\nCOPY a /dir/\nLABEL x=y")
    document = builds.document()
    assert len(document["RootFS"]["Layers"]) == 1
    assert document["Config"]["Labels"] == {"x": "y"}


def test_build_arguments(builds: Builds) -> None:
    text = "ARG G=global\nFROM localhost/busybox\nARG G\nARG A=default\nARG B\nARG TARGETARCH\n"
    text += "ENV A2=$A\nRUN echo $G $A $B $TARGETARCH $HTTP_PROXY > /x\n"
    flags = ["--build-arg", "A=given", "--build-arg", "HTTP_PROXY=http://p", "--build-arg", "Z=1"]
    said = builds.said(text, *flags)
    arch = builds.document()["Architecture"]
    assert builds.run("cat", "/x") == f"global given {arch} http://p\n"
    assert "A2=given" in builds.config()["Env"]
    assert "http://p" not in str(builds.document())
    assert "--build-arg Z: no ARG of Dockerfile is called so" in said


def test_env_wins_over_arg(builds: Builds) -> None:
    builds("FROM localhost/busybox\nENV X=env\nARG X=arg\nRUN echo $X > /x\nENV Y=$X")
    assert builds.run("cat", "/x") == "env\n"
    assert "Y=env" in builds.config()["Env"]


def test_steps_are_shared_through_a_registry(
    builds: Builds, registry: Registry, short_dir: Path
) -> None:
    place = f"{registry.host}/steps/{short_dir.name.strip('_-')}"
    builds.write("a", "1")
    text = "FROM localhost/busybox AS one\nRUN date +%N > /n\nENV A=b\n"
    text += "FROM localhost/busybox\nCOPY a /\nCOPY --from=one /n /\nRUN cat /n /a > /m\n"
    first = builds(text, "--cache-to", f"type=registry,ref={place},mode=max")
    assert "rl-build-cache" not in builds.rl("images").stdout
    (short_dir / "o").mkdir()
    other = Rl(short_dir / "o")
    embedded.build(other.paths)
    done = other("build", "-t", "t", "--cache-from", place, str(builds.context))
    assert done.stdout.strip() == first
    assert done.stderr.count("Using cache") == 4
    assert place not in other("images").stdout
    done = other("build", "--cache-from", f"{place}-not-there", str(builds.context))
    assert f"rl: warning: --cache-from {place}-not-there" in done.stderr


def test_squash(builds: Builds) -> None:
    text = "FROM localhost/busybox\nRUN echo 1 > /a\nRUN rm /a; echo 2 > /b; rm /etc/passwd"
    builds(text, "--squash")
    assert len(builds.document()["RootFS"]["Layers"]) == 2
    assert builds.run("cat", "/b") == "2\n"
    assert builds.run("sh", "-c", "ls /a /etc/passwd 2>/dev/null; true") == ""
