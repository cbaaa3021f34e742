from __future__ import annotations

import os

import pytest

from rootless import config
from rootless.errors import NotFoundError


def test_a_shipped_file_is_found_in_a_checkout():
    assert os.path.isfile(config.shipped("seccomp.json"))


def test_a_packaged_file_is_preferred(monkeypatch, tmp_path):
    package, beside = tmp_path / "rootless", tmp_path / "config"
    for folder in (package / "_config", beside):
        folder.mkdir(parents=True)
        (folder / "x.toml").write_text("")
    monkeypatch.setattr(config, "__file__", str(package / "config.py"))
    assert config.shipped("x.toml") == str(package / "_config" / "x.toml")
    (package / "_config" / "x.toml").unlink()
    assert config.shipped("x.toml") == str(beside / "x.toml")


def test_a_distributions_share_directory(monkeypatch, tmp_path):
    (tmp_path / "share/rl").mkdir(parents=True)
    (tmp_path / "share/rl/x.toml").write_text("")
    monkeypatch.setattr(config, "__file__", str(tmp_path / "lib/rootless/config.py"))
    monkeypatch.setattr(config.sys, "prefix", str(tmp_path))
    assert config.shipped("x.toml") == str(tmp_path / "share/rl/x.toml")


def test_a_missing_shipped_file_is_named():
    with pytest.raises(NotFoundError, match=r"no-such\.toml: missing"):
        config.shipped("no-such.toml")


def test_user_files_exist_and_the_strongest_is_last(monkeypatch, tmp_path):
    home, explicit = tmp_path / "xdg/rl", tmp_path / "explicit"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("RL_CONFIG", str(explicit))
    for folder in (home, explicit):
        folder.mkdir(parents=True)
    assert config.user_files("x-of-a-test.toml") == []
    (explicit / "x-of-a-test.toml").write_text("")
    (home / "x-of-a-test.toml").write_text("")
    assert config.user_files("x-of-a-test.toml") == [
        str(home / "x-of-a-test.toml"),
        str(explicit / "x-of-a-test.toml"),
    ]


def test_without_xdg_config_home_it_is_the_homes(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative/counts/as/unset")
    monkeypatch.delenv("RL_CONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".config/rl").mkdir(parents=True)
    (tmp_path / ".config/rl/x.toml").write_text("")
    assert config.user_files("x.toml") == [str(tmp_path / ".config/rl/x.toml")]


def test_a_directory_that_is_not_there_is_looked_for_once(monkeypatch, tmp_path):
    monkeypatch.setattr(config, "SYSTEM_FOLDER", str(tmp_path / "etc"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("RL_CONFIG", raising=False)
    looks = []
    is_there = os.path.isdir
    monkeypatch.setattr(config.os.path, "isdir", lambda path: looks.append(path) or is_there(path))
    for name in ("rl.toml", "containers.toml", "registries.toml"):
        assert config.user_files(name) == []
        assert config.system_file(name) == ""
    assert looks == [str(tmp_path / "etc"), str(tmp_path / "home/rl")]


def test_only_the_administrators_directory_has_system_files(monkeypatch, tmp_path):
    monkeypatch.setattr(config, "SYSTEM_FOLDER", str(tmp_path / "etc"))
    monkeypatch.setenv("RL_CONFIG", str(tmp_path / "mine"))
    for folder in ("etc", "mine"):
        (tmp_path / folder).mkdir()
    (tmp_path / "mine/rl.toml").write_text("")
    assert config.system_file("rl.toml") == ""
    (tmp_path / "etc/rl.toml").write_text("")
    assert config.system_file("rl.toml") == str(tmp_path / "etc/rl.toml")
