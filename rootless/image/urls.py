"""URLs and words of strangers: what may be followed, who may see a secret, what may be shown."""

from __future__ import annotations

import json
from urllib.parse import quote, urljoin, urlsplit

from rootless.errors import RegistryError

# Scheme, host, port, insecure.
Key = tuple[str, str, int, bool]
# Of a URL that has been quoted already, leave everything that can stand in one.
_SAFE = "%/:=&?~#+!$,;'@()*[]"


def joined(url: str, location: str) -> str:
    """What a Location header of `url` means."""
    return quote(urljoin(url, location), safe=_SAFE)


def check_redirect(source: str, target: str) -> None:
    """Raise RegistryError for a target that is no plain URL of a registry."""
    parts = urlsplit(target)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise RegistryError(f"{shown_url(source)}: redirects to {shown_url(target)}, not followed")


def refuse_redirect(source: str, target: str) -> None:
    """An upload goes where its session is: whoever may redirect it, may not send it elsewhere."""
    raise RegistryError(
        f"{shown_url(source)}: redirects an upload to {shown_url(target)}, not followed"
    )


def key_of(url: str, insecure: bool) -> Key:
    """What a connection for `url` is known by. Raises RegistryError for what is no URL."""
    parts = urlsplit(url)
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        raise RegistryError(f"{printable(url)}: not a URL that can be fetched") from None
    return parts.scheme, parts.hostname or "", port, insecure


def target_of(url: str) -> str:
    """The part of `url` that a request names."""
    parts = urlsplit(url)
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def origin_of(url: str) -> str:
    """Scheme, host and port of `url`: what may see a secret."""
    scheme, host, port, _ = key_of(url, False)
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def shown_host(url: str) -> str:
    """Host and port of `url` for a message."""
    return urlsplit(origin_of(url)).netloc.removesuffix(":443")


def shown_url(url: str) -> str:
    """`url` for a message: without its query, which may carry a signature."""
    return printable(url.partition("?")[0])


def printable(text: str) -> str:
    """Text of a stranger for a terminal: one line, no control characters, not long."""
    return "".join(c if c.isprintable() else " " for c in text[:300]).strip()


def reason_in(data: bytes) -> str:
    """A registry's own words (distribution-spec, "Error Codes"), safe to print, after a colon."""
    try:
        first = json.loads(data)["errors"][0]
        words = str(first.get("message") or first.get("code") or "")
        detail = first.get("detail")
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        return ""
    if detail and words.lower() in ("", "unknown", "unknown error"):
        # All that Docker's registry says of its own troubles, such as a full disk.
        words = f"{words or 'unknown error'}: {json.dumps(detail)}"
    text = printable(words)
    return f": {text}" if text else ""
