"""TLS contexts: the system's certificates, and those that certs.d directories add for a registry.

containers-certs.d(5): HOST:PORT/*.crt are authorities, *.cert and *.key a client certificate.
"""

from __future__ import annotations

import os
import ssl
import threading

from rootless import config
from rootless.errors import RegistryError

_SYSTEM_FOLDERS = ("/etc/containers/certs.d", "/etc/docker/certs.d")
_contexts: dict[tuple[str, bool], ssl.SSLContext] = {}
_guard = threading.Lock()


def context(host: str, port: int, *, insecure: bool) -> ssl.SSLContext:
    """The context for connections to `host`; made once, as reading certificates takes time."""
    folder = _certificates(host, port)
    with _guard:
        key = (folder, insecure)
        if key not in _contexts:
            _contexts[key] = _make(folder, insecure=insecure)
        return _contexts[key]


def _make(folder: str, *, insecure: bool) -> ssl.SSLContext:
    made = _unverified() if insecure else ssl.create_default_context()
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    for name in sorted(os.listdir(folder)) if folder else []:
        _load(made, f"{folder}/{name}")
    return made


def _unverified() -> ssl.SSLContext:
    # The default context would first read all authorities: 17 ms, for nothing.
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    return made


def _load(made: ssl.SSLContext, path: str) -> None:
    try:
        if path.endswith(".crt"):
            made.load_verify_locations(cafile=path)
        elif path.endswith(".cert"):
            made.load_cert_chain(path, f"{path[: -len('.cert')]}.key")
    except OSError as error:
        raise RegistryError(f"{path}: {error.strerror or error}") from error


def _certificates(host: str, port: int) -> str:
    names = [f"{host}:{port}", host] if port == 443 else [f"{host}:{port}"]
    for parent in (f"{config.home()}/containers/certs.d", *_SYSTEM_FOLDERS):
        for name in names:
            if os.path.isdir(f"{parent}/{name}") and os.access(f"{parent}/{name}", os.R_OK):
                return f"{parent}/{name}"
    return ""
