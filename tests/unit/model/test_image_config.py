"""Image configurations grow by changes and steps; the same ones give the same bytes."""

from __future__ import annotations

import json

import pytest

from rootless.model import digest, image_config
from rootless.model.image_config import Step

PLATFORM = {"architecture": "amd64", "os": "linux"}
ID = "sha256:" + "1" * 64
OTHER = "sha256:" + "2" * 64


def section_after(*changes: image_config.Change) -> image_config.Section:
    made = image_config.with_changes(image_config.scratch(PLATFORM), changes)
    section: image_config.Section = made["config"]
    return section


def test_a_step_with_a_layer_and_one_without() -> None:
    config = image_config.scratch(PLATFORM)
    first = image_config.with_step(config, Step("2020-01-01T00:00:00Z", "COPY x", comment="c"), ID)
    second = image_config.with_step(first, Step("2020-01-01T00:00:01Z", "CMD", author="me"))
    assert config["history"] == [], "changed in place"
    assert second["rootfs"] == {"type": "layers", "diff_ids": [ID]}
    assert second["history"] == [
        {"created": "2020-01-01T00:00:00Z", "created_by": "COPY x", "comment": "c"},
        {
            "created": "2020-01-01T00:00:01Z",
            "created_by": "CMD",
            "author": "me",
            "empty_layer": True,
        },
    ]
    assert (second["created"], second["author"]) == ("2020-01-01T00:00:01Z", "me")


def test_what_docker_notes_of_the_base_images_making_goes() -> None:
    base = {**image_config.scratch(PLATFORM), "container": "x", "os.version": "1", "history": None}
    made = image_config.with_step(base, Step("2020-01-01T00:00:00Z", ""), ID)
    assert "container" not in made
    assert made["os.version"] == "1"
    assert made["history"] == [{"created": "2020-01-01T00:00:00Z"}]


def test_layers_that_no_history_tells_of_get_a_row_each() -> None:
    base = image_config.scratch(PLATFORM)
    base["rootfs"]["diff_ids"] = [ID, OTHER]
    base["history"] = [{"created_by": "one"}, {"created_by": "x", "empty_layer": True}]
    made = image_config.with_step(base, Step("2020-01-01T00:00:00Z", "new"), ID)
    rows = [row.get("created_by", "") for row in made["history"]]
    assert rows == ["", "one", "x", "new"]
    del base["history"]
    again = image_config.with_step({**base, "created": "2019"}, Step("2020", "new"))
    assert again["history"][:2] == [{"created": "2019"}] * 2
    assert len(again["history"]) == 3
    odd = image_config.with_step({**base, "history": ["odd", 1]}, Step("2020", "new"))
    assert odd["history"][2:] == again["history"][2:]


def test_squashing_leaves_one_layer_and_the_settings() -> None:
    config = image_config.with_changes(
        image_config.scratch(PLATFORM), [image_config.env({"A": "b"})]
    )
    config = image_config.with_step(config, Step("2020-01-01T00:00:00Z", "one"), ID)
    made = image_config.squashed(config, Step("2021-01-01T00:00:00Z", "all"), OTHER)
    assert made["rootfs"]["diff_ids"] == [OTHER]
    assert [row["created_by"] for row in made["history"]] == ["all"]
    assert made["config"] == {"Env": ["A=b"]}


def test_the_bytes_do_not_depend_on_the_order_of_keys() -> None:
    one = image_config.canonical({"b": [1, "é"], "a": {"d": 1, "c": 2}})
    assert one == image_config.canonical({"a": {"c": 2, "d": 1}, "b": [1, "é"]})
    assert json.loads(one) == {"a": {"c": 2, "d": 1}, "b": [1, "é"]}
    assert digest.is_digest(digest.of(one))


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1_700_000_000_123_456_789, "2023-11-14T22:13:20.123456789Z"),
        (1_700_000_000_500_000_000, "2023-11-14T22:13:20.5Z"),
        (-1_000_000_000, "1969-12-31T23:59:59Z"),
    ],
)
def test_times(nanoseconds: int, text: str) -> None:
    assert image_config.created_text(nanoseconds) == text


def test_env_replaces_in_place_and_adds_at_the_end() -> None:
    section = section_after(
        image_config.env({"A": "1", "B": "2"}), image_config.env({"A": "x=y", "C": ""})
    )
    assert section["Env"] == ["A=x=y", "B=2", "C="]


def test_labels_ports_and_volumes_add_up() -> None:
    section = section_after(
        image_config.label({"a": "1"}), image_config.label({"b": "2", "a": "3"}),
        image_config.expose(["80/tcp"]), image_config.expose(["53/udp"]),
        image_config.volume(["/a"]), image_config.volume(["/b"]),
    )  # fmt: skip
    assert section == {
        "Labels": {"a": "3", "b": "2"},
        "ExposedPorts": {"80/tcp": {}, "53/udp": {}},
        "Volumes": {"/a": {}, "/b": {}},
    }


def test_an_entrypoint_drops_the_command_that_was_meant_for_another() -> None:
    before = image_config.cmd(["a"])
    assert "Cmd" not in section_after(before, image_config.entrypoint(["e"]))
    kept = section_after(before, image_config.entrypoint(["e"], keep_cmd=True))
    assert kept == {"Cmd": ["a"], "Entrypoint": ["e"]}


@pytest.mark.parametrize(
    ("folder", "path", "expected"),
    [
        ("", "app", "/app"), (None, "/app/", "/app"), ("/a", "b/../c", "/a/c"),
        ("/a", "/b", "/b"), ("/a", "../../..", "/"), ("/", ".", "/"),
    ],
)  # fmt: skip
def test_relative_working_directories(folder: str | None, path: str, expected: str) -> None:
    assert image_config.joined(folder, path) == expected


def test_the_rest_of_the_settings() -> None:
    section = section_after(
        image_config.user("1:2"), image_config.workdir("a"), image_config.workdir("b"),
        image_config.stop_signal("SIGINT"), image_config.shell(["/bin/ash", "-c"]),
        image_config.onbuild("RUN a"), image_config.onbuild("RUN b"),
        image_config.healthcheck({"Test": ["NONE"]}),
    )  # fmt: skip
    assert section == {
        "User": "1:2", "WorkingDir": "/a/b", "StopSignal": "SIGINT", "Shell": ["/bin/ash", "-c"],
        "OnBuild": ["RUN a", "RUN b"], "Healthcheck": {"Test": ["NONE"]},
    }  # fmt: skip
    assert image_config.in_shell(section, "echo hi") == ["/bin/ash", "-c", "echo hi"]
    assert image_config.in_shell({}, "x") == ["/bin/sh", "-c", "x"]
    assert "OnBuild" not in image_config.without_onbuild(section)
