"""Finding the command as a shell does, and never running the host's Python in its place."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from rootless.errors import RuntimeSetupError
from rootless.runtime import payload


def program(path: Path, text: str = "#!/bin/sh\n", mode: int = 0o755) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def find(name: str, *folders: Path | str) -> str:
    return payload.find_executable(name, ["A=1", f"PATH={':'.join(map(str, folders))}"])


def test_the_first_folder_that_has_it(tmp_path: Path) -> None:
    first, second = program(tmp_path / "1/tool"), program(tmp_path / "2/tool")
    assert find("tool", tmp_path / "none", tmp_path / "1", tmp_path / "2") == str(first)
    assert find("tool", tmp_path / "2", tmp_path / "1") == str(second)


def test_folders_and_files_that_cannot_be_run_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "1/tool").mkdir(parents=True)
    program(tmp_path / "2/tool", mode=0o644)
    third = program(tmp_path / "3/tool")
    places = [tmp_path / number for number in ("1", "2", "3")]
    assert find("tool", *places) == str(third)
    with pytest.raises(RuntimeSetupError, match="permission denied") as caught:
        find("tool", *places[:2])
    assert caught.value.exit_code == 126


def test_an_empty_entry_is_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path / "tool")
    monkeypatch.chdir(tmp_path)
    assert find("tool", "/nowhere", "") == "./tool"


@pytest.mark.parametrize("name", ["tool", ""])
def test_not_found(tmp_path: Path, name: str) -> None:
    for env in ([f"PATH={tmp_path}"], ["PATH="], [], ["XPATH=/bin"]):
        with pytest.raises(RuntimeSetupError, match="not found in") as caught:
            payload.find_executable(name, env)
        assert caught.value.exit_code == 127
        assert caught.value.message == f'exec "{name}": executable file not found in $PATH'


@pytest.mark.parametrize(
    ("name", "code", "reason"),
    [
        ("nowhere", 127, "no such file or directory"),
        ("file/below", 127, "not a directory"),
        ("folder", 126, "is a directory"),
        ("loop", 126, "too many levels of symbolic links"),
        ("dangling", 127, "no such file or directory"),
    ],
)
def test_paths_are_not_searched(tmp_path: Path, name: str, code: int, reason: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "dangling").symlink_to("nowhere")
    path = f"{tmp_path}/{name}"
    with pytest.raises(RuntimeSetupError) as caught:
        payload.find_executable(path, ["PATH=/bin"])
    assert (caught.value.message, caught.value.exit_code) == (f'exec "{path}": {reason}', code)


def test_a_path_is_taken_as_it_is(tmp_path: Path) -> None:
    path = str(program(tmp_path / "tool", mode=0o644))
    assert payload.find_executable(path, []) == path, "the exec itself says what is wrong"


OWN = os.path.realpath("/proc/self/exe")


@pytest.mark.parametrize(
    "text",
    [
        "#!/proc/self/exe\n",
        "#! \t/proc/self/exe -c x\n",
        "#!/proc/self/exe",
        f"#!{OWN}\n",
        "#!/proc/thread-self/exe\nmore",
    ],
)
def test_scripts_that_lead_to_our_interpreter(tmp_path: Path, text: str) -> None:
    direct = program(tmp_path / "direct", text)
    through = program(tmp_path / "through", f"#!{direct}\n")
    for path in (direct, through):
        with pytest.raises(RuntimeSetupError, match="the host's own interpreter") as caught:
            payload.refuse_interpreter(str(path), payload.own_interpreter())
        assert caught.value.exit_code == 126


@pytest.mark.parametrize("kind", ["itself", "symlink", "proc"])
def test_our_interpreter_under_other_names(tmp_path: Path, kind: str) -> None:
    (tmp_path / "link").symlink_to(OWN)
    path = {"itself": OWN, "symlink": f"{tmp_path}/link", "proc": f"/proc/{os.getpid()}/exe"}[kind]
    with pytest.raises(RuntimeSetupError, match="the host's own interpreter"):
        payload.refuse_interpreter(path, payload.own_interpreter())


@pytest.mark.parametrize(
    "text", ["", "#!", "#!\n", "#! \n", "#!/bin/sh\n", "#!/nowhere\n", "\x7fELF", "#!relative", "#"]
)
def test_honest_programs_pass(tmp_path: Path, text: str) -> None:
    path = program(tmp_path / "tool", text)
    before = os.listdir("/proc/self/fd")
    payload.refuse_interpreter(str(path), payload.own_interpreter())
    assert os.listdir("/proc/self/fd") == before


def test_scripts_in_a_circle_end(tmp_path: Path) -> None:
    program(tmp_path / "a", f"#!{tmp_path}/b\n")
    program(tmp_path / "b", f"#!{tmp_path}/a\n")
    payload.refuse_interpreter(str(tmp_path / "a"), payload.own_interpreter())


def test_a_fifo_of_an_image_cannot_make_us_wait(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    program(tmp_path / "script", f"#!{tmp_path}/fifo\n")
    done = threading.Event()

    def look() -> None:
        for name in ("fifo", "script"):
            payload.refuse_interpreter(str(tmp_path / name), payload.own_interpreter())
        done.set()

    threading.Thread(target=look, daemon=True).start()
    assert done.wait(10)
