"""Which network a container gets, by what was found to work."""

from __future__ import annotations

import pytest

from rootless import log
from rootless.engine import networks, trials
from rootless.errors import HostError
from rootless.net.drivers import Driver
from rootless.store.paths import Paths
from rootless.store.verdicts import Verdicts
from tests.unit.engine.plans import spec_of

ABSENT = {"slirp4netns": "slirp4netns: not installed", "pasta": "pasta: not installed"}


@pytest.fixture
def said() -> list[str]:
    lines: list[str] = []
    log.install(lambda level, text: lines.append(text), debug=False)
    return lines


def chosen(
    monkeypatch: pytest.MonkeyPatch, words: str, reasons: dict[str, str], **config: object
) -> Driver:
    monkeypatch.setattr(trials, "network", lambda verdicts, name: reasons.get(name, ""))
    verdicts = Verdicts(Paths("/store", "/runtime"))
    return networks.choose(spec_of(*words.split()), config, verdicts)


@pytest.mark.parametrize(
    ("words", "reasons", "name"),
    [
        ("", {}, "slirp4netns"),
        ("--network default", {}, "slirp4netns"),
        ("-p 8080:80", {}, "slirp4netns"),
        ("", {"slirp4netns": "slirp4netns: not installed"}, "pasta"),
        ("-p 8080:80", {"slirp4netns": "slirp4netns: not installed"}, "pasta"),
        ("", ABSENT, "host"),
        ("--network default", ABSENT, "host"),
        # What was named is what there is, or the start says why not.
        ("--network host", ABSENT, "host"),
        ("--network none", ABSENT, "none"),
        ("--network bridge", ABSENT, "slirp4netns"),
        ("--network pasta", ABSENT, "pasta"),
    ],
)
def test_the_driver(
    monkeypatch: pytest.MonkeyPatch,
    said: list[str],
    words: str,
    reasons: dict[str, str],
    name: str,
) -> None:
    driver = chosen(monkeypatch, words, reasons)
    assert driver.name == name
    is_reduced = bool(reasons) and "--network" not in words.replace("--network default", "")
    assert driver.is_instead == is_reduced
    assert len(said) == is_reduced, said


def test_one_line_says_what_is_reduced(monkeypatch: pytest.MonkeyPatch, said: list[str]) -> None:
    reached = "namespaces: the limit user.max_net_namespaces is reached"
    chosen(monkeypatch, "", dict.fromkeys(ABSENT, reached))
    chosen(monkeypatch, "", {"slirp4netns": "/dev/net/tun: no such device", **ABSENT})
    assert said == [
        f"{reached}; the container shares the host's network"
        " (sudo sysctl user.max_net_namespaces=28633)",
        "slirp4netns: not installed; pasta: not installed; the container shares the host's network"
        " (sudo apt-get install slirp4netns)",
    ]


@pytest.mark.parametrize("words", ["-p 8080:80", "--sysctl net.ipv4.ip_forward=1", "-P"])
def test_what_needs_a_network_of_its_own_is_an_error(
    monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    with pytest.raises(HostError, match="slirp4netns: not installed; pasta: not") as caught:
        chosen(monkeypatch, words, ABSENT, ExposedPorts={"80/tcp": {}})
    assert caught.value.hint == "sudo apt-get install slirp4netns"
    assert caught.value.message.startswith(words.split(" ")[0].replace("-P", "-p").split("=")[0])
    if words == "-P":
        assert chosen(monkeypatch, words, ABSENT).name == "host"
