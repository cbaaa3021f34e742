"""`rl commit` and `rl import` into a store without space: an error, and nothing half made.

A user namespace whose root we are has a small tmpfs as its store; rl there has one id only.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.user.conftest import CHECKOUT, Rl

INSIDE = """
import json, os, subprocess, sys
sys.path[:0] = [{checkout!r}]
from rootless.kernel import libc
from rootless.tools import idmap

def rl(*words):
    done = subprocess.run([*{argv!r}, *words], env=os.environ, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=40)
    left = [sorted(os.listdir(small + "/" + name)) for name in ("blobs/sha256", "layers", "tmp")]
    said.append([done.returncode, done.stdout, done.stderr, left])

small, said = {small!r}, []

def inside():
    libc.unshare(libc.CLONE_NEWNS)
    libc.mount("tmpfs", small, "tmpfs", 0, "size=26m,mode=755")
    subprocess.run(["cp", "-a", {store!r} + "/.", small], check=True)
    os.environ["RL_ROOT"] = small
    flags = ["--net=none", "--storage-driver=overlay", "--name=c", {image!r}, "sh", "-c"]
    rl("run", *flags, "head -c 6000000 /dev/urandom >/big")
    with open(small + "/filler", "wb") as file:
        file.write(bytes(10 << 20))
    rl("commit", "c", "made")
    rl("import", {archive!r}, "made")
    os.unlink(small + "/filler")
    rl("image", "prune", "-f")
    rl("commit", "--squash=false", "c", "made")
    rl("run", "--rm", "--net=none", "--storage-driver=overlay", "made", "ls", "/big")
    rl("rm", "-f", "-a")
    return json.dumps(said)

print(idmap.call(inside))
"""


def test_a_full_disk_makes_no_half_image(rl: Rl, busybox_image: str, short_dir: Path) -> None:
    small = short_dir / "full"
    small.mkdir()
    rl("run", "--name=big", "--net=none", busybox_image, "sh", "-c",
       "head -c 9000000 /dev/urandom >/big")  # fmt: skip
    archive = short_dir / "big.tar"
    rl("export", "-o", str(archive), "big")
    rl("rm", "big")
    code = INSIDE.format(
        checkout=str(CHECKOUT), argv=rl.argv, small=str(small), store=str(rl.root),
        image=busybox_image, archive=str(archive),
    )  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=rl.env, capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    ran, committed, imported, _, again, looked, _ = json.loads(done.stdout)
    assert ran[0] == 0, ran
    for code_of_rl, out, err, left in (committed, imported):
        assert (code_of_rl, out) == (125, "")
        assert "No space left on device" in err
        assert "Traceback" not in err
        assert left == ran[3], "nothing is left of it"
    assert again[0] == 0, again
    assert looked[1] == "/big\n"
