from __future__ import annotations

import pytest

from rootless.cli import argv
from rootless.cli.cmd_run import RUN
from rootless.cli.log_flags import log_fields
from rootless.errors import UsageError


@pytest.fixture
def folder(monkeypatch, tmp_path):
    """Where containers.toml is looked for, and nothing else is."""
    monkeypatch.setenv("RL_CONFIG", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "none"))
    return tmp_path


def fields(*words):
    parsed = argv.parse(RUN, [*words, "image"])
    assert parsed is not None
    return log_fields(parsed)


def test_without_flags_it_is_files(folder):
    assert fields() == {"log_driver": "json-file", "log_opts": {}}


def test_flags(folder):
    words = ("--log-driver=k8s-file", "--log-opt=max-size=1m", "--log-opt", "max-file=2")
    options = {"max-size": "1m", "max-file": "2"}
    assert fields(*words) == {"log_driver": "json-file", "log_opts": options}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--log-driver=syslog"], "--log-driver syslog: not one of"),
        (["--log-opt=max-size"], "--log-opt max-size: write NAME=VALUE"),
        (["--log-driver=none", "--log-opt=max-size=1m"], "--log-opt max-size=1m: the log driver"),
    ],
)
def test_mistakes_name_the_flag(folder, words, message):
    with pytest.raises(UsageError, match=message):
        fields(*words)


def test_defaults_from_the_file(folder):
    (folder / "containers.toml").write_text('log-driver = "journald"\n[log-opts]\ntag = "t"\n')
    assert fields() == {"log_driver": "journald", "log_opts": {"tag": "t"}}
    assert fields("--log-opt=tag=u")["log_opts"] == {"tag": "u"}
    # What the file says of one driver is nothing to another.
    assert fields("--log-driver=json-file") == {"log_driver": "json-file", "log_opts": {}}


@pytest.mark.parametrize(
    "text", ['log-driver = "x"', 'driver = "none"', "log-opts = 1", '[log-opts]\nmax-size = "x"']
)
def test_mistakes_in_the_file_name_it(folder, text):
    path = folder / "containers.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=str(path)):
        fields()
