"""The tree of a template. Every node has `at`, its place; expressions their `text`, for errors."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Node:
    """What has a place in the template. text: as errors show it."""

    __slots__ = ("at", "text")

    def __init__(self, at: int, text: str) -> None:
        self.at = at
        self.text = text


class Literal(Node):
    """A constant, or `nil` as None."""

    __slots__ = ("value",)

    def __init__(self, at: int, text: str, value: Any) -> None:
        super().__init__(at, text)
        self.value = value


class Reference(Node):
    """`.`, `.A.B`, `$x.A`, `(…).A`: fields, starting from dot, a variable or a pipeline.

    start: None for dot, a variable's name with its `$`, or a Pipeline.
    """

    __slots__ = ("names", "start")

    def __init__(self, at: int, text: str, start: str | Pipeline | None, names: list[str]) -> None:
        super().__init__(at, text)
        self.start = start
        self.names = names


class Function(Node):
    """The name of a function; `text` is it."""

    __slots__ = ()


class Command(Node):
    """An operand, or a function or a method with its arguments."""

    __slots__ = ("words",)

    def __init__(self, at: int, text: str, words: list[Node]) -> None:
        super().__init__(at, text)
        self.words = words


class Pipeline(Node):
    """Commands, each getting the value of the one before it as its last argument.

    variables: those that are set to its value; declares: whether they are new (`:=`, not `=`).
    """

    __slots__ = ("commands", "declares", "variables")

    def __init__(
        self, at: int, text: str, variables: list[str], *, declares: bool, commands: list[Command]
    ) -> None:
        super().__init__(at, text)
        self.variables = variables
        self.declares = declares
        self.commands = commands


class Text(Node):
    """What goes out as it is."""

    __slots__ = ()


class Action(Node):
    """A pipeline whose value is printed, unless it goes into a variable."""

    __slots__ = ("pipeline",)

    def __init__(self, at: int, text: str, pipeline: Pipeline) -> None:
        super().__init__(at, text)
        self.pipeline = pipeline


class Block(Node):
    """`if`, `with` or `range` (that is `text`), with what is between it, `else` and `end`."""

    __slots__ = ("body", "otherwise", "pipeline")

    def __init__(
        self, at: int, text: str, pipeline: Pipeline, body: list[Node], otherwise: list[Node]
    ) -> None:
        super().__init__(at, text)
        self.pipeline = pipeline
        self.body = body
        self.otherwise = otherwise


class Jump(Node):
    """`break` or `continue` (that is `text`)."""

    __slots__ = ()
