"""`rl diff`, `rl export`, `rl rename`, `rl port` and `rl events` with real containers."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from rootless.store import containers
from tests.user.conftest import Rl
from tests.user.run.conftest import Background, wait_until
from tests.user.run.test_files_copy import as_tar

Start = Callable[..., Background]

CHANGES = (
    "rm /etc/group; rm -rf /var/log; mkdir -p /new/sub; echo hi >/new/sub/f; chown 33:44 /new/sub;"
    " echo x >>/etc/passwd; chmod 700 /opt; ln /new/sub/f /new/h; mkfifo /new/p; touch /vol/in"
)
EXPECTED = [
    "C /etc", "D /etc/group", "C /etc/passwd", "A /new", "A /new/h", "A /new/p", "A /new/sub",
    "A /new/sub/f", "C /opt", "C /var", "D /var/log", "A /vol",
]  # fmt: skip


@pytest.fixture
def changed(rl: Rl, busybox_image: str) -> str:
    rl("run", "--name=c", "--net=none", "-v", "vol:/vol", busybox_image, "sh", "-c", CHANGES)
    return "c"


def test_diff_tells_what_the_container_did_and_not_what_we_did(rl: Rl, changed: str) -> None:
    assert rl("diff", "c").stdout.splitlines() == EXPECTED
    document = json.loads(rl("diff", "--format", "json", "c").stdout)
    assert document["deleted"] == ["/etc/group", "/var/log"]
    assert document["added"][0] == "/new"


def test_nothing_done_is_no_difference(rl: Rl, busybox_image: str) -> None:
    rl("run", "--name=c", "--net=none", busybox_image, "true")
    assert rl("diff", "c").stdout == ""


def test_mount_points_of_the_users_are_told_as_by_docker(
    rl: Rl, busybox_image: str, work: Path
) -> None:
    binds = ["-v", f"{work}:/deep/below/here", "-v", f"{work}:/usr/bin"]
    rl("run", "--name=c", "--net=none", *binds, busybox_image, "true")
    lines = rl("diff", "c").stdout.splitlines()
    assert lines == ["A /deep", "A /deep/below", "A /deep/below/here"]


def test_a_directory_made_anew_hides_what_was_in_it(rl: Rl, busybox_image: str) -> None:
    script = "rm -rf /etc/../var; mkdir /var; echo x >/var/new"
    rl("run", "--name=c", "--net=none", busybox_image, "sh", "-c", script)
    lines = rl("diff", "c").stdout.splitlines()
    assert lines == ["C /var", "D /var/log", "A /var/new", "D /var/spool", "D /var/tmp"]


@pytest.mark.parametrize("running", [False, True])
def test_export_has_the_files_as_the_container_sees_them(
    rl: Rl, changed: str, background: Start, running: bool, work: Path
) -> None:
    name = "c"
    if running:
        name = "r"
        background(f"{CHANGES}; echo; sleep 60", "--name=r", "--net=none", "-v=vol2:/vol")
    with as_tar(rl, "export", name) as archive:
        found = {member.name: member for member in archive}
    assert (found["new/sub"].uid, found["new/sub"].gid) == (33, 44)
    links = {found["new/h"].type, found["new/sub/f"].type}
    assert links == {b"0", b"1"}
    assert found["new/p"].isfifo()
    assert "etc/group" not in found
    assert "proc" in found
    assert not [one for one in found if one.startswith(("proc/", "sys/", "vol/", "dev/"))]
    assert found["etc/hosts"].size == 0
    rl("export", "-o", f"{work}/x.tar", name)
    assert (work / "x.tar").stat().st_size > 100_000
    if running:
        rl("rm", "-f", "r")


def test_a_failed_export_leaves_no_file(rl: Rl, busybox_image: str, work: Path) -> None:
    (work / "old.tar").write_text("kept")
    assert "no such container" in rl("export", "-o", f"{work}/old.tar", "x", code=1).stderr
    assert os.listdir(work) == ["old.tar"]
    assert (work / "old.tar").read_text() == "kept"


def test_rename_at_rest_and_at_work(rl: Rl, changed: str, background: Start) -> None:
    container_id = containers.find(rl.paths, "c")
    rl("rename", "c", "d")
    assert containers.find(rl.paths, "d") == container_id
    assert os.listdir(rl.paths.names) == ["d"]
    background("echo; sleep 60", "--name=r", "--net=none")
    assert "in use" in rl("rename", "r", "d", code=None).stderr
    rl("rename", "r", "s")
    assert containers.read_state(rl.paths, containers.find(rl.paths, "s"))["name"] == "s"
    assert sorted(os.listdir(rl.paths.names)) == ["d", "s"]
    assert "not a name" in rl("rename", "s", "a/b", code=1).stderr
    rl("rm", "-f", "s")
    assert os.listdir(rl.paths.names) == ["d"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_port_shows_also_what_was_chosen(rl: Rl, background: Start) -> None:
    chosen = free_port()
    background("echo; sleep 60", "--name=c", "-p", f"{chosen}:80", "-p", "127.0.0.1::81/udp")
    first, second = rl("port", "c").stdout.splitlines()
    assert first == f"80/tcp -> 0.0.0.0:{chosen}"
    assert second.startswith("81/udp -> 127.0.0.1:")
    assert int(second.rpartition(":")[2]) > 0
    assert rl("port", "c", "80").stdout == f"0.0.0.0:{chosen}\n"
    assert "no public port 81/tcp" in rl("port", "c", "81", code=1).stderr
    rl("rm", "-f", "c")
    assert "no such container" in rl("port", "c", code=1).stderr


def events(rl: Rl, *flags: str) -> list[dict[str, object]]:
    text = rl("events", "--stream=false", "--format", "json", *flags).stdout
    return [json.loads(line) for line in text.splitlines()]


def test_events_tell_a_life(rl: Rl, busybox_image: str) -> None:
    rl("run", "--name=c", "--net=none", "-l", "a=b", "-v", "vol:/v", busybox_image, "sh", "-c",
       "exit 3", code=3)  # fmt: skip
    rl("rename", "c", "d")
    rl("rm", "d")
    rl("volume", "rm", "vol")
    found = events(rl)
    told = [(one["Type"], one["Action"]) for one in found if one["Type"] != "image"]
    assert told == [
        ("volume", "create"), ("container", "create"), ("container", "attach"),
        ("container", "start"), ("container", "die"), ("container", "rename"),
        ("container", "destroy"), ("volume", "destroy"),
    ]  # fmt: skip
    (died,) = events(rl, "--filter", "event=die", "--filter", "label=a=b")
    attributes = died["Actor"]["Attributes"]  # type: ignore[index]
    title = {"org.opencontainers.image.title": "rl's embedded busybox"}
    expected = {"a": "b", "exitCode": "3", "image": busybox_image, "name": "c"}
    assert attributes == {**expected, **title}
    assert events(rl, "--filter", "container=nobody") == []
    line = rl("events", "--stream=false", "--filter", "event=die").stdout
    assert f"container die {died['id']} (a=b, exitCode=3, image=" in line


def test_events_are_told_as_they_happen(rl: Rl, busybox_image: str) -> None:
    process = rl.popen("events", "--filter", "type=volume", stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        folder = f"/proc/{process.pid}/fd"

        def waits() -> bool:
            try:
                links = [os.readlink(f"{folder}/{fd}") for fd in os.listdir(folder)]
            except FileNotFoundError:
                return False  # closed between the two looks
            return "anon_inode:inotify" in links

        wait_until(waits)
        rl("volume", "create", "new")
        assert b" volume create new " in process.stdout.readline()
    finally:
        process.kill()
        process.communicate()


def test_events_as_a_template_has_them(rl: Rl) -> None:
    rl("volume", "create", "new")
    form = "{{.Type}} {{.Action}} {{.Actor.ID}} {{.ID}} {{.Actor.Attributes.driver}}"
    done = rl("events", "--since", "1m", "--stream=false", "--format", form)
    assert done.stdout == "volume create new new local\n"


def test_events_of_a_container_that_lives_without_its_caller(rl: Rl, busybox_image: str) -> None:
    rl("run", "-d", "--name=c", "--net=none", busybox_image, "sleep", "60")
    rl("kill", "-s", "WINCH", "c")
    rl("stop", "-t", "0", "c")
    rl("start", "c")
    rl("restart", "-t", "0", "c")
    rl("rm", "-f", "c")
    told = [str(one["Action"]) for one in events(rl, "--filter", "container=c")]
    assert told == [
        "create", "start", "kill", "die", "stop", "start", "die", "stop", "start", "restart",
        "die", "destroy",
    ]  # fmt: skip


def test_a_name_given_while_it_runs_goes_with_the_container(rl: Rl, busybox_image: str) -> None:
    rl("run", "-d", "--rm", "--name=old", "--net=none", busybox_image, "sleep", "60")
    rl("rename", "old", "new")
    rl("stop", "-t", "0", "new")
    wait_until(lambda: not os.listdir(rl.paths.containers))
    wait_until(lambda: not os.listdir(rl.paths.names), 3)
    (died,) = events(rl, "--filter", "event=die")
    assert died["Actor"]["Attributes"]["name"] == "new"  # type: ignore[index]


def test_a_created_container_can_be_copied_from_and_into(
    rl: Rl, busybox_image: str, work: Path
) -> None:
    (work / "f").write_text("copied\n")
    container = rl("create", "--net=none", busybox_image, "cat", "/root/f").stdout.strip()
    with as_tar(rl, "cp", f"{container}:/bin/busybox", "-") as archive:
        assert archive.getmember("busybox").size > 100_000
    rl("cp", f"{work}/f", f"{container}:/root/")
    assert rl("diff", container).stdout.splitlines() == ["C /root", "A /root/f"]
    assert rl("start", "-a", container).stdout == "copied\n"
    rl("rm", container)
