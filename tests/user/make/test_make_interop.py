"""Images made here, in the eyes of skopeo, umoci and podman: the same bytes and the same files."""

from __future__ import annotations

import io
import json
import os
import stat
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from rootless.image import make, whiteouts
from rootless.image.layer_writer import LayerWriter
from rootless.model import image_config
from rootless.store import images
from rootless.tools import idmap, spawn
from tests.user.conftest import Registry, Rl
from tests.user.make.test_make_layers import CAPABILITY, fill

NAME = "localhost/made:latest"
# What each program puts there itself.
OWN = ("dev", "proc", "sys", "run", "etc/hosts", "etc/hostname", "etc/resolv.conf", "etc/mtab")
XATTR = "SCHILY.xattr."
Rows = dict[str, str]


def needs(*programs: str) -> None:
    for program in programs:
        if spawn.which(program) is None:
            pytest.skip(f"no {program}")


@pytest.fixture(params=["gzip", "zstd", "none"])
def made(rl: Rl, busybox_image: str, short_dir: Path, request: pytest.FixtureRequest) -> str:
    """An image of two layers; the upper one has one of everything."""
    base = images.find(rl.paths, busybox_image)
    assert base is not None
    upper = short_dir / "upper"
    rl.runtime.mkdir(mode=0o700)

    def work() -> None:
        upper.mkdir()
        fill(str(upper))
        os.umask(0o022)
        for name in ("etc", "var"):
            (upper / name).mkdir()
        (upper / "var/only").write_text("this")
        whiteouts.make(os.open(upper / "etc", os.O_RDONLY), b"group")
        whiteouts.make_opaque(os.open(upper / "var", os.O_RDONLY))

    idmap.call(work)
    with LayerWriter(rl.paths) as writer:
        layer = writer.write(str(upper), give=True, compression=request.param)
        step = image_config.Step("2024-01-01T00:00:00Z", "a test")
        config = image_config.with_step(base.config, step, layer.diff_id)
        make.make(
            rl.paths, config, [*base.manifest["layers"], layer.descriptor], [NAME], fresh=[layer]
        )
    return NAME


def row_of(kind: str, mode: int, owner: tuple[int, int], mtime: int, content: object) -> str:
    return f"{kind} {mode:o} {owner[0]}:{owner[1]} {mtime} {content!r}"


def rows_of_archive(data: bytes) -> Rows:
    rows, attributes = {}, {}
    with tarfile.open(fileobj=io.BytesIO(data), errors="surrogateescape") as archive:
        for info in archive:
            name = info.name.rstrip("/").removeprefix("./")
            if not name or name.startswith(OWN):
                continue
            content: object = info.linkname if info.issym() else ""
            if info.isreg() or info.islnk():
                file = archive.extractfile(info)
                assert file is not None
                content = hash(file.read())
            target = archive.getmember(info.linkname) if info.islnk() else info
            kind = "file" if target.isreg() else target.type.decode()
            owner = target.uid, target.gid
            rows[name] = row_of(kind, stat.S_IMODE(target.mode), owner, int(target.mtime), content)
            caps = target.pax_headers.get(f"{XATTR}security.capability", "")
            attributes[name] = caps.encode("utf-8", "surrogateescape")
    return {name: f"{row} {attributes[name]!r}" for name, row in rows.items()}


def rows_of_tree(top: str) -> Rows:
    rows = {}
    types = {stat.S_IFREG: "file", stat.S_IFDIR: "5", stat.S_IFLNK: "2", stat.S_IFIFO: "6"}
    for folder, folders, names in os.walk(top):
        for name in folders + names:
            path = f"{folder}/{name}"
            shown = os.path.relpath(path, top)
            info = os.lstat(path)
            content: object = ""
            caps = b""
            if stat.S_ISREG(info.st_mode):
                with open(path, "rb") as file:
                    content = hash(file.read())
                if "security.capability" in os.listxattr(path):
                    caps = os.getxattr(path, "security.capability")
            elif stat.S_ISLNK(info.st_mode):
                content = os.readlink(path)
            if not shown.startswith(OWN):
                kind = types[stat.S_IFMT(info.st_mode)]
                owner = info.st_uid, info.st_gid
                row = row_of(kind, stat.S_IMODE(info.st_mode), owner, int(info.st_mtime), content)
                rows[shown] = f"{row} {caps!r}"
    return rows


def ours(rl: Rl, name: str) -> Rows:
    rl("create", "--name=look", name, "true")
    data = subprocess.run([*rl.argv, "export", "look"], env=rl.env, capture_output=True, check=True)
    rows = rows_of_archive(data.stdout)
    assert {"sparse", "second", "d/file", "var/only", "not\udcffutf8"} <= rows.keys()
    assert not {"etc/group", "var/tmp", "gone"} & rows.keys()
    assert rows["second"] == rows["d/file"]
    assert repr(CAPABILITY) in rows["second"]
    return rows


def differences(found: Rows, expected: Rows) -> list[tuple[str, str, str]]:
    names = sorted(found.keys() | expected.keys())
    rows = ((name, found.get(name, ""), expected.get(name, "")) for name in names)
    return [row for row in rows if row[1] != row[2]]


def skopeo(*words: str) -> bytes:
    argv = ["skopeo", *words]
    return subprocess.run(argv, check=True, capture_output=True).stdout


def manifest_digest(rl: Rl) -> str:
    image = images.find(rl.paths, NAME)
    assert image is not None
    return image.manifest_digest


# Debian's umoci reads no zstd.
@pytest.mark.parametrize("made", ["gzip", "none"], indirect=True)
def test_umoci_unpacks_what_a_container_sees(rl: Rl, made: str, short_dir: Path) -> None:
    needs("umoci", "skopeo")
    layout = short_dir / "layout"
    skopeo("copy", "--preserve-digests", f"oci:{rl.root}:{NAME}", f"oci:{layout}:made")
    (entry,) = json.loads((layout / "index.json").read_text())["manifests"]
    assert entry["digest"] == manifest_digest(rl), "skopeo takes it byte for byte"
    expected = ours(rl, made)
    bundle = short_dir / "bundle"

    def unpack() -> dict[str, Any]:
        argv = ["umoci", "unpack", "--image", f"{layout}:made", str(bundle)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        found = rows_of_tree(f"{bundle}/rootfs")
        found["attribute"] = repr(os.getxattr(f"{bundle}/rootfs/setuid", "user.note"))
        found["links"] = str(os.stat(f"{bundle}/rootfs/second").st_nlink)
        return found

    found = idmap.call(unpack)
    assert found.pop("attribute") == repr(b"\x00value")
    assert found.pop("links") == "2"
    assert differences(found, expected) == []


class Podman:
    """podman with a store of its own, on plain directories."""

    def __init__(self, place: Path, registry: str) -> None:
        for folder in ("settings", "home/.config/containers", "xdg"):
            (place / folder).mkdir(parents=True)
        settings = place / "settings"
        self.env = {
            "HOME": str(place / "home"), "PATH": rl_path(), "XDG_RUNTIME_DIR": str(place / "xdg"),
            "CONTAINERS_STORAGE_CONF": f"{settings}/storage.conf",
            "CONTAINERS_CONF": f"{settings}/containers.conf",
            "CONTAINERS_REGISTRIES_CONF": f"{settings}/registries.conf",
        }  # fmt: skip
        (settings / "storage.conf").write_text(
            f'[storage]\ndriver = "vfs"\ngraphroot = "{place}/graph"\nrunroot = "{place}/run"\n'
        )
        (settings / "containers.conf").write_text(
            '[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "none"\n'
        )
        (settings / "registries.conf").write_text(
            f'[[registry]]\nlocation = "{registry}"\ninsecure = true\n'
        )
        policy = place / "home/.config/containers/policy.json"
        policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')

    def __call__(self, *words: str) -> bytes:
        done = subprocess.run(["podman", *words], env=self.env, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout


def rl_path() -> str:
    return "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"


def test_podman_pulls_what_a_container_sees(
    rl: Rl, made: str, short_dir: Path, registry: Registry, request: pytest.FixtureRequest
) -> None:
    needs("podman")
    place = f"{registry.host}/interop/{request.node.callspec.params['made']}:1"
    pushed = rl("push", "-q", "made", place).stdout.strip()
    assert pushed == manifest_digest(rl)
    podman = Podman(short_dir / "p", registry.host)
    try:
        image_id = podman("pull", "-q", place).decode().strip()
        image = images.find(rl.paths, NAME)
        assert image is not None
        assert image_id == image.image_id
        (document,) = json.loads(podman("image", "inspect", place))
        assert document["Digest"] == pushed
        assert document["RootFS"]["Layers"] == image.diff_ids
        container = podman("create", place, "true").decode().strip()
        assert differences(rows_of_archive(podman("export", container)), ours(rl, made)) == []
        podman("rm", container)
    finally:
        podman("system", "migrate")


def test_we_read_what_podman_committed(
    rl: Rl, busybox_image: str, short_dir: Path, registry: Registry
) -> None:
    needs("podman")
    base = f"{registry.host}/interop/base:1"
    rl("push", "-q", busybox_image, base)
    podman = Podman(short_dir / "p", registry.host)
    try:
        podman("pull", "-q", base)
        container = podman("create", base, "true").decode().strip()
        (short_dir / "new").write_text("content")
        podman("cp", str(short_dir / "new"), f"{container}:/etc/new")
        target = f"{registry.host}/interop/theirs:1"
        podman("commit", "-q", "-f", "docker", container, target)
        podman("push", "-q", target)
        podman("rm", container)
    finally:
        podman("system", "migrate")
    rl("pull", target)
    assert rl("run", "--rm", "--net=none", target, "cat", "/etc/new").stdout == "content"
    rl("run", "--name=c", "--net=none", target, "rm", "/etc/new")
    rl("commit", "c", "ours")
    out = rl("run", "--rm", "--net=none", "ours", "sh", "-c", "ls /etc/new || echo gone")
    assert out.stdout == "gone\n"
    rows = json.loads(rl("history", "--format=json", "ours").stdout)
    assert len(rows) == 3
    assert (rows[0]["CreatedBy"], rows[2]["CreatedBy"]) == ("rm /etc/new", "rl: embedded image")
