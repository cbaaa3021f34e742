"""`rl cp` with real containers: running and not, both ways, and against processes that cheat."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from rootless.store import containers
from tests.user.conftest import Rl
from tests.user.run.conftest import Background

Start = Callable[..., Background]


def as_tar(rl: Rl, *operands: str) -> tarfile.TarFile:
    """The archive that `rl cp … -` or `rl export` writes."""
    done = subprocess.run(
        [*rl.argv, *operands], env=rl.env, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return tarfile.open(fileobj=io.BytesIO(done.stdout))


def from_tar(rl: Rl, data: bytes, target: str, code: int = 0) -> str:
    done = subprocess.run(
        [*rl.argv, "cp", "-", target],
        env=rl.env, input=data, capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stderr.decode()
    return done.stderr.decode()


def an_archive(*names: str, uid: int = 0) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as made:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size, info.uid, info.gid = 3, uid, uid
            made.addfile(info, io.BytesIO(b"new"))
    return buffer.getvalue()


@pytest.fixture
def stopped(rl: Rl, busybox_image: str) -> str:
    """A container that has run, with files of several users."""
    script = (
        "mkdir -p /d/e; echo hi >/d/e/f; ln -s e /d/l; ln -s /d/e/f /link; ln /d/e/f /d/h;"
        " chown 33:44 /d/e/f; chmod 4755 /d/e/f; echo v >/v/in"
    )
    rl("run", "--name", "c", "--net=none", "-v", "vol:/v", busybox_image, "sh", "-c", script)
    return "c"


def test_from_a_container_that_does_not_run(rl: Rl, stopped: str, work: Path) -> None:
    with as_tar(rl, "cp", "c:/d", "-") as archive:
        found = {member.name: member for member in archive}
    assert list(found) == ["d", "d/e", "d/e/f", "d/h", "d/l"]
    assert (found["d/e/f"].uid, found["d/e/f"].gid, found["d/e/f"].mode) == (33, 44, 0o4755)
    assert (found["d/h"].linkname, found["d/l"].linkname) == ("d/e/f", "e")
    rl("cp", "c:/d", str(work / "copy"))
    assert (work / "copy/e/f").read_text() == "hi\n"
    assert (work / "copy/e/f").stat().st_mode & 0o7777 == 0o755
    rl("cp", "c:/d/.", str(work))
    assert os.readlink(work / "l") == "e"
    rl("cp", "c:/v/in", f"{work}/in")
    assert (work / "in").read_text() == "v\n"


def test_links_are_copied_or_followed(rl: Rl, stopped: str, work: Path) -> None:
    rl("cp", "c:/link", f"{work}/a")
    assert os.readlink(work / "a") == "/d/e/f"
    rl("cp", "-L", "c:/link", f"{work}/b")
    assert (work / "b").read_text() == "hi\n"


def test_into_a_container_that_does_not_run(rl: Rl, stopped: str, work: Path) -> None:
    (work / "site/sub").mkdir(parents=True)
    (work / "site/sub/page").write_text("page")
    rl("cp", f"{work}/site", "c:/srv")
    rl("cp", f"{work}/site/.", "c:/new")
    rl("cp", "-a", f"{work}/site/sub/page", "c:/link")
    with as_tar(rl, "cp", "c:/", "-") as archive:
        found = {member.name: member for member in archive}
        assert archive.extractfile("d/e/f").read() == b"page"  # type: ignore[union-attr]
    assert "srv/site/sub/page" in found
    assert (found["new/sub/page"].uid, found["new/sub/page"].gid) == (0, 0)
    # What the link led to, with the number that the user has on the host.
    assert found["d/e/f"].uid == os.geteuid()
    assert found["link"].issym()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("c:/nosuch", "."), "c:/nosuch: no such file or directory"),
        (("c:/d/e/f/", "."), "c:/d/e/f/: not a directory"),
        (("c:/d", "/nosuch/x"), "/nosuch: no such directory"),
        (("c:/d", "/etc/hostname"), "/etc/hostname: is not a directory"),
        (("/etc/hostname", "c:/nosuch/x"), "c:/nosuch: no such file or directory"),
        (("/etc/hostname", "c:/new/"), "c:/new/: no such directory"),
        (("/etc", "c:/d/e/f"), "c:/d/e/f: is not a directory"),
        (("/etc/hostname", "c:/d/../d/e/../../etc/hosts"), "cannot overwrite hosts: it is a mount"),
        (("/nosuch", "c:/"), "/nosuch: No such file"),
        (("nobody:/x", "."), "no such container: nobody"),
        (("c:/d", "c:/e"), "not between two containers"),
        (("a", "b"), "neither SRC nor DST names a container"),
    ],
)
def test_refusals_name_the_path(rl: Rl, stopped: str, words: tuple[str, str], said: str) -> None:
    assert said in rl("cp", *words, code=None).stderr


def test_a_stream_keeps_its_owners_and_follows_links_inside(rl: Rl, stopped: str) -> None:
    from_tar(rl, an_archive("d/l/made", uid=7), "c:/")
    with as_tar(rl, "cp", "c:/d/e", "-") as archive:
        assert archive.getmember("e/made").uid == 7
    assert "c:/d/e/f: must be a directory" in from_tar(rl, an_archive("x"), "c:/d/e/f", 1)


def test_a_running_container_shows_its_own_mounts(rl: Rl, background: Start, work: Path) -> None:
    background("echo t >/t/f; echo v >/v/f; echo; sleep 60", "--name=c", "--net=none",
               "--tmpfs=/t", f"-v={work}:/v")  # fmt: skip
    rl("cp", "c:/t/f", f"{work}/from-tmpfs")
    assert (work / "from-tmpfs").read_text() == "t\n"
    rl("cp", f"{work}/f", "c:/t/back")
    rl("cp", f"{work}/f", "c:/v/bound")
    assert (work / "bound").read_text() == "v\n"
    with as_tar(rl, "cp", "c:/t/.", "-") as archive:
        assert archive.getnames() == [".", "back", "f"]
    before = rl("cp", "c:/etc/hosts", "-").stdout
    assert "mount point" in rl("cp", f"{work}/f", "c:/etc/hosts", code=1).stderr
    assert rl("cp", "c:/etc/hosts", "-").stdout == before
    rl("rm", "-f", "c")


def test_the_ids_of_a_nested_user_namespace(rl: Rl, busybox_image: str, work: Path) -> None:
    (work / "f").write_text("x")
    script = "touch /tmp/mine"
    rl("run", "--name=c", "--net=none", "--userns=keep-id", busybox_image, "sh", "-c", script)
    rl("cp", f"{work}/f", "c:/")
    with as_tar(rl, "cp", "c:/", "-") as archive:
        assert archive.getmember("f").uid == 0
        assert archive.getmember("tmp/mine").uid == os.geteuid()
        assert archive.getmember("bin/busybox").uid == 0


def test_a_start_meanwhile_is_kept_off_and_a_killed_copy_leaves_nothing(
    rl: Rl, stopped: str
) -> None:
    process = rl.popen(
        "cp", "-", "c:/d", stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    held = containers.live_directory(rl.paths, containers.find(rl.paths, "c"))
    while not os.path.exists(f"{held}/lock"):
        assert process.poll() is None
    assert not containers.live_lock(rl.paths, os.path.basename(held)).acquire()
    process.kill()
    process.communicate()
    # Clears what is left, and finds the container as it was.
    rl("ps", "-a")
    assert not os.path.exists(held)
    rl("cp", "c:/d/e/f", "-")


FLIP = (
    "mkdir -p /a/real; echo inside >/a/real/secret; ln -s / /a/evil; mv /a/real /a/x; echo;"
    " while :; do mv /a/x /a/real; mv /a/evil /a/x; mv /a/x /a/evil; mv /a/real /a/x; done"
)


def test_a_directory_that_becomes_a_link_leads_nowhere(
    rl: Rl, background: Start, work: Path, short_dir: Path
) -> None:
    """CVE-2018-15664: while we copy, /a/x is a directory, a link to "/", or not there at all.

    Both name the container's own root. With our own root instead, the host's file would be read
    or made: its path exists on the host only.
    """
    host = short_dir / "w/secret"
    host.write_text("of the host")
    script = FLIP.replace("ln -s /", f"ln -s {short_dir}/w", 1)
    background(script, "--name=c", "--net=none")
    outcomes = set()
    for number in range(25):
        out = rl("cp", "c:/a/x/secret", f"{work}/got{number}", code=None)
        outcomes.add(out.returncode)
        if out.returncode == 0:
            assert (work / f"got{number}").read_text() == "inside\n"
        rl("cp", str(host), "c:/a/x/evil-new", code=None)
        assert not (short_dir / "w/evil-new").exists()
    assert 0 in outcomes, "the race was never won by the honest state"
    rl("rm", "-f", "c")


def test_a_file_that_becomes_a_fifo_does_not_hang_the_copy(rl: Rl, background: Start) -> None:
    script = (
        "mkdir /a; mkfifo /p; echo x >/f; cp /f /a/f; echo;"
        " while :; do mv /a/f /g; mv /p /a/f; mv /a/f /p; mv /g /a/f; done"
    )
    background(script, "--name=c", "--net=none")
    for _ in range(10):
        with as_tar(rl, "cp", "c:/a", "-") as archive:
            assert set(archive.getnames()) <= {"a", "a/f"}
    rl("rm", "-f", "c")
