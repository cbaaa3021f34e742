"""The embedded image: the host's static busybox in a tree of its own, for hosts without a registry.

It is called localhost/busybox so that nobody takes it for Docker Hub's. The same busybox always
gives the same bytes: times are fixed, names are sorted, the layer is not compressed. It goes into
the store like any image, through a blob and an unpacker.
"""

from __future__ import annotations

import io
import json
import os
import struct
import tarfile

from rootless import log
from rootless.errors import HostError, StoreError
from rootless.image.layer_worker import Unpackers
from rootless.model import digest as digests
from rootless.model import media, platform
from rootless.store import blobs, guard, images, index, layers
from rootless.tools import spawn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.store.paths import Paths

NAME = "localhost/busybox:latest"
_TIME = 1704067200
_CREATED = "2024-01-01T00:00:00Z"
_PROGRAMS = ("busybox", "busybox.static", "busybox-static")
_SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PT_INTERP = 3

_DIRECTORIES = {
    "bin": 0o755, "dev": 0o755, "etc": 0o755, "home": 0o755, "mnt": 0o755, "opt": 0o755,
    "proc": 0o555, "root": 0o700, "run": 0o755, "sbin": 0o755, "srv": 0o755, "sys": 0o555,
    "tmp": 0o1777, "usr": 0o755, "usr/bin": 0o755, "usr/sbin": 0o755, "var": 0o755,
    "var/log": 0o755, "var/spool": 0o755, "var/tmp": 0o1777,
}  # fmt: skip
_USERS = """\
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/bin/false
bin:x:2:2:bin:/bin:/bin/false
sys:x:3:3:sys:/dev:/bin/false
www-data:x:33:33:www-data:/var/www:/bin/false
nobody:x:65534:65534:nobody:/home:/bin/false
"""
_GROUPS = """\
root:x:0:
daemon:x:1:
bin:x:2:
sys:x:3:
tty:x:5:
www-data:x:33:
users:x:100:
nogroup:x:65534:
"""
_LOCKED = "root:*::0:::::\nnobody:*::0:::::\n"
_OS_RELEASE = """\
NAME="rl's embedded busybox"
PRETTY_NAME="rl's embedded busybox, from this host's busybox-static"
ID=busybox
"""
_FILES = (
    ("etc/group", _GROUPS, 0o644),
    ("etc/os-release", _OS_RELEASE, 0o644),
    ("etc/passwd", _USERS, 0o644),
    ("etc/shadow", _LOCKED, 0o640),
)


def build(paths: Paths) -> str:
    """Put the embedded image into the store and return its full name.

    Nothing is done when it is there and busybox is the same. Call it from the main thread, before
    there are others. Raises HostError when the host has no static busybox.
    """
    program = find_busybox()
    archive = _archive(program)
    diff_id = digests.of(archive)
    blobs.ensure_layout(paths)
    with guard.adding(paths):
        blobs.write(paths, archive)
        if not layers.has(paths, diff_id):
            log.effect(f"assemble {NAME} from {program}")
            _unpack(paths, diff_id)
        manifest = _write_documents(paths, diff_id, len(archive))
        known = index.find(paths, NAME)
        if known is None or known["digest"] != digests.of(manifest):
            index.set_name(
                paths, NAME, digests.of(manifest), media_type=media.OCI_MANIFEST,
                size=len(manifest), platform=platform.host().as_document(),
            )  # fmt: skip
    return NAME


def find_busybox() -> str:
    """The path of a static busybox. Raises HostError."""
    for name in _PROGRAMS:
        path = spawn.which(name)
        if path is not None and is_static(path):
            return path
    raise HostError(
        "the embedded image needs a static busybox, and this host has none",
        hint="sudo apt-get install busybox-static",
    )


def is_static(path: str) -> bool:
    """Whether `path` is an ELF program without an interpreter (elf(5), PT_INTERP)."""
    with open(path, "rb") as file:
        head = file.read(64)
        if head[:4] != b"\x7fELF" or len(head) < 64:
            return False
        order = "<" if head[5] == 1 else ">"
        is_wide = head[4] == 2
        offset = struct.unpack_from(order + ("Q" if is_wide else "I"), head, 32 if is_wide else 28)
        size, count = struct.unpack_from(f"{order}HH", head, 54 if is_wide else 42)
        file.seek(offset[0])
        table = file.read(size * count)
    types = [struct.unpack_from(f"{order}I", table, size * row)[0] for row in range(count)]
    return _PT_INTERP not in types


def _applets(program: str) -> list[str]:
    """Where the applets go, such as `usr/bin/env`, sorted."""
    listed = spawn.run([program, "--list-full"])
    names = listed.stdout.decode(errors="replace").split()
    applets = {name for name in names if name.partition("/")[0] in ("bin", "sbin", "usr")}
    if listed.code or "bin/sh" not in applets:
        raise HostError(
            f"{program}: does not list its applets: {listed.complaint()}",
            hint="sudo apt-get install --reinstall busybox-static",
        )
    return sorted(applets - {"bin/busybox"})


def _archive(program: str) -> bytes:
    """The layer: an uncompressed tar archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, mode in sorted(_DIRECTORIES.items()):
            archive.addfile(_member(name, tarfile.DIRTYPE, mode))
        for name, text, mode in _FILES:
            _add_file(archive, name, text.encode(), mode)
        with open(program, "rb") as file:
            _add_file(archive, "bin/busybox", file.read(), 0o755)
        for name in _applets(program):
            link = _member(name, tarfile.SYMTYPE, 0o777)
            link.linkname = "/bin/busybox"
            archive.addfile(link)
    return buffer.getvalue()


def _member(name: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.mode, member.mtime = kind, mode, _TIME
    return member


def _add_file(archive: tarfile.TarFile, name: str, content: bytes, mode: int) -> None:
    member = _member(name, tarfile.REGTYPE, mode)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def _unpack(paths: Paths, diff_id: str) -> None:
    # Not compressed: the blob's digest is the diff id.
    fd = os.open(paths.blob(diff_id), os.O_RDONLY | os.O_CLOEXEC)
    try:
        with Unpackers.start(paths, 1) as unpackers:
            unpackers.submit(diff_id, media.OCI_LAYER, fd).commit()
    finally:
        os.close(fd)


def _write_documents(paths: Paths, diff_id: str, size: int) -> bytes:
    """Store configuration and manifest; the manifest's bytes."""
    config = _document(
        {
            "created": _CREATED,
            **platform.host().as_document(),
            "config": {
                "Env": [f"PATH={_SEARCH_PATH}"],
                "Cmd": ["sh"],
                "Labels": {"org.opencontainers.image.title": "rl's embedded busybox"},
            },
            "rootfs": {"type": "layers", "diff_ids": [diff_id]},
            "history": [{"created": _CREATED, "created_by": "rl: embedded image"}],
        }
    )
    manifest = _document(
        {
            "schemaVersion": 2,
            "mediaType": media.OCI_MANIFEST,
            "config": {
                "mediaType": media.OCI_CONFIG,
                "digest": blobs.write(paths, config),
                "size": len(config),
            },
            "layers": [{"mediaType": media.OCI_LAYER, "digest": diff_id, "size": size}],
        }
    )
    digest = blobs.write(paths, manifest)
    if images.missing(paths, digest):
        raise StoreError(f"{NAME}: parts of it went missing while it was made")
    return manifest


def _document(document: dict[str, object]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
