from __future__ import annotations

import pytest

from rootless.errors import RegistryError
from rootless.image import proxies


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "request_method"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def proxy_of(scheme: str, host: str, port: int = 443) -> str:
    found = proxies.for_url(scheme, host, port)
    return f"{found.host}:{found.port}" if found else ""


@pytest.mark.parametrize("name", ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])
def test_names(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "http://proxy:3128")
    assert proxy_of("https", "quay.io") == "proxy:3128"


def test_each_scheme_has_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "plain")
    assert proxy_of("http", "quay.io") == "plain:80"
    assert proxy_of("https", "quay.io") == ""


def test_a_cgi_request_cannot_set_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "evil")
    assert proxy_of("http", "quay.io") == "evil:80"
    monkeypatch.setenv("REQUEST_METHOD", "GET")
    assert proxy_of("http", "quay.io") == ""


def test_loopback_needs_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("all_proxy", "proxy")
    assert [proxy_of("http", host) for host in ("localhost", "127.0.0.1", "::1")] == ["", "", ""]


@pytest.mark.parametrize(
    ("rules", "host", "port", "is_exempt"),
    [
        ("*", "a.org", 443, True),
        ("a.org", "a.org", 443, True),
        ("a.org", "x.a.org", 443, True),
        ("a.org", "xa.org", 443, False),
        (".a.org", "x.a.org", 443, True),
        (".a.org", "a.org", 443, False),
        ("*.a.org", "x.a.org", 443, True),
        ("b.org, a.org", "A.ORG", 443, True),
        ("a.org:5000", "a.org", 5000, True),
        ("a.org:5000", "a.org", 443, False),
        ("10.0.0.0/8", "10.1.2.3", 443, True),
        ("10.0.0.0/8", "11.1.2.3", 443, False),
        ("10.1.2.3", "10.1.2.3", 443, True),
        ("fd00::/8", "fd00::1", 443, True),
        ("fd00::/8", "10.0.0.1", 443, False),
        ("10.0.0.0/8", "a.org", 443, False),
        (" , ", "a.org", 443, False),
    ],
)
def test_no_proxy(
    rules: str, host: str, port: int, is_exempt: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", "proxy:1")
    monkeypatch.setenv("no_proxy", rules)
    assert proxy_of("https", host, port) == ("" if is_exempt else "proxy:1")


@pytest.mark.parametrize(
    "text", ["socks5://p:1", "https://p", "http://", "http://me:pw@p:x", "http://p:0"]
)
def test_unusable_ones_are_refused_without_their_password(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", text)
    with pytest.raises(RegistryError, match="only http://") as caught:
        proxies.for_url("https", "a.org", 443)
    assert "pw" not in caught.value.message
