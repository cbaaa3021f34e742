"""The flags of `rl run` → ContainerSpec.

Reads what the flags name (environment, --env-file, whether a bind's source exists), changes
nothing. Every error names the flag and its value.
"""

from __future__ import annotations

import os
import stat

from rootless import config
from rootless.cli import log_flags, process_flags
from rootless.cli.resource_options import NAMES as RESOURCE_NAMES
from rootless.cli.run_options import HEALTH_NAMES
from rootless.errors import UsageError
from rootless.model import imagefile, names
from rootless.model.container import (
    DEFAULT_SHM_SIZE,
    DEFAULT_UMASK,
    ContainerSpec,
    joined_container,
)
from rootless.model.digits import number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.cli.options import Parsed
    from rootless.model.mountspec import DeviceSpec, MountSpec
    from rootless.model.ports import PortMapping

_USERNS = ("", "host", "keep-id", "auto", "nomap")
# sethostname(2): __NEW_UTS_LEN.
_MAXIMUM_HOSTNAME = 64
_MAXIMUM_TIMEOUT = 10**9


def container_spec(parsed: Parsed) -> ContainerSpec:
    """What `parsed` (of `rl run`) asks for, and the site gives. Raises RlError."""
    spec = _of_flags(parsed)
    named = [word for word in parsed.all("device") if _is_named(word)]
    if named:
        from rootless.engine import cdi

        cdi.apply(spec, named)
    if parsed.all("module") or config.user_files("containers.toml"):
        from rootless.engine import modules

        modules.apply(
            spec, parsed.all("module"), parsed.split("no-module"), parsed.split("no-mount"),
            os.environ,
        )  # fmt: skip
    return spec


def _of_flags(parsed: Parsed) -> ContainerSpec:
    image, rootfs = _image_or_rootfs(parsed)
    _check_name(parsed)
    return ContainerSpec(
        image=image,
        rootfs=rootfs,
        command=parsed.arguments[1:],
        name=parsed.text("name"),
        hostname=_hostname(parsed, "hostname"),
        domainname=_hostname(parsed, "domainname"),
        env=process_flags.environment(parsed, of_host=parsed.flag("env-host")),
        labels=_labels(parsed),
        annotations=_pairs(parsed, "annotation"),
        workdir=process_flags.workdir(parsed),
        user=parsed.text("user"),
        entrypoint=_entrypoint(parsed.optional("entrypoint")),
        tty=parsed.flag("tty"),
        interactive=parsed.flag("interactive"),
        remove=parsed.flag("rm"),
        init=parsed.flag("init"),
        read_only=parsed.flag("read-only"),
        read_only_tmpfs=parsed.flag("read-only-tmpfs"),
        privileged=parsed.flag("privileged"),
        cap_add=parsed.split("cap-add"),
        cap_drop=parsed.split("cap-drop"),
        security_opt=parsed.all("security-opt"),
        userns=_userns(parsed.text("userns")),
        group_add=_groups(parsed),
        network=parsed.text("network"),
        ports=_ports(parsed),
        publish_all=parsed.flag("publish-all"),
        dns=[_dns_server(word) for word in parsed.split("dns")],
        dns_search=_words(parsed, "dns-search"),
        dns_option=_words(parsed, "dns-option"),
        add_hosts=_host_lines(parsed),
        mounts=_mounts(parsed),
        devices=_devices(parsed),
        ulimits=parsed.all("ulimit"),
        sysctls=_pairs(parsed, "sysctl"),
        stop_signal=_stop_signal(parsed.text("stop-signal")),
        timeout=_timeout(parsed.text("timeout")),
        volumes_from=parsed.all("volumes-from"),
        stop_timeout=_stop_timeout(parsed.optional("stop-timeout")),
        restart=_restart(parsed),
        platform=_platform(parsed.text("platform")),
        pull=parsed.text("pull"),
        pid=_mode(parsed, "pid"),
        ipc=_mode(parsed, "ipc", "shareable", "none"),
        uts=_mode(parsed, "uts"),
        cgroupns=parsed.text("cgroupns"),
        shm_size=_shm_size(parsed.optional("shm-size")),
        storage_driver=parsed.text("storage-driver"),
        umask=_umask(parsed.optional("umask")),
        timens=parsed.text("timens"),
        runtime=_program(parsed.text("runtime")),
        sig_proxy=parsed.flag("sig-proxy"),
        cidfile=_absolute(parsed.text("cidfile")),
        no_hosts=parsed.flag("no-hosts"),
        quiet=parsed.flag("quiet"),
        replace=parsed.flag("replace"),
        procview=parsed.text("procview"),
        cpu_affinity=parsed.flag("cpu-affinity"),
        sysinfo=parsed.flag("sysinfo"),
        **log_flags.log_fields(parsed),
        **_resources(parsed),
        **_health(parsed),
    )


def _image_or_rootfs(parsed: Parsed) -> tuple[str | None, str | None]:
    """An image's name, or the absolute path of one that is a file or a directory; and --rootfs."""
    first = parsed.arguments[0]
    if not parsed.flag("rootfs"):
        return (_absolute(first) if imagefile.is_path(first) else first), None
    folder, option = imagefile.split_option(first)
    path = _absolute(folder)
    if not path or not os.path.isdir(path):
        raise UsageError(f"--rootfs {folder}: not a directory", hint=f"ls -ld {folder}")
    return (path, None) if option == "O" else (None, path)


def _check_name(parsed: Parsed) -> None:
    name = parsed.optional("name")
    if name is None:
        if parsed.flag("replace"):
            raise UsageError("--replace: needs --name", hint="rl run --replace --name NAME …")
        return
    if not names.is_name(name):
        hint = "a letter or a digit, then letters, digits, _ . -"
        raise UsageError(f"--name {name!r}: not a name for a container", hint=hint)


def _hostname(parsed: Parsed, key: str) -> str:
    name = parsed.text(key)
    good = name.isascii() and all(each.isalnum() or each in "-._" for each in name)
    if not good or name[:1] in ("-", "."):
        raise UsageError(f"--{key} {name!r}: only letters, digits, - . _ may be in it")
    if len(name) > _MAXIMUM_HOSTNAME:
        raise UsageError(f"--{key} {name}: longer than {_MAXIMUM_HOSTNAME} characters")
    return name


def _labels(parsed: Parsed) -> dict[str, str]:
    labels: dict[str, str] = {}
    for path in parsed.all("label-file"):
        from rootless.model import envfile

        labels.update(
            envfile.parse_label_file(process_flags.read(path, f"--label-file {path}"), path)
        )
    labels.update(_pairs(parsed, "label"))
    return labels


def _pairs(parsed: Parsed, key: str) -> dict[str, str]:
    words = parsed.all(key)
    if not words:
        return {}
    from rootless.model import envfile

    pairs = envfile.parse_pairs(words, f"--{key}")
    bare = next((word for word in words if "=" not in word), None)
    if bare is None and key == "sysctl":
        bare = next((name for name, text in pairs.items() if not text), None)
    if bare is not None and key != "label":
        raise UsageError(f"--{key} {bare}: write {bare}=VALUE")
    return pairs


def _entrypoint(text: str | None) -> list[str] | None:
    """As podman: a JSON array of texts, or else one command, spaces and all."""
    if text is None:
        return None
    if text.startswith("["):
        import json

        try:
            words = json.loads(text)
        except ValueError:
            words = None
        if isinstance(words, list) and all(isinstance(word, str) for word in words):
            return words
    return [text] if text else []


def _groups(parsed: Parsed) -> list[str]:
    words = parsed.split("group-add")
    # setgroups(2) would drop what is to be kept.
    if "keep-groups" in words and set(words) != {"keep-groups"}:
        raise UsageError("--group-add keep-groups: no other groups can be added beside it")
    return words


def _userns(text: str) -> str:
    if text.partition(":")[0] not in _USERNS and not joined_container(text):
        raise UsageError(f"--userns {text}: not one of keep-id, auto, host, nomap, container:NAME")
    return text


def _mode(parsed: Parsed, kind: str, *more: str) -> str:
    text = parsed.text(kind)
    modes = ("private", "host", *more)
    if text and text not in modes and not joined_container(text):
        raise UsageError(f"--{kind} {text}: not one of {', '.join(modes)}, container:NAME")
    return text


def _ports(parsed: Parsed) -> list[PortMapping]:
    words = parsed.all("publish")
    if not words:
        return []
    from rootless.model.ports import parse_publish

    return [mapping for word in words for mapping in parse_publish(word)]


def _words(parsed: Parsed, key: str) -> list[str]:
    """Texts for a line of resolv.conf, where a space would end one and begin the next."""
    words = parsed.split(key)
    for word in words:
        if any(each.isspace() or not each.isprintable() for each in word):
            raise UsageError(
                f"--{key} {word!r}: spaces cannot be in it", hint=f"--{key} A --{key} B"
            )
    return words


def _dns_server(word: str) -> str:
    from rootless.model.ports import is_address

    if word != "none" and not is_address(word):
        raise UsageError(f"--dns {word}: not an IP address")
    return word


def _host_lines(parsed: Parsed) -> list[tuple[str, str]]:
    words = parsed.all("add-host")
    if words and parsed.flag("no-hosts"):
        raise UsageError("--no-hosts and --add-host exclude each other")
    return [_host_line(word) for word in words]


def _host_line(word: str) -> tuple[str, str]:
    from rootless.model.ports import is_address

    separator = "=" if "=" in word else ":"
    name, _, address = word.partition(separator)
    address = address.removeprefix("[").removesuffix("]")
    if not name or any(each.isspace() for each in name):
        raise UsageError(f"--add-host {word}: write NAME:IP")
    if address != "host-gateway" and not is_address(address):
        raise UsageError(f"--add-host {word}: {address!r} is not an IP address")
    return name, address


def _mounts(parsed: Parsed) -> list[MountSpec]:
    volumes, mounts = parsed.all("volume"), parsed.all("mount")
    tmpfs = parsed.all("tmpfs")
    if not (volumes or mounts or tmpfs):
        return []
    from rootless.model import mountflags, mountspec

    cwd = os.getcwd()
    found = [(f"-v {word}", mountflags.parse_volume(word, cwd)) for word in volumes]
    found += [(f"--mount {word}", mountflags.parse_mount(word, cwd)) for word in mounts]
    found += [(f"--tmpfs {word}", mountflags.parse_tmpfs(word)) for word in tmpfs]
    for place, mount in found:
        if mount.kind == mountspec.BIND:
            _check_exists(mount.source, place, hint=f"mkdir -p {mount.source}")
    result = [mount for _, mount in found]
    mountflags.check_unique(result)
    return result


def _devices(parsed: Parsed) -> list[DeviceSpec]:
    words = [word for word in parsed.all("device") if not _is_named(word)]
    if not words:
        return []
    from rootless.model.mountflags import parse_device

    devices = [parse_device(word) for word in words]
    for word, device in zip(words, devices, strict=True):
        mode = _check_exists(device.source, f"--device {word}", hint=f"ls -l {device.source}")
        if not any(kind(mode) for kind in (stat.S_ISCHR, stat.S_ISBLK, stat.S_ISDIR)):
            hint = f"-v {device.source}:{device.source}"
            raise UsageError(f"--device {word}: {device.source}: not a device", hint=hint)
    return devices


def _is_named(word: str) -> bool:
    """Whether --device names a device of the Container Device Interface, VENDOR/CLASS=NAME."""
    return "=" in word and not word.startswith("/")


def _check_exists(path: str, place: str, *, hint: str) -> int:
    try:
        return os.stat(path).st_mode
    except OSError as error:
        raise UsageError(f"{place}: {path}: {error.strerror}", hint=hint) from error


def _resources(parsed: Parsed) -> dict[str, Any]:
    if RESOURCE_NAMES.isdisjoint(parsed.values):
        return {}
    from rootless.cli import resource_flags

    return resource_flags.run_fields(parsed)


def _health(parsed: Parsed) -> dict[str, Any]:
    if HEALTH_NAMES.isdisjoint(parsed.values):
        return {}
    from rootless.cli import health_flags

    return health_flags.health_fields(parsed)


def _stop_signal(text: str) -> str | None:
    if not text:
        return None
    from rootless.model.signals import parse_signal

    return parse_signal(text, "--stop-signal")


def _timeout(text: str) -> int:
    seconds = number(text, 0, _MAXIMUM_TIMEOUT)
    if seconds is None:
        raise UsageError(f"--timeout {text}: not a number of seconds")
    return seconds


def _stop_timeout(text: str | None) -> int | None:
    if text is None:
        return None
    seconds = -1 if text == "-1" else number(text, 0, _MAXIMUM_TIMEOUT)
    if seconds is None:
        raise UsageError(f"--stop-timeout {text}: not a number of seconds")
    return seconds


def _restart(parsed: Parsed) -> str:
    text = parsed.text("restart")
    if not text:
        return ""
    from rootless.model import restart

    if restart.parse(text).name != restart.NO and parsed.flag("rm"):
        raise UsageError(f"--restart {text}: a container of --rm is gone when it ends")
    return text


def _platform(text: str) -> str:
    if not text:
        return ""
    from rootless.model import platform

    return str(platform.parse(text))


def _shm_size(text: str | None) -> int:
    if text is None:
        return DEFAULT_SHM_SIZE
    from rootless.model.units import parse_size

    try:
        return parse_size(text)
    except UsageError as error:
        raise UsageError(f"--shm-size {text}: {error.message}") from None


def _umask(text: str | None) -> int:
    if text is None:
        return DEFAULT_UMASK
    if not text or len(text) > 4 or set(text) - set("01234567"):
        raise UsageError(f"--umask {text}: not an octal number such as 0022")
    return int(text, 8)


def _absolute(path: str) -> str:
    return os.path.abspath(path) if path else ""


def _program(text: str) -> str:
    """A path is absolute from now on: a later start need not be from here."""
    return os.path.abspath(text) if "/" in text else text
