"""`rl run --bundle`: what it writes runs elsewhere as it would have run here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.user.conftest import Rl

CHECKOUT = Path(__file__).parents[3]
SHOW = (
    "id -u; id -g; cat /etc/hostname /proc/self/uid_map;"
    "grep -E 'Cap|NoNew|Seccomp:' /proc/self/status;"
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


def test_a_bundle_runs_alike_with_rl_oci_crun_and_runc(
    rl: Rl, rl_oci: str, bundle: Path, short_dir: Path
) -> None:
    path = rl.env["PATH"]
    ours = ran([rl_oci], bundle, short_dir, path)
    assert ours[:3] == ["0", "0", "me"] and ours[-3:] == ["there", "read-only", "b"]
    assert ran(["runc"], bundle, short_dir, path) == ours
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


def told(rl: Rl, *words: str) -> Any:
    """The document that `rl run --dry-run` prints."""
    flags = ["--net=none", "--hostname=me", "-eA=b", "--cap-drop=CHOWN"]
    return json.loads(rl("run", "--dry-run", *flags, *words).stdout)


def test_a_bundle_gets_another_document(
    rl: Rl, rl_oci: str, busybox_image: str, bundle: Path, short_dir: Path
) -> None:
    words = ["-v", f"{short_dir}/v:/v:ro", busybox_image, "sh", "-c", SHOW]
    assert told(rl, "--bundle", str(bundle), *words) == json.loads(
        (bundle / "config.json").read_text()
    )
    text = json.dumps(told(rl, "--bundle", str(bundle), "-eA=c", busybox_image, "env"))
    (bundle / "config.json").write_text(text)
    assert "A=c" in ran([rl_oci], bundle, short_dir, rl.env["PATH"])
    assert told(rl, "--bundle", f"{short_dir}/none", busybox_image)["root"]["path"] == "rootfs"
    assert not (short_dir / "none").exists()


def test_the_document_of_a_run_is_that_of_a_bundle_but_for_places(
    rl: Rl, busybox_image: str, short_dir: Path
) -> None:
    """And for the view of /proc, and a control group."""
    words = ["--procview=off", busybox_image, "true"]
    run, bundle = told(rl, *words), told(rl, "--bundle", f"{short_dir}/b", *words)
    assert run["root"].pop("path").startswith(str(rl.root))
    assert bundle["root"].pop("path") == "rootfs"
    assert run["process"]["user"].pop("additionalGids") == [0]
    for one, other in zip(run["mounts"], bundle["mounts"], strict=True):
        if one["source"] != other["source"]:
            assert one.pop("source").startswith(str(rl.root))
            assert other.pop("source").startswith("files/")
    run["linux"].pop("cgroupsPath", None)
    assert run == bundle


def test_without_its_root_file_system_a_document_does_not_run(
    rl: Rl, rl_oci: str, busybox_image: str, short_dir: Path
) -> None:
    (short_dir / "config.json").write_text(json.dumps(told(rl, busybox_image)))
    argv = [rl_oci, "run", "--bundle", str(short_dir), "one"]
    done = subprocess.run(argv, env=rl.env, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "root.path" in done.stderr and "merged: no such file or directory" in done.stderr


def test_groups_that_runc_refuses_are_said(rl: Rl, busybox_image: str, short_dir: Path) -> None:
    words = ["--dry-run", "--bundle", f"{short_dir}/b", "--net=none", "--group-add=5"]
    done = rl("run", *words, busybox_image)
    assert json.loads(done.stdout)["process"]["user"]["additionalGids"] == [5]
    assert "runc may refuse its additional groups (5)" in done.stderr


def test_what_a_bundle_cannot_be(rl: Rl, busybox_image: str, bundle: Path) -> None:
    said = rl("run", "--bundle", str(bundle), busybox_image, code=125).stderr
    assert "exists already" in said
    words = ["--bundle", f"{bundle}2", "--userns=keep-id", busybox_image]
    assert "no --userns" in rl("run", *words, code=125).stderr
    said = rl("run", "--bundle", f"{bundle}3", busybox_image, "true").stderr
    assert "nothing but the loopback" in said
