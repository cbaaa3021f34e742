"""--log-driver and --log-opt → fields of the ContainerSpec; containers.toml has their defaults."""

from __future__ import annotations

from rootless import config
from rootless.errors import UsageError
from rootless.model import logspec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.cli.options import Parsed

_FILE = "containers.toml"
# The others are engine.modules' to read.
_KEYS = ("log-driver", "log-opts", "binds", "env", "modules")


def log_fields(parsed: Parsed) -> dict[str, Any]:
    """`log_driver` and `log_opts` of the ContainerSpec. Raises UsageError."""
    driver, options = _configured()
    word = parsed.text("log-driver")
    if word:
        wished = logspec.parse_driver(word, f"--log-driver {word}")
        # Options in the file are for the driver in the file.
        driver, options = wished, (options if wished == driver else {})
    given = dict(_pair(one) for one in parsed.all("log-opt"))
    logspec.check_options(driver, given, "--log-opt")
    return {"log_driver": driver, "log_opts": {**options, **given}}


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise UsageError(f"--log-opt {text}: write NAME=VALUE", hint="--log-opt max-size=10m")
    return name, value


def _configured() -> tuple[str, dict[str, str]]:
    driver = logspec.JSON_FILE
    options: dict[str, str] = {}
    for path in config.user_files(_FILE):
        document = config.load(path)
        unknown = next((key for key in document if key not in _KEYS), None)
        if unknown is not None:
            raise UsageError(f"{path}: {unknown}: there is no such key")
        if "log-driver" in document:
            word = str(document["log-driver"])
            driver = logspec.parse_driver(word, f"{path}: log-driver {word}")
            options = {}
        table = document.get("log-opts", {})
        if not isinstance(table, dict):
            raise UsageError(f"{path}: log-opts: not a table")
        options.update({str(name): str(value) for name, value in table.items()})
        logspec.check_options(driver, options, f"{path}: log-opts")
    return driver, options
