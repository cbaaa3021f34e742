"""Images made to measure: layers from tar members, with a static busybox in the lowest."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

from rootless.model import platform
from tests.user.registry.oci_layout import LAYER, Layout, digest_of

APPLETS = (
    "sh cat ls id stat find env ps mount touch mkdir rm ln cp mv chmod chown head wc sleep sync"
    " echo test readlink md5sum grep sed true false setpriv hostname dd tr sort umount kill"
).split()
Member = tuple[tarfile.TarInfo, bytes]


def member(
    name: str,
    kind: bytes = tarfile.REGTYPE,
    *,
    content: bytes = b"",
    mode: int = 0o644,
    uid: int = 0,
    gid: int = 0,
    link: str = "",
    xattrs: dict[str, str] | None = None,
) -> Member:
    """One entry of a layer."""
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.uid, info.gid, info.linkname = kind, mode, uid, gid, link
    info.size = len(content)
    info.pax_headers = {f"SCHILY.xattr.{key}": value for key, value in (xattrs or {}).items()}
    return info, content


def folder(name: str, mode: int = 0o755, **options: Any) -> Member:
    return member(name, tarfile.DIRTYPE, mode=mode, **options)


def symlink(name: str, to: str) -> Member:
    return member(name, tarfile.SYMTYPE, link=to, mode=0o777)


def archive(members: list[Member]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content) if info.size else None)
    return buffer.getvalue()


class ImageMaker:
    """Makes `oci:DIR` images; each call is one image in a directory of its own."""

    def __init__(self, top: Path, busybox: str) -> None:
        self._top = top
        self._busybox = Path(busybox).read_bytes()
        self._count = 0

    def base(self) -> list[Member]:
        """A lowest layer: busybox below /b, so that /bin, /etc and the like are free."""
        return [
            folder("b"),
            member("b/busybox", content=self._busybox, mode=0o755),
            *(symlink(f"b/{name}", "busybox") for name in APPLETS),
        ]

    def __call__(
        self,
        *layers: list[Member],
        config: dict[str, Any] | None = None,
        architecture: str = platform.host().architecture,
    ) -> str:
        """The reference of an image of base() and `layers`; config: of the image's `config`."""
        self._count += 1
        path = self._top / f"i{self._count}"
        path.mkdir()
        layout = Layout(path)
        tars = [archive(members) for members in (self.base(), *layers)]
        document = {
            "architecture": architecture,
            "os": "linux",
            "config": {"Env": ["PATH=/b"], "Cmd": ["sh"], **(config or {})},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(tar) for tar in tars]},
        }
        layout.name(layout.manifest(document, [layout.descriptor(t, LAYER) for t in tars]), "t")
        return f"oci:{path}:t"
