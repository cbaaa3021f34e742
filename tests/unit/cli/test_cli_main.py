"""The whole command line in this process: what is printed where, and the exit code."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rootless import log
from rootless.cli import click_adapter, cmd_info, commands, main
from rootless.cli.options import Argument, Parsed, Signature, flag
from rootless.errors import NotFoundError, RlError

CHECKOUT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def private_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RL_ROOT", str(tmp_path / "store"))
    monkeypatch.setenv("RL_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.delenv("_RL_COMPLETE", raising=False)


def use(monkeypatch: pytest.MonkeyPatch, signature: Signature) -> None:
    monkeypatch.setattr(commands.Entry, "load", lambda entry: signature)


def failing(error: BaseException) -> Signature:
    def function(parsed: Parsed) -> int:
        raise error

    return Signature(function, "", (flag("--debug", "x"),), (Argument("X", 0, None),), error_code=7)


def test_version_is_the_projects(capsys: pytest.CaptureFixture[str]) -> None:
    text = (CHECKOUT / "pyproject.toml").read_text()
    assert f'\nversion = "{cmd_info.VERSION}"\n' in text
    for words in (["--version"], ["-v"], ["version"], ["--debug", "--version"]):
        assert main.run_cli(words) == 0
        assert capsys.readouterr().out == f"rl version {cmd_info.VERSION}\n"


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], ["--help"], ["-h"], ["--debug"], ["--debug", "--help"]):
        assert main.run_cli(words) == 0
        shown = capsys.readouterr().out
        for entry in commands.children(""):
            assert f"  {entry.path} " in shown and entry.summary in shown
        assert "  image " in shown


def test_help_imports_no_command() -> None:
    code = (
        f"import sys; sys.path[:0] = {[str(CHECKOUT), *sys.path]!r};"
        "from rootless.cli import main; main.run_cli(['--help']);"
        "print([name for name in sys.modules if name.startswith('rootless.cli.cmd_')])"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


@pytest.mark.parametrize("group", list(commands.GROUPS))
def test_help_of_groups(group: str, capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([group], [group, "--help"]):
        assert main.run_cli(words) == 0
        shown = capsys.readouterr().out
        assert all(entry.path.split()[1] in shown for entry in commands.children(group))


@pytest.mark.parametrize("path", list(commands.ENTRIES))
def test_help_of_commands(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run_cli([*path.split(), "--help"]) == 0
    shown = capsys.readouterr().out
    signature = commands.ENTRIES[path].load()
    assert shown.startswith(f"Usage: rl {path} ")
    assert all(name in shown for name in signature.spellings)
    assert ":off" not in shown


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        ("rn", "rl: no such command: rn; did you mean run?", "rl --help"),
        ("image lss", "rl image: no such command: lss; did you mean ls?", "rl image --help"),
        ("--bogus", "rl: No such option", "rl --help"),
        ("--root", "rl: Option '--root' requires an argument", "rl --help"),
        ("run", "rl run: Missing argument 'IMAGE'", "rl run --help"),
        ("run --nam x alpine", "rl run: No such option", "rl run --help"),
        ("run --pull x alpine", "rl run: Invalid value for '--pull'", "rl run --help"),
        ("run --rm=no alpine", "rl run: --rm: 'no' is neither", "rl run --help"),
        ("volume ls x", "rl volume ls: Got unexpected extra argument", "rl volume ls --help"),
    ],
)
def test_usage_errors(
    words: str, message: str, hint: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main.run_cli(words.split()) == 125
    said = capfd.readouterr()
    first, second = said.err.splitlines()
    assert first.startswith(f"rl: error: {message}") and second == f"hint: {hint}"
    assert said.out == ""


def test_suggests_the_option_that_was_meant() -> None:
    with pytest.raises(RlError, match="--name"):
        click_adapter.parse(commands.ENTRIES["run"].load(), "rl run", ["--nam", "x", "alpine"])


def test_never_suggests_a_name_that_nobody_would_type() -> None:
    with pytest.raises(RlError, match="'--rmm'; did you mean --rm") as caught:
        click_adapter.parse(commands.ENTRIES["run"].load(), "rl run", ["--rmm", "alpine"])
    assert ":off" not in caught.value.message


@pytest.mark.parametrize("words", ["run -v .:/x alpine", "run --rootfs . sh", "pull oci:x"])
def test_a_current_directory_that_is_gone_is_named(
    words: str, capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert main.run_cli(words.split()) == 125
    assert capfd.readouterr().err == "rl: error: the current directory was removed\nhint: cd\n"


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (RlError("m"), 7, "rl: error: m\n"),
        (NotFoundError("m", hint="rl ps"), 7, "rl: error: m\nhint: rl ps\n"),
        (RlError("m", exit_code=127), 127, "rl: error: m\n"),
        (KeyboardInterrupt(), 130, ""),
        (
            FileNotFoundError(2, "No such file or directory", "/x"),
            125,
            "rl: error: /x: No such file or directory\nhint: rl --debug ps 'a b'\n",
        ),
        (
            ModuleNotFoundError("No module named 'a.b'", name="a.b"),
            125,
            "rl: error: No module named 'a.b'\nhint: pip install a\n",
        ),
    ],
)
def test_errors_become_lines_and_codes(
    error: BaseException,
    code: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    use(monkeypatch, failing(error))
    assert main.run_cli(["ps", "a b"]) == code
    assert capfd.readouterr().err == said


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, failing(OSError(2, "gone")))
    for words in (["--debug", "ps"], ["ps", "--debug"]):
        with pytest.raises(OSError, match="gone"):
            main.run_cli(words)


def test_effects_and_warnings_go_to_standard_error(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def function(parsed: Parsed) -> int:
        log.effect("mount x")
        log.warn("odd")
        log.notice("chosen")
        return 3

    use(monkeypatch, Signature(function, ""))
    assert main.run_cli(["ps"]) == 3
    assert capfd.readouterr().err == "rl: warning: odd\nrl: chosen\n"
    assert main.run_cli(["--debug", "ps"]) == 3
    assert capfd.readouterr().err == "+ mount x\nrl: warning: odd\nrl: chosen\n"


def test_root_and_runtime_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    seen: list[str] = []

    def function(parsed: Parsed) -> int:
        seen.extend((os.environ["RL_ROOT"], os.environ["RL_RUNTIME_DIR"]))
        return 0

    use(monkeypatch, Signature(function, ""))
    assert main.run_cli(["--root", "a", "--runtime-dir=b", "ps"]) == 0
    assert seen == [f"{tmp_path}/a", f"{tmp_path}/b"]


def argv_of(*words: str) -> list[str]:
    code = f"import sys; sys.path[:0] = {[str(CHECKOUT), *sys.path]!r};"
    code += "from rootless.cli.main import main; main()"
    return [sys.executable, "-I", "-c", code, *words]


def rl(words: str, **env: str) -> subprocess.CompletedProcess[str]:
    argv = argv_of(*words.split())
    return subprocess.run(argv, capture_output=True, text=True, env={**os.environ, **env})


def test_process_flushes_and_ends_with_the_code() -> None:
    assert rl("version").stdout == f"rl version {cmd_info.VERSION}\n"
    assert rl("rn").returncode == 125


def test_help_is_a_command_too() -> None:
    assert rl("help").stdout == rl("--help").stdout
    assert rl("help image").stdout == rl("image --help").stdout
    assert rl("help volume ls").stdout == rl("volume ls --help").stdout


def test_a_reader_that_leaves_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(argv_of("version"), stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


def test_a_full_disk_under_the_output_is_told() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(argv_of("version"), stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 125
    assert done.stderr == b"rl: error: standard output: No space left on device\n"


def test_closed_streams_are_replaced() -> None:
    script = '"$@" <&- >&- 2>&-'
    done = subprocess.run(["sh", "-c", script, "sh", *argv_of("images")], capture_output=True)
    assert done.returncode == 0


def test_names_go_out_as_they_are_in_any_locale() -> None:
    volume = Path(os.environ["RL_ROOT"], "volumes", "vö", "_data")
    volume.mkdir(parents=True)
    env = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    argv = [word for word in argv_of("volume", "ls", "-q") if word != "-I"]
    done = subprocess.run(argv, capture_output=True, env={**os.environ, **env})
    assert (done.returncode, done.stdout) == (0, "vö\n".encode())


@pytest.mark.parametrize(
    ("line", "wanted", "unwanted"),
    [
        ("rl ", ["run", "image", "rmi"], []),
        ("rl image i", ["inspect"], ["ls"]),
        ("rl run --cap", ["--cap-add", "--cap-drop"], ["--rm"]),
        ("rl run --r", ["--rm", "--read-only"], ["--rm:off"]),
        ("rl run --rm --na", ["--name"], []),
        ("rl run --pull n", ["newer", "never"], ["always"]),
    ],
)
def test_completion(line: str, wanted: list[str], unwanted: list[str]) -> None:
    words = line.split(" ")
    done = rl("", _RL_COMPLETE="bash_complete", COMP_WORDS=line, COMP_CWORD=str(len(words) - 1))
    offered = [row.partition(",")[2] for row in done.stdout.splitlines()]
    assert set(wanted) <= set(offered) and not set(unwanted) & set(offered), offered


def test_completion_script() -> None:
    assert "_RL_COMPLETE=bash_complete" in rl("", _RL_COMPLETE="bash_source").stdout


def test_a_fault_of_ours_is_a_line_too(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(words: object) -> int:
        raise ZeroDivisionError("x")

    monkeypatch.setattr(main, "_run_command", fail)
    assert main.run_cli(["ps"]) == 125
    assert capfd.readouterr().err == (
        "rl: error: internal error: ZeroDivisionError: x\nhint: rl --debug ps\n"
    )
    with pytest.raises(ZeroDivisionError):
        main.run_cli(["--debug", "ps"])
