from __future__ import annotations

import json
import os

import pytest

from rootless.errors import UsageError
from rootless.model import capabilities
from rootless.runtime import seccomp

DOCUMENT = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": []}
OTHER = {"defaultAction": "SCMP_ACT_LOG", "syscalls": []}


@pytest.fixture
def compiled(monkeypatch):
    """The documents that were compiled; each program is made from its document's text."""
    documents = []

    def compile_filter(document):
        documents.append(document)
        return b"program of " + repr(document).encode()

    monkeypatch.setattr(seccomp, "_compile", compile_filter)
    return documents


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "run" / "cache"


def only_file(cache):
    (path,) = cache.iterdir()
    return path


def test_a_program_is_compiled_once(compiled, cache):
    first = seccomp.program_for(DOCUMENT, str(cache))
    assert seccomp.program_for(DOCUMENT, str(cache)) == first
    # Equal, but another object: what a later process has.
    assert seccomp.program_for(json.loads(json.dumps(DOCUMENT)), str(cache)) == first
    assert compiled == [DOCUMENT]


def test_the_cache_is_private(compiled, cache):
    seccomp.program_for(DOCUMENT, str(cache))
    assert cache.stat().st_mode & 0o777 == 0o700
    assert only_file(cache).stat().st_mode & 0o777 == 0o600


def test_documents_do_not_share_a_program(compiled, cache):
    assert seccomp.program_for(DOCUMENT, str(cache)) != seccomp.program_for(OTHER, str(cache))
    assert len(list(cache.iterdir())) == 2


def test_a_collision_of_names_is_compiled_anew(compiled, cache, monkeypatch):
    monkeypatch.setattr(seccomp.zlib, "crc32", lambda data: 7)
    first = seccomp.program_for(DOCUMENT, str(cache))
    second = seccomp.program_for(OTHER, str(cache))
    assert first != second == seccomp.program_for(OTHER, str(cache))
    only_file(cache)
    assert compiled == [DOCUMENT, OTHER]


def test_each_cut_file_is_compiled_anew(compiled, cache):
    program = seccomp.program_for(DOCUMENT, str(cache))
    whole = only_file(cache).read_bytes()
    for length in range(len(whole)):
        only_file(cache).write_bytes(whole[:length])
        assert seccomp.program_for(DOCUMENT, str(cache)) == program
    assert len(compiled) == 1 + len(whole)
    assert only_file(cache).read_bytes() == whole


def test_each_damaged_byte_is_noticed(compiled, cache):
    program = seccomp.program_for(DOCUMENT, str(cache))
    whole = only_file(cache).read_bytes()
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 0x10
        only_file(cache).write_bytes(damaged)
        assert seccomp.program_for(DOCUMENT, str(cache)) == program
    assert len(compiled) == 1 + len(whole)


def test_a_longer_file_is_compiled_anew(compiled, cache):
    program = seccomp.program_for(DOCUMENT, str(cache))
    only_file(cache).write_bytes(only_file(cache).read_bytes() + b"\0" * 8)
    assert seccomp.program_for(DOCUMENT, str(cache)) == program


def test_a_cache_that_others_can_write_to_is_not_used(compiled, cache):
    seccomp.program_for(DOCUMENT, str(cache))
    os.chmod(cache, 0o777)
    seccomp.program_for(DOCUMENT, str(cache))
    assert len(compiled) == 2


def test_a_symbolic_link_in_the_cache_is_not_followed(compiled, cache, tmp_path):
    seccomp.program_for(DOCUMENT, str(cache))
    path = only_file(cache)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    seccomp.program_for(DOCUMENT, str(cache))
    assert len(compiled) == 2


def test_a_cache_that_cannot_be_made_is_no_failure(compiled, tmp_path):
    (tmp_path / "file").write_text("")
    program = seccomp.program_for(DOCUMENT, str(tmp_path / "file" / "cache"))
    assert program == b"program of " + repr(DOCUMENT).encode()


def test_a_full_disk_is_no_failure(compiled, cache, monkeypatch):
    def refuse(*args, **kwargs):
        raise seccomp.StoreError("no space left on device")

    monkeypatch.setattr(seccomp.files, "write_atomic", refuse)
    assert seccomp.program_for(DOCUMENT, str(cache)).startswith(b"program of ")


@pytest.fixture
def own_config(monkeypatch, tmp_path):
    monkeypatch.setenv("RL_CONFIG", str(tmp_path))
    return tmp_path


def test_the_default_document_is_the_shipped_profile(own_config):
    document = seccomp.default_document(capabilities.DEFAULT)
    assert document["defaultAction"] == "SCMP_ACT_ERRNO"
    assert any("read" in rule["names"] for rule in document["syscalls"])
    assert set(document) == {"architectures", "defaultAction", "defaultErrnoRet", "syscalls"}


def test_a_profile_of_the_users_own_takes_its_place(own_config):
    (own_config / "seccomp.json").write_text(json.dumps(OTHER))
    assert seccomp.default_document(())["defaultAction"] == "SCMP_ACT_LOG"


def test_a_named_profile(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({**OTHER, "syscalls": None}))
    document = seccomp.load_document(str(path), ())
    assert (document["defaultAction"], document["syscalls"]) == ("SCMP_ACT_LOG", [])


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"syscalls": []}', "\udcff"])
def test_what_is_no_profile_is_refused_by_its_path(tmp_path, content):
    path = tmp_path / "mine.json"
    if content is not None:
        path.write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(UsageError) as failure:
        seccomp.load_document(str(path), ())
    assert failure.value.message.startswith(f"--security-opt seccomp={path}: ")
    assert failure.value.hint
