"""Networks on hosts without slirp4netns, without /dev/net/tun, without network namespaces."""

from __future__ import annotations

import pytest

from tests.user.conftest import Rl
from tests.user.rungs.conftest import BARE_DEV, HAS_PASTA, HAS_SLIRP, Host, broken, without

LIMIT = "/proc/sys/user/max_net_namespaces"
NO_NAMESPACES = f"echo 0 >{LIMIT}"
# In a network namespace of its own a container has lo and one more at most.
SHOW = ["cat", "/proc/net/dev"]
NOBODYS = [
    pytest.param(without(HAS_SLIRP, HAS_PASTA), "slirp4netns: not installed", id="no programs"),
    pytest.param(BARE_DEV, "/dev/net/tun: no such device", id="no tun"),
    pytest.param(broken(HAS_SLIRP, HAS_PASTA), "slirp4netns: ended without a word", id="broken"),
    pytest.param(NO_NAMESPACES, "user.max_net_namespaces is reached", id="no namespaces"),
]


@pytest.mark.parametrize(("setup", "reason"), NOBODYS)
def test_the_hosts_network_where_there_is_no_other(
    host: Host, rl: Rl, busybox_image: str, setup: str, reason: str
) -> None:
    done = host(setup, "run", "--name=box", busybox_image, "readlink", "/proc/self/ns/net")
    theirs = host.sh("readlink /proc/self/ns/net").stdout
    assert done.stdout == theirs
    said = [line for line in done.stderr.splitlines() if "network" in line]
    assert len(said) == 1 and reason in said[0], done.stderr
    assert "the container shares the host's network (" in said[0]
    assert rl("ps", "-a", "--format", "{{.Networks}}").stdout == "host\n"


@pytest.mark.parametrize(("setup", "reason"), NOBODYS)
@pytest.mark.parametrize(
    "flags", [["-p", "127.0.0.1::80"], ["--sysctl=net.ipv4.ip_forward=1"]], ids=lambda f: f[0]
)
def test_what_only_an_own_network_gives_is_refused(
    host: Host, busybox_image: str, setup: str, reason: str, flags: list[str]
) -> None:
    done = host(setup, "run", "--rm", *flags, busybox_image, "true", code=125)
    error = next(line for line in done.stderr.splitlines() if line.startswith("rl: error: "))
    assert flags[0].partition("=")[0] in error and reason in error
    assert "\nhint: " in done.stderr


@pytest.mark.parametrize("wish", ["none", "slirp4netns", "pasta", "private"])
def test_isolation_that_was_asked_for_is_never_given_up(
    host: Host, busybox_image: str, wish: str
) -> None:
    words = ("run", "--rm", f"--network={wish}", busybox_image, "true")
    done = host(NO_NAMESPACES, *words, code=125)
    assert "namespaces: the limit user.max_net_namespaces is reached" in done.stderr
    assert "hint: sudo sysctl user.max_net_namespaces=" in done.stderr
    if wish != "none":
        done = host(without(HAS_SLIRP, HAS_PASTA), *words, code=125)
        assert "not installed\nhint: sudo apt-get install " in done.stderr


@pytest.mark.parametrize("setup", [without(HAS_SLIRP), broken(HAS_SLIRP)], ids=["none", "broken"])
def test_pasta_where_slirp4netns_does_not_work(
    host: Host, rl: Rl, busybox_image: str, setup: str
) -> None:
    done = host(setup, "run", "--name=box", "-p", "127.0.0.1::80", busybox_image, *SHOW)
    assert "the network is pasta's instead (" in done.stderr
    assert rl("ps", "-a", "--format", "{{.Networks}}").stdout == "pasta\n"
    done = host(setup, "run", "--rm", "--network=slirp4netns", busybox_image, "true", code=125)
    assert "rl: error: slirp4netns: " in done.stderr


def test_a_build_says_it_once(host: Host, rl: Rl, busybox_image: str) -> None:
    context = rl.home / "context"
    context.mkdir()
    stages = [f"FROM {busybox_image} AS s{n}\nRUN readlink /proc/self/ns/net >/{n}" for n in (1, 2)]
    last = f"FROM {busybox_image}\nCOPY --from=s1 /1 /\nCOPY --from=s2 /2 /"
    (context / "Dockerfile").write_text("\n".join([*stages, last]))
    done = host(without(HAS_SLIRP, HAS_PASTA), "build", "-q", "-t", "localhost/b", str(context))
    assert done.stderr.count("shares the host's network") == 1, done.stderr
    shown = rl("run", "--rm", "--net=none", "localhost/b", "cat", "/1", "/2").stdout
    assert shown == host.sh("readlink /proc/self/ns/net").stdout * 2


def test_a_host_that_was_put_right_is_noticed_at_once(host: Host, busybox_image: str) -> None:
    words = ("run", "--rm", busybox_image, "readlink", "/proc/self/ns/net")
    theirs = host.sh("readlink /proc/self/ns/net").stdout
    absent = without(HAS_SLIRP, HAS_PASTA)
    for setup, is_shared in ((NO_NAMESPACES, True), ("", False), (absent, True), ("", False)):
        assert (host(setup, *words).stdout == theirs) == is_shared, setup
