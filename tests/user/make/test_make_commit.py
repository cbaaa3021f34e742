"""`rl commit`: what a container has changed becomes a layer, no more and no less."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import signal
import subprocess
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest

from rootless.image import layer_writer
from rootless.store import images as stored_images
from tests.user.conftest import Rl
from tests.user.run.conftest import wait_until
from tests.user.run.run_images import ImageMaker

CHANGES = (
    "rm /etc/group; rm -rf /var/log; mkdir -p /new/sub; echo hi >/new/sub/f; chown 33:44 /new/sub;"
    " echo x >>/etc/passwd; chmod 700 /opt; ln /new/sub/f /new/h; mkfifo /new/p; touch /vol/in;"
    " rm -r /srv; mkdir /srv; echo y >/srv/z; ln -s /nowhere /new/l; chmod 4755 /new/sub/f"
)
LOOK = (
    "find /etc /new /opt /srv /var /vol /bin/sh | sort | while read f; do"
    " stat -c '%n %F %a %u %g %s %Y' \"$f\"; done;"
    " stat -c %h /new/h; readlink /new/l; cat /new/h /etc/passwd /srv/z"
)
BOUND = ("/etc/hosts", "/etc/hostname", "/etc/resolv.conf")


def comparable(listing: str) -> list[str]:
    """Without what is in the volume, our own files, and the time of the directory these are in."""
    ours = ("/vol", *BOUND, "/etc directory")
    return [line for line in listing.splitlines() if not line.startswith(ours)]


def inspect(rl: Rl, name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(rl("image", "inspect", name).stdout)[0]
    return document


def top_blob(rl: Rl, name: str) -> tarfile.TarFile:
    image = stored_images.find(rl.paths, name)
    assert image is not None
    return tarfile.open(rl.paths.blob(image.manifest["layers"][-1]["digest"]))


def changes_in(archive: tarfile.TarFile) -> set[str]:
    """The layer's entries as `rl diff` would name them, without the letter."""
    found = set()
    for name in archive.getnames():
        folder, _, last = f"/{name}".rpartition("/")
        if last != ".wh..wh..opq":
            found.add(f"{folder}/{last.removeprefix('.wh.')}")
    return found


@pytest.mark.parametrize("driver", ["fuse-overlayfs", "overlay", "vfs"])
def test_an_image_has_the_files_as_the_container_saw_them(
    rl: Rl, busybox_image: str, driver: str
) -> None:
    flags = ["--name=c", "--net=none", "-v=vol:/vol", f"--storage-driver={driver}"]
    seen = rl("run", *flags, busybox_image, "sh", "-c", f"{CHANGES}; {LOOK}").stdout
    told = [line.split(" ", 1)[1] for line in rl("diff", "c").stdout.splitlines()]
    image_id = rl("commit", "c", "made").stdout.strip()
    assert inspect(rl, "made")["Id"] == image_id
    for again in ("fuse-overlayfs", "overlay"):
        options = ["--rm", "--net=none", f"--storage-driver={again}"]
        found = rl("run", *options, "made", "sh", "-c", LOOK).stdout
        assert comparable(found) == comparable(seen)
        assert "/vol directory" in found
        assert "/vol/in" not in found
    with top_blob(rl, "localhost/made:latest") as archive:
        hidden = [name for name in archive.getnames() if "/.wh." in f"/{name}"]
        # /srv was empty, which a comparison cannot tell from one that was made anew.
        anew = [] if driver == "vfs" else ["srv/.wh..wh..opq"]
        assert hidden == ["etc/.wh.group", *anew, "var/.wh.log"]
        assert changes_in(archive) == set(told)


def test_what_rl_mounts_is_not_in_it_and_the_users_mount_points_are(
    rl: Rl, images: ImageMaker, work: Path
) -> None:
    name = images()
    (work / "secret").write_text("secret")
    binds = ["-v", f"{work}:/deep/mount", "-v", f"{work}/secret:/etc/bound"]
    rl("run", "--name=c", "--net=none", *binds, name, "sh", "-c", "echo 10.1.2.3 x >>/etc/hosts")
    rl("commit", "c", "made")
    with top_blob(rl, "localhost/made:latest") as archive:
        assert set(archive.getnames()) == {"deep", "deep/mount", "etc", "etc/bound"}
        assert archive.getmember("etc/bound").size == 0
    assert rl("run", "--rm", "--net=none", "made", "ls", "/deep/mount").stdout == ""


def test_a_container_that_changed_nothing_gives_no_layer(rl: Rl, busybox_image: str) -> None:
    rl("create", "--name=c", busybox_image, "true")
    rl("commit", "c", "created")
    rl("start", "c")
    wait_until(lambda: "exited" in rl("ps", "-a", "--format={{.State}}").stdout)
    rl("commit", "-m=second", "c", "run")
    for name in ("created", "run"):
        document = inspect(rl, name)
        assert document["RootFS"]["Layers"] == inspect(rl, busybox_image)["RootFS"]["Layers"]
        assert document["History"][-1]["empty_layer"] is True
        assert layer_writer.EMPTY_DIFF_ID not in document["RootFS"]["Layers"]


@pytest.mark.parametrize("driver", ["fuse-overlayfs", "overlay"])
def test_what_a_running_container_has_written_is_in_it(
    rl: Rl, busybox_image: str, driver: str
) -> None:
    # Nobody closes /open: FUSE has what was written to it in the kernel alone.
    script = (
        "mkfifo /p; cat </p >/open & exec 4>/p; echo written >&4; echo closed >/closed;"
        " dd if=/dev/zero of=/big bs=1M count=20 2>/dev/null; sleep 0.3; touch /ready; sleep 60"
    )
    flags = ["-d", "--name=c", "--net=none", f"--storage-driver={driver}"]
    rl("run", *flags, busybox_image, "sh", "-c", script)
    wait_until(lambda: "/ready" in rl("diff", "c").stdout)
    done = rl("commit", "c", "made")
    assert "sha256:" in done.stdout
    assert rl("ps", "--format={{.State}}").stdout.strip() == "running"
    out = rl("run", "--rm", "--net=none", "made", "sh", "-c", "cat /open /closed; wc -c </big")
    assert out.stdout.split() == ["written", "closed", str(20 << 20)]
    rl("rm", "-f", "c")


def test_settings_of_the_container_and_changes(rl: Rl, busybox_image: str) -> None:
    flags = ["-e=A=flag", "-w=/work", "-u=3:4", "-l=color=blue", "-p=127.0.0.1::8080/udp"]
    rl("create", "--name=c", *flags, "--entrypoint=/bin/sh", busybox_image, "-c", "echo hi")
    changes = ["ENV B=$A-more", "EXPOSE 80", "VOLUME /data", "CMD=echo $A", "LABEL size=big",
               "STOPSIGNAL INT", "WORKDIR sub", "HEALTHCHECK --interval=5s CMD true",
               "ONBUILD RUN make"]  # fmt: skip
    rl("commit", "-a=me", "-m=why", *(f"-c={one}" for one in changes), "c", "made:1")
    document = inspect(rl, "made:1")
    config = document["Config"]
    assert config["Env"][-2:] == ["A=flag", "B=flag-more"]
    assert config["ExposedPorts"] == {"8080/udp": {}, "80/tcp": {}}
    assert config["Volumes"] == {"/data": {}}
    assert (config["User"], config["WorkingDir"]) == ("3:4", "/work/sub")
    assert (config["Entrypoint"], config["Cmd"]) == (["/bin/sh"], ["/bin/sh", "-c", "echo $A"])
    assert config["Labels"]["color"] == "blue"
    assert config["Labels"]["size"] == "big"
    assert config["StopSignal"] == "INT"
    assert config["Healthcheck"] == {"Test": ["CMD-SHELL", "true"], "Interval": 5 * 10**9}
    assert config["OnBuild"] == ["RUN make"]
    assert (document["Author"], document["Comment"]) == ("me", "why")
    assert document["History"][-1]["created_by"] == "/bin/sh -c echo hi"


def test_an_entrypoint_of_the_changes_drops_the_command(rl: Rl, busybox_image: str) -> None:
    rl("create", "--name=c", busybox_image, "true")
    rl("commit", "-c", 'ENTRYPOINT ["id"]', "c", "one")
    assert "Cmd" not in inspect(rl, "one")["Config"]
    rl("commit", "-c", 'CMD ["-u"]', "-c", 'ENTRYPOINT ["id"]', "c", "two")
    assert rl("run", "--rm", "--net=none", "two").stdout == "0\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-c", "RUN x", "c"], "RUN changes more"),
        (["-c", "EXPOSE 99999", "c"], "99999"),
        (["-c", "CMMD x", "c"], "did you mean CMD"),
        (["nothing"], "no such container"),
        (["c", "Upper/Case"], "lowercase"),
    ],
)
def test_what_cannot_be(rl: Rl, busybox_image: str, arguments: list[str], said: str) -> None:
    rl("create", "--name=c", busybox_image, "true")
    before = sorted(os.listdir(rl.paths.blobs))
    done = rl("commit", *arguments, code=None)
    assert done.returncode != 0
    assert said in done.stderr
    assert sorted(os.listdir(rl.paths.blobs)) == before


def test_the_driver_vfs_is_compared_with_its_layers(rl: Rl, busybox_image: str) -> None:
    flags = ["-d", "--net=none", "--storage-driver=vfs"]
    script = "chmod 600 /etc/passwd; rm /etc/group; touch /ready; sleep 60"
    rl("run", "--name=c", *flags, busybox_image, "sh", "-c", script)
    wait_until(lambda: "/ready" in rl("diff", "c").stdout)
    lines = rl("diff", "c").stdout.splitlines()
    assert lines == ["C /etc", "D /etc/group", "C /etc/passwd", "A /ready"]
    rl("commit", "c", "made")
    with top_blob(rl, "localhost/made:latest") as archive:
        assert archive.getnames() == ["etc", "etc/.wh.group", "etc/passwd", "ready"]
    rl("rm", "-f", "c")
    look = ["sh", "-c", "stat -c %a /etc/passwd; ls /etc/group || echo gone"]
    found = rl("run", "--rm", "--net=none", "--storage-driver=vfs", "made", *look)
    assert found.stdout.split() == ["600", "gone"]


@pytest.mark.parametrize("running", [False, True])
def test_squashing_makes_one_layer_of_everything(rl: Rl, busybox_image: str, running: bool) -> None:
    last = "sleep 60" if running else "true"
    rl("run", "-d", "--name=c", "--net=none", "-v=vol:/vol", busybox_image, "sh", "-c",
       f"{CHANGES}; touch /ready; {last}")  # fmt: skip
    wait_until(lambda: "/ready" in rl("diff", "c").stdout)
    rl("commit", "-s", "-c=CMD ls /new /vol", "c", "made")
    document = inspect(rl, "made")
    assert len(document["RootFS"]["Layers"]) == len(document["History"]) == 1
    out = rl("run", "--rm", "--net=none", "made").stdout
    assert out.split() == ["/new:", "h", "l", "p", "sub", "/vol:"]
    rl("rm", "-f", "c")


def test_owners_are_those_that_the_container_sees(rl: Rl, busybox_image: str) -> None:
    script = "id -u; touch /tmp/mine; stat -c '%u %g' /tmp/mine"
    done = rl(
        "run", "--name=c", "--net=none", "--userns=keep-id", busybox_image, "sh", "-c", script
    )
    uid, *owner = done.stdout.split()
    assert owner[0] == uid == str(os.geteuid())
    rl("commit", "c", "made")
    found = rl("run", "--rm", "--net=none", "made", "stat", "-c", "%u %g", "/tmp/mine")
    assert found.stdout.split() == owner


def test_the_format_the_id_file_and_the_events(rl: Rl, busybox_image: str, work: Path) -> None:
    rl("run", "--name=c", "--net=none", busybox_image, "touch", "/x")
    done = rl("commit", "-f=docker", f"--iidfile={work}/id", "-q", "c", "reg.example.org/x/made")
    assert (work / "id").read_text() == done.stdout.strip()
    image = stored_images.find(rl.paths, "reg.example.org/x/made:latest")
    assert image is not None
    kinds = {
        image.manifest["mediaType"],
        *(layer["mediaType"] for layer in image.manifest["layers"]),
    }
    assert all(kind.startswith("application/vnd.docker.") for kind in kinds)
    rows = rl("events", "--since=1h", "--until=0s", "--format=json").stdout.splitlines()
    actions = [(row["Type"], row["Action"]) for row in map(json.loads, rows)]
    assert ("container", "commit") in actions
    assert ("image", "tag") in actions
    assert rl("run", "--rm", "--net=none", "reg.example.org/x/made", "ls", "/x").stdout == "/x\n"


def test_without_a_name_the_image_is_dangling(rl: Rl, busybox_image: str) -> None:
    rl("run", "--name=c", "--net=none", busybox_image, "touch", "/x")
    image_id = rl("commit", "c").stdout.strip()
    listed = rl("images", "--filter=dangling=true", "--no-trunc", "-q").stdout.split()
    assert listed == [image_id]
    assert rl("run", "--rm", "--net=none", image_id, "ls", "/x").stdout == "/x\n"


def test_a_commit_is_killed_at_any_moment(rl: Rl, busybox_image: str) -> None:
    fill = "mkdir /d; for i in $(seq 400); do head -c 100000 /dev/urandom >/d/$i; done"
    rl("run", "--name=c", "--net=none", busybox_image, "sh", "-c", fill)
    before = sorted(os.listdir(rl.paths.blobs))
    for delay in (0.05, 0.15, 0.25, 0.35, 0.5):
        process = rl.popen("commit", "c", "made", stdout=subprocess.DEVNULL)
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.wait()
        rl("ps")
        found = stored_images.find(rl.paths, "localhost/made:latest")
        if found is None:
            kept = set(os.listdir(rl.paths.blobs)) - set(before)
            assert len(kept) < 3, "a blob that is there is whole"
    wait_until(lambda: os.listdir(rl.paths.tmp) == [] or rl("ps") is None)
    rl("commit", "c", "made")
    count = rl("run", "--rm", "--net=none", "made", "sh", "-c", "ls /d | wc -l")
    assert count.stdout.strip() == "400"


def test_files_may_come_and_go_meanwhile(rl: Rl, busybox_image: str) -> None:
    step = (
        "mkdir -p d$i/e; head -c ${i}0000 /dev/urandom >d$i/f; : >d$i/f; ln d$i/f d$i/h;"
        " rm -f d$i/f; ln -s x d$i/f; mv d$i m$i; rm -rf m$i"
    )
    loop = f"while :; do for i in 1 2 3 4; do ({step}) 2>/dev/null & done; wait; done"
    script = f"mkdir /w; cd /w; touch /ready; {loop}"
    rl("run", "-d", "--name=c", "--net=none", busybox_image, "sh", "-c", script)
    wait_until(lambda: "/ready" in rl("diff", "c").stdout)
    for _ in range(5):
        rl("diff", "c")
        rl("commit", "--pause=false", "c", "made")
        image = stored_images.find(rl.paths, "localhost/made:latest")
        assert image is not None
        blob = rl.paths.blob(image.manifest["layers"][-1]["digest"])
        with gzip.open(blob) as file:
            assert f"sha256:{hashlib.sha256(file.read()).hexdigest()}" == image.diff_ids[-1]
        with top_blob(rl, "localhost/made:latest") as archive:
            assert "ready" in archive.getnames()
    rl("rm", "-f", "c")


def test_several_commits_at_once(rl: Rl, busybox_image: str) -> None:
    rl("run", "-d", "--name=c", "--net=none", busybox_image, "sh", "-c", "touch /x; sleep 60")
    wait_until(lambda: "/x" in rl("diff", "c").stdout)
    together = [rl.popen("commit", "c", f"made{number}", stdout=subprocess.DEVNULL)
                for number in range(4)]  # fmt: skip
    assert [process.wait() for process in together] == [0, 0, 0, 0]
    layers = {tuple(inspect(rl, f"made{number}")["RootFS"]["Layers"]) for number in range(4)}
    assert len(layers) == 1
    rl("rm", "-f", "c")
