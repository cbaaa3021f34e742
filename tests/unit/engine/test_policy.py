"""A wish against the rules of a site."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rootless import config
from rootless.engine import policy
from rootless.errors import RegistryError, UsageError
from rootless.image.session import Session
from rootless.model.container import ContainerSpec
from rootless.model.mountspec import MountSpec
from rootless.model.registries import Endpoint


@pytest.fixture
def rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Writes the [policy] of an administrator's rl.toml."""
    monkeypatch.setattr(config, "SYSTEM_FOLDER", str(tmp_path))
    monkeypatch.delenv("RL_CONFIG", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", "/nonexistent")
    return lambda text: (tmp_path / "rl.toml").write_text(f"[policy]\n{text}\n") and None


def spec(**fields: Any) -> ContainerSpec:
    return ContainerSpec(image="x", **fields)


def test_what_is_not_mentioned_is_allowed(rules: Callable[[str], None]) -> None:
    rules("")
    wish = spec(privileged=True, network="host", mounts=[MountSpec("bind", "/etc", "/x")])
    before = spec(privileged=True, network="host", mounts=[MountSpec("bind", "/etc", "/x")])
    policy.enforce(wish)
    policy.check_build()
    assert wish == before


def test_privileged(rules: Callable[[str], None]) -> None:
    rules("privileged = false")
    policy.enforce(spec())
    with pytest.raises(UsageError, match=r"^--privileged: not allowed here"):
        policy.enforce(spec(privileged=True))
    with pytest.raises(UsageError, match=r"^--privileged: not allowed here"):
        policy.check_privileged()


@pytest.mark.parametrize(
    ("wished", "outcome"),
    [("", "host"), ("host", "host"), ("none", "none"), ("container:ab", "container:ab")],
)
def test_networks(rules: Callable[[str], None], wished: str, outcome: str) -> None:
    rules('networks = ["host", "none"]')
    wish = spec(network=wished)
    policy.enforce(wish)
    assert wish.network == outcome


@pytest.mark.parametrize("wished", ["slirp4netns", "slirp4netns:mtu=1500", "pasta", "bridge"])
def test_other_networks_are_refused(rules: Callable[[str], None], wished: str) -> None:
    rules('networks = ["host", "none"]')
    with pytest.raises(UsageError, match=f"--network {wished}: not allowed here") as caught:
        policy.enforce(spec(network=wished))
    assert caught.value.hint == "rl run --network host …"


@pytest.mark.parametrize(
    ("allowed", "outcome"),
    [
        (["none", "slirp4netns"], "none"),
        (["slirp4netns", "host"], "slirp4netns"),
        (["slirp4netns", "pasta", "host"], ""),
    ],
)
def test_the_first_network_is_named_where_what_takes_its_place_is_not_allowed(
    rules: Callable[[str], None], allowed: list[str], outcome: str
) -> None:
    rules(f"networks = {allowed}")
    wish = spec()
    policy.enforce(wish)
    assert wish.network == outcome


def test_bind_sources(rules: Callable[[str], None], tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "in-side"
    inside.mkdir()
    outside.mkdir()
    (inside / "link").symlink_to(outside)
    rules(f'bind_sources = ["{inside}"]')
    policy.enforce(spec(mounts=[MountSpec("bind", str(inside), "/x"), MountSpec("tmpfs", "", "/y"),
                                MountSpec("volume", "vol", "/z")]))  # fmt: skip
    for source in (outside, inside / "link", tmp_path, Path("/")):
        with pytest.raises(UsageError, match=f"^-v {source}: not allowed here"):
            policy.enforce(spec(mounts=[MountSpec("bind", str(source), "/x")]))
    with pytest.raises(UsageError, match="not allowed here"):
        policy.enforce(ContainerSpec(rootfs=str(outside)))
    with pytest.raises(UsageError, match=f"^{outside}: not allowed here"):
        policy.enforce(ContainerSpec(image=str(outside)))
    policy.enforce(ContainerSpec(image=str(inside)))
    policy.enforce(ContainerSpec(image="busybox"))


def test_limits_are_filled_in(rules: Callable[[str], None]) -> None:
    rules('max_memory = "64m"\nmax_cpus = 0.5')
    wish = spec()
    policy.enforce(wish)
    assert wish.resources["memory"]["limit"] == 64 << 20
    assert wish.resources["cpu"] == {"quota": 50000, "period": 100000}


def test_smaller_limits_stay(rules: Callable[[str], None]) -> None:
    rules('max_memory = "64m"\nmax_cpus = 0.5')
    asked = {"memory": {"limit": 1 << 20}, "cpu": {"quota": 1000, "period": 100000}}
    wish = spec(resources=asked)
    policy.enforce(wish)
    assert wish.resources["memory"]["limit"] == 1 << 20
    assert wish.resources["cpu"] == asked["cpu"]


@pytest.mark.parametrize(
    "asked",
    [
        {"memory": {"limit": 65 << 20}},
        {"memory": {"limit": -1}},
        {"cpu": {"quota": 60000, "period": 100000}},
        {"cpu": {"quota": -1, "period": 100000}},
        {"unified": {"memory.max": "max"}},
    ],
)
def test_larger_limits_are_refused(rules: Callable[[str], None], asked: dict[str, Any]) -> None:
    rules('max_memory = "64m"\nmax_cpus = 0.5')
    with pytest.raises(UsageError, match="not allowed here"):
        policy.enforce(spec(resources=asked))
    with pytest.raises(UsageError, match="not allowed here"):
        policy.check_limits(asked)


def test_limits_that_may_not_hold_are_refused(rules: Callable[[str], None]) -> None:
    rules("max_cpus = 1")
    with pytest.raises(UsageError, match="best-effort: not allowed here"):
        policy.enforce(spec(limits="best-effort"))


def test_builds(rules: Callable[[str], None]) -> None:
    rules("build = false")
    with pytest.raises(UsageError, match=r"^rl build: not allowed here"):
        policy.check_build()


@pytest.mark.parametrize(
    ("domain", "path", "is_allowed"),
    [
        ("quay.io", "team/app", True),
        ("quay.io", "team", True),
        ("quay.io", "", True),
        ("quay.io", "teamster/app", False),
        ("mirror.example.org", "hub/library/x", True),
        ("docker.io", "library/x", False),
        ("mirror.example.org.evil", "x", False),
    ],
)
def test_registries(
    rules: Callable[[str], None], domain: str, path: str, *, is_allowed: bool
) -> None:
    rules('registries = ["quay.io/team", "mirror.example.org"]')
    place = Endpoint(domain, path, insecure=False)
    if is_allowed:
        assert str(Session(None, place, None)) == f"{domain}/{path}".rstrip("/")  # type: ignore[arg-type]
        return
    with pytest.raises(RegistryError, match="not allowed here"):
        Session(None, place, None)  # type: ignore[arg-type]


def test_a_file_that_cannot_be_read_is_not_a_file_without_rules(
    rules: Callable[[str], None], tmp_path: Path
) -> None:
    rules("privileged = false")
    (tmp_path / "rl.toml").chmod(0)
    with pytest.raises(UsageError, match="Permission denied"):
        policy.enforce(spec(privileged=True))
