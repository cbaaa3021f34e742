"""`rl image mount`: an image's files at a path of the host."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from rootless.tools import fusermount, spawn
from tests.user.conftest import Rl
from tests.user.run.conftest import wait_until


@pytest.fixture
def mounted(rl: Rl, busybox_image: str) -> Iterator[Path]:
    """An image of two layers, "made", mounted."""
    if spawn.which("fusermount3") is None:
        pytest.skip("no fusermount3")
    script = "rm /etc/group; echo new >/new; chown 33:44 /new; echo s >/secret; chmod 0 /secret"
    rl("run", "--name=c", "--net=none", busybox_image, "sh", "-c", script)
    rl("commit", "c", "made")
    yield Path(rl("image", "mount", "made").stdout.rstrip("\n"))
    rl("image", "unmount", "--all", "--force", code=None)


def test_it_is_the_whole_image_for_reading(rl: Rl, mounted: Path) -> None:
    info = (mounted / "new").stat()
    assert (info.st_uid, info.st_gid) == (33, 44), "as the image numbers them"
    assert (mounted / "new").read_text() == "new\n"
    assert (mounted / "secret").read_text() == "s\n", "modes keep nobody from his own image"
    assert not (mounted / "etc/group").exists()
    assert (mounted / "bin/busybox").stat().st_size > 100_000
    with pytest.raises(OSError, match="Read-only"):
        (mounted / "x").touch()
    assert rl("image", "mount", "made").stdout.rstrip("\n") == str(mounted), "once is enough"


def test_it_is_listed_and_taken_off(rl: Rl, busybox_image: str, mounted: Path) -> None:
    assert rl("image", "mount").stdout.split() == ["localhost/made:latest", str(mounted)]
    lines = rl("image", "mount", "made", busybox_image).stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["made", busybox_image]
    rows = json.loads(rl("image", "mount", "--format=json").stdout)
    assert {row["mountpoint"] for row in rows} == {line.split()[1] for line in lines}
    assert rl("image", "unmount", "made").stdout.strip() == mounted.name
    assert "is not mounted" in rl("image", "unmount", "made", code=125).stderr
    assert rl("image", "umount", "-a").stdout.strip() == Path(lines[1].split()[1]).name
    assert rl("image", "mount").stdout == ""
    assert str(mounted) not in fusermount.mounted()


def test_what_is_open_keeps_it_unless_forced(rl: Rl, mounted: Path) -> None:
    with open(mounted / "new", "rb") as file:
        assert "busy" in rl("image", "unmount", "made", code=125).stderr
        rl("image", "unmount", "-f", "made")
        assert file.read() == b"new\n"
    assert not mounted.exists()


def test_a_mounted_image_stays(rl: Rl, mounted: Path) -> None:
    rl("rm", "c")
    for words in (["rmi", "made"], ["rmi", "--force", "made"]):
        assert "rl image unmount" in rl(*words, code=None).stderr
    rl("image", "prune", "--all", "--force")
    assert (mounted / "new").read_text() == "new\n"
    rl("image", "unmount", "made")
    rl("rmi", "made")


def test_a_reset_takes_it_off(rl: Rl, mounted: Path) -> None:
    rl("system", "reset", "--force")
    assert str(mounted) not in fusermount.mounted()
    assert not rl.root.exists()


def test_a_server_that_died_is_replaced(rl: Rl, mounted: Path) -> None:
    (pid,) = [process for process in all_pids() if serves(process, rl)]
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(OSError):
        wait_until(lambda: os.listdir(mounted) is None, 3)
    assert rl("image", "mount", "made").stdout.rstrip("\n") == str(mounted)
    assert (mounted / "new").read_text() == "new\n"


def all_pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdecimal()]


def serves(pid: int, rl: Rl) -> bool:
    """Whether the process answers for an image of the store: it works in the layers' directory."""
    try:
        is_server = Path(f"/proc/{pid}/comm").read_text() == "fuse-overlayfs\n"
        return (
            is_server
            and b"noacl" in Path(f"/proc/{pid}/cmdline").read_bytes()
            and (layers_of(pid) <= set(os.listdir(rl.paths.layers)))
        )
    except OSError:
        return False


def layers_of(pid: int) -> set[str]:
    words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    option = next(word for word in words if "lowerdir=" in word)
    return {path.partition("/")[0] for path in option.partition("lowerdir=")[2].split(":")}
