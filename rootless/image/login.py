"""Whether a registry takes a user name and a password: asked before they are kept."""

from __future__ import annotations

from rootless.errors import RegistryError
from rootless.image import http, registries_config, urls
from rootless.image.session import MAX_ERROR_BYTES, Session
from rootless.model.reference import Reference
from rootless.model.registries import Endpoint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.image.auth import Credentials


def verify(key: str, credentials: Credentials, *, insecure: bool) -> bool:
    """Whether the registry of `key` (HOST[:PORT][/PATH]) asks for credentials, and takes these.

    False when it lets anybody in. Raises RegistryError when it refuses them, or is none.
    """
    host = key.partition("/")[0]
    endpoint = Endpoint(host, "", insecure=insecure or is_insecure(host))
    client = http.Client()
    session = Session(client, endpoint, credentials, [])
    url = f"{session.base()}/v2/"
    try:
        # Not through the session: what nobody has to say is asked without a token.
        answer = client.read(url, {}, limit=MAX_ERROR_BYTES, insecure=endpoint.insecure)
        if _is_open(*answer, host):
            return False
        answer = session.read(url, {}, limit=MAX_ERROR_BYTES)
    finally:
        client.close()
    if not _is_open(*answer, host):
        raise session.refusal(*answer, f"{host}: login failed")
    return True


def _is_open(response: http.Response, data: bytes, host: str) -> bool:
    if response.status in (401, 403):
        return False
    if response.status == 200:
        return True
    said = urls.reason_in(data)
    raise RegistryError(f"{host}: no registry: {urls.shown_url(response.url)} "
                        f"answered HTTP {response.status}{said}")  # fmt: skip


def is_insecure(host: str) -> bool:
    """Whether registries.toml lets TLS be missing at `host`."""
    try:
        places = registries_config.load().endpoints(Reference(host, "any"))
    except RegistryError:
        return False
    return any(place.insecure for place in places if place.domain == host)
