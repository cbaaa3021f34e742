"""Images for tests, made from nothing as an OCI image layout."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import subprocess
import tarfile
from pathlib import Path
from typing import Any

OCI = "application/vnd.oci.image"
LAYER = f"{OCI}.layer.v1.tar"


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def tar_of(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


class Layout:
    """An OCI image layout in `folder`; documents and layers are blobs, images have names."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifests: list[dict[str, Any]] = []
        (folder / "blobs" / "sha256").mkdir(parents=True)
        (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')

    def blob(self, data: bytes) -> str:
        digest = digest_of(data)
        self.path(digest).write_bytes(data)
        return digest

    def path(self, digest: str) -> Path:
        return self.folder / "blobs" / "sha256" / digest.removeprefix("sha256:")

    def document(self, document: dict[str, Any], media_type: str) -> dict[str, Any]:
        return self.descriptor(json.dumps(document).encode(), media_type)

    def descriptor(self, data: bytes, media_type: str) -> dict[str, Any]:
        return {"mediaType": media_type, "digest": self.blob(data), "size": len(data)}

    def image(
        self, layers: list[dict[str, bytes]], *, architecture: str = "amd64", compress: bool = True
    ) -> dict[str, Any]:
        """The descriptor of a manifest whose layers hold `layers`' files."""
        tars = [tar_of(files) for files in layers]
        blobs = [gzip.compress(tar, 1, mtime=0) if compress else tar for tar in tars]
        config = {
            "architecture": architecture,
            "os": "linux",
            "config": {"Cmd": ["/bin/sh"]},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(tar) for tar in tars]},
        }
        layer_type = f"{LAYER}+gzip" if compress else LAYER
        return self.manifest(config, [self.descriptor(blob, layer_type) for blob in blobs])

    def manifest(self, config: dict[str, Any], layers: list[dict[str, Any]]) -> dict[str, Any]:
        manifest = {
            "schemaVersion": 2,
            "mediaType": f"{OCI}.manifest.v1+json",
            "config": self.document(config, f"{OCI}.config.v1+json"),
            "layers": layers,
        }
        return self.document(manifest, f"{OCI}.manifest.v1+json")

    def index(self, entries: list[tuple[dict[str, Any], dict[str, str]]]) -> dict[str, Any]:
        """The descriptor of an index of (descriptor, platform)."""
        manifests = [{**descriptor, "platform": platform} for descriptor, platform in entries]
        document = {
            "schemaVersion": 2, "mediaType": f"{OCI}.index.v1+json", "manifests": manifests,
        }  # fmt: skip
        return self.document(document, f"{OCI}.index.v1+json")

    def name(self, descriptor: dict[str, Any], name: str) -> None:
        annotations = {"org.opencontainers.image.ref.name": name}
        self.manifests.append({**descriptor, "annotations": annotations})
        index = {"schemaVersion": 2, "manifests": self.manifests}
        (self.folder / "index.json").write_text(json.dumps(index))

    def read(self, descriptor: dict[str, Any]) -> Any:
        return json.loads(self.path(descriptor["digest"]).read_bytes())


def push(layout: Layout, name: str, target: str, *flags: str) -> None:
    """Copy image `name` of the layout to registry reference `target` with skopeo."""
    argv = ["skopeo", "copy", "-q", "--all", "--dest-tls-verify=false", *flags]
    done = subprocess.run(
        [*argv, f"oci:{layout.folder}:{name}", f"docker://{target}"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
