"""`rl run FILE.sqsh` on hosts that lack something: it runs, and a line says what is less."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.user.conftest import RL_ARGV, Rl
from tests.user.doctor import reduced_host

SCRIPT = Path(reduced_host.__file__)


@pytest.fixture
def shared() -> Iterator[Path]:
    """A directory that reduced hosts see as well, which have a /tmp of their own."""
    path = Path(tempfile.mkdtemp(prefix="rl-files-", dir="/var/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def run(rl: Rl, script: str, **wishes: Any) -> subprocess.CompletedProcess[str]:
    """Run a shell script on a host with `wishes`; `rl` is the command there."""
    words = json.dumps({"home": "size=200m", **wishes})
    quoted = " ".join("'" + word.replace("'", "'\"'\"'") + "'" for word in RL_ARGV)
    return subprocess.run(
        [sys.executable, str(SCRIPT), words, "/bin/sh", "-c",
         f'rl() {{ {quoted} "$@"; }}\n{script}'],
        capture_output=True, text=True, timeout=100, check=False,
        env={"PATH": rl.env["PATH"], "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip


@pytest.fixture
def file(rl: Rl, busybox_image: str, shared: Path) -> Path:
    """An image in which a file is somebody else's."""
    rl("run", "--name=c", "--net=none", busybox_image, "sh", "-c",
       "echo x >/theirs; chown 33:44 /theirs")  # fmt: skip
    rl("commit", "c", "owners")
    path = shared / "i.sqsh"
    rl("image", "squash", "-q", "owners", str(path))
    return path


def test_no_fuse_device(rl: Rl, file: Path) -> None:
    script = f"rl run --rm --net=none {file} sh -c 'stat -c %u:%g /theirs; rm /theirs; ls /theirs'"
    done = run(rl, f"{script}; {script}", devices=["net/tun"])
    assert done.stdout == "33:44\n" * 2
    assert done.stderr.count("is unpacked into") == 1
    assert "/dev/fuse" in done.stderr


def test_no_fuse_overlayfs(rl: Rl, file: Path) -> None:
    script = f"rl run --rm --net=none {file} sh -c 'stat -c %u:%g /theirs; rm /theirs && echo gone'"
    done = run(rl, script, without=["/usr/bin/fuse-overlayfs"])
    assert done.stdout == "33:44\ngone\n", done.stderr
    assert "unpacked" not in done.stderr


def test_no_subordinate_ids(rl: Rl, file: Path) -> None:
    script = f"rl run --rm --net=none {file} sh -c 'id -u; cat /theirs; touch /new; ls /new'"
    done = run(rl, script, subids="")
    assert done.stdout == "0\nx\n/new\n", done.stderr
    assert "can be read, but not changed" in done.stderr


def test_a_file_made_without_subordinate_ids(rl: Rl, file: Path, shared: Path) -> None:
    """All of its files can be changed there."""
    rl("save", "--format=oci-dir", "-q", "-o", str(shared / "layout"), "owners")
    os.chmod(shared / "layout", 0o755)
    inside = "echo more >>/theirs; cat /theirs; rm /theirs; chown 5:5 /etc/passwd"
    script = f"""
    cd; rl pull -q oci:{shared}/layout >name; rl image squash -q $(cat name) own.sqsh
    rl run --rm --net=none own.sqsh sh -c '{inside}'
    """
    done = run(rl, script, subids="")
    assert done.stdout == "x\nmore\n", done.stderr
    assert "not changed" not in done.stderr


def test_a_full_disk(rl: Rl, file: Path) -> None:
    """Neither half a file nor half a tree stays."""
    script = f"""
    cd; rl pull -q oci:{file.parent}/layout >name; head -c 49m /dev/zero >/tmp/filler
    rl image squash $(cat name) /tmp/full.sqsh; echo $?; rm /tmp/filler; ls /tmp | grep -v rl-
    """
    rl("save", "--format=oci-dir", "-q", "-o", str(file.parent / "layout"), "owners")
    done = run(rl, script)
    assert done.stdout == "125\n", done.stderr
    assert "rl: error: /tmp/full.sqsh: no space left for the image's file" in done.stderr


def test_no_space_to_unpack(rl: Rl, busybox_image: str, shared: Path) -> None:
    rl("run", "--name=big", "--net=none", busybox_image, "sh", "-c",
       "head -c 30000000 /dev/zero >/big")  # fmt: skip
    rl("commit", "big", "big")
    rl("image", "squash", "-q", "big", str(shared / "big.sqsh"))
    script = f"""
    rl run --rm --net=none {shared}/big.sqsh true; echo $?
    find $HOME/.local/share/rl/tmp $HOME/.local/share/rl/unpacked -mindepth 1
    """
    done = run(rl, script, devices=["net/tun"], home="size=25m")
    assert done.stdout == "125\n", done.stderr
    assert "no space left for the files of" in done.stderr and "rl system prune" in done.stderr
