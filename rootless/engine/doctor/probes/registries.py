"""Whether the registries that a pull would ask answer at all; nobody logs in."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from rootless.errors import RlError
from rootless.image import http, proxies, registries_config
from rootless.image.session import Session
from rootless.model.reference import Reference
from rootless.model.registries import Endpoint

_REPOSITORY = "library/any"


def endpoints() -> list[Endpoint]:
    """Where an image with a short name would be looked for. Raises RlError (odd configuration)."""
    configured = registries_config.load()
    found: dict[str, Endpoint] = {}
    for domain in configured.search:
        try:
            for one in configured.endpoints(Reference(domain, _REPOSITORY)):
                found.setdefault(one.domain, one)
        except RlError:
            continue  # blocked on purpose
    return list(found.values())


def look(endpoint: Endpoint) -> dict[str, Any]:
    """status: of the answer to /v2/, 0 without one (any will do); refused: why there is none.

    proxy: HOST:PORT, "" for a direct connection.
    """
    told: dict[str, Any] = {"status": 0, "refused": "", "proxy": ""}
    try:
        told["proxy"] = _proxy(endpoint.host)
        told["status"] = _ask(endpoint)
    except http.TransportError as error:
        told["refused"] = "" if error.is_busy else error.message
        told["status"] = 503 if error.is_busy else 0
    except RlError as error:
        told["refused"] = error.message
    return told


def _proxy(host: str) -> str:
    parts = urlsplit(f"https://{host}")
    found = proxies.for_url("https", parts.hostname or host, parts.port or 443)
    return f"{found.host}:{found.port}" if found else ""


def _ask(endpoint: Endpoint) -> int:
    client = http.Client()
    url = f"{Session(client, endpoint, None).base()}/v2/"
    with client.open(url, {}, insecure=endpoint.insecure, attempts=1) as response:
        return response.status
