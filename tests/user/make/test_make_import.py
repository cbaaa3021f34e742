"""`rl import`, `rl history` and `rl image tree`."""

from __future__ import annotations

import http.server
import json
import subprocess
import threading
from functools import partial
from pathlib import Path

import pytest

from rootless.store import images
from tests.user.conftest import Rl


@pytest.fixture
def rootfs(rl: Rl, busybox_image: str, work: Path) -> Path:
    rl("run", "--name=c", "--net=none", busybox_image, "sh", "-c", "echo here >/mark")
    path = work / "rootfs.tar"
    rl("export", "-o", str(path), "c")
    rl("rm", "c")
    return path


@pytest.mark.parametrize("compress", [None, "gzip", "zstd"])
def test_a_file_becomes_an_image_of_one_layer(rl: Rl, rootfs: Path, compress: str | None) -> None:
    source = rootfs
    if compress == "zstd":
        zstd = pytest.importorskip("backports.zstd")
        source = rootfs.with_suffix(".zst")
        source.write_bytes(zstd.compress(rootfs.read_bytes()))
    elif compress:
        subprocess.run([compress, "-k", str(rootfs)], check=True)
        source = rootfs.with_suffix(".tar.gz")
    done = rl("import", "-c=CMD cat /mark", "-c=ENV A=b", "-m=from afar", str(source), "made:2")
    assert rl("run", "--rm", "--net=none", "made:2").stdout == "here\n"
    (document,) = json.loads(rl("image", "inspect", "made:2").stdout)
    assert document["Id"] == done.stdout.strip()
    assert document["Comment"] == "from afar"
    assert document["Config"]["Env"] == ["A=b"]
    image = images.find(rl.paths, "localhost/made:2")
    assert image is not None
    # The archive is the layer, byte for byte.
    subprocess.run(
        f"sha256sum <{rootfs} | grep -q {image.diff_ids[0].removeprefix('sha256:')}",
        shell=True, check=True,
    )  # fmt: skip


def test_standard_input_and_another_platform(rl: Rl, rootfs: Path) -> None:
    with open(rootfs, "rb") as file:
        process = rl.popen("import", "--platform=linux/arm64/v8", "-", "arm", stdin=file,
                           stdout=subprocess.PIPE)  # fmt: skip
        image_id = process.communicate()[0].decode().strip()
    (document,) = json.loads(rl("image", "inspect", "arm").stdout)
    assert document["Id"] == image_id
    assert (document["Architecture"], document["Variant"]) == ("arm64", "v8")
    assert document["Comment"] == "Imported from -"


def test_a_url(rl: Rl, rootfs: Path) -> None:
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(rootfs.parent))
    handler.log_message = lambda *_: None  # type: ignore[attr-defined]
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        rl("import", f"{url}/rootfs.tar", "made")
        assert "HTTP 404" in rl("import", f"{url}/nothing.tar", code=125).stderr
        server.shutdown()
    assert rl("run", "--rm", "--net=none", "made", "cat", "/mark").stdout == "here\n"


def test_what_is_no_archive_leaves_nothing(rl: Rl, rootfs: Path, work: Path) -> None:
    data = rootfs.read_bytes()
    (work / "cut.tar").write_bytes(data[: len(data) // 2])
    (work / "text").write_text("no archive at all\n" * 100)
    before = rl("images", "-a", "-q", code=None).stdout
    for name in ("cut.tar", "text"):
        done = rl("import", str(work / name), code=125)
        assert name in done.stderr
        assert done.stdout == ""
    assert "no such file" in rl("import", "/nowhere", code=125).stderr
    assert rl("images", "-a", "-q", code=None).stdout == before


def test_the_history_has_a_row_for_each_step(rl: Rl, busybox_image: str) -> None:
    rl("run", "--name=c", "--net=none", busybox_image, "sh", "-c", "echo 12345 >/f")
    rl("commit", "-m=remark", "c", "one")
    rl("create", "--name=d", "one", "true")
    image_id = rl("commit", "d", "two").stdout.strip()
    rows = json.loads(rl("history", "--format=json", "two").stdout)
    assert [row["CreatedBy"] for row in rows] == [
        "true", "sh -c echo 12345 >/f", "rl: embedded image",
    ]  # fmt: skip
    assert [row["size"] for row in rows][:2] == [0, 6]
    assert [row["comment"] for row in rows] == ["", "remark", ""]
    lines = rl("history", "two").stdout.splitlines()
    assert lines[0].split() == ["IMAGE", "CREATED", "CREATED", "BY", "SIZE", "COMMENT"]
    assert lines[1].startswith(image_id[7:19])
    assert lines[2].startswith("<missing>")
    assert rl("history", "-q", "--no-trunc", "two").stdout.split() == [
        image_id, "<missing>", "<missing>",
    ]  # fmt: skip
    plain = rl("history", "-H=false", "--format={{.Size}} {{.CreatedSince}}", "two").stdout
    assert plain.splitlines()[1].startswith("6 20")
    assert "no such image" in rl("history", "nothing", code=125).stderr


def test_the_tree_tells_who_shares_a_layer(rl: Rl, busybox_image: str) -> None:
    for name in ("one", "two"):
        rl("run", f"--name={name}", "--net=none", busybox_image, "touch", f"/{name}")
        rl("commit", name, name)
    document = json.loads(rl("image", "tree", "--format=json", "one").stdout)
    low, top = document["Layers"]
    assert low["TopLayerOf"] == ["localhost/busybox:latest"]
    assert low["AlsoIn"] == ["localhost/two:latest"]
    assert (top["TopLayerOf"], top["AlsoIn"]) == (["localhost/one:latest"], [])
    lines = rl("image", "tree", "one").stdout.splitlines()
    assert lines[1] == "Tags:     [localhost/one:latest]"
    assert lines[-1].startswith(f"└── ID: {top['Id'][7:19]} Size: 0B Top Layer of: [localhost/one")
