"""Tokens → the tree of a template. What Go finds when it parses is found here, not when it runs."""

from __future__ import annotations

from rootless.model.gotemplate import lexer, literals
from rootless.model.gotemplate.errors import TemplateError, parse_error
from rootless.model.gotemplate.lexer import Token
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

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Container

_BLOCKS = ("if", "range", "with")
_JUMPS = ("break", "continue")
_UNSUPPORTED = ("block", "define", "template")
_KEYWORDS = {*_BLOCKS, *_JUMPS, *_UNSUPPORTED, "else", "end"}
_CONSTANTS = {"true": True, "false": False, "nil": None}
_AFTER_OPERAND = (lexer.SPACE, lexer.RIGHT, lexer.CLOSE, lexer.PIPE)
# One more is an error, not a crash: each is a few frames of Python.
_DEEPEST = 50


def parse(source: str, functions: Container[str]) -> list[Node]:
    """The tree of `source`, in which only `functions` may be called. Raises TemplateError."""
    return _Parser(source, functions).whole()


class _Parser:
    def __init__(self, source: str, functions: Container[str]) -> None:
        self._source = source
        self._functions = functions
        self._tokens = lexer.lex(source)
        self._at = 0
        self._variables = ["$"]
        self._depth = 0
        self._loops = 0

    # Tokens

    def _peek(self) -> Token:
        return self._tokens[self._at]

    def _next(self) -> Token:
        token = self._tokens[self._at]
        self._at += 1
        return token

    def _skip_space(self) -> Token:
        """The next token that is no space, which stays the next one."""
        while self._peek().kind == lexer.SPACE:
            self._at += 1
        return self._peek()

    def _keyword(self) -> str:
        """The keyword of the action that begins here, "" for a pipeline."""
        ahead = self._at + 1
        while self._tokens[ahead].kind == lexer.SPACE:
            ahead += 1
        token = self._tokens[ahead]
        is_keyword = token.kind == lexer.WORD and token.text in _KEYWORDS
        return token.text if is_keyword else ""

    def _close(self, context: str) -> None:
        token = self._skip_space()
        if token.kind != lexer.RIGHT:
            raise self._unexpected(token, context)
        self._at += 1

    def _wrong(self, token: Token, reason: str) -> TemplateError:
        return parse_error(self._source, token.at, reason)

    def _unexpected(self, token: Token, context: str) -> TemplateError:
        shown = "EOF" if token.kind == lexer.END else f"<{token.text}>"
        return self._wrong(token, f"unexpected {shown} in {context}")

    def _text(self, start: int) -> str:
        return self._source[start : self._peek().at].strip()

    # Lists of nodes

    def whole(self) -> list[Node]:
        nodes = self._list()
        if self._peek().kind != lexer.END:
            raise self._wrong(self._peek(), f"unexpected {{{{{self._keyword()}}}}}")
        return nodes

    def _list(self) -> list[Node]:
        """Nodes up to `else`, `end` or the end of the template, which is not taken."""
        nodes: list[Node] = []
        while self._peek().kind != lexer.END:
            token = self._peek()
            if token.kind == lexer.TEXT:
                nodes.append(Text(token.at, self._next().text))
            elif self._keyword() in ("else", "end"):
                break
            else:
                nodes.append(self._action())
        return nodes

    def _action(self) -> Node:
        keyword = self._keyword()
        start = self._next()
        if not keyword:
            pipeline = self._pipeline("command", lexer.RIGHT)
            self._close("command")
            return Action(pipeline.at, pipeline.text, pipeline)
        token = self._skip_space()
        self._at += 1
        if keyword in _BLOCKS:
            return self._block(keyword)
        if keyword in _JUMPS:
            return self._jump(token)
        raise self._wrong(start, f"{{{{{keyword}}}}} is not supported")

    def _jump(self, token: Token) -> Node:
        if not self._loops:
            raise self._wrong(token, f"{{{{{token.text}}}}} outside {{{{range}}}}")
        self._close(f"{{{{{token.text}}}}}")
        return Jump(token.at, token.text)

    def _block(self, keyword: str) -> Block:
        known = len(self._variables)
        pipeline = self._pipeline(keyword, lexer.RIGHT)
        self._close(keyword)
        is_loop = keyword == "range"
        self._loops += is_loop
        body = self._nested(self._list)
        self._loops -= is_loop
        otherwise = self._otherwise(keyword)
        del self._variables[known:]
        return Block(pipeline.at, keyword, pipeline, body, otherwise)

    def _nested(self, read: Callable[[], list[Node]]) -> list[Node]:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise self._wrong(self._peek(), "too many levels")
        nodes = read()
        self._depth -= 1
        return nodes

    def _otherwise(self, keyword: str) -> list[Node]:
        """What follows the body, to the `end` and with it."""
        word = self._keyword() if self._peek().kind != lexer.END else ""
        if not word:
            raise self._wrong(self._peek(), "unexpected EOF")
        self._at += 1
        self._skip_space()
        self._at += 1
        if word == "end":
            self._close("end")
            return []
        following = self._skip_space()
        if following.text == keyword != "range":
            # `else if`: one `end` closes all of them.
            self._at += 1
            return self._nested(lambda: [self._block(keyword)])
        self._close("else")
        nodes = self._nested(self._list)
        if self._peek().kind != lexer.END and self._keyword() == "else":
            raise self._wrong(self._peek(), "unexpected {{else}}")
        self._otherwise_end()
        return nodes

    def _otherwise_end(self) -> None:
        if self._peek().kind == lexer.END:
            raise self._wrong(self._peek(), "unexpected EOF")
        self._at += 1
        self._skip_space()
        self._at += 1
        self._close("end")

    # Pipelines

    def _pipeline(self, context: str, end: str) -> Pipeline:
        start = self._skip_space()
        variables, declares = self._assigned(context)
        commands = []
        while True:
            commands.append(self._command(context))
            token = self._skip_space()
            if token.kind == end:
                break
            if token.kind != lexer.PIPE:
                raise self._unexpected(token, context)
            self._at += 1
        self._check(commands)
        if declares:
            self._variables += variables
        text = self._text(start.at)
        return Pipeline(start.at, text, variables, declares=declares, commands=commands)

    def _check(self, commands: list[Command]) -> None:
        for number, command in enumerate(commands):
            first = command.words[0]
            if isinstance(first, Literal) and number:
                reason = f"non executable command in pipeline stage {number + 1}"
                raise parse_error(self._source, first.at, reason)

    def _assigned(self, context: str) -> tuple[list[str], bool]:
        """The variables before `:=` or `=`, and whether it is the former; ([], False) for none."""
        start = self._at
        names = []
        while self._skip_space().kind == lexer.VARIABLE:
            names.append(self._next().text)
            token = self._skip_space()
            if token.kind in (lexer.DECLARE, lexer.ASSIGN):
                self._at += 1
                self._check_assigned(names, token, context)
                return names, token.kind == lexer.DECLARE
            if token.kind != lexer.COMMA or context != "range" or len(names) == 2:
                break
            self._at += 1
        self._at = start
        return [], False

    def _check_assigned(self, names: list[str], token: Token, context: str) -> None:
        if context.startswith("parenthesized"):
            raise self._unexpected(token, context)
        unknown = [name for name in names if name not in self._variables]
        if token.kind == lexer.ASSIGN and unknown:
            raise self._wrong(token, f'undefined variable "{unknown[0]}"')

    def _command(self, context: str) -> Command:
        start = self._skip_space()
        words: list[Node] = []
        while True:
            token = self._skip_space()
            if token.kind in (lexer.RIGHT, lexer.CLOSE, lexer.PIPE, lexer.END):
                break
            words.append(self._operand(context))
            if self._peek().kind not in _AFTER_OPERAND:
                raise self._unexpected(self._peek(), "operand")
        if not words:
            raise self._wrong(start, f"missing value for {context}")
        return Command(start.at, self._text(start.at), words)

    def _operand(self, context: str) -> Node:
        token = self._peek()
        if token.kind in (lexer.DOT, lexer.FIELD, lexer.VARIABLE, lexer.OPEN):
            return self._reference(token)
        self._at += 1
        if token.kind != lexer.WORD:
            return self._constant(token, context)
        if token.text in _CONSTANTS:
            return Literal(token.at, token.text, _CONSTANTS[token.text])
        if token.text not in self._functions:
            raise self._wrong(token, f'function "{token.text}" not defined')
        return Function(token.at, token.text)

    def _constant(self, token: Token, context: str) -> Node:
        readers: dict[str, Callable[[str], object]] = {
            lexer.STRING: literals.unquote,
            lexer.RAW: literals.unquote,
            lexer.CHAR: literals.character,
            lexer.NUMBER: literals.number,
        }
        if token.kind not in readers:
            raise self._unexpected(token, context)
        try:
            return Literal(token.at, token.text, readers[token.kind](token.text))
        except ValueError as error:
            raise self._wrong(token, str(error)) from None

    def _reference(self, token: Token) -> Reference:
        start: str | Pipeline | None = None
        names = []
        if token.kind != lexer.FIELD:
            self._at += 1
        if token.kind == lexer.VARIABLE:
            start = token.text
            if start not in self._variables:
                raise self._wrong(token, f'undefined variable "{start}"')
        elif token.kind == lexer.OPEN:
            start = self._parenthesized()
        while self._peek().kind == lexer.FIELD:
            names.append(self._next().text[1:])
        return Reference(token.at, self._text(token.at), start, names)

    def _parenthesized(self) -> Pipeline:
        found: list[Node] = self._nested(
            lambda: [self._pipeline("parenthesized pipeline", lexer.CLOSE)]
        )
        self._at += 1
        assert isinstance(found[0], Pipeline)
        return found[0]
