"""What an administrator's /etc/rl changes: where things live, and what users may do."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rootless.kernel import libc
from rootless.tools import idmap
from tests.user.run import site_config

Write = Callable[..., None]


@pytest.fixture
def site(rl: Any, short_dir: Path) -> Write:
    """Writes rl.toml, or another file of /etc/rl, which `rl` reads from then on."""
    folder = short_dir / "etc"
    folder.mkdir()
    rl.argv = site_config.argv(folder)

    def write(text: str, name: str = "rl.toml") -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)

    return write


def store_of(rl: Any) -> Any:
    return json.loads(rl("info", "--format", "{{json .store}}").stdout)


def test_a_store_where_the_site_wants_it(
    rl: Any, site: Write, short_dir: Path, busybox_image: str
) -> None:
    import os
    import pwd

    site(f'store = "{short_dir}/$USER-$UID/rl"\nruntime = "{short_dir}/run"\n')
    user = pwd.getpwuid(os.geteuid()).pw_name
    expected = f"{short_dir}/{user}-{os.geteuid()}/rl"
    rl.env.update(RL_ROOT="", RL_RUNTIME_DIR="", USER="somebody-else")
    assert rl("run", "--rm", "--net", "none", busybox_image, "echo", "there").stdout == "there\n"
    assert (store_of(rl)["root"], store_of(rl)["runtime"]) == (expected, f"{short_dir}/run")
    assert Path(expected).stat().st_mode & 0o777 == 0o700
    # Who asks for another one gets it.
    rl.env["RL_ROOT"] = str(rl.root)
    assert store_of(rl)["root"] == str(rl.root)


def test_a_users_own_file_is_stronger(rl: Any, site: Write, short_dir: Path) -> None:
    site(f'store = "{short_dir}/sites"\n')
    own = rl.home / ".config/rl/rl.toml"
    own.parent.mkdir(parents=True)
    own.write_text(f'store = "{short_dir}/mine"\n')
    rl.env["RL_ROOT"] = ""
    assert store_of(rl)["root"] == f"{short_dir}/mine"
    own.write_text("[policy]\nprivileged = true\n")
    said = rl("info", code=None).stderr
    assert f"{own}: policy: is for the administrator's file to say" in said


def test_one_place_for_everything(
    rl: Any, site: Write, short_dir: Path, busybox_image: str
) -> None:
    site(f'store = "{short_dir}/s"\nruntime = "{short_dir}/r"\n[policy]\nother_places = false\n')
    # The very same, by name, is no other place.
    rl("run", "--rm", "--net", "none", busybox_image, "true")
    for name in ("RL_ROOT", "RL_RUNTIME_DIR"):
        done = rl("images", env={name: f"{short_dir}/x"}, code=125)
        assert f"{name}: {short_dir}/x: {short_dir}/etc/rl.toml allows only" in done.stderr
    done = rl("--root", f"{short_dir}/x", "images", code=125)
    assert "allows only" in done.stderr
    assert not (short_dir / "x").exists()
    # A detached container has a supervisor, which starts it anew under the same rules.
    rl("run", "-d", "--name", "c", "--net", "none", busybox_image, "sleep", "100")
    rl("restart", "-t", "0", "c")
    rl("rm", "-f", "c")


def test_a_store_of_somebody_else_is_none(rl: Any, site: Write) -> None:
    site('store = "/usr"\n')
    rl.env["RL_ROOT"] = ""
    done = rl("images", code=None)
    assert done.returncode != 0
    assert "/usr: cannot hold a store: it belongs to uid 0" in done.stderr


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("privileged = false", ["run", "--rm", "--privileged", "IMAGE", "true"]),
        ("privileged = false", ["create", "--privileged", "IMAGE", "true"]),
        ("privileged = false", ["run", "--dry-run", "--privileged", "IMAGE", "true"]),
        ('networks = ["none"]', ["run", "--rm", "--network", "host", "IMAGE", "true"]),
        ('bind_sources = ["/srv"]', ["run", "--rm", "-v", "/etc:/x", "IMAGE", "true"]),
        ('bind_sources = ["/srv"]', ["run", "--rm", "--rootfs", "/usr", "true"]),
        ('max_memory = "64m"', ["run", "--rm", "--memory", "65m", "IMAGE", "true"]),
        ("max_cpus = 0.5", ["run", "--rm", "--cpus", "0.6", "IMAGE", "true"]),
        ("build = false", ["build", "."]),
    ],
    ids=lambda part: part if isinstance(part, str) else part[0],
)
def test_what_is_forbidden(
    rl: Any, site: Write, busybox_image: str, rule: str, words: list[str]
) -> None:
    site(f"[policy]\n{rule}\n")
    done = rl(*[busybox_image if word == "IMAGE" else word for word in words], code=125)
    assert "not allowed here (" in done.stderr
    assert rule.partition(" ")[0] in done.stderr
    assert rl("ps", "-aq").stdout == ""


def test_no_users_file_allows_it_again(rl: Any, site: Write, busybox_image: str) -> None:
    site("[policy]\nprivileged = false\n")
    rl.env["RL_CONFIG"] = str(rl.home / "c")
    (rl.home / "c").mkdir()
    (rl.home / "c/rl.toml").write_text("[policy]\nprivileged = true\n")
    done = rl("run", "--rm", "--privileged", busybox_image, "true", code=125)
    assert "policy: is for the administrator's file to say" in done.stderr
    (rl.home / "c/rl.toml").write_text("")
    done = rl("run", "--rm", "--privileged", busybox_image, "true", code=125)
    assert "--privileged: not allowed here" in done.stderr


def test_a_container_from_before_the_rule(rl: Any, site: Write, busybox_image: str) -> None:
    rl("create", "--name", "old", "--privileged", "--net", "none", busybox_image, "true")
    rl("run", "-d", "--name", "live", "--net", "none", busybox_image, "sleep", "100")
    site("[policy]\nprivileged = false\n")
    assert "--privileged: not allowed here" in rl("start", "old", code=None).stderr
    said = rl("exec", "--privileged", "live", "true", code=None).stderr
    assert "--privileged: not allowed here" in said
    rl("exec", "live", "true")
    site("[policy]\nmax_memory = '64m'\n")
    said = rl("update", "--memory", "65m", "live", code=None).stderr
    assert "--memory 65m: not allowed here" in said
    rl("rm", "-f", "live", "old")


def test_the_first_network_is_the_default(rl: Any, site: Write, busybox_image: str) -> None:
    site('[policy]\nnetworks = ["none"]\n')
    rl("run", "--name", "c", busybox_image, "true")
    shown = rl("inspect", "--format", "{{.HostConfig.NetworkMode}}", "c").stdout
    assert shown == "none\n"
    rl("rm", "c")


@pytest.mark.parametrize(("words", "limit"), [([], "64m"), (["--memory", "32m"], "32m")])
def test_limits_of_the_site(
    rl: Any, site: Write, busybox_image: str, words: list[str], limit: str
) -> None:
    site('[policy]\nmax_memory = "64m"\n')
    done = rl("run", "--dry-run", *words, busybox_image, "true", code=None)
    if done.returncode:
        # A host without limits for users: nothing runs, rather than without them.
        assert f"--memory {limit}: this host" in done.stderr
    else:
        memory = json.loads(done.stdout)["linux"]["resources"]["memory"]
        assert memory["limit"] == int(limit[:-1]) << 20


def test_so_many_containers_at_the_same_time(rl: Any, site: Write, busybox_image: str) -> None:
    site("[policy]\nmax_containers = 1\n")
    rl("run", "-d", "--name", "first", "--net", "none", busybox_image, "sleep", "100")
    done = rl("run", "--rm", "--net", "none", busybox_image, "true", code=125)
    assert "1 containers run already, and no more are allowed here" in done.stderr
    # In another store it is the same user on the same node.
    done = rl("run", "--rm", "--net", "none", "localhost/busybox", "true",
              env={"RL_ROOT": f"{rl.root}2"}, code=125)  # fmt: skip
    assert "no more are allowed here" in done.stderr
    rl("rm", "-f", "first")
    rl("run", "--rm", "--net", "none", busybox_image, "true")
    assert rl("ps", "-aq").stdout == ""


def test_registries_and_mirrors(rl: Any, site: Write, registry: Any, short_dir: Path) -> None:
    site(f'[policy]\nregistries = ["{registry.host}/team"]\n')
    done = rl("pull", "docker.io/library/alpine", code=125)
    assert "docker.io/library/alpine: not allowed here" in done.stderr
    # A user's file cannot lead the allowed name elsewhere.
    own = rl.home / ".config/rl/registries.toml"
    own.parent.mkdir(parents=True)
    own.write_text(
        f'[[registry]]\nprefix = "{registry.host}/team"\nlocation = "{registry.host}/other"\n'
    )
    done = rl("pull", f"{registry.host}/team/x", code=125)
    assert f"{registry.host}/other/x: not allowed here" in done.stderr
    own.unlink()
    rl("pull", f"{registry.host}/other/x", code=125)
    done = rl("pull", f"{registry.host}/team/x", code=None)
    assert "not allowed" not in done.stderr
    assert done.returncode != 0  # there is none


def test_a_mistake_in_the_file_is_told(rl: Any, site: Write) -> None:
    site("[policy]\nprivilege = false\n")
    done = rl("images", code=125)
    assert "policy: privilege: there is no such key" in done.stderr
    site("[policy\n")
    assert "rl.toml" in rl("images", code=125).stderr


def test_binds_and_variables_of_the_site(
    rl: Any, site: Write, short_dir: Path, busybox_image: str
) -> None:
    (short_dir / "data").mkdir()
    (short_dir / "data/f").write_text("of the host\n")
    site(f'binds = ["{short_dir}/data", "{short_dir}/data:/sw:ro", "/nowhere"]\nenv = ["S=1"]\n',
         "containers.toml")  # fmt: skip
    script = f"cat {short_dir}/data/f /sw/f; echo $S; touch /sw/x"
    run = ["run", "--rm", "--net", "none"]
    done = rl(*run, busybox_image, "sh", "-c", script, code=1)
    assert done.stdout == "of the host\nof the host\n1\n"
    assert "Read-only file system" in done.stderr
    done = rl(*run, "--no-mount", "/sw", "-e", "S=2", busybox_image, "sh", "-c",
              "ls -d /sw; echo $S")  # fmt: skip
    assert done.stdout == "2\n"
    done = rl(*run, "--no-mount", "bind-paths", busybox_image, "ls", f"{short_dir}", code=1)
    assert done.stdout == ""
    # A container keeps what it was made with, also under a rule about binds.
    rl("create", "--name", "c", "--net", "none", busybox_image, "cat", "/sw/f")
    site("", "containers.toml")
    site('[policy]\nbind_sources = ["/srv"]\n')
    assert rl("start", "-a", "c").stdout == "of the host\n"
    rl("rm", "c")


def test_a_module_for_a_job(rl: Any, site: Write, short_dir: Path, busybox_image: str) -> None:
    site((site_config.CHECKOUT / "helpers/modules/openmpi-pmix.toml").read_text(),
         "modules/openmpi-pmix.toml")  # fmt: skip
    site('modules = ["openmpi-pmix"]\n', "containers.toml")
    (short_dir / "pmix").mkdir()
    job = {"PMIX_RANK": "0", "PMIX_SERVER_TMPDIR": f"{short_dir}/pmix", "SLURM_JOB_ID": "7"}
    script = f"id -u; hostname; echo $SLURM_JOB_ID; echo made > {short_dir}/pmix/f"
    done = rl("run", "--rm", busybox_image, "sh", "-c", script, env=job)
    import os

    assert done.stdout.splitlines() == [str(os.geteuid()), os.uname().nodename, "7"]
    assert (short_dir / "pmix/f").read_text() == "made\n"
    assert (short_dir / "pmix/f").stat().st_uid == os.geteuid()
    # Outside of a job nothing changes, and in one it can be left out.
    for words, env in (([], {}), (["--no-module", "all"], job)):
        done = rl("run", "--rm", "--net", "none", *words, busybox_image, "sh", "-c",
                  "id -u; echo $SLURM_JOB_ID", env=env)  # fmt: skip
        assert done.stdout == "0\n\n"


def test_modules_are_listed(rl: Any, site: Write) -> None:
    site('description = "A thing"\nwhen = { env = "JOB" }\n', "modules/thing.toml")
    site('modules = ["thing"]\n', "containers.toml")
    assert rl("module", "ls").stdout.splitlines()[1].split()[:2] == ["thing", "no"]
    assert rl("module", "ls", env={"JOB": "1"}).stdout.splitlines()[1].split()[:2] == [
        "thing",
        "yes",
    ]
    (document,) = json.loads(rl("module", "inspect", "thing").stdout)
    assert document["description"] == "A thing"
    assert "no such module" in rl("module", "inspect", "other", code=125).stderr


def test_a_device_by_name(rl: Any, site: Write, short_dir: Path, busybox_image: str) -> None:
    (short_dir / "lib").mkdir()
    (short_dir / "lib/f").write_text("driver\n")
    edits = {
        "env": ["GPU=zero"], "deviceNodes": [{"path": "/dev/gpu0", "hostPath": "/dev/zero"}],
        "mounts": [{"hostPath": f"{short_dir}/lib", "containerPath": "/gpu", "options": ["ro"]}],
    }  # fmt: skip
    document = {"cdiVersion": "0.6.0", "kind": "v.com/gpu",
                "devices": [{"name": "all", "containerEdits": edits}]}  # fmt: skip
    site(json.dumps(document), "cdi/v.json")
    script = "echo $GPU; head -c 2 /dev/gpu0 | od -An -tx1; cat /gpu/f; touch /gpu/x"
    done = rl("run", "--rm", "--net", "none", "--device", "v.com/gpu=all", busybox_image,
              "sh", "-c", script, code=1)  # fmt: skip
    assert done.stdout.split() == ["zero", "00", "00", "driver"]
    assert "Read-only file system" in done.stderr
    done = rl("run", "--rm", "--device", "v.com/gpu=1", busybox_image, "true", code=125)
    assert "no such device; there is v.com/gpu=all" in done.stderr


def test_a_real_etc_rl(rl: Any, short_dir: Path, busybox_image: str) -> None:
    """Without the change to the program: /etc/rl is laid over the host's /etc, in a mount
    namespace, where this user is root. No variable leads away from it."""
    (short_dir / "over/rl").mkdir(parents=True)
    (short_dir / "over/rl/rl.toml").write_text("[policy]\nprivileged = false\n")
    rl.env["RL_CONFIG"] = rl.env["XDG_CONFIG_HOME"] = f"{short_dir}/mine"

    def inside() -> list[str]:
        libc.unshare(libc.CLONE_NEWNS)
        options = f"lowerdir={short_dir}/over:/etc"
        libc.mount("overlay", "/etc", "overlay", libc.MS_RDONLY, options)
        run = ["run", "--rm", "--net", "none"]
        refused = rl(*run, "--privileged", busybox_image, "true", code=125)
        return [refused.stderr, rl(*run, busybox_image, "echo", "runs").stdout]

    refused, said = idmap.call(inside)
    assert "--privileged: not allowed here (/etc/rl/rl.toml: privileged = false)" in refused
    assert said == "runs\n"


def test_the_shipped_file_says_nothing_and_costs_nothing(rl: Any, site: Write) -> None:
    shipped = site_config.CHECKOUT / "config/rl.toml"
    site(shipped.read_text())
    done = subprocess.run(
        [rl.argv[0], "-X", "importtime", *rl.argv[1:], "images"],
        env=rl.env, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "tomllib" not in done.stderr
    lines = [line.removeprefix("# ") for line in shipped.read_text().splitlines()]
    keys = [line.partition("  #")[0] for line in lines if " = " in line or line == "[policy]"]
    site("\n".join(keys))
    said = rl("--root", str(rl.root), "images", code=None).stderr
    assert "/scratch/" in said  # where the example has the store, which nobody could make here
