"""From a seccomp profile to the OCI document's `linux.seccomp`.

A profile is what docker and podman read (moby's profiles/seccomp): an OCI section plus conditions,
`includes` and `excludes`, on capabilities, architectures and the kernel's version, and an archMap
of the 32-bit companions of each architecture. `resolve` decides all conditions for one container on
one host; what is left is runtime-spec, config-linux.md, "Seccomp". Pure.
"""

from __future__ import annotations

import errno

from rootless.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from typing import Any

    Document = dict[str, Any]

# uname -m, and what profiles call the same machine: Go's name in conditions, libseccomp's in
# archMap.
_ARCHITECTURES = {
    "x86_64": ("amd64", "SCMP_ARCH_X86_64"),
    "i686": ("x86", "SCMP_ARCH_X86"),
    "aarch64": ("arm64", "SCMP_ARCH_AARCH64"),
    "armv7l": ("arm", "SCMP_ARCH_ARM"),
    "ppc64le": ("ppc64le", "SCMP_ARCH_PPC64LE"),
    "s390x": ("s390x", "SCMP_ARCH_S390X"),
    "riscv64": ("riscv64", "SCMP_ARCH_RISCV64"),
    "loongarch64": ("loong64", "SCMP_ARCH_LOONGARCH64"),
    "mips64": ("mips64", "SCMP_ARCH_MIPS64"),
}


def resolve(
    profile: Mapping[str, Any], caps: Collection[str], machine: str, kernel_release: str
) -> Document:
    """The part of `profile` that applies, as an OCI `linux.seccomp` document.

    caps: the container's bounding set ("CAP_…"); machine and kernel_release as uname(2) has them.
    Raises UsageError when the profile breaks its format.
    """
    try:
        facts = _Facts(caps, machine, kernel_release)
        rules = [_rule(rule) for rule in profile.get("syscalls") or [] if facts.admit(rule)]
        document = {"defaultAction": profile["defaultAction"]}
        number = _errno(profile, "defaultErrnoRet", "defaultErrno")
        if number is not None:
            document["defaultErrnoRet"] = number
        document["architectures"] = _architectures(profile, facts.library_name)
        document["syscalls"] = rules
        return document
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UsageError(
            f"seccomp profile: not in docker's format ({type(error).__name__}: {error})",
            hint="--security-opt seccomp=unconfined",
        ) from error


class _Facts:
    """What conditions are about."""

    __slots__ = ("caps", "go_name", "kernel", "library_name")

    def __init__(self, caps: Collection[str], machine: str, kernel_release: str) -> None:
        self.caps = caps
        self.go_name, self.library_name = _ARCHITECTURES.get(machine, (machine, ""))
        self.kernel = _version(kernel_release)

    def admit(self, rule: Mapping[str, Any]) -> bool:
        """Whether all that the rule includes is the case and nothing that it excludes."""
        wanted, unwanted = rule.get("includes"), rule.get("excludes")
        return (not wanted or self._has_all(wanted)) and not (unwanted and self._has_any(unwanted))

    def _has_all(self, condition: Mapping[str, Any]) -> bool:
        arches, minimum = condition.get("arches"), condition.get("minKernel")
        return (
            all(cap in self.caps for cap in condition.get("caps") or ())
            and (not arches or self.go_name in arches)
            and (not minimum or self.kernel >= _version(minimum))
        )

    def _has_any(self, condition: Mapping[str, Any]) -> bool:
        minimum = condition.get("minKernel")
        return (
            any(cap in self.caps for cap in condition.get("caps") or ())
            or self.go_name in (condition.get("arches") or ())
            or bool(minimum and self.kernel >= _version(minimum))
        )


def _version(release: str) -> tuple[int, int]:
    """(5, 10) of "5.10.0-28-amd64"; minKernel has two numbers."""
    major, _, rest = release.partition(".")
    minor = ""
    for character in rest:
        if not character.isdigit():
            break
        minor += character
    return (int(major), int(minor or 0))


def _rule(rule: Mapping[str, Any]) -> Document:
    result = {"names": _names(rule), "action": rule["action"]}
    number = _errno(rule, "errnoRet", "errno")
    if number is not None:
        result["errnoRet"] = number
    if rule.get("args"):
        result["args"] = [_argument(argument) for argument in rule["args"]]
    return result


def _errno(section: Mapping[str, Any], number_key: str, name_key: str) -> int | None:
    """The error number; podman's profiles may give its name alone."""
    number: int | None = section.get(number_key)
    name = section.get(name_key)
    return getattr(errno, name) if number is None and name else number


def _names(rule: Mapping[str, Any]) -> list[str]:
    names = rule.get("names") or [rule["name"]]
    if not all(isinstance(name, str) for name in names):
        raise TypeError("a system call's name is not a string")
    return list(names)


def _argument(argument: Mapping[str, Any]) -> Document:
    result = {"index": argument["index"], "value": argument["value"], "op": argument["op"]}
    if argument.get("valueTwo"):
        result["valueTwo"] = argument["valueTwo"]
    return result


def _architectures(profile: Mapping[str, Any], native: str) -> list[str]:
    for entry in profile.get("archMap") or []:
        if entry["architecture"] == native:
            return [native, *(entry.get("subArchitectures") or [])]
    if profile.get("architectures"):
        return list(profile["architectures"])
    return [native] if native else []
