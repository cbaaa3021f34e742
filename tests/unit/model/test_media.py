from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rootless.errors import ImageError
from rootless.model import digest as digests
from rootless.model import media
from rootless.model.media import Descriptor
from rootless.model.platform import Platform

DIGEST = "sha256:" + "0" * 64
OTHER = "sha256:" + "1" * 64
CONFIG = {"mediaType": media.OCI_CONFIG, "digest": DIGEST, "size": 2}
LAYER = {"mediaType": f"{media.OCI_LAYER}+gzip", "digest": OTHER, "size": 3}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


def manifest(**changes: Any) -> dict[str, Any]:
    return {"schemaVersion": 2, "config": CONFIG, "layers": [LAYER], **changes}


def test_a_manifest() -> None:
    parsed = media.parse_manifest(manifest(), media.OCI_MANIFEST, "x")
    assert parsed.config.digest == DIGEST
    assert [(one.digest, one.size) for one in parsed.layers] == [(OTHER, 3)]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"config": None}, "config: a descriptor is expected"),
        (
            {"config": {**CONFIG, "mediaType": "text/x-helm"}},
            "not a container image but text/x-helm",
        ),
        ({"layers": {}}, "layers: a list is expected"),
        ({"layers": [LAYER] * 501}, "501 entries, at most 500"),
        ({"layers": [{**LAYER, "digest": "sha256:../../../etc/passwd"}]}, "layer 1: digest"),
        ({"layers": [{**LAYER, "digest": None}]}, "it is missing"),
        ({"layers": [{**LAYER, "size": -1}]}, "size -1"),
        ({"layers": [{**LAYER, "size": True}]}, "size True"),
        ({"layers": [{**LAYER, "size": 1e9}]}, "size 1000000000.0"),
        ({"layers": [{**LAYER, "size": 1 << 60}]}, "not a number of bytes"),
        ({"layers": [{**LAYER, "mediaType": ""}]}, "no media type"),
        ({"layers": [{**LAYER, "mediaType": "x/y"}]}, "unknown media type x/y"),
        ({"layers": [{**LAYER, "mediaType": f"{media.OCI_LAYER}+encrypted"}]}, "encrypted"),
    ],
)
def test_manifests_that_break_a_rule(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(ImageError, match=problem):
        media.parse_manifest(manifest(**changes), media.OCI_MANIFEST, "x")


@pytest.mark.parametrize(
    ("document", "header", "expected"),
    [
        ({"mediaType": media.DOCKER_MANIFEST}, "", media.DOCKER_MANIFEST),
        ({"mediaType": media.OCI_INDEX}, "application/json", media.OCI_INDEX),
        ({}, f"{media.DOCKER_INDEX}; charset=utf-8", media.DOCKER_INDEX),
        ({"manifests": []}, "application/json", media.OCI_INDEX),
        ({"layers": [], "config": {}}, "", media.OCI_MANIFEST),
    ],
)
def test_the_kind_of_a_document(document: dict[str, Any], header: str, expected: str) -> None:
    assert media.media_type_of(document, header, "x") == expected


@pytest.mark.parametrize(
    ("document", "header", "problem"),
    [
        ({"schemaVersion": 1}, "", "schema 1"),
        ({}, "application/vnd.docker.distribution.manifest.v1+prettyjws", "schema 1"),
        ({"manifests": [], "layers": []}, "", "at once"),
        ({"manifests": [], "config": {}, "mediaType": media.OCI_INDEX}, "", "at once"),
        ({"mediaType": "text/html"}, "", "media type text/html"),
        ({}, "text/html", "media type text/html"),
    ],
)
def test_documents_that_are_no_manifests(
    document: dict[str, Any], header: str, problem: str
) -> None:
    with pytest.raises(ImageError, match=problem):
        media.media_type_of(document, header, "x")


def entry(platform: str | None, digest: str = DIGEST) -> Descriptor:
    built_for = Platform(*platform.split("/")) if platform else None
    return Descriptor(media.OCI_MANIFEST, digest, 1, built_for)


@pytest.mark.parametrize(
    ("available", "wanted", "expected"),
    [
        (["linux/amd64", "linux/arm64/v8"], "linux/amd64", "linux/amd64"),
        (["linux/arm64/v8"], "linux/arm64", "linux/arm64/v8"),
        (["linux/arm64"], "linux/arm64/v8", "linux/arm64"),
        (["linux/arm/v5", "linux/arm/v7", "linux/arm/v6"], "linux/arm/v7", "linux/arm/v7"),
        (["linux/arm/v5", "linux/arm/v6"], "linux/arm/v7", "linux/arm/v6"),
        (["linux/amd64/v3", "linux/amd64"], "linux/amd64", "linux/amd64"),
        (["windows/amd64", "linux/amd64"], "linux/amd64", "linux/amd64"),
    ],
)
def test_the_best_platform_is_chosen(available: list[str], wanted: str, expected: str) -> None:
    chosen = media.choose([entry(one) for one in available], Platform(*wanted.split("/")), "x")
    assert str(chosen.platform) == expected


def test_an_only_entry_without_a_platform_is_taken() -> None:
    assert media.choose([entry(None)], Platform("linux", "amd64"), "x").platform is None


@pytest.mark.parametrize(
    ("available", "listed"),
    [
        (["linux/arm/v7"], "linux/arm/v7"),
        (["linux/amd64/v3", "unknown/unknown"], "linux/amd64/v3$"),
        ([None, None], "nothing"),
        ([], "nothing"),
    ],
)
def test_what_there_is_is_listed(available: list[str | None], listed: str) -> None:
    entries = [entry(one) for one in available]
    with pytest.raises(ImageError, match=f"no image for linux/amd64; there is: {listed}"):
        media.choose(entries, Platform("linux", "amd64"), "x")


def config(**changes: Any) -> bytes:
    document = {"os": "linux", "architecture": "amd64", "rootfs": {"diff_ids": [DIGEST]}}
    return json.dumps({**document, **changes}).encode()


def test_a_configuration() -> None:
    parsed = media.parse_config(config(config={"Env": ["A=1"], "Cmd": None}, history=None), "x")
    assert media.diff_ids(parsed, "x") == [DIGEST]
    assert str(media.platform_of(parsed)) == "linux/amd64"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"rootfs": None}, "diff_ids: a list"),
        ({"rootfs": {"diff_ids": ["sha256:x"]}}, "sha256:x is not a sha256 digest"),
        ({"rootfs": {"diff_ids": [["x"]]}}, "not a sha256 digest"),
        ({"config": []}, "config must be a dict"),
        ({"config": {"Env": "A=1"}}, "Env must be a list of strings"),
        ({"config": {"Cmd": [1]}}, "Cmd must be a list of strings"),
        ({"config": {"User": 0}}, "User must be a str"),
        ({"config": {"Volumes": ["/x"]}}, "Volumes must be a dict"),
        ({"config": {"Healthcheck": {"Test": "x"}}}, "Healthcheck: Test must be a list of str"),
        ({"config": {"Healthcheck": {"Interval": -1}}}, "Healthcheck: Interval must be a number"),
        ({"config": {"Healthcheck": {"Retries": "3"}}}, "Healthcheck: Retries must be a number"),
        ({"config": {"Healthcheck": {"Timeout": 2**63}}}, "Healthcheck: Timeout must be a numb"),
        ({"os": 1}, "os must be a str"),
    ],
)
def test_configurations_that_break_a_rule(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(ImageError, match=problem):
        media.parse_config(config(**changes), "x")


def test_layers_must_agree() -> None:
    parsed = media.parse_manifest(manifest(layers=[LAYER, LAYER]), media.OCI_MANIFEST, "x")
    media.check_layers(parsed, [DIGEST, DIGEST], "x")
    with pytest.raises(ImageError, match="2 layers, the configuration 1"):
        media.check_layers(parsed, [DIGEST], "x")
    with pytest.raises(ImageError, match="two different diff_ids"):
        media.check_layers(parsed, [DIGEST, OTHER], "x")


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"1", b"\xff", b'{"a":' * 50_000])
def test_what_is_no_json_object(data: bytes) -> None:
    with pytest.raises(ImageError):
        media.parse_json(data, "x")


@settings(database=None)
@given(st.dictionaries(st.sampled_from(["config", "layers", "manifests", "mediaType"]), JSON))
def test_no_document_makes_a_traceback(document: dict[str, Any]) -> None:
    for read in (
        lambda: media.media_type_of(document, "", "x"),
        lambda: media.parse_manifest(document, media.OCI_MANIFEST, "x"),
        lambda: media.parse_index(document, "x"),
        lambda: media.parse_config(json.dumps(document).encode(), "x"),
    ):
        try:
            read()
        except ImageError as error:
            assert error.message.isprintable()


@settings(database=None)
@given(st.dictionaries(st.sampled_from(["mediaType", "digest", "size", "platform"]), JSON))
def test_no_descriptor_makes_a_traceback(document: dict[str, Any]) -> None:
    with pytest.raises(ImageError) as caught:
        media.descriptor(document, "x")
    assert caught.value.message.isprintable()


def test_digests() -> None:
    assert digests.of(b"") == (
        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    )
    assert digests.is_digest(DIGEST)
    assert not any(
        digests.is_digest(x) for x in (None, 7, "", "sha256:", DIGEST + "0", DIGEST[:-1])
    )
    assert digests.short(OTHER) == "1" * 12


def test_a_page_of_a_portal_instead_of_json_is_shown() -> None:
    with pytest.raises(ImageError, match="not readable as JSON, it begins with '<html>") as caught:
        media.parse_json(b"<html>\x1b\xff Please log in", "x")
    assert caught.value.message.isprintable()
