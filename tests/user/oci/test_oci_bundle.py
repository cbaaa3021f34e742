"""`rl run --bundle`: what it writes runs elsewhere as it would have run here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.user.conftest import Rl

CHECKOUT = Path(__file__).parents[3]
SHOW = (
    "id; cat /etc/hostname /proc/self/uid_map; grep -E 'Cap|NoNew|Seccomp:' /proc/self/status;"
    "cat /v/file; touch /v/file 2>/dev/null || echo read-only; touch /new; echo $A"
)


@pytest.fixture
def bundle(rl: Rl, busybox_image: str, short_dir: Path) -> Path:
    volume = short_dir / "v"
    volume.mkdir()
    (volume / "file").write_text("there\n")
    path = short_dir / "b"
    flags = ["--net=none", "--hostname=me", "-eA=b", f"-v{volume}:/v:ro", "--cap-drop=CHOWN"]
    rl("run", "--bundle", str(path), *flags, busybox_image, "sh", "-c", SHOW)
    return path


def ran(argv: list[str], bundle: Path, folder: Path, path: str) -> list[str]:
    done = subprocess.run(
        [*argv, "run", "--bundle", str(bundle), "one"],
        env={"XDG_RUNTIME_DIR": str(folder), "PATH": path, "PYTHONPATH": str(CHECKOUT)},
        text=True, capture_output=True, check=False, stdin=subprocess.DEVNULL, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_bundle_runs_alike_with_rl_oci_and_crun(
    rl: Rl, rl_oci: str, bundle: Path, short_dir: Path
) -> None:
    path = rl.env["PATH"]
    ours = ran([rl_oci], bundle, short_dir, path)
    assert ours[1] == "me" and ours[-3:] == ["there", "read-only", "b"]
    # As Podman calls it, where it sees cgroup v2 alone: it refuses a host that has both versions.
    without_user_namespace(bundle / "config.json")
    place = [sys.executable, str(CHECKOUT / "tests/conformance/place.py"), "namespace"]
    assert ran([*place, "crun"], bundle, short_dir, path) == ours


def without_user_namespace(path: Path) -> None:
    document = json.loads(path.read_text())
    linux = document["linux"]
    del linux["uidMappings"], linux["gidMappings"]
    linux["namespaces"].remove({"type": "user"})
    path.write_text(json.dumps(document))


def test_a_bundle_names_nothing_of_the_store(rl: Rl, bundle: Path) -> None:
    text = (bundle / "config.json").read_text()
    assert str(rl.root) not in text and str(rl.runtime) not in text
    document = json.loads(text)
    assert document["root"]["path"] == "rootfs"
    assert (bundle / "rootfs/bin/busybox").exists()
    assert "me" in (bundle / "files/hosts").read_text()


def test_what_a_bundle_cannot_be(rl: Rl, busybox_image: str, bundle: Path) -> None:
    said = rl("run", "--bundle", str(bundle), busybox_image, code=125).stderr
    assert "exists already" in said
    words = ["--bundle", f"{bundle}2", "--userns=keep-id", busybox_image]
    assert "no --userns" in rl("run", *words, code=125).stderr
    said = rl("run", "--bundle", f"{bundle}3", busybox_image, "true").stderr
    assert "nothing but the loopback" in said
