"""`rl image prune`, and how other commands clear what killed ones have left."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rootless.store import files, trees
from rootless.tools import idmap
from tests.user.conftest import Rl
from tests.user.run.run_terminal import Terminal


def abandoned_workspace(rl: Rl) -> Path:
    """What a pull leaves that was killed: files of the container's users, a lock that is free."""
    path = Path(rl.paths.tmp, "unpack-1-1")

    def fill() -> None:
        (path / "1/diff").mkdir(parents=True)
        (path / "1/diff/file").write_bytes(b"x" * 100_000)
        os.chown(path / "1/diff/file", 7, 7)
        os.chown(path / "1/diff", 7, 7)
        (path / "1/diff").chmod(0o700)

    idmap.call(fill)
    Path(f"{path}.lock").touch()
    return path


@pytest.mark.parametrize(
    "words",
    [["ps"], ["images"], ["rm", "-f", "x"], ["rmi", "-f", "x"], ["pull", "localhost/busybox"]],
    ids=lambda words: words[0],
)
def test_commands_clear_what_a_killed_pull_left(
    rl: Rl, busybox_image: str, words: list[str]
) -> None:
    abandoned_workspace(rl)
    rl(*words)
    assert os.listdir(rl.paths.tmp) == []


def test_what_somebody_works_in_stays(rl: Rl, busybox_image: str) -> None:
    path = abandoned_workspace(rl)
    with files.Lock(f"{path}.lock"):
        for words in (["ps"], ["images"], ["image", "prune", "-f"]):
            rl(*words)
        assert path.is_dir()
    idmap.call(lambda: trees.remove_tree(str(path)))
    Path(f"{path}.lock").unlink()


def test_prune_reclaims_abandoned_layers(rl: Rl, busybox_image: str) -> None:
    abandoned_workspace(rl)
    done = rl("image", "prune", "--force")
    number, unit = done.stdout.split()[-1][:-2], done.stdout.split()[-1][-2:]
    assert unit == "kB" and 100 <= float(number) <= 150
    assert os.listdir(rl.paths.tmp) == []
    rl("run", "--rm", "--net=none", busybox_image, "true")


def test_prune_all_leaves_the_image_of_a_container(rl: Rl, busybox_image: str) -> None:
    rl("run", "--name=c", "--net=none", busybox_image, "true")
    assert rl("image", "prune", "--all", "--force").stdout == "Total reclaimed space: 0B\n"
    rl("rm", "c")
    said = rl("image", "prune", "--all", "--force").stdout.splitlines()
    assert said[0] == f"Untagged: {busybox_image}"
    assert said[-1].endswith("MB") and os.listdir(rl.paths.layers) == []
    assert os.listdir(rl.paths.blobs) == []


def test_prune_asks_at_a_terminal(rl: Rl, busybox_image: str) -> None:
    terminal = Terminal()
    try:
        for answer, code in ((b"n\n", 1), (b"y\n", 0)):
            terminal.start([*rl.argv, "image", "prune", "--all"], rl.env)
            terminal.until(b"continue? [y/N] ")
            terminal.type(answer)
            assert terminal.process is not None and terminal.process.wait(timeout=20) == code
            assert bool(os.listdir(rl.paths.blobs)) == bool(code)
    finally:
        os.close(terminal.leader)
        os.close(terminal.follower)
