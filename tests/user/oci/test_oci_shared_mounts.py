"""`rl-oci`: a container without a mount namespace, as the root of a user namespace may have it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rootless.oci import example

CHECKOUT = Path(__file__).parents[3]
PLACE = [sys.executable, str(CHECKOUT / "tests/conformance/place.py"), "namespace"]


@pytest.fixture
def bundle(short_dir: Path) -> Path:
    path = short_dir / "b"
    for name in ("bin", "proc", "sys", "dev"):
        (path / "rootfs" / name).mkdir(parents=True)
    shutil.copy("/bin/busybox", path / "rootfs/bin/busybox")
    (path / "rootfs/bin/sh").symlink_to("busybox")
    write(path)
    return path


def write(bundle: Path, *mounts: dict[str, Any]) -> None:
    config = example.build(os.getuid(), os.getgid())
    del config["hostname"], config["linux"]["uidMappings"], config["linux"]["gidMappings"]
    config["linux"]["namespaces"] = [{"type": "pid"}]
    config["process"] |= {"terminal": False, "args": ["busybox", "sleep", "1000"]}
    config["root"]["readonly"] = True
    config["mounts"] += mounts
    (bundle / "config.json").write_text(json.dumps(config))


def as_root(rl_oci: str, bundle: Path, script: str) -> list[str]:
    """The lines that `script` says as root of a user namespace, with $rl and a function mounts."""
    head = f'rl={rl_oci}; mounts() {{ grep -c "{bundle}/rootfs" /proc/self/mountinfo; }}\n'
    done = subprocess.run(
        [*PLACE, "sh", "-c", head + script],
        env={"XDG_RUNTIME_DIR": str(bundle.parent), "PATH": os.environ["PATH"],
             "PYTHONPATH": str(CHECKOUT)},
        cwd=bundle, text=True, capture_output=True, check=False, stdin=subprocess.DEVNULL,
        timeout=60,
    )  # fmt: skip
    return done.stdout.splitlines()


def test_its_mounts_go_with_it(rl_oci: str, bundle: Path) -> None:
    said = as_root(rl_oci, bundle, """
        readlink /proc/self/ns/mnt; mounts
        $rl run -d --bundle . one >out 2>&1; cat out
        [ "$(mounts)" -gt 8 ] && echo mounted
        $rl exec one sh -c 'busybox readlink /proc/self/ns/mnt; echo /*; echo no >/new'
        $rl delete --force one; mounts
    """)  # fmt: skip
    assert said == [
        said[0], "0", "mounted", said[0], "/bin /dev /proc /sys",
        "sh: can't create /new: Read-only file system", "0",
    ]  # fmt: skip


def test_its_mounts_go_when_it_cannot_be_made_or_its_maker_is_killed(
    rl_oci: str, bundle: Path
) -> None:
    write(bundle, {"destination": "/x", "type": "bind", "source": "/missing", "options": ["bind"]})
    said = as_root(rl_oci, bundle, "$rl run --bundle . one 2>&1; mounts")
    assert "no such file or directory" in said[0] and said[-1] == "0"
    write(bundle)
    said = as_root(rl_oci, bundle, """
        $rl run --bundle . one >out 2>&1 &
        while [ "$(mounts)" -lt 4 ]; do sleep 0.01; done
        kill -9 $!
        $rl delete --force one; mounts
    """)  # fmt: skip
    assert said == ["0"]


def test_a_normal_user_is_told_what_it_takes(rl_oci: str, bundle: Path) -> None:
    done = subprocess.run(
        [rl_oci, "--root", str(bundle.parent / "o"), "run", "--bundle", str(bundle), "one"],
        env={}, text=True, capture_output=True, check=False, stdin=subprocess.DEVNULL, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert "without a mount namespace takes a caller who is root" in done.stderr
