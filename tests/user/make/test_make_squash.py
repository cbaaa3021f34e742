"""`rl image squash`: what is in the file, for us and for other programs."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from rootless.engine import squash
from rootless.errors import InUseError, RlError
from rootless.image.progress import Silent
from tests.user.conftest import Rl
from tests.user.run.conftest import wait_until

SCRIPT = (
    "rm /etc/group; rm -r /var/spool; echo new >/new; chown 33:44 /new; ln /new /also;"
    " cp /bin/busybox /set; chmod 4755 /set; echo s >/secret; chmod 0 /secret; mkfifo /fifo"
)
SETTINGS = (
    "-c", 'CMD ["sh", "-c", "id -un; pwd; echo $A"]', "-c", "ENV A=b", "-c", "USER nobody",
    "-c", "WORKDIR /usr", "-c", "LABEL made=here",
)  # fmt: skip


@pytest.fixture
def image(rl: Rl, busybox_image: str) -> str:
    """Two layers, the upper one with something of everything."""
    rl("run", "--name=c", "--net=none", busybox_image, "sh", "-c", SCRIPT)
    rl("commit", *SETTINGS, "c", "made")
    rl("rm", "c")
    return "made"


@pytest.fixture
def file(rl: Rl, image: str, tmp_path: Path) -> Path:
    path = tmp_path / "i.sqsh"
    rl("image", "squash", image, str(path))
    return path


def listing(path: Path) -> dict[str, str]:
    """File → mode and owner, as unsquashfs tells them."""
    done = subprocess.run(
        ["unsquashfs", "-lln", str(path)], capture_output=True, text=True, check=True
    )
    rows = [line.split() for line in done.stdout.splitlines() if "squashfs-root/" in line]
    return {row[5].removeprefix("squashfs-root/"): f"{row[0]} {row[1]}" for row in rows}


def test_files_are_as_in_the_image(rl: Rl, file: Path) -> None:
    found = listing(file)
    assert found["new"] == found["also"] == "-rw-r--r-- 33/44"
    assert found["set"] == "-rwsr-xr-x 0/0"
    assert found["secret"] == "---------- 0/0"
    assert found["fifo"] == "prw-r--r-- 0/0"
    assert found["bin/sh"].startswith("lrwxrwxrwx")
    assert "etc/group" not in found and "var/spool" not in found and "etc/passwd" in found
    assert not [name for name in found if ".wh." in name or name.startswith(("l/", "upper"))]
    script = "stat -c %h /new /also; ls -i /new /also | cut -c 1-8 | uniq | wc -l; cat /secret"
    said = rl("run", "--rm", "--net=none", "--user=0", str(file), "sh", "-c", script).stdout
    assert said.split()[:2] == ["2", "2"] and said.split()[-1] == "s"


def test_settings_go_with_it(rl: Rl, file: Path) -> None:
    assert rl("run", "--rm", "--net=none", str(file)).stdout == "nobody\n/usr\nb\n"
    rl("create", "--name=d", str(file))
    shown = rl("inspect", "-f", "{{.Config.Labels.made}} {{.Config.Cmd}} {{.ImageName}}", "d")
    assert shown.stdout == f"here [sh -c id -un; pwd; echo $A] {file}\n"
    image_id = rl("inspect", "-f", "{{.Id}}", "made").stdout.strip().removeprefix("sha256:")
    shown = rl("inspect", "-f", "{{.Image}}", "d")
    assert shown.stdout.strip() == f"sha256:{image_id}"


def test_extended_attributes_and_capabilities(rl: Rl, busybox_image: str, tmp_path: Path) -> None:
    rl("create", "--name=c", busybox_image)
    (tmp_path / "f").write_text("x")
    os.setxattr(tmp_path / "f", "user.note", b"kept")
    archive = tmp_path / "a.tar"
    subprocess.run(["tar", "--xattrs", "-C", str(tmp_path), "-cf", str(archive), "f"], check=True)
    rl("import", str(archive), "attributes")
    rl("image", "squash", "attributes", str(tmp_path / "x.sqsh"))
    subprocess.run(
        ["unsquashfs", "-q", "-n", "-d", str(tmp_path / "t"), str(tmp_path / "x.sqsh")],
        check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    assert os.getxattr(tmp_path / "t/f", "user.note") == b"kept"
    assert os.listxattr(tmp_path / "t") == [], "nothing of the overlay's own"


def test_the_same_image_gives_the_same_bytes(rl: Rl, image: str, tmp_path: Path) -> None:
    made = []
    for number, epoch in enumerate(("", "", "86400")):
        path = tmp_path / f"{number}.sqsh"
        rl("image", "squash", image, str(path), env={"SOURCE_DATE_EPOCH": epoch})
        made.append(path.read_bytes())
        time.sleep(1.1 if number == 0 else 0)
    assert made[0] == made[1] != made[2]
    assert made[2][8:12] == (86400).to_bytes(4, "little")
    wrong = rl("image", "squash", image, str(tmp_path / "w"), env={"SOURCE_DATE_EPOCH": "x"},
               code=125)  # fmt: skip
    assert "SOURCE_DATE_EPOCH=x" in wrong.stderr and not (tmp_path / "w").exists()


@pytest.mark.parametrize("kind", ["lz4", "gzip", "xz", "none"])
def test_compressions(rl: Rl, busybox_image: str, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "i.sqsh"
    rl("image", "squash", f"--compression={kind}", busybox_image, str(path))
    assert rl("run", "--rm", "--net=none", str(path), "echo", kind).stdout == f"{kind}\n"


def test_levels(rl: Rl, busybox_image: str, tmp_path: Path) -> None:
    sizes = []
    for level in ("1", "19"):
        path = tmp_path / f"{level}.sqsh"
        rl("image", "squash", "--compression-level", level, busybox_image, str(path))
        sizes.append(path.stat().st_size)
    assert sizes[1] < sizes[0]
    path = tmp_path / "x.sqsh"
    for words in (["--compression=lz4", "--compression-level=1"], ["--compression-level=23"]):
        done = rl("image", "squash", *words, busybox_image, str(path), code=125)
        assert "--compression-level" in done.stderr
    assert not path.exists()


def test_what_is_there_stays(rl: Rl, busybox_image: str, tmp_path: Path) -> None:
    path = tmp_path / "i.sqsh"
    path.write_text("mine")
    done = rl("image", "squash", busybox_image, str(path), code=125)
    assert "is there already" in done.stderr and "--force" in done.stderr
    assert path.read_text() == "mine"
    umask = os.umask(0o027)
    try:
        rl("image", "squash", "--force", busybox_image, str(path))
    finally:
        os.umask(umask)
    assert path.read_bytes()[:4] == b"hsqs"
    assert path.stat().st_mode & 0o777 == 0o640
    assert os.listdir(tmp_path) == ["i.sqsh"]
    assert "Is a directory" in rl("image", "squash", "-f", busybox_image, str(tmp_path),
                                  code=125).stderr.replace("is a", "Is a")  # fmt: skip
    assert "nowhere" in rl("image", "squash", busybox_image, "/nowhere/x", code=125).stderr
    assert rl("image", "squash", "nothing:here", str(tmp_path / "n"), code=None).returncode
    assert os.listdir(tmp_path) == ["i.sqsh"]


def test_a_path_is_no_image_to_squash(rl: Rl, tmp_path: Path) -> None:
    for word in ("./dir", "web.sqsh", str(tmp_path)):
        done = rl("image", "squash", word, str(tmp_path / "i.sqsh"), code=125)
        assert f"{word}: is a path" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_nothing_is_left_of_one_that_is_ended(
    rl: Rl, busybox_image: str, tmp_path: Path, number: int
) -> None:
    rl("run", "--name=big", "--net=none", busybox_image, "sh", "-c",
       "head -c 60000000 /dev/urandom >/big")  # fmt: skip
    rl("commit", "big", "big")
    (tmp_path / "out").mkdir()
    process = rl.popen(
        "image", "squash", "--compression=xz", "big", str(tmp_path / "out/i.sqsh"),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    wait_until(lambda: running(tmp_path), 30)
    process.send_signal(number)
    assert process.wait(20) != 0
    wait_until(lambda: not running(tmp_path))
    assert os.listdir(tmp_path / "out") == []
    rl("image", "ls")
    rl("system", "prune", "-f")
    assert os.listdir(rl.paths.tmp) == []


def test_where_files_without_a_name_cannot_be_made(
    rl: Rl, busybox_image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on network file systems: EISDIR is what kernels say that do not know O_TMPFILE."""
    monkeypatch.setattr(os, "O_TMPFILE", os.O_DIRECTORY)
    spec = squash.SquashSpec(busybox_image, str(tmp_path / "i.sqsh"))
    size = squash.squash(rl.paths, spec, Silent())
    assert (tmp_path / "i.sqsh").stat().st_size == size
    assert os.listdir(tmp_path) == ["i.sqsh"]
    with pytest.raises(InUseError):
        squash.squash(rl.paths, spec, Silent())
    spec.force, spec.compression = True, "no-such-compression"
    with pytest.raises(RlError, match="mksquashfs: "):
        squash.squash(rl.paths, spec, Silent())
    assert (tmp_path / "i.sqsh").stat().st_size == size
    assert os.listdir(tmp_path) == ["i.sqsh"]


def running(folder: Path) -> list[str]:
    """The processes that have a file in `folder`/out open."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if Path(f"/proc/{pid}/comm").read_text().strip() == "mksquashfs":
                links = [
                    os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")
                ]
                found += [pid for link in links if link.startswith(f"{folder}/out")]
        except OSError:
            continue
    return found


def test_other_programs_read_it(file: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        ["unsquashfs", "-no-progress", "-ignore-errors", "-d", str(tmp_path / "t"), str(file)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "t/new").read_text() == "new\n"
    assert (tmp_path / "t/new").stat().st_nlink == 2


def test_what_was_appended_to_has_no_settings(rl: Rl, file: Path, tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more/extra").write_text("more\n")
    subprocess.run(
        ["mksquashfs", str(tmp_path / "more"), str(file), "-no-recovery", "-no-progress"],
        check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    assert rl("run", "--rm", "--net=none", str(file), "cat", "/extra").stdout == "more\n"
    assert rl("image", "inspect", "-f", "[{{.Id}}]", str(file)).stdout == "[]\n"


def test_one_of_another_program_runs(rl: Rl, file: Path, tmp_path: Path) -> None:
    """Without our section: no settings, but the users of the file system."""
    plain = tmp_path / "plain.sqsh"
    end = int.from_bytes(file.read_bytes()[40:48], "little")
    plain.write_bytes(file.read_bytes()[:end] + bytes(-end % 4096))
    done = rl("run", "--rm", "--net=none", "--user=nobody", str(plain), "sh", "-c", "id -un; pwd")
    assert done.stdout == "nobody\n/\n"
    assert "no command to run" in rl("run", "--rm", str(plain), code=125).stderr
