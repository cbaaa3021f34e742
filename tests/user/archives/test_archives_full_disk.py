"""Full disks: saving, loading, contexts of builds, logging in; nothing that is half there."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from rootless.model import platform
from tests.user.archives.conftest import Archive
from tests.user.conftest import Rl
from tests.user.registry.fake_registry import FakeRegistry, serving
from tests.user.registry.oci_layout import Layout, digest_of, tar_of

# A mount namespace of its own, in which $1 is a file system of 3 MiB.
SCRIPT = 'mount -t tmpfs -o size=3m,mode=755 tmpfs "$1" && shift && "$@"'


def on_a_small_disk(rl: Rl, folder: Path, script: str, *words: str) -> list[str]:
    """The lines that a shell script says there; its function rl tells the exit code as well."""
    folder.mkdir(exist_ok=True)
    env = {**rl.env, "SMALL": str(folder)}
    say = 'rl() { "$@" 2>&1; echo "code $?"; };'
    inner = ["sh", "-c", f"{say} {script}", "sh", *words]
    done = subprocess.run(
        ["unshare", "-Urm", "sh", "-c", SCRIPT, "sh", str(folder), *inner],
        env=env, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_load(rl: Rl, archive: Archive, short_dir: Path, tmp_path: Path) -> None:
    layer = tar_of({"big": os.urandom(8 << 20)})
    config = {
        "architecture": platform.host().architecture, "os": "linux",
        "rootfs": {"diff_ids": [digest_of(layer)]},
    }  # fmt: skip
    row = {"Config": "c", "RepoTags": ["app:1"], "Layers": ["l"]}
    plain = archive(
        ("c", json.dumps(config).encode()), ("l", layer),
        ("manifest.json", json.dumps([row]).encode()),
    )  # fmt: skip
    packed = tmp_path / "packed"
    subprocess.run(f"gzip -1c {plain} > {packed}", shell=True, check=True)
    rl.env["RL_ROOT"] = str(short_dir / "small" / "s")
    script = (
        "plain=$1; packed=$2; shift 2;"
        ' rl "$@" load -q -i "$plain"; rl "$@" load -q -i "$packed"; "$@" images -q;'
        ' echo end; "$@" image prune -f >/dev/null; df --output=used "$SMALL" | tail -1'
    )
    said = on_a_small_disk(rl, short_dir / "small", script, str(plain), str(packed), *rl.argv)
    errors = [line for line in said if line.startswith("rl: error: ")]
    assert len(errors) == 2 and all("No space left on device" in line for line in errors), said
    assert said.count("code 125") == 2 and any("hint: df -h" in line for line in said)
    # No image is listed, and what is left can be had back.
    assert said[said.index("end") - 1] == "code 125", said
    assert int(said[-1]) < 200


def test_save(rl: Rl, layout: Layout, short_dir: Path) -> None:
    files = [{"big": os.urandom(8 << 20)}]
    layout.name(layout.image(files, architecture=platform.host().architecture), "x.org/app:1")
    rl("load", "-q", "-i", str(layout.folder))
    script = (
        'echo before > "$SMALL/a.tar"; rl "$@" save -q -o "$SMALL/a.tar" x.org/app:1;'
        ' rl "$@" save -q --format oci-dir -o "$SMALL/d" x.org/app:1;'
        ' cat "$SMALL/a.tar"; ls "$SMALL"'
    )
    said = on_a_small_disk(rl, short_dir / "small", script, *rl.argv)
    assert sum("No space left on device" in line for line in said) == 2, said
    assert said[-2:] == ["before", "a.tar"]


def test_login(rl: Rl, layout: Layout, short_dir: Path) -> None:
    def serve(server: FakeRegistry) -> list[str]:
        script = (
            'echo "{}" > "$SMALL/auth"; cat /dev/zero > "$SMALL/filler" 2>/dev/null;'
            ' echo x | rl "$@" login -u me --password-stdin --authfile "$SMALL/auth"'
            f" {server.host};"
            ' cat "$SMALL/auth"; ls "$SMALL"'
        )
        return on_a_small_disk(rl, short_dir / "small", script, *rl.argv)

    with serving(layout) as server:
        said = serve(server)
    assert any("No space left on device" in line for line in said), said
    assert "code 125" in said and said[-3:] == ["{}", "auth", "filler"]


def test_a_context_on_standard_input(rl: Rl, short_dir: Path, tmp_path: Path) -> None:
    context = tmp_path / "context"
    context.write_bytes(tar_of({"big": os.urandom(8 << 20)}))
    rl.env["RL_ROOT"] = str(short_dir / "small" / "s")
    script = (
        'context=$1; shift; rl "$@" build -q - < "$context"; rl "$@" build -q "$context";'
        ' echo end; df --output=used "$SMALL" | tail -1'
    )
    said = on_a_small_disk(rl, short_dir / "small", script, str(context), *rl.argv)
    errors = [line for line in said if line.startswith("rl: error: ")]
    assert len(errors) == 2 and all("No space left on device" in line for line in errors), said
    assert errors[0] != "rl: error: No space left on device"
    assert said.count("code 125") == 2 and sum("hint: df -h" in line for line in said) == 2
    assert int(said[-1]) < 200
