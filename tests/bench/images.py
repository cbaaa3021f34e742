"""The images that are measured with, and the registry they are in.

The large one has the same bytes on every machine.
"""

from __future__ import annotations

import gzip
import hashlib
import http.client
import io
import json
import os
import platform
import random
import shutil
import socket
import subprocess
import tarfile
import time
from collections.abc import Iterable
from multiprocessing import Pool
from pathlib import Path

LAYERS = 5
FILES_PER_LAYER = 5_000
LAYER_BYTES = 40_000_000
FILES_PER_FOLDER = 50
APPLETS = ("sh", "true", "sleep", "cat", "ip", "ps", "id")

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_OCI = "application/vnd.oci.image"


def entry(archive: tarfile.TarFile, name: str, content: bytes, mode: int = 0o644) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = len(content), mode, 1_700_000_000
    archive.addfile(info, io.BytesIO(content))


def folder(archive: tarfile.TarFile, name: str, mode: int = 0o755) -> None:
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.mtime = tarfile.DIRTYPE, mode, 1_700_000_000
    archive.addfile(info)


def link(archive: tarfile.TarFile, name: str, target: str, kind: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mtime = kind, target, 1_700_000_000
    archive.addfile(info)


def busybox_layer() -> bytes:
    """One layer with the host's static busybox, as a tar archive."""
    program = shutil.which("busybox")
    if program is None:
        raise SystemExit("bench: busybox is missing: sudo apt-get install busybox-static")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in ("bin", "etc", "proc", "sys", "dev", "tmp", "root"):
            folder(archive, name)
        entry(archive, "bin/busybox", Path(program).read_bytes(), 0o755)
        entry(archive, "etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n")
        entry(archive, "etc/group", b"root:x:0:\n")
        for applet in APPLETS:
            link(archive, f"bin/{applet}", "busybox", tarfile.SYMTYPE)
    return buffer.getvalue()


def file_sizes(source: random.Random) -> list[int]:
    """Many small files and a few large ones, as in a distribution's tree; the sum is fixed."""
    weights = [source.paretovariate(1.2) for _ in range(FILES_PER_LAYER)]
    scale = LAYER_BYTES / sum(weights)
    sizes = [int(weight * scale) for weight in weights]
    sizes[0] += LAYER_BYTES - sum(sizes)
    return sizes


def file_content(source: random.Random, size: int) -> bytes:
    """Half noise, half text that repeats itself: packs to somewhat more than half."""
    text = b"%d the quick brown fox jumps over the lazy dog\n" % source.getrandbits(32)
    noise = source.randbytes(size // 2)
    return noise + (text * (size // len(text) + 1))[: size - len(noise)]


def many_files_layer(number: int) -> bytes:
    """Layer `number` (from 0) of the large image, as a tar archive."""
    source = random.Random(number)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        folder(archive, f"layer{number}")
        for index, size in enumerate(file_sizes(source)):
            place = f"layer{number}/{index // FILES_PER_FOLDER:03}"
            if index % FILES_PER_FOLDER == 0:
                folder(archive, place)
            entry(archive, f"{place}/{index:05}", file_content(source, size))
            if index % 100 == 0:
                link(archive, f"{place}/symlink{index}", f"{index:05}", tarfile.SYMTYPE)
                link(archive, f"{place}/hardlink{index}", f"{place}/{index:05}", tarfile.LNKTYPE)
        if number:
            entry(archive, f"layer{number - 1}/000/.wh.00007", b"")
    return buffer.getvalue()


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def packed(number: int) -> tuple[bytes, str]:
    """(gzip blob, diff id) of a layer of the large image."""
    plain = many_files_layer(number)
    return gzip.compress(plain, 6, mtime=0), digest_of(plain)


def packed_busybox() -> tuple[bytes, str]:
    """That layer compressed, and its diff id."""
    plain = busybox_layer()
    return gzip.compress(plain, 6, mtime=0), digest_of(plain)


class Registry:
    """docker-registry on a free loopback port, with its storage below `place`."""

    def __init__(self, place: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.host = f"127.0.0.1:{probe.getsockname()[1]}"
        configuration = place / "registry.yml"
        configuration.write_text(
            "version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"
            f"storage: {{filesystem: {{rootdirectory: {place}/registry}}}}\n"
            f"http: {{addr: '{self.host}'}}\n"
        )
        program = shutil.which("docker-registry")
        if program is None:
            raise SystemExit("bench: docker-registry is missing: ./dev bench installs it")
        self.process = subprocess.Popen(
            [program, "serve", str(configuration)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._wait_until_ready()

    def _wait_until_ready(self) -> None:
        host, _, port = self.host.partition(":")
        for _ in range(500):
            with socket.socket() as client:
                if client.connect_ex((host, int(port))) == 0:
                    return
            time.sleep(0.02)
        raise SystemExit("bench: docker-registry does not start")

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()

    def request(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> str:
        """The Location that the registry answers with."""
        connection = http.client.HTTPConnection(self.host, timeout=60)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            answer.read()
            if answer.status not in (201, 202):
                raise SystemExit(f"bench: {method} {path}: {answer.status} {answer.reason}")
            return answer.getheader("Location", "")
        finally:
            connection.close()

    def push_blob(self, repository: str, content: bytes) -> dict[str, object]:
        """The descriptor of `content`, without its media type, once it is in the registry."""
        location = self.request("POST", f"/v2/{repository}/blobs/uploads/", b"", {})
        path = location.partition(self.host)[2] or location
        digest = digest_of(content)
        headers = {"Content-Type": "application/octet-stream"}
        self.request("PUT", f"{path}&digest={digest}", content, headers)
        return {"digest": digest, "size": len(content)}

    def push(self, repository: str, layers: Iterable[tuple[bytes, str]]) -> str:
        """Push an image made of (gzip blob, diff id); returns its reference."""
        blobs, diff_ids = [], []
        for blob, diff_id in layers:
            media_type = {"mediaType": f"{_OCI}.layer.v1.tar+gzip"}
            blobs.append(media_type | self.push_blob(repository, blob))
            diff_ids.append(diff_id)
        machine = platform.machine()
        config = {
            "architecture": _ARCHITECTURES.get(machine, machine),
            "os": "linux",
            "config": {"Env": ["PATH=/bin"], "Cmd": ["sh"]},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
            "history": [{"created_by": "bench"} for _ in diff_ids],
        }
        descriptor = self.push_blob(repository, json.dumps(config).encode())
        manifest = {
            "schemaVersion": 2,
            "mediaType": f"{_OCI}.manifest.v1+json",
            "config": {"mediaType": f"{_OCI}.config.v1+json"} | descriptor,
            "layers": blobs,
        }
        headers = {"Content-Type": f"{_OCI}.manifest.v1+json"}
        body = json.dumps(manifest).encode()
        self.request("PUT", f"/v2/{repository}/manifests/latest", body, headers)
        return f"{self.host}/{repository}:latest"

    def push_busybox(self) -> str:
        return self.push("bench/busybox", [packed_busybox()])

    def push_many_files(self) -> str:
        with Pool(os.cpu_count()) as pool:
            return self.push("bench/files", pool.imap(packed, range(LAYERS)))

    def push_many_files_with_busybox(self) -> str:
        with Pool(os.cpu_count()) as pool:
            layers = [packed_busybox(), *pool.imap(packed, range(LAYERS))]
        return self.push("bench/both", layers)
