"""rl ps and rl inspect with docker's templates and filters, on containers that ran or run."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.user.conftest import Rl
from tests.user.run.conftest import Background
from tests.user.run.run_images import ImageMaker

Start = Callable[..., Background]


def lines(rl: Rl, *arguments: str) -> list[str]:
    return rl("ps", *arguments).stdout.splitlines()


def test_a_running_container(rl: Rl, background: Start, busybox_image: str) -> None:
    one = background(
        "echo x > /file; echo up; sleep 60", "--net=none", "--name=box", "--label=app=web",
        "-v=data:/v", rm=False,
    )  # fmt: skip
    form = '{{.Names}} {{.State}} {{.Networks}} {{.Mounts}} {{.Label "app"}} {{.Labels}}'
    (shown,) = lines(rl, "--format", form)
    assert shown.startswith("box running none data web app=web,org.opencontainers.image.title=")
    (status,) = lines(rl, "--format={{.Status}}")
    assert status.startswith("Up ") or status == "Up Less than a second"
    (size,) = lines(rl, "--size", "--format={{.Size}}")
    own, virtual = size.removesuffix(")").split(" (virtual ")
    assert own == "2B" and virtual.endswith("B")
    assert lines(rl, "-q", "--filter", "label=app") == lines(rl, "--format={{.ID}}")
    assert lines(rl, "-q", "--filter", "label=app=db") == []
    pid = rl("inspect", "--format", "{{ .State.Pid }}", "box").stdout
    assert int(pid) == one.pid("init")
    form = '{{range .Mounts}}{{.Name}}:{{.Destination}} {{end}}{{index .Config.Labels "none"}}|'
    assert rl("inspect", "-f", form, "box").stdout == "data:/v |\n"
    one.end()
    rl("rm", "--force", "box")


def test_labels_of_the_image_are_the_containers(rl: Rl, images: ImageMaker) -> None:
    image = images(config={"Labels": {"of": "image", "both": "image"}})
    rl("create", "--name=box", "--net=none", "--label=both=own", image)
    form = "{{json .Config.Labels}}"
    labels = json.loads(rl("inspect", "-f", form, "box").stdout)
    assert labels == {"of": "image", "both": "own"}
    assert lines(rl, "-a", "--filter=label=of=image", "--format={{.Names}}") == ["box"]
    assert lines(rl, "-a", "--filter=label=both=image", "-q") == []


def test_a_command_is_written_as_docker_writes_it(rl: Rl, busybox_image: str) -> None:
    rl("create", "--name=box", "--net=none", busybox_image, "sh", "-c", 'echo "a b"', "x")
    (shown,) = lines(rl, "-a", "--no-trunc", "--format={{.Command}}")
    assert shown == r""" "sh -c 'echo \"a b\"' x" """.strip()


@pytest.fixture
def ended(rl: Rl, busybox_image: str) -> None:
    """Three containers, oldest first: one and two ended, three never ran."""
    start = ["run", "--net=none", "--name"]
    rl(*start, "one", "--label=l=1", busybox_image, "sh", "-c", "exit 3", code=3)
    rl(*start, "two", "-v=/anonymous", "-e=KEY=text", busybox_image, "true")
    rl(*start, "three", busybox_image, "no-such-command", code=127)


def test_filters_and_order(rl: Rl, ended: None, busybox_image: str) -> None:
    names = "--format={{.Names}}"
    assert lines(rl, names) == []
    assert lines(rl, "-a", names) == ["three", "two", "one"]
    assert lines(rl, "-l", names) == ["three"] and lines(rl, "-n=2", names) == ["three", "two"]
    assert lines(rl, names, "--filter=status=exited") == ["two", "one"]
    assert lines(rl, names, "-a", "--filter=exited=3") == ["one"]
    assert lines(rl, names, "-a", "--filter=since=one", "--filter=before=three") == ["two"]
    assert lines(rl, names, "-a", "-f", "name=^t", "-f", "status=created") == ["three"]
    assert lines(rl, names, "-a", "-f", f"ancestor={busybox_image}") == ["three", "two", "one"]
    volume = rl("volume", "ls", "-q").stdout.strip()
    assert lines(rl, names, "-a", "-f", f"volume={volume}") == ["two"]
    assert rl("volume", "ls", "-q", "-f", "dangling=true").stdout == ""
    rl("rm", "--all")


def test_the_table(rl: Rl, ended: None) -> None:
    heads, *rows = lines(rl, "-a", "--no-trunc")
    assert heads.split("  ")[0] == "CONTAINER ID" and heads.endswith("PORTS   NAMES")
    assert [row.split()[-1] for row in rows] == ["three", "two", "one"]
    assert "Exited (3) " in rows[2] and "sh -c 'exit 3'" in rows[2] and " Created " in rows[0]
    form = r"table {{.Names}}\t{{.State}}"
    assert [row.split() for row in lines(rl, "-a", "--format", form)] == [
        ["NAMES", "STATE"], ["three", "created"], ["two", "exited"], ["one", "exited"],
    ]  # fmt: skip
    shown = [json.loads(line) for line in lines(rl, "-a", "--format={{json .}}")]
    assert [row["Names"] for row in shown] == ["three", "two", "one"]
    assert "can't evaluate field Foo" in rl("ps", "-a", "--format={{.Foo}}", code=1).stderr
    rl("rm", "--all")


def test_a_document(rl: Rl, ended: None, busybox_image: str) -> None:
    (found,) = json.loads(rl("inspect", "--size", "two").stdout)
    assert "KEY=text" in found["Config"]["Env"] and found["SizeRootFs"] >= found["SizeRw"]
    assert found["Mounts"][0]["Type"] == "volume" and found["Mounts"][0]["Driver"] == "local"
    image = json.loads(rl("image", "inspect", busybox_image).stdout)[0]
    layers = rl("image", "inspect", "-f", "{{json .RootFS.Layers}}", busybox_image).stdout
    assert json.loads(layers) == image["RootFS"]["Layers"]
    assert len(found["GraphDriver"]["Data"]["LowerDir"].split(":")) == len(json.loads(layers))
    volume = found["Mounts"][0]["Name"]
    form = "{{.Name}} {{.Driver}}"
    assert rl("inspect", "--type=volume", "-f", form, volume).stdout == f"{volume} local\n"
    done = rl("inspect", "-f", "{{.Name}}", "one", "nobody", "two", code=1)
    assert done.stdout == "one\ntwo\n" and "nobody" in done.stderr
    rl("rm", "--all")
