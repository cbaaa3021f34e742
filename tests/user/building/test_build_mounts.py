"""RUN --mount, networks, reproducible builds, and builds that are cut."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from pathlib import Path

import pytest

from rootless.image import embedded
from tests.user.building.conftest import Builds
from tests.user.conftest import Rl

FROM = "FROM localhost/busybox\n"


def test_bind(builds: Builds) -> None:
    builds.write("src/f", "1")
    builds.write("src/ignored", "1")
    builds.write(".dockerignore", "src/ignored")
    builds(
        FROM
        + "RUN --mount=type=bind,source=src,target=/m ls /m > /seen; ! touch /m/x\n"
        + "RUN --mount=source=src,target=/m,rw echo new > /m/f; cat /m/f >> /seen\n"
        + "RUN --mount=source=src/f,target=/deep/file cat /deep/file >> /seen\n"
    )
    assert builds.run("cat", "/seen") == "f\nnew\n1"
    assert (builds.context / "src/f").read_text() == "1"
    assert builds.run("sh", "-c", "ls -d /m /deep 2>/dev/null; true") == ""


def test_mount_points_of_mounts_are_not_in_the_image(builds: Builds) -> None:
    builds.write("f", "1")
    builds(FROM + "RUN --mount=source=f,target=/m/f --mount=type=cache,target=/c true")
    assert builds.document()["History"][-1]["empty_layer"]


def test_bind_of_a_stage(builds: Builds) -> None:
    text = FROM.replace("\n", " AS a\n") + "RUN mkdir /o; echo 1 > /o/x; chown 3 /o/x\n" + FROM
    builds(text + "RUN --mount=from=a,source=/o,target=/m cp -p /m/x /y")
    assert builds.run("stat", "-c", "%u", "/y") == "3\n"


def test_what_is_bound_counts_for_the_cache(builds: Builds) -> None:
    text = FROM + "RUN --mount=target=/m cat /m/f > /x"
    builds.write("f", "1")
    builds(text)
    assert "Using cache" in builds.said(text)
    builds.write("f", "2")
    assert "Using cache" not in builds.said(text)
    assert builds.run("cat", "/x") == "2"


def test_caches_are_kept_between_builds(builds: Builds) -> None:
    text = FROM + "RUN --mount=type=cache,target=/c,id=$ID,uid=7,mode=0700 "
    text += "echo x >> /c/log; wc -l < /c/log > /n; stat -c '%u %a' /c >> /n"
    for expected in ("1", "2"):
        builds(text.replace("$ID", "one"), "--no-cache")
        assert builds.run("cat", "/n").split() == [expected, "7", "700"]
    builds(text.replace("$ID", "two"), "--no-cache")
    assert builds.run("cat", "/n").split()[0] == "1"


def test_caches_go_when_everything_is_pruned(builds: Builds) -> None:
    text = FROM + "RUN --mount=type=cache,target=/c,uid=7 echo x >> /c/log; wc -l < /c/log > /n"
    builds(text)
    builds.rl("image", "prune", "-f")
    builds(text, "--no-cache")
    assert builds.run("cat", "/n") == "2\n"
    builds.rl("image", "prune", "-af")
    assert not (Path(builds.rl.paths.build) / "mounts").exists()
    embedded.build(builds.rl.paths)
    builds(text)
    assert builds.run("cat", "/n") == "1\n"


def test_a_cache_starts_with_what_it_is_told(builds: Builds) -> None:
    text = FROM.replace("\n", " AS a\n") + "RUN mkdir /o; echo 1 > /o/x\n" + FROM
    text += "RUN --mount=type=cache,from=a,source=/o,target=/c echo 2 >> /c/x; cp /c/x /x"
    for expected in ("1\n2\n", "1\n2\n2\n"):
        builds(text, "--no-cache")
        assert builds.run("cat", "/x") == expected


def test_secrets_are_seen_and_not_kept(builds: Builds, short_dir: Path) -> None:
    secret = short_dir / "k"
    secret.write_text("Tr3asure")
    text = FROM + "RUN --mount=type=secret,id=k,uid=5,mode=0440 "
    text += "stat -c '%u %a' /run/secrets/k > /s; cat /run/secrets/k | md5sum >> /s\n"
    text += "RUN --mount=type=secret,id=v,env=V --mount=type=secret,id=k,target=/k "
    text += "echo ${#V} >> /s; md5sum < /k >> /s\nRUN --mount=type=secret,id=no ls /run >> /s\n"
    flags = ["--secret", f"id=k,src={secret}", "--secret", "id=v,env=HIDDEN"]
    builds(text, *flags, env={"HIDDEN": "quiet"})
    words = builds.run("cat", "/s").split()
    assert words[:2] == ["5", "440"]
    assert words[4] == "5"
    assert words[2] == words[5]
    root = Path(builds.rl.paths.root)
    held = [path for path in root.rglob("*") if path.is_file() and b"Tr3asure" in path.read_bytes()]
    assert held == []
    assert "quiet" not in str(builds.document())
    said = builds.fails(FROM + "RUN --mount=type=secret,id=k,required true")
    assert "the secret k was not given" in said


def test_ssh_agents(builds: Builds, short_dir: Path) -> None:
    path = short_dir / "agent"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        builds(
            FROM + "RUN --mount=type=ssh test -S $SSH_AUTH_SOCK && echo $SSH_AUTH_SOCK > /s",
            "--ssh", f"default={path}",
        )  # fmt: skip
    assert builds.run("cat", "/s") == "/run/buildkit/ssh_agent.0\n"
    assert "the agent default was not given" in builds.fails(
        FROM + "RUN --mount=type=ssh,required true"
    )


def test_tmpfs(builds: Builds) -> None:
    builds(FROM + "RUN --mount=type=tmpfs,target=/t,size=2m touch /t/x && mount | grep ' /t ' > /s")
    assert "size=2048k" in builds.run("cat", "/s")
    assert builds.run("sh", "-c", "ls /t 2>/dev/null; true") == ""


def test_networks(builds: Builds) -> None:
    text = FROM + "RUN --network=none ls /sys/class/net > /n\nRUN ls /sys/class/net >> /n"
    builds(text)
    assert "tap0" in builds.run("cat", "/n")
    assert builds.run("head", "-n1", "/n") == "lo\n"
    builds(text, "--network", "none")
    assert "tap0" not in builds.run("cat", "/n")


def test_volumes(builds: Builds, work: Path) -> None:
    (work / "f").write_text("1")
    builds(FROM + "RUN cp /v/f /f", "-v", f"{work}:/v:ro")
    assert builds.run("cat", "/f") == "1"


def test_what_is_written_below_a_volume_stays(builds: Builds) -> None:
    builds(FROM + "VOLUME /v\nRUN mkdir /v; echo 1 > /v/x")
    assert builds.run("cat", "/v/x") == "1\n"


TWICE = (
    FROM
    + "WORKDIR /w\nCOPY d .\nRUN date > /dev/null; echo 1 > /x; mkdir -p /a/b; echo 2 > /a/b/c\n"
    + "COPY <<E /z\ntext\nE\nENV a=b\n"
)


def test_two_builds_give_the_same_bytes(builds: Builds, short_dir: Path) -> None:
    builds.write("d/a", "1")
    os.utime(builds.context / "d/a", None)
    first = builds(TWICE, "--timestamp", "1600000000")
    other = short_dir / "o"
    other.mkdir()
    second = Rl(other)
    embedded.build(second.paths)
    os.utime(builds.context / "d/a", None)
    time.sleep(1.1)
    done = second("build", "-t", "t", str(builds.context), env={"SOURCE_DATE_EPOCH": "1600000000"})
    digests = []
    for rl in (builds.rl, second):
        text = rl("image", "inspect", "t", "--format", "{{.Digest}} {{.Created}}").stdout
        digests.append(text)
    assert digests[0] == digests[1]
    assert "2020-09-13T12:26:40Z" in digests[0]
    assert done.stdout.strip() == first


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_build_that_is_cut_leaves_nothing(builds: Builds, number: int) -> None:
    builds.write("Dockerfile", FROM + "RUN echo started; sleep 60")
    process = builds.rl.popen(
        "build", "-t", "cut", str(builds.context), stderr=-1, start_new_session=True
    )
    timer = threading.Timer(40, process.kill)
    timer.start()
    with process:
        assert process.stderr is not None
        for line in process.stderr:
            if line == b"started\n":
                break
        os.killpg(process.pid, number)
        process.stderr.read()
    timer.cancel()
    assert process.returncode == 128 + number
    assert builds.rl("ps", "-aq").stdout == ""
    assert "cut" not in builds.rl("images").stdout


@pytest.mark.parametrize("victim", ["rl", "worker", "keeper"])
def test_nothing_stays_of_a_build_that_is_killed(builds: Builds, victim: str) -> None:
    builds.write("Dockerfile", FROM + "RUN echo started; sleep 60")
    process = builds.rl.popen("build", str(builds.context), stderr=-1)
    with process:
        assert process.stderr is not None
        for line in process.stderr:
            if line == b"started\n":
                break
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        worker = int(children.read_text().split()[0])
        (container,) = builds.rl("ps", "-q", "--no-trunc").stdout.split()
        assert "localhost/busybox" in builds.rl("ps").stdout
        state = json.loads((Path(builds.rl.paths.running) / container / "state.json").read_text())
        keeper = state["processes"]["keeper"][0]
        os.kill({"rl": process.pid, "worker": worker, "keeper": keeper}[victim], signal.SIGKILL)
        process.stderr.read()
    assert process.returncode != 0
    deadline = time.monotonic() + 20
    while builds.rl("ps", "-aq").stdout and time.monotonic() < deadline:
        time.sleep(0.1)
    assert builds.rl("ps", "-aq").stdout == ""
    assert list(Path(builds.rl.paths.containers).iterdir()) == []
