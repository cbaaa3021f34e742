"""The tree of a template and data → text."""

from __future__ import annotations

from rootless.model.gotemplate import goprint
from rootless.model.gotemplate.errors import CallError, TemplateError, where
from rootless.model.gotemplate.nodes import (
    Action,
    Block,
    Command,
    Function,
    Jump,
    Literal,
    Node,
    Pipeline,
    Reference,
    Text,
)
from rootless.model.gotemplate.values import MISSING, Struct, View, field, is_true, type_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any

    from rootless.model.gotemplate.functions import Signature

_TYPES: dict[str, type] = {"string": str, "int": int}


class _Break(Exception):
    pass


class _Continue(Exception):
    pass


_JUMPS = {"break": _Break, "continue": _Continue}


class Evaluator:
    """One filling of a template. clean: applied to each value that is printed."""

    def __init__(
        self, source: str, functions: Mapping[str, Signature], clean: Callable[[str], str]
    ) -> None:
        self._source = source
        self._functions = functions
        self._clean = clean
        self._out: list[str] = []
        self._variables: list[tuple[str, Any]] = []

    def run(self, nodes: Sequence[Node], data: Any) -> str:
        """The text. Raises TemplateError."""
        self._variables.append(("$", data))
        self._list(nodes, data)
        return "".join(self._out)

    def _wrong(self, node: Node, reason: str) -> TemplateError:
        return TemplateError(
            f"template parsing error: template: :{where(self._source, node.at)}:"
            f' executing "" at <{node.text}>: {reason}'
        )

    # Nodes

    def _list(self, nodes: Sequence[Node], dot: Any) -> None:
        for node in nodes:
            if isinstance(node, Text):
                self._out.append(node.text)
            elif isinstance(node, Action):
                self._print(node.pipeline, dot)
            elif isinstance(node, Block):
                self._scoped(node, dot)
            elif isinstance(node, Jump):
                raise _JUMPS[node.text]

    def _print(self, pipeline: Pipeline, dot: Any) -> None:
        value = self._pipeline(pipeline, dot)
        if not pipeline.variables:
            self._out.append(self._clean(goprint.printed(value)))

    def _scoped(self, block: Block, dot: Any) -> None:
        known = len(self._variables)
        try:
            if block.text == "range":
                self._range(block, dot)
            else:
                self._choose(block, dot)
        finally:
            del self._variables[known:]

    def _choose(self, block: Block, dot: Any) -> None:
        value = self._pipeline(block.pipeline, dot)
        if is_true(value):
            self._list(block.body, value if block.text == "with" else dot)
        else:
            self._list(block.otherwise, dot)

    def _range(self, block: Block, dot: Any) -> None:
        names = block.pipeline.variables
        pairs = self._pairs(self._commands(block.pipeline, dot), block.pipeline)
        known = len(self._variables)
        is_empty = True
        for key, value in pairs:
            is_empty = False
            # One name gets the element, two get the index and the element.
            for name, one in zip(names, (key, value) if len(names) == 2 else (value,)):
                self._set(block.pipeline, name, one)
            try:
                self._list(block.body, value)
            except _Break:
                break
            except _Continue:
                pass
            finally:
                del self._variables[known:]
        if is_empty:
            self._list(block.otherwise, dot)

    def _pairs(self, value: Any, node: Node) -> Iterable[tuple[Any, Any]]:
        if value is None or value is MISSING:
            return ()
        if isinstance(value, list):
            return enumerate(value)
        if isinstance(value, dict) and not isinstance(value, Struct):
            return ((key, value[key]) for key in sorted(value))
        if type(value) is int:
            return ((number, number) for number in range(value))
        raise self._wrong(node, f"range can't iterate over {goprint.text(value)}")

    # Pipelines

    def _pipeline(self, pipeline: Pipeline, dot: Any) -> Any:
        value = self._commands(pipeline, dot)
        for name in pipeline.variables:
            self._set(pipeline, name, value)
        return value

    def _commands(self, pipeline: Pipeline, dot: Any) -> Any:
        value: Any = None
        for number, command in enumerate(pipeline.commands):
            value = self._command(command, dot, [value] if number else [])
        return value

    def _set(self, pipeline: Pipeline, name: str, value: Any) -> None:
        if pipeline.declares:
            self._variables.append((name, value))
            return
        for position in range(len(self._variables) - 1, -1, -1):
            if self._variables[position][0] == name:
                self._variables[position] = (name, value)
                return

    def _command(self, command: Command, dot: Any, last: list[Any]) -> Any:
        first, *words = command.words
        if isinstance(first, Function):
            return self._call(first, words, dot, last, command)
        if isinstance(first, Reference) and first.names:
            arguments = [self._operand(word, dot) for word in words] + last
            return self._fields(first, dot, arguments)
        if words or last:
            raise self._wrong(first, f"can't give argument to non-function {first.text}")
        if isinstance(first, Literal) and first.value is None:
            raise self._wrong(first, "nil is not a command")
        return self._operand(first, dot)

    def _operand(self, node: Node, dot: Any) -> Any:
        if isinstance(node, Literal):
            return node.value
        if isinstance(node, Function):
            return self._call(node, [], dot, [], node)
        assert isinstance(node, Reference)
        return self._fields(node, dot, [])

    def _fields(self, node: Reference, dot: Any, arguments: list[Any]) -> Any:
        value = self._start(node, dot)
        for number, name in enumerate(node.names, 1):
            try:
                value = field(value, name, arguments if number == len(node.names) else [])
            except CallError as error:
                raise self._wrong(node, str(error)) from None
        return value

    def _start(self, node: Reference, dot: Any) -> Any:
        if node.start is None:
            return dot
        if isinstance(node.start, Pipeline):
            return self._pipeline(node.start, dot)
        return next(value for name, value in reversed(self._variables) if name == node.start)

    # Functions

    def _call(
        self, function: Function, words: list[Node], dot: Any, last: list[Any], node: Node
    ) -> Any:
        name = function.text
        signature = self._functions[name]
        refusal = signature.refusal(name, len(words) + len(last))
        if refusal:
            raise self._wrong(function, refusal)
        if name in ("and", "or"):
            return self._decide(words, dot, last, stop_at=name == "or")
        arguments = [
            self._argument(word, self._operand(word, dot), signature.type_of(number))
            for number, word in enumerate(words)
        ]
        arguments += [self._argument(node, one, signature.type_of(len(words))) for one in last]
        try:
            return signature.call(*arguments)
        except CallError as error:
            raise self._wrong(node, f"error calling {name}: {error}") from None

    def _decide(self, words: list[Node], dot: Any, last: list[Any], *, stop_at: bool) -> Any:
        value: Any = None
        for word in words:
            value = self._operand(word, dot)
            if is_true(value) == stop_at:
                return value
        return last[0] if last else value

    def _argument(self, node: Node, value: Any, wanted: str) -> Any:
        if wanted == "any":
            return None if value is MISSING else value
        if type(value) is _TYPES[wanted]:
            return value
        if value is None or value is MISSING:
            raise self._wrong(node, f"invalid value; expected {wanted}")
        if isinstance(node, Literal):
            raise self._wrong(node, f"expected {wanted}; found {node.text}")
        got = "struct" if isinstance(value, View) else type_name(value)
        raise self._wrong(node, f"wrong type for value; expected {wanted}; got {got}")
