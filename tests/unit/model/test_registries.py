from __future__ import annotations

from typing import Any

import pytest

from rootless.errors import RegistryError, UsageError
from rootless.model import reference as references
from rootless.model.registries import Endpoint, Registries, is_loopback


def merged(*documents: dict[str, Any]) -> Registries:
    registries = Registries()
    for document in documents:
        registries.merge(document, "registries.toml")
    return registries


def endpoints(registries: Registries, text: str) -> list[str]:
    found = registries.endpoints(references.parse_qualified(text))
    return [one.repository + (" insecure" if one.insecure else "") for one in found]


def names(found: list[references.Reference]) -> list[str]:
    return [one.name for one in found]


def test_without_configuration_a_short_name_is_docker_s() -> None:
    short = references.parse("alpine")
    assert names(Registries().candidates(short)) == ["docker.io/library/alpine:latest"]
    assert names(Registries().local_candidates(short)) == [
        "localhost/alpine:latest",
        "docker.io/library/alpine:latest",
    ]


def test_search_registries_keep_their_order() -> None:
    registries = merged({"unqualified-search-registries": ["quay.io", "docker.io"]})
    assert names(registries.candidates(references.parse("a:1"))) == [
        "quay.io/a:1",
        "docker.io/library/a:1",
    ]


def test_a_full_name_is_not_searched_for() -> None:
    registries = merged({"unqualified-search-registries": ["quay.io"]})
    full = references.parse("example.org/a")
    assert registries.candidates(full) == registries.local_candidates(full) == [full]


def test_an_alias_ends_the_search_and_keeps_the_tag() -> None:
    registries = merged({"aliases": {"tool": "example.org/team/tool"}})
    assert names(registries.candidates(references.parse("tool:2"))) == ["example.org/team/tool:2"]
    assert names(registries.candidates(references.parse("x/tool"))) == ["docker.io/x/tool:latest"]


def test_later_files_win() -> None:
    registries = merged(
        {"unqualified-search-registries": ["a.io"], "aliases": {"x": "a.io/x", "y": "a.io/y"}},
        {"unqualified-search-registries": ["b.io"], "aliases": {"x": "b.io/x"}},
    )
    assert registries.search == ["b.io"]
    assert registries.aliases == {"x": "b.io/x", "y": "a.io/y"}


REWRITES = {
    "registry": [
        {"prefix": "example.org", "location": "other.org/all"},
        {"prefix": "example.org/team", "location": "team.org", "insecure": True},
        {"prefix": "*.wild.org", "location": "tame.org"},
        {"location": "plain.org", "mirror": [
            {"location": "m1.org/x"},
            {"location": "m2.org", "pull-from-mirror": "digest-only", "insecure": True},
            {"location": "m3.org", "pull-from-mirror": "tag-only"},
        ]},
    ]
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("example.org/a", ["other.org/all/a"]),
        ("example.org/team/a", ["team.org/a insecure"]),
        ("example.org/teams/a", ["other.org/all/teams/a"]),
        ("a.b.wild.org/x/y", ["tame.org/x/y"]),
        ("wild.org/x", ["wild.org/x"]),
        ("plain.org/a", ["m1.org/x/a", "m3.org/a", "plain.org/a"]),
        (f"plain.org/a@sha256:{'0' * 64}", ["m1.org/x/a", "m2.org/a insecure", "plain.org/a"]),
        ("localhost:5000/a", ["localhost:5000/a insecure"]),
    ],
)
def test_the_longest_prefix_decides(text: str, expected: list[str]) -> None:
    assert endpoints(merged(REWRITES), text) == expected


def test_blocked() -> None:
    registries = merged({"registry": [{"prefix": "example.org/bad", "blocked": True}]})
    with pytest.raises(RegistryError, match=r"example\.org/bad is blocked"):
        endpoints(registries, "example.org/bad/x")
    assert endpoints(registries, "example.org/good") == ["example.org/good"]


def test_docker_hub_answers_under_another_host() -> None:
    assert Endpoint("docker.io", "library/a", insecure=False).host == "registry-1.docker.io"
    assert Endpoint("quay.io", "a", insecure=False).host == "quay.io"


@pytest.mark.parametrize(
    ("domain", "expected"),
    [("localhost", True), ("localhost:1", True), ("127.1.2.3:80", True), ("[::1]", True),
     ("[::1]:5000", True), ("127.evil.example.org", False), ("127.0.0", False),
     ("localhost.example.org", False), ("10.0.0.1", False), ("[::2]", False)],
)  # fmt: skip
def test_loopback(domain: str, expected: bool) -> None:
    assert is_loopback(domain) is expected


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ({"search": []}, "unknown key search"),
        ({"unqualified-search-registries": "docker.io"}, "list of strings"),
        ({"aliases": []}, "must be a table"),
        ({"aliases": {"x": 1}}, r"aliases\.x must be a string"),
        ({"aliases": {"x": "y"}}, "without a tag"),
        ({"aliases": {"x": "a.io/y:1"}}, "without a tag"),
        ({"registry": {}}, r"written as \[\[registry\]\]"),
        ({"registry": [{}]}, "prefix or a location"),
        ({"registry": [{"location": "https://a"}]}, "without a scheme"),
        ({"registry": [{"location": 1}]}, "HOST"),
        ({"registry": [{"location": "a", "insecure": "yes"}]}, "true or false"),
        ({"registry": [{"location": "a", "miror": []}]}, r"unknown key registry\.miror"),
        ({"registry": [{"location": "a", "mirror": [{}]}]}, "needs a location"),
        (
            {
                "registry": [
                    {"location": "a", "mirror": [{"location": "b", "pull-from-mirror": "x"}]}
                ]
            },
            "pull-from-mirror must be one of",
        ),
    ],
)
def test_mistakes_name_file_and_key(document: dict[str, Any], problem: str) -> None:
    with pytest.raises(UsageError, match=f"registries.toml.*{problem}"):
        merged(document)
