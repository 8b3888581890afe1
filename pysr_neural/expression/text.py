"""Expressions as text: `parse` and `to_string` are mutual inverses, for trees up to `MAX_DEPTH` and all finite floats.

Owns: the infix syntax.  Does not own: any other notation (`sympy_bridge`).  Texts are read by our own parser, never by
Python's `eval`.

Syntax: ``x0``, ``x1``, … variables, or names, in backquotes where they are no plain words (`names`); numbers as Python
prints them; ``f(a, b)`` for named operators; infix ``+ - * / ^`` always in parentheses when printed.  When read, the
usual precedences hold, ``^`` binds to the right, and a sign directly before a number belongs to the number.
"""

import re
from collections.abc import Sequence

from pysr_neural.errors import ExpressionError
from pysr_neural.expression.guards import guard_acts
from pysr_neural.expression.names import quoted, unquoted
from pysr_neural.expression.node import Node, apply, constant, variable
from pysr_neural.operators import ALIASES, OPERATORS

INFIX = ("+", "-", "*", "/", "^")
_PRECEDENCE = {"+": 1, "-": 1, "*": 2, "/": 2, "^": 4}
_UNARY_PRECEDENCE = 3
MAX_DEPTH = 130
"""Deepest tree that can be read: deeper ones would overflow Python's stack in the reader and in evaluation."""
_MAX_FRAMES = 800
_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|(?P<name>[^\W\d]\w*|`(?:[^`]|``)+`)"
    r"|(?P<power>\*\*)|(?P<symbol>[-+*/^(),]))"
)
_PLACEHOLDER = re.compile(r"\b[ab]\b")


def to_string(tree: Node, variable_names: Sequence[str] | None = None, guarded: bool = False) -> str:
    """Write an expression as text.

    Parameters
    ----------
    tree : Node
    variable_names : sequence of str, optional
        Names in place of ``x0``, ``x1``, ….
    guarded : bool
        Whether operators mean the reference preset's guarded arithmetic; the text then says what that calculates, as
        ``sqrt(abs(x0))``, and where operators cannot, with NumPy's ``where`` and ``nan_to_num``, which `parse` refuses.

    Returns
    -------
    str
    """
    if tree.value is not None:
        return repr(tree.value)
    if tree.index is not None:
        return quoted(variable_names[tree.index]) if variable_names is not None else f"x{tree.index}"
    arguments = [to_string(child, variable_names, guarded) for child in tree.children]
    row = guard_acts(tree) if guarded else None
    if row is not None and row.shown is not None:
        return _PLACEHOLDER.sub(lambda found: arguments["ab".index(found[0])], row.shown[0])
    if tree.operator in INFIX and len(arguments) == 2:
        return f"({arguments[0]} {tree.operator} {arguments[1]})"
    return f"{tree.operator}({', '.join(arguments)})"


def parse(text: str, variable_names: Sequence[str] | None = None) -> Node:
    """Read an expression from text.

    Parameters
    ----------
    text : str
    variable_names : sequence of str, optional
        Names of the variables in order; ``x0``, ``x1``, … if not given.

    Returns
    -------
    Node

    Raises
    ------
    ExpressionError
        With the position and what was expected there.
    """
    reader = _Reader(text, variable_names)
    tree = reader.expression(0)
    reader.expect_end()
    if tree.depth > MAX_DEPTH:
        raise ExpressionError(f"A tree must have depth at most {MAX_DEPTH}; got {tree.depth} from {text[:80]!r}.")
    return tree


class _Reader:
    """A precedence-climbing reader over the tokens of one text."""

    def __init__(self, text: str, variable_names: Sequence[str] | None) -> None:
        self.text = text
        self.names = None if variable_names is None else {name: i for i, name in enumerate(variable_names)}
        self.tokens = list(self._tokenize())
        self.at = 0
        self.frames = 0

    def _tokenize(self) -> list[tuple[str, str, int]]:
        tokens, position = [], 0
        end = len(self.text.rstrip())
        while position < end:
            match = _TOKEN.match(self.text, position)
            if match is None:
                blank = len(self.text[position:]) - len(self.text[position:].lstrip())
                raise self.error("a number, a name or an operator", position + blank)
            kind = match.lastgroup or ""
            word = "^" if kind == "power" else match.group(kind)
            tokens.append(("symbol" if kind == "power" else kind, word, match.start(kind)))
            position = match.end()
        return tokens

    def error(self, expected: str, position: int | None = None) -> ExpressionError:
        if position is None:
            position = self.tokens[self.at][2] if self.at < len(self.tokens) else len(self.text)
        found = repr(self.text[position : position + 12]) if position < len(self.text) else "the end"
        return ExpressionError(f"Expected {expected} at position {position} of {self.text[:80]!r}; got {found}.")

    def peek(self, symbol: str) -> bool:
        return self.at < len(self.tokens) and self.tokens[self.at][:2] == ("symbol", symbol)

    def take(self, symbol: str) -> None:
        if not self.peek(symbol):
            raise self.error(f"{symbol!r}")
        self.at += 1

    def expect_end(self) -> None:
        if self.at < len(self.tokens):
            raise self.error("the end or an infix operator")

    def expression(self, least: int) -> Node:
        frames = 2 if least else 4  # At most so many calls lie between this one and the next of its kind.
        self.frames += frames
        if self.frames > _MAX_FRAMES:
            raise self.error("less nesting")
        left = self.prefix()
        while self.at < len(self.tokens):
            kind, word, _ = self.tokens[self.at]
            precedence = _PRECEDENCE.get(word, 0) if kind == "symbol" else 0
            if precedence <= least:
                break
            self.at += 1
            left = apply(word, left, self.expression(precedence - (word == "^")))
        self.frames -= frames
        return left

    def prefix(self) -> Node:
        if self.peek("-") or self.peek("+"):
            negative = self.peek("-")
            self.at += 1
            if self.at < len(self.tokens) and self.tokens[self.at][0] == "number":
                return self.number(-1.0 if negative else 1.0)
            operand = self.expression(_UNARY_PRECEDENCE)
            return apply("neg", operand) if negative else operand
        return self.atom()

    def number(self, sign: float) -> Node:
        value = float(self.tokens[self.at][1])
        if value in (float("inf"), float("-inf")):
            raise self.error("a number within the range of double precision")
        self.at += 1
        return constant(sign * value)

    def atom(self) -> Node:
        if self.at >= len(self.tokens):
            raise self.error("a number, a variable, a function or '('")
        kind, word, _ = self.tokens[self.at]
        if kind == "number":
            return self.number(1.0)
        if kind == "name":
            return self.named(word)
        self.take("(")
        inner = self.expression(0)
        self.take(")")
        return inner

    def named(self, word: str) -> Node:
        index = self.variable_index(word)
        opens = self.at + 1 < len(self.tokens) and self.tokens[self.at + 1][:2] == ("symbol", "(")
        if index is not None and not (opens and word in OPERATORS):
            self.at += 1
            return variable(index)
        name = ALIASES.get(word, word)
        if name not in OPERATORS:
            raise self.error("a variable or an operator of the table")
        self.at += 1
        self.take("(")
        arguments = [self.expression(0)]
        while self.peek(","):
            self.at += 1
            arguments.append(self.expression(0))
        self.take(")")
        if len(arguments) != OPERATORS[name].arity:
            raise self.error(f"{OPERATORS[name].arity} argument(s) for {name!r}, not {len(arguments)},")
        return apply(name, *arguments)

    def variable_index(self, word: str) -> int | None:
        if self.names is not None:
            return self.names.get(unquoted(word))
        return int(word[1:]) if re.fullmatch(r"x\d{1,6}", word) else None
