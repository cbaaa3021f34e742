"""Names, ids, records: rl ps, rl rm, --name, --replace, --cidfile, --dry-run, --explain-start."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.user.conftest import Rl
from tests.user.run.conftest import Background, Leftovers, Sh, wait_until
from tests.user.run.run_images import ImageMaker

Start = Callable[..., Background]


def test_a_container_stays_until_it_is_removed(
    rl: Rl, busybox_image: str, leftovers: Leftovers
) -> None:
    rl("run", "--net=none", "--name", "box", busybox_image, "sh", "-c", "exit 3", code=3)
    assert rl("ps").stdout.splitlines()[1:] == []
    head, row = rl("ps", "-a").stdout.splitlines()
    heads = ["CONTAINER", "ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"]
    assert head.split() == heads
    assert "Exited (3)" in row and row.endswith("box") and busybox_image in row
    assert rl("rm", "box").stdout == "box\n"
    assert leftovers.everything() == {}


@pytest.mark.parametrize("length", [64, 12, 5])
def test_removal_by_id(rl: Rl, busybox_image: str, leftovers: Leftovers, length: int) -> None:
    rl("run", "--net=none", busybox_image, "true")
    (identity,) = leftovers.containers()
    assert rl("ps", "-aq", "--no-trunc").stdout == f"{identity}\n"
    rl("rm", identity[:length])
    assert leftovers.everything() == {}


def test_removal_of_what_is_not_there(rl: Rl) -> None:
    done = rl("rm", "nobody", code=1)
    assert "nobody" in done.stderr
    assert rl("rm", "--force", "nobody").stdout == ""


def test_removal_goes_on_after_an_error(rl: Rl, busybox_image: str, leftovers: Leftovers) -> None:
    for name in ("one", "two"):
        rl("run", "--net=none", "--name", name, busybox_image, "true")
    done = rl("rm", "one", "nobody", "two", code=1)
    assert done.stdout.split() == ["one", "two"]
    assert leftovers.everything() == {}


def test_a_running_container(background: Start, rl: Rl, leftovers: Leftovers) -> None:
    container = background("echo ready; exec sleep 1000", "--name", "box", "--net=none")
    _, row = rl("ps").stdout.splitlines()
    assert "Up " in row and row.endswith("box")
    (shown,) = json.loads(rl("ps", "--format", "json").stdout)
    assert (shown["State"], shown["Names"], shown["ExitCode"]) == ("running", ["box"], None)
    refused = rl("rm", "box", code=2)
    assert "box" in refused.stderr and "hint: rl rm --force box" in refused.stderr
    assert container.process.poll() is None
    rl("rm", "--force", "-v", "box")
    assert container.process.wait(20) == 137
    assert leftovers.everything() == {}


def test_forced_removal_of_a_container_that_would_stay(
    background: Start, rl: Rl, leftovers: Leftovers
) -> None:
    container = background(
        "echo ready; exec sleep 1000", "--name", "box", "-v", "/anonymous", rm=False
    )
    rl("rm", "--force", "-v", "box")
    assert container.process.wait(20) == 137
    assert leftovers.everything() == {} and leftovers.volumes() == []


def test_many_at_once_are_told_apart(background: Start, rl: Rl) -> None:
    for number in range(3):
        background("echo ready; exec sleep 1000", "--name", f"box{number}", "--net=none")
    names = [row.split()[-1] for row in rl("ps").stdout.splitlines()[1:]]
    assert names == ["box2", "box1", "box0"]
    assert len(set(rl("ps", "-q").stdout.split())) == 3
    rl("rm", "--force", "--all")


def test_a_name_belongs_to_one_container(rl: Rl, busybox_image: str, leftovers: Leftovers) -> None:
    rl("run", "--net=none", "--name", "box", busybox_image, "true")
    before = leftovers.everything()
    for flags in ([], ["--rm"]):
        done = rl("run", *flags, "--name", "box", busybox_image, "echo", "ran", code=125)
        assert 'name "box" is in use' in done.stderr and "hint: rl rm box" in done.stderr
        assert done.stdout == "" and leftovers.everything() == before
    rl("rm", "box")
    assert rl("run", "--rm", "--net=none", "--name", "box", busybox_image, "echo", "ran").stdout


def test_the_same_name_at_the_same_time(rl: Rl, busybox_image: str) -> None:
    started = [
        rl.popen("run", "--net=none", "--name", "box", busybox_image, "true", stderr=-1)
        for _ in range(8)
    ]
    ends = [(process.communicate(timeout=60)[1], process.returncode) for process in started]
    assert sorted(code for _, code in ends) == [0] + [125] * 7
    assert all(b"is in use" in said for said, code in ends if code)
    rl("rm", "box")


def test_replace(background: Start, rl: Rl, busybox_image: str, leftovers: Leftovers) -> None:
    container = background("echo ready; exec sleep 1000", "--name", "box", rm=False)
    (old,) = leftovers.containers()
    rl("run", "--replace", "--net=none", "--name", "box", busybox_image, "true")
    assert container.process.wait(20) == 137
    (new,) = leftovers.containers()
    assert new != old and os.readlink(f"{rl.paths.names}/box") == new
    rl("rm", "box")


@pytest.mark.parametrize("name", ["", "-x", "a/b", "../x", "a b", ".hidden"])
def test_names_that_are_none(rl: Rl, busybox_image: str, name: str) -> None:
    done = rl("run", f"--name={name}", busybox_image, "true", code=None)
    assert done.returncode == 125 and "--name" in done.stderr


def test_cidfile(rl: Rl, busybox_image: str, work: Path, leftovers: Leftovers) -> None:
    path = work / "cid"
    rl("run", "--net=none", "--cidfile", str(path), busybox_image, "true")
    assert leftovers.containers() == [path.read_text().strip()]
    done = rl("run", "--net=none", "--cidfile", str(path), busybox_image, "true", code=125)
    assert str(path) in done.stderr
    rl("rm", "--all")


def test_dry_run_makes_nothing(
    rl: Rl, busybox_image: str, work: Path, leftovers: Leftovers
) -> None:
    before = sorted(str(path) for path in rl.root.rglob("*"))
    flags = ["-v", "named:/n", "-v", "/anonymous", "-v", f"{work}:/w", "--cidfile", f"{work}/cid"]
    done = rl(
        "run", "--dry-run", "--rm", "--name", "box", "--hostname", "h", *flags, "-p", "18080:80",
        "--init", busybox_image, "echo", "ran",
    )  # fmt: skip
    document = json.loads(done.stdout)
    assert document["process"]["args"] == ["echo", "ran"]
    assert document["hostname"] == "h"
    assert document["ociVersion"].startswith("1.")
    assert {"user", "mount", "pid", "ipc", "uts", "cgroup", "network", "time"} == {
        each["type"] for each in document["linux"]["namespaces"]
    }
    targets = [mount["destination"] for mount in document["mounts"]]
    assert {"/proc", "/dev", "/sys", "/etc/hosts", "/n", "/anonymous", "/w"} <= set(targets)
    assert document["linux"]["seccomp"]["defaultAction"].startswith("SCMP_ACT_")
    assert document["process"]["noNewPrivileges"] is True
    assert "slirp4netns" in done.stderr and done.stderr.endswith("+ exec echo ran\n")
    assert f"+ mount -t bind -o rbind,rprivate {work} /w\n" in done.stderr
    assert f"+ user namespace: uids {os.geteuid()}" in done.stderr
    assert sorted(str(path) for path in rl.root.rglob("*")) == before
    assert list(work.iterdir()) == [] and leftovers.everything() == {}


def test_a_dry_run_says_what_is_wrong(rl: Rl, busybox_image: str) -> None:
    done = rl("run", "--dry-run", "--userns=auto:size=9999999999", busybox_image, "true", code=125)
    assert done.stdout == "" and "--userns" in done.stderr


def test_explain_start(rl: Rl, busybox_image: str) -> None:
    done = rl("run", "--rm", "--explain-start", busybox_image, "echo", "out")
    assert done.stdout == "out\n"
    rows = re.findall(r"^ +([0-9.]+) ms +\+ *([0-9.]+) +(\S.*)$", done.stderr, re.MULTILINE)
    times = [float(row[0]) for row in rows]
    assert len(rows) >= 8 and times == sorted(times)
    assert {"network ready", "command started"} <= {row[2] for row in rows}


def test_debug_shows_each_change(rl: Rl, busybox_image: str) -> None:
    done = rl("run", "--rm", "--debug", busybox_image, "true")
    lines = [line for line in done.stderr.splitlines() if line.startswith("+ ")]
    for word in ("mkdir ", "fuse-overlayfs", "slirp4netns", "mount -t proc"):
        assert any(word in line for line in lines), word


def test_a_record_that_is_damaged(rl: Rl, busybox_image: str, leftovers: Leftovers) -> None:
    rl("run", "--net=none", "--name", "box", busybox_image, "true")
    (identity,) = leftovers.containers()
    Path(rl.paths.containers, identity, "container.json").write_text('{"id": ')
    assert "damaged" in rl("ps", "-a").stderr
    rl("rm", "--force", "-v", "box")
    assert leftovers.everything() == {}


def test_a_container_that_waits_is_no_wreck(background: Start, rl: Rl, busybox_image: str) -> None:
    """Another command's clearing-up leaves containers alone that somebody looks after."""
    container = background(
        "echo ready; while test ! -e /end; do sleep 0.02; done; exit 6", "-v", "/x"
    )
    for _ in range(3):
        rl("ps", "-a")
        rl("run", "--rm", "--net=none", busybox_image, "true")
    assert container.process.poll() is None
    container.end()


def test_a_stopped_rl_is_no_wreck(background: Start, rl: Rl) -> None:
    import signal

    container = background("echo ready; exec sleep 0.3", "--net=none", "--name", "box")
    container.process.send_signal(signal.SIGSTOP)
    rl("ps")
    container.process.send_signal(signal.SIGCONT)
    assert container.process.wait(20) == 0


def test_the_embedded_image_needs_no_pull(rl: Rl) -> None:
    assert rl("run", "--rm", "--net=none", "localhost/busybox", "echo", "made").stdout == "made\n"


def test_two_stores_side_by_side(rl: Rl, busybox_image: str, background: Start, work: Path) -> None:
    """One runtime directory, two RL_ROOTs: neither clears the other's containers."""
    container = background("echo ready; exec sleep 1000", "--net=none", "--name", "box")
    other = {"RL_ROOT": str(work / "other")}
    assert rl("ps", "-a", env=other).stdout.splitlines()[1:] == []
    rl("run", "--rm", "--net=none", "localhost/busybox", "true", env=other)
    assert container.process.poll() is None
    container.end()


def test_containers_share_their_layers(
    rl: Rl, images: ImageMaker, background: Start, sh: Sh
) -> None:
    image = images()
    rl("run", "--net=none", "--name", "one", image, "sh", "-c", "echo 1 > /one")
    rl("run", "--net=none", "--name", "two", image, "sh", "-c", "ls /one 2>&1 || true")
    upper = [Path(rl.paths.containers, os.readlink(f"{rl.paths.names}/{name}"), "upper")
             for name in ("one", "two")]  # fmt: skip
    assert (upper[0] / "one").read_text() == "1\n" and not (upper[1] / "one").exists()
    assert not (upper[0] / "b").exists() and not (upper[1] / "b").exists()
    rl("rm", "--all")
    wait_until(lambda: not Path(rl.paths.names, "one").exists())
