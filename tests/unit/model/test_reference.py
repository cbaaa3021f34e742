from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rootless.errors import UsageError
from rootless.model import reference as references
from rootless.model.reference import OciPath, Reference

HEX = "0123456789abcdef" * 4
DIGEST = f"sha256:{HEX}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("alpine", "docker.io/library/alpine:latest"),
        ("alpine:3.20", "docker.io/library/alpine:3.20"),
        ("team/app", "docker.io/team/app:latest"),
        ("docker.io/alpine", "docker.io/library/alpine:latest"),
        ("index.docker.io/alpine", "docker.io/library/alpine:latest"),
        ("docker.io/library/alpine:edge", "docker.io/library/alpine:edge"),
        ("quay.io/a/b/c", "quay.io/a/b/c:latest"),
        ("quay.io/a", "quay.io/a:latest"),
        (f"quay.io/a/b@{DIGEST}", f"quay.io/a/b@{DIGEST}"),
        (f"quay.io/a/b:1.2@{DIGEST}", f"quay.io/a/b@{DIGEST}"),
        ("localhost/x", "localhost/x:latest"),
        ("localhost:5000/x", "localhost:5000/x:latest"),
        ("localhost:5000/x:y", "localhost:5000/x:y"),
        ("127.0.0.1:5000/a/b", "127.0.0.1:5000/a/b:latest"),
        ("[::1]:5000/a", "[::1]:5000/a:latest"),
        ("[fe80::1]/a:t", "[fe80::1]/a:t"),
        ("HOST/name", "HOST/name:latest"),
        ("x.y/a__b/c-d.e--f", "x.y/a__b/c-d.e--f:latest"),
        ("a:_T.1-x", "docker.io/library/a:_T.1-x"),
        ("docker://quay.io/x", "quay.io/x:latest"),
        ("docker://alpine", "docker.io/library/alpine:latest"),
    ],
)
def test_names_are_completed_as_docker_does(text: str, expected: str) -> None:
    found = references.parse_source(text)
    assert isinstance(found, Reference)
    assert (found.within("docker.io") if found.is_short else found).name == expected


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "empty"),
        ("Alpine", "must be lowercase, 'Alpine'"),
        ("quay.io/Team/app", "must be lowercase, 'Team'"),
        ("alpine:", "the tag after ':' is empty"),
        ("alpine:-x", "starts with neither"),
        ("alpine:a b", "tag 'a b'"),
        (f"alpine:{'x' * 129}", "at most 128 characters, this one has 129"),
        ("alpine@sha256:12", "64 hexadecimal digits, this one has 2"),
        ("sha256:" + "0a" * 32, "a digest alone names no repository"),
        (f"alpine@sha512:{HEX}{HEX}", "'sha512' is not supported"),
        (f"alpine@sha256:{HEX.upper()}", "0-9 and a-f"),
        ("alpine@latest", "ALGORITHM:HEX"),
        ("a//b", "empty component"),
        ("quay.io/", "repository name is empty"),
        ("/a", "empty component"),
        ("a/", "empty component"),
        ("a b", "character ' '"),
        ("a___b", "'___' in 'a___b'"),
        ("a..b", "'..' in 'a..b'"),
        ("a._b", "'._' in 'a._b'"),
        ("-a", "must start and end"),
        ("a/b-", "must start and end"),
        ("../x", "'..' in '..'|not a host name"),
        ("host:port/x", "port 'port'"),
        ("host:0/x", "port '0'"),
        ("host:99999/x", "port '99999'"),
        ("-bad.example/x", "not a host name"),
        ("a..b/x", "not a host name"),
        ("[::1/x", "IPv6"),
        (HEX, "image id"),
        (f"quay.io/{'x' * 250}", "at most 255 characters"),
        ("alpin\u00e9", "character"),
    ],
)
def test_errors_name_the_reference_and_the_rule(text: str, rule: str) -> None:
    with pytest.raises(UsageError, match=rule) as caught:
        references.parse(text)
    assert text[:300] in caught.value.message


def test_a_message_is_one_printable_line() -> None:
    with pytest.raises(UsageError) as caught:
        references.parse("a\x1b[31m\nb")
    assert caught.value.message.isprintable()


@pytest.mark.parametrize(
    ("text", "directory", "ref"),
    [
        ("oci:dir", "dir", ""),
        ("oci:/a/b:v1", "/a/b", "v1"),
        ("oci:d:quay.io/x:1", "d", "quay.io/x:1"),
    ],
)
def test_oci_directories(text: str, directory: str, ref: str) -> None:
    found = references.parse_source(text)
    assert isinstance(found, OciPath)
    assert (found.directory, found.ref, str(found)) == (directory, ref, text)


@pytest.mark.parametrize("text", ["oci:", "docker-archive:x.tar", "containers-storage:x", "dir:/x"])
def test_other_transports_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        references.parse_source(text)


COMPONENT = st.from_regex(r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+){0,3}", fullmatch=True)


@settings(database=None)
@given(
    st.sampled_from(["", "quay.io", "localhost", "127.0.0.1:5000", "[::1]:80", "HOST"]),
    st.lists(COMPONENT, min_size=1, max_size=3).filter(
        lambda parts: "." not in parts[0] and parts[0] != "localhost"
    ),
    st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True),
)
def test_what_the_grammar_makes_is_read_back(domain: str, path: list[str], tag: str) -> None:
    repository = "/".join([domain, *path] if domain else path)
    found = references.parse(f"{repository}:{tag}")
    assert (found.repository, found.tag, found.is_short) == (repository, tag, not domain)
    assert references.parse(str(found)) == found


@settings(database=None)
@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = references.parse(text)
    except UsageError:
        return
    full = found.within("docker.io") if found.is_short else found
    assert references.parse(full.name).name == full.name


def test_a_short_name_in_other_registries() -> None:
    short = references.parse("app:1")
    assert short.within("quay.io").name == "quay.io/app:1"
    assert short.within("localhost").name == "localhost/app:1"
