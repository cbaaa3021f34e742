"""The image commands on a small store: two images without layers, one of them with two names."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from rootless.cli import main
from rootless.store import blobs, containers, guard, index
from rootless.store.paths import Paths

CONFIG = "application/vnd.oci.image.config.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def add_image(paths: Paths, created: str, *names: str) -> tuple[str, str]:
    """The ids of configuration and manifest of a new image."""
    document = {
        "architecture": "amd64", "os": "linux", "created": created,
        "config": {"Cmd": ["sh"], "Labels": {"kind": names[0]}},
        "rootfs": {"type": "layers", "diff_ids": []}, "history": [{"created_by": "test"}],
    }  # fmt: skip
    data = json.dumps(document).encode()
    image_id = blobs.write(paths, data)
    config = {"mediaType": CONFIG, "digest": image_id, "size": len(data)}
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": []}
    data = json.dumps(manifest).encode()
    digest = blobs.write(paths, data)
    with guard.adding(paths):
        for name in names:
            index.set_name(paths, name, digest, media_type=MANIFEST, size=len(data))
    return image_id, digest


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    (tmp_path / "r").mkdir(mode=0o700)
    monkeypatch.setenv("RL_ROOT", str(tmp_path / "s"))
    monkeypatch.setenv("RL_RUNTIME_DIR", str(tmp_path / "r"))
    paths = Paths(str(tmp_path / "s"), str(tmp_path / "r"))
    blobs.ensure_layout(paths)
    return paths


@pytest.fixture
def ids(paths: Paths) -> tuple[str, str]:
    """The image ids of one (two names) and of two (the newer one)."""
    one = add_image(paths, "2020-01-01T00:00:00Z", "docker.io/library/one:1", "quay.io/x/one:2")
    two = add_image(paths, "2024-01-01T00:00:00Z", "localhost:5000/two:latest")
    return one[0], two[0]


Capture = pytest.CaptureFixture[str]


def test_images(ids: tuple[str, str], capsys: Capture) -> None:
    one, two = (image_id[7:19] for image_id in ids)
    assert main.run_cli(["images"]) == 0
    heads, *rows = capsys.readouterr().out.splitlines()
    assert heads.split("   ")[0] == "REPOSITORY" and heads.split()[-1] == "SIZE"
    assert [row.split()[:3] for row in rows] == [
        ["localhost:5000/two", "latest", two],
        ["docker.io/library/one", "1", one],
        ["quay.io/x/one", "2", one],
    ]
    assert all(row.endswith("years ago   0B") for row in rows)


def test_images_quiet_lists_each_id_once(ids: tuple[str, str], capsys: Capture) -> None:
    one, two = ids
    assert main.run_cli(["image", "ls", "-q", "--no-trunc"]) == 0
    assert capsys.readouterr().out.split() == [two, one]


def test_images_by_name_and_as_json(ids: tuple[str, str], capsys: Capture) -> None:
    assert main.run_cli(["images", "one", "--format=json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert [row["Names"] for row in shown] == [["docker.io/library/one:1"], ["quay.io/x/one:2"]]
    assert main.run_cli(["images", "-n", "--digests", "-f", "reference=two"]) == 0
    (row,) = capsys.readouterr().out.splitlines()
    assert row.split()[2].startswith("sha256:")


def test_inspect(paths: Paths, ids: tuple[str, str], capsys: Capture) -> None:
    assert main.run_cli(["image", "inspect", "one:1"]) == 0
    (document,) = json.loads(capsys.readouterr().out)
    assert document["Id"] == ids[0]
    assert document["RepoTags"] == ["docker.io/library/one:1", "quay.io/x/one:2"]
    assert [name.partition("@")[0] for name in document["RepoDigests"]] == [
        "docker.io/library/one", "quay.io/x/one",
    ]  # fmt: skip
    assert document["RootFS"] == {"Type": "layers", "Layers": []}
    assert document["GraphDriver"] == {"Name": "overlay", "Data": {}}
    assert (document["Labels"], document["Parent"]) == ({"kind": "docker.io/library/one:1"}, "")
    assert document["Config"]["Cmd"] == ["sh"] and document["History"] == [{"created_by": "test"}]
    assert (document["Os"], document["Architecture"], document["Size"]) == ("linux", "amd64", 0)


def add_copy(paths: Paths, name: str, image_id: str) -> str:
    """Another manifest of the image, as when its layers are compressed otherwise; its digest."""
    config = {"mediaType": CONFIG, "digest": image_id, "size": 1}
    data = json.dumps({"config": config, "layers": [], "annotations": {"for": name}}).encode()
    digest = blobs.write(paths, data)
    index.set_name(paths, name, digest, media_type=MANIFEST, size=len(data))
    return digest


def test_inspect_of_an_image_with_two_manifests(
    paths: Paths, ids: tuple[str, str], capsys: Capture
) -> None:
    copy = add_copy(paths, "localhost/copy:1", ids[1])
    two = index.find(paths, "localhost:5000/two:latest")
    assert two is not None
    assert main.run_cli(["inspect", "copy:1"]) == 0
    (document,) = json.loads(capsys.readouterr().out)
    assert document["Digest"] == copy
    assert document["RepoTags"] == ["localhost:5000/two:latest", "localhost/copy:1"]
    assert document["RepoDigests"] == [
        f"localhost:5000/two@{two['digest']}", f"localhost/copy@{copy}",
    ]  # fmt: skip


def test_rmi_of_one_of_two_manifests(paths: Paths, ids: tuple[str, str], capsys: Capture) -> None:
    copy = add_copy(paths, "localhost/copy:1", ids[1])
    assert main.run_cli(["rmi", "copy:1"]) == 0
    assert capsys.readouterr().out == "Untagged: localhost/copy:1\n"
    assert not blobs.has(paths, copy) and blobs.has(paths, ids[1])


def test_rmi_by_id_means_all_manifests(
    paths: Paths, ids: tuple[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    add_copy(paths, "localhost/copy:1", ids[1])
    assert main.run_cli(["rmi", ids[1][7:19]]) == 2
    assert "several names: localhost:5000/two:latest, localhost/copy:1" in capfd.readouterr().err
    assert main.run_cli(["rmi", "-f", ids[1][7:19]]) == 0
    assert capfd.readouterr().out.splitlines() == [
        "Untagged: localhost:5000/two:latest", "Untagged: localhost/copy:1", f"Deleted: {ids[1]}",
    ]  # fmt: skip
    assert len(index.entries(paths)) == 2


def test_inspect_of_none(paths: Paths, capfd: pytest.CaptureFixture[str]) -> None:
    assert main.run_cli(["image", "inspect", "none"]) == 1
    said = capfd.readouterr()
    # As docker: an array, also of nothing.
    assert said.out == "[]\n" and "none: no such image" in said.err
    assert main.run_cli(["image", "inspect", "--format", "{{.Id}}", "none"]) == 1
    assert capfd.readouterr().out == ""


def test_inspect_tells_what_it_found_before_the_errors(
    ids: tuple[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert main.run_cli(["image", "inspect", "-f", "{{.Id}}", "none", "one:1"]) == 1
    said = capfd.readouterr()
    assert said.out == f"{ids[0]}\n" and "none: no such image" in said.err


TWO = "localhost:5000/two"


def test_image_templates(ids: tuple[str, str], capsys: Capture) -> None:
    form = "table {{.Repository}}\\t{{.Tag}}\\t{{.ID}}"
    assert main.run_cli(["images", "--format", form, "two"]) == 0
    heads, row = capsys.readouterr().out.splitlines()
    assert heads.split("   ")[0] == "REPOSITORY" and heads.endswith("TAG      IMAGE ID")
    assert row.split() == ["localhost:5000/two", "latest", ids[1][7:19]]
    assert main.run_cli(["images", "--format", "{{json .}}", "two"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["Repository"] == "localhost:5000/two" and shown["Containers"] == "N/A"
    assert shown["Size"] == "0B" and shown["CreatedSince"].endswith("years ago")
    assert main.run_cli(["image", "inspect", "-f", "{{json .RootFS.Layers}}", TWO]) == 0
    assert capsys.readouterr().out == "[]\n"
    form = '{{.Config.Cmd}} {{.Config.User}}{{.Config.Entrypoint}} {{index .Labels "kind"}}'
    assert main.run_cli(["inspect", "-f", form, "one:1"]) == 0
    assert capsys.readouterr().out == "[sh] [] docker.io/library/one:1\n"


def test_images_before_and_since(ids: tuple[str, str], capsys: Capture) -> None:
    shown = {}
    for word in ("before", "since"):
        for name in ("one:1", TWO):
            argv = ["images", "--format={{.Repository}}", "-f", f"{word}={name}"]
            assert main.run_cli(argv) == 0
            shown[word, name] = set(capsys.readouterr().out.split())
    both = {"docker.io/library/one", "quay.io/x/one"}
    assert shown["before", TWO] == both and shown["since", "one:1"] == {"localhost:5000/two"}
    assert not shown["before", "one:1"] and not shown["since", TWO]


def test_rmi_untags_then_removes(paths: Paths, ids: tuple[str, str], capsys: Capture) -> None:
    assert main.run_cli(["rmi", "one:1"]) == 0
    assert capsys.readouterr().out == "Untagged: docker.io/library/one:1\n"
    assert main.run_cli(["image", "rm", "quay.io/x/one:2"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"Deleted: {ids[0]}"
    assert not blobs.has(paths, ids[0]) and blobs.has(paths, ids[1])


def test_rmi_goes_on_after_an_error(
    paths: Paths, ids: tuple[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert main.run_cli(["rmi", "none", "localhost:5000/two"]) == 1
    said = capfd.readouterr()
    assert "none: no such image" in said.err and f"Deleted: {ids[1]}" in said.out
    assert main.run_cli(["rmi", "-f", "none"]) == 0
    assert main.run_cli(["rmi", "--ignore", "none"]) == 0


def test_rmi_of_an_image_in_use(
    paths: Paths, ids: tuple[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    two = index.find(paths, "localhost:5000/two:latest")
    assert two is not None
    Path(containers.directory(paths, "c" * 64)).mkdir(parents=True)
    record = {"id": "c" * 64, "name": "user_of_two", "manifest": two["digest"]}
    containers.write_record(paths, record)
    assert main.run_cli(["rmi", "localhost:5000/two"]) == 2
    assert "used by container user_of_two" in capfd.readouterr().err
    assert blobs.has(paths, ids[1])


def test_rmi_all(paths: Paths, ids: tuple[str, str], capsys: Capture) -> None:
    add_copy(paths, "localhost/copy:1", ids[1])
    assert main.run_cli(["rmi", "--all"]) == 0
    assert index.entries(paths) == []
    assert main.run_cli(["rmi"]) == 125


def test_rmi_before_the_first_pull(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, paths: Paths
) -> None:
    monkeypatch.setenv("RL_ROOT", str(tmp_path / "nothing"))
    assert main.run_cli(["rmi", "none"]) == 1
    assert not (tmp_path / "nothing").exists()


def test_volumes(paths: Paths, capsys: Capture) -> None:
    for name in ("b2", "a1"):
        Path(paths.volumes, name, "_data").mkdir(parents=True)
        os.utime(Path(paths.volumes, name), (1e9, 1e9))
    assert main.run_cli(["volume", "ls", "-q"]) == 0
    assert capsys.readouterr().out.split() == ["a1", "b2"]
    assert main.run_cli(["volume", "ls", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)[0] == {
        "Name": "a1", "Driver": "local", "Mountpoint": f"{paths.volumes}/a1/_data",
        "CreatedAt": "2001-09-09T01:46:40.000000Z", "Labels": {}, "Options": {}, "Scope": "local",
    }  # fmt: skip
    assert main.run_cli(["volume", "ls", "--format", "{{.Name}} {{.Scope}} {{.Links}}"]) == 0
    assert capsys.readouterr().out == "a1 local N/A\nb2 local N/A\n"
    assert main.run_cli(["volume", "ls", "-f", "name=^b", "--filter", "dangling=true"]) == 0
    assert capsys.readouterr().out.splitlines() == ["DRIVER   VOLUME NAME", "local    b2"]
    assert main.run_cli(["volume", "ls", "-q", "-f", "dangling=false"]) == 0
    assert capsys.readouterr().out == ""
    assert main.run_cli(["volume", "inspect", "-f", "{{.Mountpoint}}", "a1"]) == 0
    assert capsys.readouterr().out == f"{paths.volumes}/a1/_data\n"


def test_volume_inspect_of_none(paths: Paths, capfd: pytest.CaptureFixture[str]) -> None:
    assert main.run_cli(["volume", "inspect", "nobody", "../x"]) == 1
    said = capfd.readouterr()
    assert said.out == "[]\n" and "no such volume: nobody" in said.err
    assert "no such volume: ../x" in said.err


def test_info(paths: Paths, ids: tuple[str, str], capsys: Capture) -> None:
    assert main.run_cli(["info", "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["store"]["root"] == paths.root and document["store"]["images"] == 3
    assert set(document["helpers"]) >= {"fuse-overlayfs", "slirp4netns", "pasta", "newuidmap"}
    assert document["host"]["uid ranges"].startswith(str(os.geteuid()))
    assert main.run_cli(["info"]) == 0
    assert f"  root: {paths.root}\n" in capsys.readouterr().out


def test_docker_names_in_info_and_version(paths: Paths, capsys: Capture) -> None:
    form = "{{.OSType}} {{.Images}} {{.DockerRootDir}} {{range .SecurityOptions}}<{{.}}>{{end}}"
    assert main.run_cli(["info", "--format", form]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"linux 0 {paths.root} ") and "<name=rootless>" in shown
    form = "{{.Client.Version}}|{{.Server.Version}}|{{.Version}}"
    assert main.run_cli(["version", "--format", form]) == 0
    client, server, ours = capsys.readouterr().out.strip().split("|")
    assert client == server == ours and ours[0].isdigit()


def test_pull_of_what_is_no_reference(paths: Paths, capfd: pytest.CaptureFixture[str]) -> None:
    assert main.run_cli(["pull", "-q", "Bad"]) == 125
    assert capfd.readouterr().err.startswith("rl: error: Bad: not an image reference")
