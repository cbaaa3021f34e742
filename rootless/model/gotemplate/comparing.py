"""`eq`, `ne`, `lt`, `le`, `gt`, `ge`: Go's rules for comparisons, on what a template can hold."""

from __future__ import annotations

from rootless.model.gotemplate.errors import CallError
from rootless.model.gotemplate.values import MISSING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_KINDS = (bool, int, float, str)
_INCOMPATIBLE = "incompatible types for comparison"
_BAD = "invalid type for comparison"


def equal(first: Any, *others: Any) -> bool:
    """Whether `first` is equal to one of `others`. Raises CallError."""
    if not others:
        raise CallError("missing argument for comparison")
    return any(_is_equal(first, other) for other in others)


def _is_equal(one: Any, other: Any) -> bool:
    if _is_nil(one) or _is_nil(other):
        return _is_nil(one) and _is_nil(other)
    kind = _kind(one)
    if kind is not _kind(other):
        raise CallError(_INCOMPATIBLE)
    if kind is None:
        raise CallError(_BAD)
    return bool(one == other)


def _is_nil(value: Any) -> bool:
    return value is None or value is MISSING


def _kind(value: Any) -> type | None:
    return next((kind for kind in _KINDS if type(value) is kind), None)


def differs(one: Any, other: Any) -> bool:
    """Whether they are not equal. Raises CallError."""
    return not equal(one, other)


def less(one: Any, other: Any) -> bool:
    """Whether `one` comes before `other`. Raises CallError."""
    kind = _kind(one)
    if kind in (None, bool) or _kind(other) in (None, bool):
        raise CallError(_BAD)
    if kind is not _kind(other):
        raise CallError(_INCOMPATIBLE)
    return bool(one < other)


def at_most(one: Any, other: Any) -> bool:
    """Whether `one` is `other` or comes before it. Raises CallError."""
    return less(one, other) or equal(one, other)


def greater(one: Any, other: Any) -> bool:
    """Whether `one` comes after `other`. Raises CallError."""
    return not at_most(one, other)


def at_least(one: Any, other: Any) -> bool:
    """Whether `one` is `other` or comes after it. Raises CallError."""
    return not less(one, other)
