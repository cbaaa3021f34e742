"""FROM, the configuration, COPY, RUN, WORKDIR, and the cache."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.user.building.conftest import Builds
from tests.user.conftest import Rl
from tests.user.run.run_images import ImageMaker, folder

FROM = "FROM localhost/busybox\n"


def test_an_image_is_built_and_runs(builds: Builds) -> None:
    builds.write("a.txt", "hello\n")
    image_id = builds(FROM + "COPY a.txt /x/\nRUN cat /x/a.txt > /x/b\nCMD cat /x/b")
    assert re.fullmatch("[0-9a-f]{64}", image_id)
    assert builds.run() == "hello\n"
    assert builds.document()["Id"] == f"sha256:{image_id}"
    assert builds.rl("ps", "-aq").stdout == ""


def test_the_configuration(builds: Builds) -> None:
    builds(
        FROM
        + """ARG WHO=me
ENV A=1 B="two words"
ENV C=$A-$WHO
LABEL one=1 "two"="2 $A"
WORKDIR /w
WORKDIR sub
USER 7:8
EXPOSE 80 53/udp
VOLUME /v
STOPSIGNAL SIGINT
SHELL ["/bin/sh", "-ec"]
HEALTHCHECK --interval=5s CMD true
ENTRYPOINT ["echo", "$A"]
CMD x y
ONBUILD RUN true
"""
    )
    config = builds.config()
    assert config["Env"][-3:] == ["A=1", "B=two words", "C=1-me"]
    assert config["Labels"]["two"] == "2 1"
    assert config["WorkingDir"] == "/w/sub"
    assert config["User"] == "7:8"
    assert sorted(config["ExposedPorts"]) == ["53/udp", "80/tcp"]
    assert config["Volumes"] == {"/v": {}}
    assert config["StopSignal"] == "SIGINT"
    assert config["Healthcheck"] == {"Test": ["CMD-SHELL", "true"], "Interval": 5 * 10**9}
    assert config["Entrypoint"] == ["echo", "$A"]
    assert config["Cmd"] == ["/bin/sh", "-ec", "x y"]
    assert config["OnBuild"] == ["RUN true"]


def test_an_entrypoint_takes_the_command_of_the_base_image_away(builds: Builds) -> None:
    builds(FROM + 'ENTRYPOINT ["echo"]')
    assert "Cmd" not in builds.config() or not builds.config()["Cmd"]
    builds(FROM + 'CMD ["a"]\nENTRYPOINT ["echo"]')
    assert builds.config()["Cmd"] == ["a"]


def test_history_has_each_instruction_and_says_which_made_a_layer(builds: Builds) -> None:
    builds.write("a")
    builds(FROM + "ARG V=1\nENV A=b\nCOPY a /\nRUN true\nRUN echo $V > /x\nCMD a")
    rows = builds.document()["History"][1:]
    assert [(row["created_by"], row.get("empty_layer", False)) for row in rows] == [
        ("ARG V=1", True),
        ("ENV A=b", True),
        ("COPY a /", False),
        ("RUN |1 V=1 /bin/sh -c true", True),
        ("RUN |1 V=1 /bin/sh -c echo $V > /x", False),
        ('CMD ["/bin/sh", "-c", "a"]', True),
    ]
    assert len(builds.document()["RootFS"]["Layers"]) == 1 + 2


def test_each_layer_has_a_row_of_history_even_where_the_base_image_has_none(
    builds: Builds, images: ImageMaker
) -> None:
    image_id = builds.rl("pull", "-q", images([folder("etc")])).stdout.strip()
    builds.rl("tag", image_id, "base")
    builds('FROM localhost/base\nRUN ["/b/busybox", "touch", "/x"]')
    rows = [row for row in builds.document()["History"] if not row.get("empty_layer")]
    assert len(rows) == len(builds.document()["RootFS"]["Layers"]) == 3


def test_what_is_mounted_for_a_command_is_not_in_its_layer(builds: Builds, rl: Rl) -> None:
    builds(FROM + "RUN cat /etc/hosts /etc/resolv.conf /etc/hostname > /dev/null; echo a > /made")
    (layer,) = builds.document()["RootFS"]["Layers"][1:]
    tree = Path(rl.paths.layer_diff(layer))
    assert [str(path.relative_to(tree)) for path in tree.rglob("*")] == ["made"]


def test_a_command_runs_as_any_of_ours(builds: Builds) -> None:
    builds(
        FROM
        + "ENV A=1\nARG B=2\nWORKDIR /w\nRUN mkdir -m 777 o\nUSER 5:6\n"
        + "RUN (id -u; id -g; pwd; echo $A$B; cat /proc/self/attr/current; grep Seccomp: "
        + "/proc/self/status; test -s /etc/resolv.conf && echo dns) > o/out 2>/dev/null"
    )
    out = builds.run("cat", "/w/o/out").split()
    assert out[:4] == ["5", "6", "/w", "12"]
    assert out[-3:] == ["Seccomp:", "2", "dns"]
    assert builds.run("stat", "-c", "%u:%g", "/w/o/out") == "5:6\n"


def test_exec_form_and_heredocs(builds: Builds) -> None:
    builds(
        FROM
        + """RUN ["/bin/sh", "-c", "echo '$A' > /one"]
RUN <<E
echo two > /two
echo $((1 + 1)) >> /two
E
RUN <<'E' cat > /three
$x
E
RUN <<E
#!/bin/sh -e
echo "four $0" > /four
E
RUN cat <<A - <<B > /five
a
A
b
B
COPY <<six <<"seven" /h/
$UNSET-${UNSET:-six}
six
$seven
seven
"""
    )
    text = builds.run("cat", "/one", "/two", "/three", "/h/six", "/h/seven", "/four")
    assert text == "$A\ntwo\n2\n$x\n-six\n$seven\nfour /dev/pipes/E\n"


def test_the_second_time_everything_is_found(builds: Builds) -> None:
    builds.write("d/a", "1")
    text = FROM + "WORKDIR /w\nCOPY d .\nRUN date +%N > /n\nENV a=b"
    first = builds(text)
    os.utime(builds.context / "d/a", (1, 1))
    os.utime(builds.context / "d", (1, 1))
    assert builds(text) == first
    assert builds.said(text).count("--> Using cache") == 3
    assert builds(text, "--no-cache") != first


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ("content", 1),
        ("mode", 1),
        ("name", 1),
        ("target", 1),
        ("command", 2),
        ("arg", 2),
        ("env", 0),
        ("nothing", 4),
    ],
)
def test_what_makes_a_step_another_one(builds: Builds, change: str, found: int) -> None:
    text = FROM + "ENV E=1\nWORKDIR /w\nCOPY d .\nARG X\nRUN echo $X > /x\nRUN true"
    builds.write("d/a", "1")
    builds(text, "--build-arg", "X=1")
    argument = "X=1"
    if change == "content":
        builds.write("d/a", "2")
    elif change == "mode":
        builds.write("d/a", "1", 0o600)
    elif change == "name":
        (builds.context / "d/a").rename(builds.context / "d/b")
    elif change == "target":
        text = text.replace("d .", "d sub")
    elif change == "command":
        text = text.replace("echo $X", "echo  $X")
    elif change == "arg":
        argument = "X=2"
    elif change == "env":
        text = text.replace("E=1", "E=2")
    assert builds.said(text, "--build-arg", argument).count("--> Using cache") == found


def test_owners_and_modes_of_copies(builds: Builds) -> None:
    builds.write("s", mode=0o4755)
    builds.write("d/x", mode=0o640)
    builds(
        FROM
        + "RUN echo u:x:11:12::/: >> /etc/passwd; echo g:x:13: >> /etc/group\n"
        + "COPY s /a\nCOPY --chown=u:g d /b\nCOPY --chown=u s /c\nCOPY --chmod=0701 s /new/dir/d\n"
        + "COPY --chmod=u=rwX,go=rX d /f\n"
    )
    out = builds.run(
        "stat", "-c", "%n %u:%g %a", "/a", "/b/x", "/c", "/new/dir/d", "/new/dir", "/f/x"
    )
    assert out.splitlines() == [
        "/a 0:0 4755", "/b/x 11:13 640", "/c 11:11 4755", "/new/dir/d 0:0 701", "/new/dir 0:0 755",
        "/f/x 0:0 644",
    ]  # fmt: skip


def test_copies_follow_links_of_the_image_but_never_out_of_it(
    builds: Builds, short_dir: Path
) -> None:
    outside = short_dir / "outside"
    outside.mkdir()
    builds.write("a", "1")
    builds(FROM + "RUN ln -s /real /link; mkdir /real\nCOPY a /link/\n")
    assert builds.run("cat", "/real/a") == "1"
    said = builds.fails(FROM + f"RUN ln -s {outside} /out\nCOPY a /out/b\n")
    assert "Dockerfile:3: " in said
    assert list(outside.iterdir()) == []


def test_a_failed_command_leaves_nothing(builds: Builds) -> None:
    said = builds.fails(FROM + "RUN echo first\nRUN echo seen; exit 3")
    assert "seen\n" in said
    assert "Dockerfile:3: RUN: the command ended with exit code 3: RUN echo seen; exit 3" in said
    assert builds.rl("ps", "-aq").stdout == ""
    assert builds.rl("images", "-q").stdout.count("\n") == 1


def test_errors_name_the_line(builds: Builds) -> None:
    said = builds.fails(FROM + "COPY missing.txt /\n")
    assert "Dockerfile:2: missing.txt: not found in the context" in said
    builds.write("requirements.txt")
    assert "hint: did you mean requirements.txt?" in builds.fails(FROM + "COPY requirement.txt /")
    assert "Dockerfile:2: ../x: outside of the context" in builds.fails(FROM + "COPY ../x /")
    assert "hint: did you mean RUN?" in builds.fails(FROM + "RNU x")
    said = builds.fails("FROM 127.0.0.1:1/nothing")
    assert "rl: error: Dockerfile:1: 127.0.0.1:1" in said


def test_quiet_and_iidfile(builds: Builds, short_dir: Path) -> None:
    builds.write("Dockerfile", FROM + "RUN echo loud")
    iidfile = short_dir / "iid"
    done = builds.rl("build", "-q", "--iidfile", str(iidfile), str(builds.context))
    assert done.stderr == ""
    assert iidfile.read_text() == f"sha256:{done.stdout.strip()}"


def test_the_cache_keeps_its_layers_until_everything_is_pruned(builds: Builds) -> None:
    text = FROM + "RUN echo 1 > /a"
    builds(text)
    builds.rl("rmi", "t")
    builds.rl("image", "prune", "-f")
    assert "--> Using cache" in builds.said(text)
    assert builds.run("cat", "/a") == "1\n"
    builds.rl("rmi", "t")
    builds.rl("image", "prune", "-af")
    assert not (Path(builds.rl.paths.build) / "steps").exists()
    assert list(Path(builds.rl.paths.layers).iterdir()) == []
