"""Looking for images in registries, where these can be asked.

Two ways: the search of Docker's first protocol (`/v1/search`), which Docker Hub, Quay and others
still have and which knows descriptions; and the catalogue (distribution-spec has none,
distribution's docs/spec/api.md "Catalog"), a list of names that is looked through here.
"""

from __future__ import annotations

import json
from urllib.parse import urlencode, urljoin

from rootless.errors import NotFoundError, RegistryError
from rootless.image import auth, http, push, urls
from rootless.image.session import Session
from rootless.model.reference import DEFAULT_DOMAIN, Reference
from rootless.model.registries import Endpoint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.image.push import Wishes

_HUB_SEARCH = "index.docker.io"
_MAX_ANSWER_BYTES = 8 << 20
_PAGE = 1000
_MAX_PAGES = 50


class Found:
    """One image: its full name, and what the registry says of it."""

    __slots__ = ("description", "is_official", "name", "registry", "stars")

    def __init__(
        self, registry: str, path: str, description: str, stars: int, *, is_official: bool
    ) -> None:
        self.registry = registry
        self.name = f"{registry}/{path}"
        self.description = description
        self.stars = stars
        self.is_official = is_official


def search(registry: str, term: str, limit: int, wishes: Wishes) -> list[Found]:
    """At most `limit` images at `registry` whose name has to do with `term`.

    Raises RegistryError, also when the registry cannot be asked for that.
    """
    if registry == DEFAULT_DOMAIN:
        return _by_search(registry, _HUB_SEARCH, term, limit, wishes)
    try:
        return _by_catalogue(registry, term, limit, wishes)
    except (RegistryError, NotFoundError) as error:
        if isinstance(error, http.TransportError):
            raise
        try:
            return _by_search(registry, registry, term, limit, wishes)
        except (RegistryError, NotFoundError):
            raise RegistryError(
                f"{registry}: cannot be searched: {error.message}", error.hint
            ) from None


def _session(registry: str, path: str, wishes: Wishes, scope: str) -> Session:
    place = push.endpoint_of(Reference(registry, path or "any"), insecure=wishes.insecure)
    endpoint = Endpoint(place.domain, place.path if path else "", insecure=place.insecure)
    credentials = wishes.credentials or auth.find(endpoint.repository.rstrip("/"))
    return Session(http.Client(), endpoint, credentials, [scope] if scope else [])


def _by_catalogue(registry: str, term: str, limit: int, wishes: Wishes) -> list[Found]:
    session = _session(registry, "", wishes, "registry:catalog:*")
    url = f"{session.base()}/v2/_catalog?n={_PAGE}"
    names = [name for name in _pages(session, url, "repositories") if term in name]
    return [Found(registry, name, "", 0, is_official=False) for name in names[:limit]]


def tags(reference: Reference, limit: int, wishes: Wishes) -> list[str]:
    """At most `limit` tags of a repository. Raises NotFoundError, RegistryError."""
    scope = f"repository:{reference.path}:pull"
    session = _session(reference.domain, reference.path, wishes, scope)
    return _pages(session, f"{session.url('tags/list')}?n={_PAGE}", "tags")[:limit]


def _pages(session: Session, url: str, key: str) -> list[str]:
    """What stands under `key` on all pages; the next one is in the header Link (RFC 8288)."""
    found: list[str] = []
    for _ in range(_MAX_PAGES):
        document, link = _ask(session, url)
        rows = document.get(key)
        found += [urls.printable(row) for row in rows or [] if isinstance(row, str)]
        target, _, relation = link.partition(";")
        if "next" not in relation or not rows:
            break
        url = urljoin(url, target.strip(" <>"))
        if urls.origin_of(url) != urls.origin_of(session.base()):
            raise RegistryError(f"{session}: the next page is elsewhere: {urls.shown_url(url)}")
    return found


def _ask(session: Session, url: str) -> tuple[dict[str, Any], str]:
    response, data = session.read(url, {"Accept": "application/json"}, limit=_MAX_ANSWER_BYTES)
    if response.status != 200:
        raise session.refusal(response, data, str(session))
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise RegistryError(f"{urls.shown_url(url)}: the answer is not readable")
    return document, response.header("Link")


def _by_search(registry: str, host: str, term: str, limit: int, wishes: Wishes) -> list[Found]:
    session = _session(host, "", wishes, "")
    query = urlencode({"q": term, "n": limit})
    document, _ = _ask(session, f"{session.base()}/v1/search?{query}")
    rows = document.get("results")
    if not isinstance(rows, list):
        raise RegistryError(f"{host}: the answer to a search holds no results")
    found = [_row(registry, row) for row in rows if isinstance(row, dict)]
    return [one for one in found if one is not None][:limit]


def _row(registry: str, row: dict[str, Any]) -> Found | None:
    name, stars = row.get("name"), row.get("star_count")
    if not isinstance(name, str) or not name:
        return None
    path = urls.printable(name).removeprefix(f"{registry}/")
    is_official = row.get("is_official") is True
    if is_official and "/" not in path:
        path = f"library/{path}"
    return Found(
        registry, path, urls.printable(str(row.get("description") or "")),
        stars if type(stars) is int else 0, is_official=is_official,
    )  # fmt: skip
