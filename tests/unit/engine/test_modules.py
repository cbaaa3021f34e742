"""What the site gives to containers: default binds and variables, and site modules."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from rootless import config
from rootless.engine import modules, policy
from rootless.errors import NotFoundError, UsageError
from rootless.model.container import ContainerSpec
from rootless.model.mountspec import MountSpec

HELPERS = Path(__file__).parents[3] / "helpers/modules"
Write = Callable[[str, str], None]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes a file of the administrator's; the user's are in the folder `user`."""
    folder, user = tmp_path / "etc", tmp_path / "user"
    monkeypatch.setattr(config, "SYSTEM_FOLDER", str(folder))
    monkeypatch.setenv("RL_CONFIG", str(user))
    monkeypatch.setenv("XDG_CONFIG_HOME", "/nonexistent")
    (folder / "modules").mkdir(parents=True)
    (user / "modules").mkdir(parents=True)

    def write(name: str, text: str) -> None:
        path = user / name.removeprefix("user/") if name.startswith("user/") else folder / name
        path.write_text(text)

    return write


def applied(
    *asked: str,
    spec: ContainerSpec | None = None,
    without: tuple[str, ...] = (),
    no_mount: tuple[str, ...] = (),
    **environ: str,
) -> ContainerSpec:
    spec = spec or ContainerSpec(image="x")
    modules.apply(spec, asked, without, no_mount, environ)
    return spec


def targets(spec: ContainerSpec) -> list[tuple[str, str]]:
    return [(mount.source, mount.target) for mount in spec.mounts]


def test_binds(site: Write, tmp_path: Path) -> None:
    (tmp_path / "sw").mkdir()
    site("containers.toml", f'binds = ["{tmp_path}", "{tmp_path}/sw:/sw:ro", "/nowhere"]')
    spec = applied()
    assert targets(spec) == [(str(tmp_path), str(tmp_path)), (f"{tmp_path}/sw", "/sw")]
    assert spec.mounts[1].options == ("ro",)
    assert spec.given == [str(tmp_path), "/sw"]
    assert targets(applied(no_mount=("/sw/",))) == [(str(tmp_path), str(tmp_path))]
    assert targets(applied(no_mount=("bind-paths",))) == []


def test_the_users_own_mount_stays(site: Write, tmp_path: Path) -> None:
    site("containers.toml", f'binds = ["{tmp_path}:/data"]')
    own = ContainerSpec(image="x", mounts=[MountSpec("tmpfs", "", "/data")])
    assert targets(applied(spec=own)) == [("", "/data")]
    assert own.given == []


def test_a_users_file_says_otherwise(site: Write, tmp_path: Path) -> None:
    site("containers.toml", f'binds = ["{tmp_path}:/a"]\nenv = ["A=1"]')
    site("user/containers.toml", f'binds = ["{tmp_path}:/b"]')
    spec = applied()
    assert targets(spec) == [(str(tmp_path), "/b")]
    assert spec.given == []  # which a rule about binds does not let through
    assert spec.env == {"A": "1"}


def test_variables(site: Write) -> None:
    site("containers.toml", 'env = ["SITE=here", "LANG", "FOO*", "MISSING"]')
    spec = applied(spec=ContainerSpec(image="x", env={"SITE": "mine"}), LANG="C", FOOD="y", BAR="n")
    assert spec.env == {"SITE": "mine", "LANG": "C", "FOOD": "y"}


@pytest.mark.parametrize(
    "text",
    ['binds = ["relative"]', 'binds = ["/tmp:relative"]', 'binds = ["/tmp:/x:what"]',
     'binds = "/tmp"', 'binds = ["/:/"]'],
)  # fmt: skip
def test_mistakes_in_binds(site: Write, text: str, tmp_path: Path) -> None:
    site("containers.toml", text)
    with pytest.raises(UsageError, match=r"etc/containers\.toml: binds"):
        applied()


MODULE = """
when = {{ env = "JOB" }}
conflicts = ["other"]
env = {{ SET = "1" }}
pass_env = ["JOB*"]
binds = ["{folder}/lib*.so", "$JOB_DIR", "$UNSET/x"]
devices = ["/dev/nul*", "/dev/nothing*"]
namespaces = ["ipc", "network"]
userns = "keep-id"
keep_groups = true
"""


def test_a_module(site: Write, tmp_path: Path) -> None:
    for name in ("liba.so", "libb.so", "c.so"):
        (tmp_path / name).touch()
    site("modules/mpi.toml", MODULE.format(folder=tmp_path))
    spec = applied("mpi", JOB_DIR="/tmp", JOB="5", OTHER="x")
    assert spec.env == {"JOB": "5", "JOB_DIR": "/tmp", "SET": "1"}
    assert targets(spec) == [
        (f"{tmp_path}/liba.so", f"{tmp_path}/liba.so"),
        (f"{tmp_path}/libb.so", f"{tmp_path}/libb.so"),
        ("/tmp", "/tmp"),
    ]
    assert [device.source for device in spec.devices] == ["/dev/null"]
    assert (spec.ipc, spec.network, spec.pid, spec.userns) == ("host", "host", "", "keep-id")
    assert spec.group_add == ["keep-groups"]
    # What an environment variable says is not the administrator's word.
    assert "/tmp" not in spec.given
    assert f"{tmp_path}/liba.so" in spec.given


def test_flags_are_stronger_than_a_module(site: Write, tmp_path: Path) -> None:
    site("modules/mpi.toml", MODULE.format(folder=tmp_path))
    wish = ContainerSpec(image="x", ipc="private", network="none", userns="auto", group_add=["5"],
                         env={"SET": "2"})  # fmt: skip
    spec = applied("mpi", spec=wish)
    assert (spec.ipc, spec.network, spec.userns) == ("private", "none", "auto")
    assert (spec.group_add, spec.env) == (["5"], {"SET": "2"})


@pytest.mark.parametrize(
    ("environ", "without", "is_used"),
    [({"JOB": "1"}, (), True), ({}, (), False), ({"JOB": "1"}, ("mpi",), False),
     ({"JOB": "1"}, ("all",), False), ({"JOB": "1"}, ("other",), True)],
)  # fmt: skip
def test_a_listed_module_is_used_when_its_condition_holds(
    site: Write, environ: dict[str, str], without: tuple[str, ...], *, is_used: bool
) -> None:
    site("modules/mpi.toml", 'when = { env = "JOB" }\nenv = { USED = "1" }')
    site("containers.toml", 'modules = ["mpi"]')
    assert ("USED" in applied(without=without, **environ).env) is is_used


def test_a_condition_on_a_path(site: Write, tmp_path: Path) -> None:
    site("modules/gpu.toml", f'when = {{ path = "{tmp_path}/nv*" }}\nenv = {{ USED = "1" }}')
    site("containers.toml", 'modules = ["gpu"]')
    assert applied().env == {}
    (tmp_path / "nvidia0").touch()
    assert applied().env == {"USED": "1"}


def test_a_module_that_is_not_listed_is_for_who_asks(site: Write) -> None:
    site("modules/mpi.toml", 'env = { USED = "1" }')
    site("containers.toml", "")
    assert applied().env == {}
    assert applied("mpi").env == {"USED": "1"}


def test_conflicts(site: Write) -> None:
    site("modules/a.toml", 'conflicts = ["b"]\nenv = { A = "1" }')
    site("modules/b.toml", 'env = { B = "1" }')
    with pytest.raises(UsageError, match="--module a: conflicts with b"):
        applied("a", "b")
    # What is added by itself gives way.
    site("containers.toml", 'modules = ["a"]')
    assert applied("b").env == {"B": "1"}


@pytest.mark.parametrize("name", ["missing", "../modules/a", "", ".", "a/b"])
def test_no_such_module(site: Write, name: str) -> None:
    site("modules/a.toml", "")
    with pytest.raises(NotFoundError, match="no such module"):
        applied(name)


@pytest.mark.parametrize(
    ("text", "said"),
    [("bind = []", "bind: there is no such key"), ('binds = "x"', "binds: not a list"),
     ('namespaces = ["net"]', "namespaces: net"), ("keep_groups = 1", "keep_groups"),
     ("when = { env = 5 }", "when: env"), ('when = { host = "x" }', "when: host"),
     ("env = { A = 1 }", "env: A: not a text"), ("env = []", "env: not a table"),
     ('devices = ["/etc/shadow"]', "not below /dev"), ("userns = 5", "userns")],
)  # fmt: skip
def test_mistakes_in_a_module(site: Write, text: str, said: str) -> None:
    site("modules/a.toml", text)
    with pytest.raises(UsageError) as caught:
        applied("a")
    assert "etc/modules/a.toml: " in caught.value.message
    assert said in caught.value.message


def test_binds_of_the_site_and_a_rule_about_binds(site: Write, tmp_path: Path) -> None:
    site("rl.toml", '[policy]\nbind_sources = ["/nowhere"]')
    site("containers.toml", f'binds = ["{tmp_path}:/data"]')
    policy.enforce(applied())
    site("user/containers.toml", f'binds = ["{tmp_path}:/data"]')
    with pytest.raises(UsageError, match="not allowed here"):
        policy.enforce(applied())


def test_the_examples_can_be_read(site: Write) -> None:
    found = sorted(path.stem for path in HELPERS.glob("*.toml"))
    assert found == ["mpich", "nvidia", "openmpi-pmix", "rocm"]
    for name in found:
        site(f"modules/{name}.toml", (HELPERS / f"{name}.toml").read_text())
        module = modules.load(name)
        assert module.description
        assert module.when
        assert set(module.conflicts) <= set(found)
    assert modules.names() == found
