from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rootless import config
from rootless.errors import UsageError
from rootless.image import registries_config
from rootless.model import reference as references

CHECKOUT = Path(__file__).parents[3]


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """The system's, the user's and $RL_CONFIG's directory, empty and the test's own."""
    made = {name: tmp_path / name for name in ("system", "user/rl", "extra")}
    for path in made.values():
        path.mkdir(parents=True)
    monkeypatch.setattr(config, "SYSTEM_FOLDER", str(made["system"]))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "user"))
    monkeypatch.setenv("RL_CONFIG", str(made["extra"]))
    return made


def test_later_files_win(folders: dict[str, Path]) -> None:
    for name in ("system", "user/rl", "extra"):
        text = f'unqualified-search-registries = ["{name[:4]}.io"]'
        (folders[name] / "registries.toml").write_text(text)
        found = registries_config.candidates(references.parse("a"))
        assert [one.name for one in found] == [f"{name[:4]}.io/a:latest"]


def test_local_names_start_with_what_was_built_here(folders: dict[str, Path]) -> None:
    found = registries_config.local_candidates(references.parse("a"))
    assert [one.name for one in found] == ["localhost/a:latest", "docker.io/library/a:latest"]


def test_a_mistake_names_the_file(folders: dict[str, Path]) -> None:
    path = folders["user/rl"] / "registries.toml"
    path.write_text("[[registry]\n")
    with pytest.raises(UsageError, match=f"{path}: .*line 1"):
        registries_config.load()


def test_the_shipped_file_says_only_comments(folders: dict[str, Path]) -> None:
    shipped = (CHECKOUT / "config" / "registries.toml").read_text()
    (folders["system"] / "registries.toml").write_text(shipped)
    code = (
        "import sys; from rootless import config;"
        "from rootless.image import registries_config as c;"
        f"config.SYSTEM_FOLDER = {str(folders['system'])!r};"
        "assert c.load().search == ['docker.io'];"
        "print([name for name in ('tomllib', 'tomli', 'http', 'typing') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_its_examples_are_right(folders: dict[str, Path]) -> None:
    shipped = (CHECKOUT / "config" / "registries.toml").read_text()
    lines = [line.removeprefix("# ") for line in shipped.splitlines()]
    wanted = [one for one in lines if one.startswith("[") or '" = "' in one or " = " in one]
    examples = [one for one in wanted if not one[0].isupper()]
    (folders["system"] / "registries.toml").write_text("\n".join(examples))
    found = registries_config.load()
    assert found.aliases == {"tools": "registry.example.org/team/tools"}
    assert [one.location for one in found.registries["docker.io"].mirrors] == [
        "mirror.example.org/hub"
    ]
