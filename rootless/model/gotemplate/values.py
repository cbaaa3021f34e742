"""What templates work on, besides texts, numbers, lists and None (nil): maps, structs and views.

A dict is a map, whose missing keys have no value. A Struct has a fixed set of fields; a View is a
struct whose fields are worked out when they are asked for, and some of which take arguments.
"""

from __future__ import annotations

from rootless.model.gotemplate.errors import CallError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

NO_VALUE = "<no value>"


class _Missing:
    """The value of a key that a map does not have; what is below it is missing, too."""


MISSING = _Missing()


class Map(dict[str, "Any"]):
    """A map with a type for its values. zero: what `index` gives for a key that is not there."""

    __slots__ = ("zero",)

    def __init__(self, items: Mapping[str, Any], zero: Any) -> None:
        super().__init__(items)
        self.zero = zero


class Struct(dict[str, "Any"]):
    """Fields in their order. optional: others, not shown, with the values that they have then."""

    __slots__ = ("optional",)

    def __init__(self, items: Mapping[str, Any], optional: Mapping[str, Any] | None = None) -> None:
        super().__init__(items)
        self.optional = optional or {}


class View:
    """An object as a struct: `fields` are functions of it, `methods` of it and of arguments."""

    __slots__ = ("fields", "methods", "name", "subject")

    def __init__(
        self,
        name: str,
        subject: Any,
        fields: Mapping[str, Callable[[Any], Any]],
        methods: Mapping[str, Callable[..., Any]],
    ) -> None:
        self.name = name
        self.subject = subject
        self.fields = fields
        self.methods = methods

    def plain(self) -> dict[str, Any]:
        """All fields, sorted."""
        return {name: self.fields[name](self.subject) for name in sorted(self.fields)}


def field(value: Any, name: str, arguments: list[Any]) -> Any:
    """The field or key `name` of a value. Raises CallError."""
    if isinstance(value, View) and name in value.methods:
        return _called(value, name, arguments)
    if arguments:
        raise CallError(f"{name} has arguments but cannot be invoked as function")
    if isinstance(value, View) and name in value.fields:
        return value.fields[name](value.subject)
    if isinstance(value, dict):
        return _entry(value, name)
    if value is MISSING:
        return MISSING
    if value is None:
        raise CallError(f"nil pointer evaluating interface {{}}.{name}")
    raise CallError(f"can't evaluate field {name} in type {type_name(value)}")


def _entry(value: dict[str, Any], name: str) -> Any:
    if name in value:
        return value[name]
    if not isinstance(value, Struct):
        return MISSING
    if name in value.optional:
        return value.optional[name]
    raise CallError(f'map has no entry for key "{name}"')


def _called(view: View, name: str, arguments: list[Any]) -> Any:
    if len(arguments) != 1:
        raise CallError(f"wrong number of args for {name}: want 1 got {len(arguments)}")
    if not isinstance(arguments[0], str):
        raise CallError(f"wrong type for value; expected string; got {type_name(arguments[0])}")
    return view.methods[name](view.subject, arguments[0])


def type_name(value: Any) -> str:
    """The Go type that a value would have."""
    names = {bool: "bool", int: "int", float: "float64", str: "string", list: "[]interface {}"}
    if isinstance(value, View):
        return value.name
    if isinstance(value, Struct):
        return "struct"
    if isinstance(value, dict):
        return "map[string]interface {}"
    return names.get(type(value), "nil")


def is_true(value: Any) -> bool:
    """Whether an `if` takes it: not false, 0, nil, or empty. A struct is always true."""
    if isinstance(value, (Struct, View)):
        return True
    return value is not MISSING and bool(value)
