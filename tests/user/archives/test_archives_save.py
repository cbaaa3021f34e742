"""`rl save`, and `rl load` of what it wrote."""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from rootless.store import blobs, images, index
from tests.user.archives.conftest import names
from tests.user.conftest import Rl

FORMATS = ["docker-archive", "oci-archive"]


def state(rl: Rl) -> dict[str, Any]:
    """The names in the store, and what they mean."""
    return {
        index.name_of(entry): {k: v for k, v in entry.items() if k != "annotations"}
        for entry in index.entries(rl.paths)
    }


@pytest.mark.parametrize("kind", FORMATS)
def test_what_is_saved_is_loaded_with_the_same_digests(
    rl: Rl, image: str, short_dir: Path, kind: str
) -> None:
    file = short_dir / "app.tar"
    before = state(rl)
    assert rl("save", "-q", "--format", kind, "-o", str(file), image).stdout == ""
    kept = {digest: blobs.read(rl.paths, digest) for digest in blobs.stored(rl.paths)}
    rl("rmi", image)
    assert blobs.stored(rl.paths) == []
    done = rl("load", "-q", "-i", str(file))
    assert (done.stdout, done.stderr) == (f"Loaded image: {image}\n", "")
    assert state(rl) == before
    assert {digest: blobs.read(rl.paths, digest) for digest in blobs.stored(rl.paths)} == kept
    done = rl("run", "--rm", "--net=none", image, "/b/ls", "/etc")
    assert "two" in done.stdout.split() and "one" not in done.stdout.split()


def test_a_directory(rl: Rl, image: str, short_dir: Path) -> None:
    folder = short_dir / "layout"
    before = state(rl)
    rl("save", "--format=oci-dir", "-o", str(folder), image)
    assert json.loads((folder / "oci-layout").read_text()) == {"imageLayoutVersion": "1.0.0"}
    rl("rmi", image)
    assert rl("load", "-i", str(folder)).stdout == f"Loaded image: {image}\n"
    assert state(rl) == before
    done = rl("save", "--format=oci-dir", "-o", str(folder), image, code=125)
    assert f"{folder}: exists" in done.stderr
    done = rl("save", "--format=oci-dir", image, code=125)
    assert "needs a directory" in done.stderr


@pytest.mark.parametrize("packer", [["gzip", "-c"], ["zstd", "-qc"], ["cat"]], ids=lambda p: p[0])
def test_through_pipes(rl: Rl, image: str, packer: list[str], short_dir: Path) -> None:
    before = state(rl)
    saved = subprocess.run([*rl.argv, "save", image], env=rl.env, capture_output=True, check=True)
    packed = subprocess.run(packer, input=saved.stdout, capture_output=True, check=True).stdout
    rl("rmi", image)
    loaded = subprocess.run(
        [*rl.argv, "load"], env=rl.env, input=packed, capture_output=True, text=False, check=False
    )
    assert loaded.stdout == f"Loaded image: {image}\n".encode(), loaded.stderr
    assert state(rl) == before
    file = short_dir / "packed"
    file.write_bytes(packed)
    rl("rmi", image)
    with open(file) as stdin:
        done = subprocess.run(
            [*rl.argv, "load", "-q"], env=rl.env, stdin=stdin, capture_output=True, check=False
        )
    assert done.stdout == f"Loaded image: {image}\n".encode(), done.stderr


@pytest.mark.parametrize("kind", FORMATS)
def test_several_images_and_names(
    rl: Rl, image: str, busybox_image: str, short_dir: Path, kind: str
) -> None:
    rl("tag", image, "quay.io/team/app:v2", "third")
    before = state(rl)
    image_id = rl("images", "-q", "--no-trunc", busybox_image).stdout.strip()
    file = str(short_dir / "all.tar")
    rl("save", "-o", file, f"--format={kind}", image, "quay.io/team/app:v2", image, image_id)
    rl("rmi", "--all")
    done = rl("load", "-i", file)
    loaded = [image, "quay.io/team/app:v2"]
    assert done.stdout.splitlines() == [
        *(f"Loaded image: {name}" for name in loaded), f"Loaded image ID: {image_id}",
    ]  # fmt: skip
    after = state(rl)
    assert {name: after[name] for name in loaded} == {name: before[name] for name in loaded}
    assert after[""] == before[busybox_image] and len(after) == 3


def test_the_same_images_give_the_same_bytes(rl: Rl, image: str, short_dir: Path) -> None:
    first, second = short_dir / "a.tar", short_dir / "b.tar"
    rl("save", "-o", str(first), image)
    rl("save", "-o", str(second), image)
    assert first.read_bytes() == second.read_bytes()
    with tarfile.open(first) as archive:
        members = {member.name: member for member in archive}
        (row,) = json.load(archive.extractfile("manifest.json"))  # type: ignore[arg-type]
    assert {"index.json", "oci-layout", "manifest.json"} <= members.keys()
    assert row["RepoTags"] == [image] == names(rl)
    assert {member.mtime for member in members.values()} == {0}


def test_a_failure_leaves_no_file(rl: Rl, image: str, short_dir: Path) -> None:
    file = short_dir / "app.tar"
    file.write_bytes(b"what was here before")
    found = images.find(rl.paths, image)
    assert found is not None
    layer = found.blob_digests()[-1]
    assert "none: no such image" in rl("save", "-o", str(file), "none", code=125).stderr
    os.truncate(rl.paths.blob(layer), 7)
    assert "damaged, it has 7 bytes" in rl("save", "-o", str(file), image, code=125).stderr
    blobs.remove(rl.paths, layer)
    assert "No such file" in rl("save", "-o", str(file), image, code=125).stderr
    rl("save", "--format=oci-dir", "-o", str(short_dir / "d"), image, code=125)
    assert file.read_bytes() == b"what was here before"
    left = {path.name for path in short_dir.iterdir()} - {"s", "r", "h", "i1"}
    assert left == {"app.tar"}
    done = rl("save", "-o", str(short_dir / "no/such/file"), image, code=125)
    assert "no/such/file: No such file or directory" in done.stderr


def test_a_full_device(rl: Rl, image: str) -> None:
    done = rl("save", "-o", "/dev/full", image, code=125)
    assert "No space left on device" in done.stderr


def test_no_archive_for_a_terminal(rl: Rl, image: str) -> None:
    import pty

    master, slave = pty.openpty()
    for words, complaint in (
        (["save", image], b"does not write an archive to a terminal"),
        (["load"], b"does not read an archive from a terminal"),
    ):
        done = subprocess.run(
            [*rl.argv, *words], env=rl.env, stdin=slave, stdout=slave, stderr=subprocess.PIPE,
            check=False,
        )  # fmt: skip
        assert done.returncode == 125 and complaint in done.stderr
    os.close(master)
    os.close(slave)


def test_a_reader_that_goes_away(rl: Rl, busybox_image: str) -> None:
    saving = rl.popen("save", busybox_image, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert saving.stdout is not None and saving.stderr is not None
    saving.stdout.read(1000)
    saving.stdout.close()
    assert saving.wait(20) == 141 and saving.stderr.read() == b""
    saving.stderr.close()
