"""What the site gives to every container, and site modules, put into the wish for one.

From containers.toml (`binds`, `env`, `modules`) and modules/NAME.toml. The user's own flags win:
nothing here replaces what the wish has already. Imported where there is such a file or --module.
"""

from __future__ import annotations

import glob
import os
from fnmatch import fnmatchcase

from rootless import config, log
from rootless.errors import NotFoundError, UsageError
from rootless.model import envfile, mountflags, mountspec
from rootless.model.mountspec import BIND, DeviceSpec, MountSpec
from rootless.model.names import is_name
from rootless.model.site import expand, texts
from rootless.model.sitemodule import SiteModule

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from rootless.model.container import ContainerSpec

FILE = "containers.toml"
ALL = "all"
# --no-mount: apptainer's word for all binds of the configuration.
ALL_BINDS = "bind-paths"
_GLOB = frozenset("*?[")


class _Defaults:
    """binds and env as written, with the file that says so; modules: names to look at."""

    def __init__(self) -> None:
        self.binds: list[tuple[str, str]] = []
        self.env: list[str] = []
        self.modules: list[str] = []

    def merge(self, path: str) -> None:
        """What the file says instead. Raises UsageError."""
        document = config.load(path)
        if "binds" in document:
            self.binds = [(text, path) for text in texts(document, "binds", path)]
        if "env" in document:
            self.env = texts(document, "env", path)
        if "modules" in document:
            self.modules = texts(document, "modules", path)


def apply(
    spec: ContainerSpec,
    asked: Sequence[str],
    without: Iterable[str],
    no_mount: Iterable[str],
    environ: Mapping[str, str],
) -> None:
    """Put all of it into `spec`. asked: names of --module; without: of --no-module, or "all";
    no_mount: targets of binds to leave out, or "bind-paths". Raises UsageError, NotFoundError."""
    defaults = _Defaults()
    for path in config.user_files(FILE):
        defaults.merge(path)
    hidden = {word if word == ALL_BINDS else mountspec.normal_target(word) for word in no_mount}
    chosen = _choose(defaults.modules, asked, set(without), environ)
    env: dict[str, str] = envfile.parse_env(defaults.env, environ) if defaults.env else {}
    for text, path in defaults.binds:
        _bind(spec, text, path, hidden, environ, is_system=_is_system(path))
    for module in chosen:
        env.update(_env_of(module, environ))
        _add(spec, module, hidden, environ)
    spec.env = {**env, **spec.env}


def _is_system(path: str) -> bool:
    return path.startswith(f"{config.SYSTEM_FOLDER}/")


def _choose(
    listed: Iterable[str], asked: Sequence[str], without: set[str], environ: Mapping[str, str]
) -> list[SiteModule]:
    """Those asked for, then the listed ones whose condition holds and that go with the others."""
    chosen = [load(name) for name in dict.fromkeys(asked)]
    for module in chosen:
        clash = next((other for other in asked if other in module.conflicts), None)
        if clash is not None:
            raise UsageError(f"--module {module.name}: conflicts with {clash}", hint="rl module ls")
    for name in () if ALL in without else listed:
        if name in without or name in asked:
            continue
        module = load(name)
        if holds(module, environ) and not _conflicts(module, chosen):
            chosen.append(module)
    return chosen


def _conflicts(module: SiteModule, others: Iterable[SiteModule]) -> bool:
    return any(one.name in module.conflicts or module.name in one.conflicts for one in others)


def holds(module: SiteModule, environ: Mapping[str, str]) -> bool:
    """Whether what the module's `when` names is there."""
    name, pattern = module.when.get("env"), module.when.get("path")
    return (name is None or name in environ) and (pattern is None or bool(glob.glob(pattern)))


def load(name: str) -> SiteModule:
    """The module `name` of the strongest directory that has one. Raises NotFoundError, UsageError
    for a mistake in it."""
    found = config.user_files(f"modules/{name}.toml") if is_name(name) else []
    if not found:
        raise NotFoundError(f"--module {name}: no such module", "rl module ls", 125)
    path = found[-1]
    return SiteModule(name, path, config.load(path), is_system=_is_system(path))


def names() -> list[str]:
    """The names of all modules that there are."""
    found = set()
    for folder in config.user_folders():
        try:
            entries = os.listdir(f"{folder}/modules")
        except OSError:
            continue
        found |= {name[:-5] for name in entries if name.endswith(".toml")}
    return sorted(found)


def listed() -> list[str]:
    """The modules that containers.toml says are looked at for every container."""
    defaults = _Defaults()
    for path in config.user_files(FILE):
        defaults.merge(path)
    return defaults.modules


def _env_of(module: SiteModule, environ: Mapping[str, str]) -> dict[str, str]:
    passed = {
        name: value
        for name, value in environ.items()
        if any(fnmatchcase(name, pattern) for pattern in module.pass_env)
    }
    return {**passed, **module.env}


def _add(
    spec: ContainerSpec, module: SiteModule, hidden: set[str], environ: Mapping[str, str]
) -> None:
    log.effect(f"module {module.name} ({module.path})")
    for text in module.binds:
        _bind(spec, text, module.path, hidden, environ, is_system=module.is_system)
    for pattern in module.devices:
        _devices(spec, pattern, module.path)
    for kind in module.namespaces:
        # What the flags say stays, and who joins another container has that one's.
        if not getattr(spec, kind):
            setattr(spec, kind, "host")
    if module.userns and not spec.userns:
        spec.userns = module.userns
    if module.keep_groups and not spec.group_add:
        spec.group_add = ["keep-groups"]


def _bind(
    spec: ContainerSpec,
    text: str,
    place: str,
    hidden: set[str],
    environ: Mapping[str, str],
    *,
    is_system: bool,
) -> None:
    """Each mount that `text` means, unless its target is taken or its source is not here."""
    for mount in _mounts_of(text, place, environ):
        taken = {one.target for one in spec.mounts} | {one.target for one in spec.devices}
        if mount.target in taken or ALL_BINDS in hidden or mount.target in hidden:
            continue
        spec.mounts.append(mount)
        if is_system and "$" not in text:
            spec.given.append(mount.target)


def _mounts_of(text: str, place: str, environ: Mapping[str, str]) -> Iterator[MountSpec]:
    source, _, rest = text.partition(":")
    path = _expanded(source, place, environ)
    if not path:
        return
    if not path.startswith("/"):
        raise UsageError(f"{place}: binds: {text}: the source is not an absolute path")
    if _GLOB.isdisjoint(source):
        if os.path.exists(path):
            yield _mount(path, rest, f"{place}: binds: {text}")
        else:
            log.effect(f"{place}: binds: {path}: is not on this host")
        return
    for found in sorted(glob.glob(path)):
        yield MountSpec(BIND, found, mountspec.normal_target(found), ())


def _mount(source: str, rest: str, place: str) -> MountSpec:
    """rest: `TARGET[:OPTIONS]`, or "" for the same path inside."""
    try:
        made = mountflags.parse_volume(f"/x:{rest or source}", "/")
    except UsageError as error:
        raise UsageError(f"{place}: {error.message}") from None
    return MountSpec(BIND, os.path.normpath(source), made.target, made.options)


def _expanded(text: str, place: str, environ: Mapping[str, str]) -> str:
    """With variables of the site's, then of the environment; "" where one of these is not set."""
    if "$" not in text:
        return text
    from rootless.store import site

    values = {**environ, **site.variables()}
    try:
        return expand(text, values, place)
    except UsageError:
        log.effect(f"{place}: {text}: a variable is not set")
        return ""


def _devices(spec: ContainerSpec, pattern: str, place: str) -> None:
    if not pattern.startswith("/dev/"):
        raise UsageError(f"{place}: devices: {pattern}: not below /dev")
    taken = {one.target for one in spec.devices}
    for path in sorted(glob.glob(pattern)):
        if path not in taken:
            spec.devices.append(DeviceSpec(path, mountspec.normal_target(path)))
