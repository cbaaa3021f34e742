from __future__ import annotations

from typing import Any

import pytest

from rootless.cli.image_rows import Filter, Row, inspect_document, split_name
from rootless.errors import UsageError
from rootless.store import images
from rootless.store.images import StoredImage
from rootless.store.paths import Paths

HEX = "ab" * 32


def image(name: str, **config: Any) -> StoredImage:
    manifest = {"config": {"digest": f"sha256:{HEX}"}, "layers": []}
    return StoredImage(
        name, f"sha256:{'cd' * 32}", manifest, {"rootfs": {"diff_ids": []}, **config}
    )


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("docker.io/library/alpine:3", ("docker.io/library/alpine", "3")),
        ("localhost:5000/x:latest", ("localhost:5000/x", "latest")),
        ("localhost:5000/x@sha256:00", ("localhost:5000/x", "<none>")),
        ("", ("<none>", "<none>")),
    ],
)
def test_split_name(name: str, parts: tuple[str, str]) -> None:
    assert split_name(name) == parts


@pytest.mark.parametrize(
    ("words", "repository", "taken"),
    [
        ([], "", ["alpine:3", "alpine:edge", "quay", ""]),
        ([], "alpine", ["alpine:3", "alpine:edge"]),
        ([], "alpine:3", ["alpine:3"]),
        ([], "docker.io/library/alpine", ["alpine:3", "alpine:edge"]),
        ([], "pine", []),
        (["reference=alp*:e*"], "", ["alpine:edge"]),
        (["reference=quay.io/*/hello"], "", ["quay"]),
        (["dangling=true"], "", [""]),
        (["dangling=false"], "alpine", ["alpine:3", "alpine:edge"]),
        (["label=a"], "", ["quay"]),
        (["label=a=2"], "", []),
    ],
)
def test_filter(words: list[str], repository: str, taken: list[str]) -> None:
    rows = {
        "alpine:3": Row(image("docker.io/library/alpine:3"), 1),
        "alpine:edge": Row(image("docker.io/library/alpine:edge"), 1),
        "quay": Row(image("quay.io/podman/hello:latest", config={"Labels": {"a": "1"}}), 1),
        "": Row(image(""), 1),
    }
    wanted = Filter(words, repository)
    assert [key for key, row in rows.items() if wanted.takes(row)] == taken


@pytest.mark.parametrize("word", ["x", "x=1", "dangling=perhaps", "reference=", "label"])
def test_filters_that_are_none(word: str) -> None:
    with pytest.raises(UsageError, match=f"--filter {word}: not a filter"):
        Filter([word], "")


def test_row() -> None:
    row = Row(image("a.b/c:1", created="1970-01-01T00:01:00Z"), 5)
    assert row.created_seconds == 60
    assert (row.shown_id(full=False), row.shown_id(full=True)) == ("ab" * 6, f"sha256:{HEX}")
    assert row.document()["Names"] == ["a.b/c:1"]
    assert Row(image("", created=None), 0).document()["Created"] == ""


@pytest.mark.parametrize(
    ("history", "comment"),
    [
        (None, ""),
        ([{"comment": "first"}, {"comment": "last"}], "last"),
        ([{"created_by": "x"}], ""),
        (["no object"], ""),
        ({"no": "list"}, ""),
    ],
)
def test_inspected_comment_and_layers(
    history: object, comment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "size", lambda paths, image: 7)
    layers = [f"sha256:{digit * 64}" for digit in "123"]
    shown = image("a.b/c:1", history=history, rootfs={"diff_ids": layers})
    document = inspect_document(Paths("/s", "/r"), shown, [shown])
    assert document["Comment"] == comment
    assert document["GraphDriver"]["Data"] == {
        "LowerDir": f"/s/layers/{'2' * 64}/diff:/s/layers/{'1' * 64}/diff",
        "UpperDir": f"/s/layers/{'3' * 64}/diff",
    }
