"""rl.toml, read: what it says, who may say it; a spelling mistake makes no rule of a rule."""

from __future__ import annotations

from typing import Any

import pytest

from rootless.errors import UsageError
from rootless.model.site import Site, expand, safe_values

VALUES = {"USER": "ann", "UID": "1001", "HOST": "n7", "HOME": "/home/ann"}


def merged(*documents: dict[str, Any]) -> Site:
    """The first is the administrator's, the others are the user's."""
    site = Site()
    for number, document in enumerate(documents):
        site.merge(document, f"f{number}", VALUES, is_system=number == 0)
    return site


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/scratch/$USER/rl", "/scratch/ann/rl"),
        ("/s/${USER}x/$UID", "/s/annx/1001"),
        ("$HOME/rl-$HOST", "/home/ann/rl-n7"),
        ("/plain", "/plain"),
    ],
)
def test_variables(text: str, expected: str) -> None:
    assert expand(text, VALUES, "f: store") == expected


@pytest.mark.parametrize("text", ["/x/$TMPDIR", "/x/$", "/x/${USER", "/x/$(id)"])
def test_nothing_else_is_expanded(text: str) -> None:
    with pytest.raises(UsageError, match="not one of \\$USER"):
        expand(text, VALUES, "f: store")


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "../../root", "a\nb"])
def test_a_user_name_that_leads_elsewhere_is_no_part_of_a_path(name: str) -> None:
    values = safe_values(name, 5, "/home/x", "host")
    assert "USER" not in values
    with pytest.raises(UsageError, match=r"\$USER"):
        expand("/scratch/$USER/rl", values, "f: store")


def test_the_later_file_wins() -> None:
    site = merged({"store": "/a", "runtime": "/r"}, {"store": "/b/$USER/"})
    assert (site.store, site.store_from, site.runtime) == ("/b/ann", "f1", "/r")


@pytest.mark.parametrize("path", ["relative", "/a/../b", "", 5])
def test_directories_are_absolute_and_plain(path: object) -> None:
    with pytest.raises(UsageError, match=r"^f0: store: "):
        merged({"store": path})


def test_policy_is_the_administrators() -> None:
    with pytest.raises(UsageError, match=r"^f1: policy: is for the administrator's file"):
        merged({"policy": {"privileged": False}}, {"policy": {"privileged": True}})
    with pytest.raises(UsageError, match=r"^f1: store: is for the administrator's file"):
        merged({"policy": {"other_places": False}}, {"store": "/mine"})
    assert merged({"policy": {"privileged": False}}, {"store": "/mine"}).policy.privileged is False


def test_a_policy_as_it_is_written() -> None:
    policy = merged(
        {
            "policy": {
                "privileged": False, "build": False, "networks": ["host"],
                "registries": ["quay.io/team/"], "bind_sources": ["/scratch/$USER"],
                "max_memory": "8g", "max_cpus": 1.5, "max_containers": 3,
            }
        }
    ).policy  # fmt: skip
    assert (policy.privileged, policy.build, policy.other_places) == (False, False, True)
    assert policy.networks == ("host",)
    assert policy.registries == ("quay.io/team",)
    assert policy.bind_sources == ("/scratch/ann",)
    assert (policy.max_memory, policy.max_cpus, policy.max_containers) == (8 << 30, 1.5, 3)


def test_without_a_policy_everything_is_allowed() -> None:
    policy = merged({}).policy
    assert policy.privileged and policy.build and policy.other_places
    assert policy.networks is policy.registries is policy.bind_sources is None
    assert (policy.max_memory, policy.max_cpus, policy.max_containers) == (0, 0.0, 0)


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ({"privilege": False}, "privilege: there is no such key"),
        ({"privileged": "no"}, "privileged: neither true nor false"),
        ({"networks": ["bridge"]}, "networks: bridge"),
        ({"networks": []}, "networks"),
        ({"networks": "host"}, "networks: not a list"),
        ({"max_memory": "much"}, "max_memory"),
        ({"max_cpus": 0}, "max_cpus: 0"),
        ({"max_containers": True}, "max_containers: True"),
        ({"bind_sources": ["scratch"]}, "bind_sources: scratch"),
    ],
)
def test_a_mistake_in_a_rule_is_an_error(policy: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        merged({"policy": policy})
    assert caught.value.message.startswith("f0: policy: ")
    assert said in caught.value.message


def test_a_mistake_outside_of_it_too() -> None:
    with pytest.raises(UsageError, match="f0: rules: there is no such key"):
        merged({"rules": {}})
    with pytest.raises(UsageError, match="f0: policy: not a table"):
        merged({"policy": True})
