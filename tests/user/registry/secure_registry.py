"""Debian's docker-registry with a password, over TLS with a certificate of its own."""

from __future__ import annotations

import socket
import subprocess
import time
from pathlib import Path

import pytest

USER, PASSWORD = "me", "pass:word"


class SecureRegistry:
    """docker-registry with basic authentication, over TLS with a certificate of its own."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        # Another name than loopback's, which needs no certificate that can be verified.
        self.host = f"registry.test:{self.port}"
        self.certificate = folder / "tls.crt"
        self._write(folder)
        self.process = subprocess.Popen(
            ["docker-registry", "serve", str(folder / "config.yml")],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def _write(self, folder: Path) -> None:
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
             "-keyout", folder / "tls.key", "-out", self.certificate, "-subj", "/CN=registry.test",
             "-addext", "subjectAltName=DNS:registry.test"],
            check=True, capture_output=True,
        )  # fmt: skip
        htpasswd = ["htpasswd", "-Bbn", USER, PASSWORD]
        users = subprocess.run(htpasswd, check=True, capture_output=True).stdout
        (folder / "htpasswd").write_bytes(users)
        (folder / "config.yml").write_text(
            "version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"
            f"storage: {{filesystem: {{rootdirectory: {folder}/data}}}}\n"
            f"auth: {{htpasswd: {{realm: test, path: {folder}/htpasswd}}}}\n"
            f"http: {{addr: '127.0.0.1:{self.port}', "
            f"tls: {{certificate: {self.certificate}, key: {folder}/tls.key}}}}\n"
        )

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        pytest.fail("docker-registry with TLS: not ready after 10 s")
