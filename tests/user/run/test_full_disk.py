"""Containers on a store without space: what runs goes on, and can be listed, stopped and removed.

A user namespace whose root we are has a small tmpfs as its store; rl there has one id only.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.user.conftest import CHECKOUT, Rl

INSIDE = """
import json, os, subprocess, sys
sys.path[:0] = [{checkout!r}]
from rootless.kernel import libc
from rootless.tools import idmap

def rl(*words):
    done = subprocess.run([*{argv!r}, *words], env=os.environ, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=40)
    said.append([" ".join(words[:3]), done.returncode, done.stdout.strip(), done.stderr.strip()])

def fill(folder):
    for size in (1 << 20, 4096, 1):
        try:
            with open(folder + "/filler", "ab", buffering=0) as file:
                while file.write(bytes(size)) == size:
                    pass
        except OSError:
            pass

said = []

def inside():
    libc.unshare(libc.CLONE_NEWNS)
    small = {small!r}
    libc.mount("tmpfs", small, "tmpfs", 0, "size=8m,mode=755")
    subprocess.run(["cp", "-a", {store!r} + "/.", small], check=True)
    os.environ["RL_ROOT"] = small
    runtime = small + "-runtime"
    os.mkdir(runtime, 0o700)
    libc.mount("tmpfs", runtime, "tmpfs", 0, "size=1m,mode=700")
    os.environ["RL_RUNTIME_DIR"] = runtime
    flags = ["--net=none", "--storage-driver=overlay", "--name"]
    try:
        script = "echo said; sleep 3; exit 5"
        rl("run", "-d", *flags, "ends", {image!r}, "sh", "-c", script)
        rl("run", "-d", "--restart=always", *flags, "again", {image!r}, "sh", "-c", script)
        rl("run", "-d", "--restart=always", *flags, "stays", {image!r}, "sleep", "1000")
        rl("create", *flags, "made", {image!r}, "true")
        fill(small)
        if {both!r}:
            fill(runtime)
        said.clear()
        rl("start", "made")
        rl("run", "-d", "--net=none", "--storage-driver=overlay", {image!r}, "true")
        rl("logs", "ends")
        rl("wait", "ends")
        rl("wait", "again")
        rl("ps", "-a", "--format", "{{{{.Names}}}} {{{{.State}}}}")
        rl("inspect", "ends", "--format", "{{{{.State.Status}}}} {{{{.State.ExitCode}}}}")
        rl("stop", "-t0", "stays")
        rl("rm", "made")
        rl("ps", "-a", "--format", "{{{{.Names}}}} {{{{.State}}}}")
        os.unlink(small + "/filler")
        if {both!r}:
            os.unlink(runtime + "/filler")
        rl("inspect", "ends", "--format", "{{{{.State.Status}}}} {{{{.State.ExitCode}}}}")
        rl("start", "stays")
        rl("ps", "--format", "{{{{.Names}}}}")
    finally:
        rl("rm", "-f", "-a", "-v")
    left = [os.listdir(small + "/containers"), os.listdir(small + "/names")]
    return json.dumps([said, left])

print(idmap.call(inside))
"""


@pytest.mark.parametrize("both", [False, True], ids=["store", "store and runtime directory"])
def test_a_life_on_a_full_disk(rl: Rl, busybox_image: str, short_dir: Path, both: bool) -> None:
    small = short_dir / "full"
    small.mkdir()
    code = INSIDE.format(
        checkout=str(CHECKOUT), argv=rl.argv, small=str(small), store=str(rl.root),
        image=busybox_image, both=both,
    )  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=rl.env, capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    said, left = json.loads(done.stdout)
    answers: dict[str, list[Any]] = {}
    for words, *answer in said:
        assert "Traceback" not in answer[2] and "internal error" not in answer[2], words
        answers.setdefault(words.partition(" --")[0], []).append(answer)

    for words in ("start made", "run -d"):
        code_of_rl, out, err = answers[words][0]
        assert (code_of_rl, out) == (125, "") and "No space left on device" in err
    assert answers["logs ends"][0][:2] == [0, "said"]
    assert answers["wait ends"][0][:2] == [0, "5"]
    first, second = (sorted(answer[1].splitlines()) for answer in answers["ps -a"])
    assert first == ["again exited", "ends exited", "made created", "stays running"]
    assert second == ["again exited", "ends exited", "stays exited"]
    # Where not even the runtime directory takes a note, nobody knows later how it ended.
    state = f"exited {255 if both else 5}"
    assert [answer[:2] for answer in answers["inspect ends"]] == [[0, state]] * 2
    assert answers["stop -t0 stays"][0][:2] == [0, "stays"]
    assert answers["rm made"][0][:2] == [0, "made"]
    assert answers["start stays"][0][:2] == [0, "stays"]
    assert answers["ps"][0][1] == "stays"
    assert left == [[], []]
