"""Whether the registries that a pull would ask answer at all; nobody logs in."""

from __future__ import annotations

import functools
from typing import Any
from urllib.parse import urlsplit

from rootless.errors import RlError
from rootless.image import http, proxies, registries_config
from rootless.image.session import Session
from rootless.model.reference import Reference
from rootless.model.registries import Endpoint
from rootless.tools import timely

_REPOSITORY = "library/any"


def look(seconds: float) -> dict[str, Any]:
    """The facts that `engine.doctor.registries` judges, found within `seconds`.

    error: why the configuration cannot be read, "" where it can. registries: for each place that an
    image with a short name would be looked for at: name and host; status: of the answer to /v2/, 0
    without one (any will do); refused: why there is none; proxy: HOST:PORT, "" for a direct
    connection.
    """
    try:
        asked = _endpoints()
    except RlError as error:
        return {"error": error.message, "registries": []}
    questions = {one.domain: functools.partial(_look, one) for one in asked}
    answers = timely.ask(questions, seconds)
    return {"error": "", "registries": [_row(one, answers[one.domain]) for one in asked]}


def _row(endpoint: Endpoint, told: Any) -> dict[str, Any]:
    row = {"name": endpoint.domain, "host": endpoint.host}
    if isinstance(told, Exception):
        return {**row, "status": 0, "refused": str(told), "proxy": ""}
    return {**row, **told}


def _endpoints() -> list[Endpoint]:
    configured = registries_config.load()
    found: dict[str, Endpoint] = {}
    for domain in configured.search:
        try:
            for one in configured.endpoints(Reference(domain, _REPOSITORY)):
                found.setdefault(one.domain, one)
        except RlError:
            continue  # blocked on purpose
    return list(found.values())


def _look(endpoint: Endpoint) -> dict[str, Any]:
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
