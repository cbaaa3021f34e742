"""podman, buildah, skopeo and umoci read what rl pushes and saves, and rl what they do: the same
digests and the same files, with owners, modes, extended attributes, links and what was deleted."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rootless.model import platform
from rootless.store import images
from rootless.store.images import StoredImage
from tests.user.conftest import Registry, Rl
from tests.user.registry.oci_layout import LAYER, Layout, digest_of
from tests.user.run.run_images import ImageMaker, archive, folder, member, symlink

NAME = "example.org/rich:1"
SETUID, STICKY = 0o4755, 0o1777
FIRST = [
    folder("data"), folder("data/gone"), member("data/gone/a", content=b"a"),
    folder("data/opaque"), member("data/opaque/old", content=b"old"),
    member("data/deleted", content=b"x"), folder("data/private", mode=0o700, uid=7, gid=8),
    member("data/private/key", content=b"k", mode=0o600, uid=7, gid=8),
]  # fmt: skip
SECOND = [
    folder("data"), member("data/.wh.gone"), member("data/.wh.deleted"),
    folder("data/opaque", mode=STICKY), member("data/opaque/.wh..wh..opq"),
    member("data/opaque/new", content=b"new"),
    member("data/program", content=b"p" * 70_000, mode=SETUID),
    member("data/program2", tarfile.LNKTYPE, link="data/program", mode=SETUID),
    symlink("data/link", "/etc/../data/program"), member("data/empty", uid=1000, gid=1000),
    member("data/marked", content=b"m", xattrs={"user.note": "kept"}),
    member("data/n\u00e4me with space", content=b"n"),
]  # fmt: skip


@pytest.fixture
def rich(rl: Rl, images: ImageMaker, short_dir: Path) -> StoredImage:
    """The image, in the store as NAME; its layers are packed with gzip."""
    layout = Layout(short_dir / "rich")
    tars = [archive(one) for one in (images.base(), FIRST, SECOND)]
    config = {
        "architecture": platform.host().architecture, "os": "linux",
        "config": {"Cmd": ["/b/sh"], "Labels": {"a": "b"}, "ExposedPorts": {"80/tcp": {}}},
        "rootfs": {"type": "layers", "diff_ids": [digest_of(tar) for tar in tars]},
        "history": [{"created_by": f"step {number}"} for number in range(3)],
    }  # fmt: skip
    layers = [layout.descriptor(gzip.compress(tar, 1, mtime=0), f"{LAYER}+gzip") for tar in tars]
    layout.name(layout.manifest(config, layers), NAME)
    rl("pull", "-q", f"oci:{layout.folder}")
    return stored(rl, NAME)


def stored(rl: Rl, name: str) -> StoredImage:
    found = images.find(rl.paths, name)
    assert found is not None, f"{name} is not in the store"
    return found


class Peer:
    """A program of the containers/storage family, with a store of its own."""

    def __init__(self, program: str, place: Path, rl: Rl, *flags: str) -> None:
        self.argv = [program, "--root", f"{place}/g", "--runroot", f"{place}/r",
                     *flags, "--storage-driver=vfs"]  # fmt: skip
        session = place / "x"
        session.mkdir(mode=0o700)
        self.env = {**rl.env, "XDG_RUNTIME_DIR": str(session)}

    def __call__(self, *words: str) -> str:
        done = subprocess.run(
            [*self.argv, *words], env=self.env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{self.argv[0]} {' '.join(words)}: {done.stderr}"
        return done.stdout.strip()


class Podman(Peer):
    def __init__(self, place: Path, rl: Rl) -> None:
        super().__init__("podman", place, rl, "--tmpdir", f"{place}/t")

    def listing(self, image: str) -> list[str]:
        script = 'cd "$("$@")" && find data -exec stat -c "%n %a %u %g %F %s" {} +'
        words = ["sh", "-c", script, "sh", *self.argv, "image", "mount", image]
        return sorted(self("unshare", *words).splitlines())


@pytest.fixture
def podman(short_dir: Path, rl: Rl) -> Iterator[Podman]:
    place = short_dir / "p"
    place.mkdir()
    program = Podman(place, rl)
    yield program
    program("system", "reset", "-f")
    program("system", "migrate")


def listing(rl: Rl, image: str) -> list[str]:
    argv = ("/b/find", "/data", "-exec", "/b/stat", "-c", "%n %a %u %g %F %s", "{}", "+")
    out = rl("run", "--rm", "--net=none", image, *argv).stdout
    # Not the sizes of directories, which are their file system's.
    return sorted(line.removeprefix("/") for line in out.splitlines())


def without_sizes(rows: list[str]) -> list[str]:
    return [row.rpartition(" ")[0] if " directory " in row else row for row in rows]


def assert_same_files(one: list[str], other: list[str]) -> None:
    assert without_sizes(one) == without_sizes(other)
    names = {row.partition(" ")[0] for row in one}
    assert {"data/opaque/new", "data/program2", "data/private/key"} <= names
    assert not names & {"data/deleted", "data/gone", "data/opaque/old"}


def run(*argv: str, **env: str) -> str:
    done = subprocess.run(
        argv, env={**os.environ, **env}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{' '.join(argv)}: {done.stderr}"
    return done.stdout


@pytest.mark.parametrize("kind", ["docker-archive", "oci-archive"])
def test_podman_loads_what_rl_saves(
    rl: Rl, rich: StoredImage, podman: Podman, short_dir: Path, kind: str
) -> None:
    file = str(short_dir / "x.tar")
    rl("save", "-q", f"--format={kind}", "-o", file, NAME)
    assert NAME in podman("load", "-q", "-i", file)
    assert podman("image", "inspect", "-f", "{{.Id}}", NAME) == rich.image_id
    if kind == "oci-archive":
        digest = podman("image", "inspect", "-f", "{{.Digest}}", NAME)
        assert digest == rich.manifest_digest
    assert_same_files(podman.listing(NAME), listing(rl, NAME))


@pytest.mark.parametrize("kind", ["docker-archive", "oci-archive"])
def test_rl_loads_what_podman_saves(
    rl: Rl, rich: StoredImage, podman: Podman, short_dir: Path, kind: str
) -> None:
    ours, theirs = str(short_dir / "x.tar"), str(short_dir / "y.tar")
    rl("save", "-q", "-o", ours, NAME)
    before = listing(rl, NAME)
    podman("load", "-q", "-i", ours)
    podman("save", "-q", f"--format={kind}", "-o", theirs, NAME)
    rl("rmi", NAME)
    assert rl("load", "-q", "-i", theirs).stdout == f"Loaded image: {NAME}\n"
    # podman writes the configuration anew for docker's format only.
    assert stored(rl, NAME).diff_ids == rich.diff_ids
    assert kind == "docker-archive" or stored(rl, NAME).image_id == rich.image_id
    assert listing(rl, NAME) == before


def test_podman_saves_several_and_rl_loads_them(
    rl: Rl, rich: StoredImage, busybox_image: str, podman: Podman, short_dir: Path
) -> None:
    for number, name in enumerate((NAME, busybox_image)):
        rl("save", "-q", "-o", str(short_dir / f"{number}.tar"), name)
        podman("load", "-q", "-i", str(short_dir / f"{number}.tar"))
    podman("save", "-q", "-m", "-o", str(short_dir / "all.tar"), NAME, busybox_image)
    rl("rmi", "--all")
    out = rl("load", "-q", "-i", str(short_dir / "all.tar")).stdout
    assert sorted(out.splitlines()) == [
        f"Loaded image: {name}" for name in sorted((NAME, busybox_image))
    ]
    assert stored(rl, NAME).diff_ids == rich.diff_ids


def test_podman_pulls_what_rl_pushes(
    rl: Rl, rich: StoredImage, podman: Podman, registry: Registry
) -> None:
    place = f"{registry.host}/interop/pushed:1"
    rl("push", "-q", NAME, place)
    assert podman("pull", "-q", "--tls-verify=false", place) == rich.image_id
    digest = podman("image", "inspect", "-f", "{{.Digest}}", place)
    assert digest == rich.manifest_digest
    assert_same_files(podman.listing(place), listing(rl, NAME))


def test_podman_pulls_layers_packed_with_zstd(
    rl: Rl, rich: StoredImage, podman: Podman, registry: Registry
) -> None:
    place = f"{registry.host}/interop/zstd:1"
    digest = rl("push", "-q", "--compression-format=zstd", NAME, place).stdout.strip()
    assert digest != rich.manifest_digest
    assert podman("pull", "-q", "--tls-verify=false", place) == rich.image_id
    assert_same_files(podman.listing(place), listing(rl, NAME))


def test_rl_pulls_what_podman_pushes(
    rl: Rl, rich: StoredImage, podman: Podman, registry: Registry, short_dir: Path
) -> None:
    rl("save", "-q", "-o", str(short_dir / "x.tar"), NAME)
    podman("load", "-q", "-i", str(short_dir / "x.tar"))
    before = listing(rl, NAME)
    place = f"{registry.host}/interop/podman:1"
    podman("push", "-q", "--format=oci", "--tls-verify=false", NAME, place)
    rl("rmi", NAME)
    rl("pull", "-q", place)
    assert stored(rl, place).image_id == rich.image_id
    assert listing(rl, place) == before


@pytest.mark.parametrize("kind", ["docker-archive", "oci-archive", "oci-dir"])
def test_skopeo_reads_what_rl_saves(rl: Rl, rich: StoredImage, short_dir: Path, kind: str) -> None:
    target = str(short_dir / "saved")
    rl("save", "-q", f"--format={kind}", "-o", target, NAME)
    source = f"{'oci' if kind == 'oci-dir' else kind}:{target}:{NAME}"
    config = json.loads(run("skopeo", "inspect", "--config", "--raw", source))
    assert config["rootfs"]["diff_ids"] == rich.diff_ids
    if kind != "docker-archive":
        raw = run("skopeo", "inspect", "--raw", source)
        assert digest_of(raw.encode()) == rich.manifest_digest
    run("skopeo", "copy", "-q", "--insecure-policy", source, f"oci:{short_dir}/copied:x")


@pytest.mark.parametrize("kind", ["docker-archive", "oci-archive", "oci"])
def test_rl_loads_what_skopeo_copies(rl: Rl, rich: StoredImage, short_dir: Path, kind: str) -> None:
    ours, theirs = short_dir / "ours", short_dir / "theirs"
    rl("save", "-q", "--format=oci-dir", "-o", str(ours), NAME)
    copy = ("skopeo", "copy", "-q", "--insecure-policy")
    run(*copy, f"oci:{ours}:{NAME}", f"{kind}:{theirs}:{NAME}")
    before = listing(rl, NAME)
    rl("rmi", NAME)
    assert rl("load", "-q", "-i", str(theirs)).stdout == f"Loaded image: {NAME}\n"
    found = stored(rl, NAME)
    assert found.image_id == rich.image_id and found.diff_ids == rich.diff_ids
    assert kind == "docker-archive" or found.manifest_digest == rich.manifest_digest
    assert listing(rl, NAME) == before


def test_umoci_unpacks_what_rl_saves(rl: Rl, rich: StoredImage, short_dir: Path) -> None:
    saved, bundle = short_dir / "saved", short_dir / "bundle"
    rl("save", "-q", "--format=oci-dir", "-o", str(saved), NAME)
    # umoci takes a tag for a name, and no slash in it.
    document = json.loads((saved / "index.json").read_text())
    document["manifests"][0]["annotations"] = {"org.opencontainers.image.ref.name": "x"}
    (saved / "index.json").write_text(json.dumps(document))
    run("umoci", "unpack", "--rootless", "--image", f"{saved}:x", str(bundle))
    data = bundle / "rootfs" / "data"
    assert {path.name for path in data.iterdir()} == {
        "empty", "link", "marked", "n\u00e4me with space", "opaque", "private", "program",
        "program2",
    }  # fmt: skip
    assert (data / "program").stat().st_mode & 0o7777 == SETUID
    assert (data / "program").samefile(data / "program2")
    assert os.getxattr(data / "marked", "user.note") == b"kept"
    assert [path.name for path in (data / "opaque").iterdir()] == ["new"]
    assert (data / "private").stat().st_mode & 0o777 == 0o700


def test_rl_loads_what_umoci_changed(rl: Rl, rich: StoredImage, short_dir: Path) -> None:
    saved, changed = short_dir / "saved", short_dir / "changed"
    rl("save", "-q", "--format=oci-dir", "-o", str(saved), NAME)
    document: Any = json.loads((saved / "index.json").read_text())
    document["manifests"][0]["annotations"] = {"org.opencontainers.image.ref.name": "x"}
    (saved / "index.json").write_text(json.dumps(document))
    changed.write_text("by umoci\n")
    run("umoci", "insert", "--rootless", "--image", f"{saved}:x", str(changed), "/data/umoci")
    image_id = rl("load", "-q", "-i", str(saved)).stdout.split()[-1]
    assert rl("run", "--rm", "--net=none", image_id, "/b/cat", "/data/umoci").stdout == "by umoci\n"
    rows = [row for row in listing(rl, image_id) if "data/umoci" not in row]
    assert rows == [row for row in listing(rl, NAME) if "data/umoci" not in row]


def test_extended_attributes_come_back(rl: Rl, rich: StoredImage, short_dir: Path) -> None:
    file = str(short_dir / "x.tar")
    rl("save", "-q", "-o", file, NAME)
    rl("rmi", NAME)
    rl("load", "-q", "-i", file)
    marked = Path(rl.paths.layer_diff(rich.diff_ids[2])) / "data" / "marked"
    assert os.getxattr(marked, "user.note") == b"kept"


class Buildah(Peer):
    def __init__(self, place: Path, rl: Rl) -> None:
        super().__init__("buildah", place, rl)

    def ids(self, image: str) -> tuple[str, str]:
        """The digests of the image's configuration and of its manifest."""
        document = json.loads(self("inspect", "--type", "image", image))
        return document["FromImageID"], document["FromImageDigest"]

    def listing(self, container: str) -> list[str]:
        script = 'cd "$("$@")" && find data -exec stat -c "%n %a %u %g %F %s" {} +'
        words = ["sh", "-c", script, "sh", *self.argv, "mount", container]
        return sorted(self("unshare", *words).splitlines())


@pytest.fixture
def buildah(short_dir: Path, rl: Rl) -> Iterator[Buildah]:
    place = short_dir / "b"
    place.mkdir()
    program = Buildah(place, rl)
    yield program
    program("rm", "--all")
    program("rmi", "--all", "--force")
    program("unshare", "rm", "-rf", f"{place}/g", f"{place}/r")


def test_buildah_reads_what_rl_saves(
    rl: Rl, rich: StoredImage, buildah: Buildah, short_dir: Path
) -> None:
    rl("save", "-q", "--format=oci-archive", "-o", str(short_dir / "x.tar"), NAME)
    container = buildah(
        "from", "--pull-never", buildah("pull", "-q", f"oci-archive:{short_dir}/x.tar")
    )
    assert buildah.ids(rich.image_id) == (
        rich.image_id,
        rich.manifest_digest,
    )
    assert_same_files(buildah.listing(container), listing(rl, NAME))


def test_buildah_pulls_what_rl_pushes(
    rl: Rl, rich: StoredImage, buildah: Buildah, registry: Registry
) -> None:
    place = f"{registry.host}/interop/buildah:1"
    rl("push", "-q", NAME, place)
    container = buildah("from", "--tls-verify=false", place)
    assert buildah.ids(place) == (rich.image_id, rich.manifest_digest)
    assert_same_files(buildah.listing(container), listing(rl, NAME))


def test_rl_reads_what_buildah_makes(
    rl: Rl, rich: StoredImage, buildah: Buildah, registry: Registry, short_dir: Path
) -> None:
    """A layer of buildah's on top of ours, pushed and saved: one image."""
    rl("save", "-q", "--format=oci-archive", "-o", str(short_dir / "x.tar"), NAME)
    container = buildah("from", buildah("pull", "-q", f"oci-archive:{short_dir}/x.tar"))
    script = (
        'cd "$("$@")" && echo by buildah > data/new && chown 7:8 data/new && chmod 2755 data/new'
        " && rm -r data/private"
    )
    buildah("unshare", "sh", "-c", script, "sh", *buildah.argv, "mount", container)
    buildah("config", "--label", "c=d", container)
    buildah("commit", "-q", container, "changed")
    image_id = buildah.ids("localhost/changed")[0]
    place, file = f"{registry.host}/interop/changed:1", short_dir / "changed.tar"
    buildah("push", "-q", "--tls-verify=false", "changed", place)
    buildah("push", "-q", "changed", f"oci-archive:{file}:localhost/changed:1")
    rl("pull", "-q", place)
    rl("load", "-q", "-i", str(file))
    assert {stored(rl, name).image_id for name in (place, "localhost/changed:1")} == {image_id}
    assert stored(rl, place).diff_ids[:-1] == rich.diff_ids
    rows = listing(rl, place)
    assert "data/new 2755 7 8 regular file 11" in rows
    assert not [row for row in rows if row.startswith("data/private")]
    labels = json.loads(rl("image", "inspect", place).stdout)[0]["Config"]["Labels"]
    assert labels["a"] == "b" and labels["c"] == "d"
