"""Programs: what the native renderer and its twin run instead of Jinja2, as plain values, and how they are read from a tree.

Covers variables, constants, `default`, `e`, `is defined`, comparisons with constants, not/and/or, inline and block `if`, and
`for` over data with loop.index and its like. For anything else `read` says None, and Jinja2 renders the part.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

from jinja2 import nodes

from fastpath.sandbox.environment import Sandbox


@dataclass(frozen=True, slots=True)
class Path:
    """A variable: the names and indices that lead to it."""

    keys: tuple[str | int, ...]

    def named(self, depth: int) -> str:
        """The path down to its `depth`-th step, as people write it."""
        return ".".join(map(str, self.keys[: depth + 1]))


@dataclass(frozen=True, slots=True)
class Counter:
    """`loop.index` and its like, of the innermost loop around: one of COUNTERS."""

    name: str


@dataclass(frozen=True, slots=True)
class Constant:
    """Text, a number, true, false or none."""

    value: str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Default:
    """`path|default(value)`; with `falsy` also where the variable is empty, 0 or false."""

    path: Path
    value: Constant
    falsy: bool


@dataclass(frozen=True, slots=True)
class Defined:
    """`path is defined`, or undefined."""

    path: Path
    wanted: bool


@dataclass(frozen=True, slots=True)
class Not:
    """`not value`."""

    value: "Expression"


@dataclass(frozen=True, slots=True)
class Either:
    """`left or right`; with `both`, `left and right`."""

    left: "Expression"
    right: "Expression"
    both: bool


@dataclass(frozen=True, slots=True)
class Compare:
    """`left operator right`, one of the two constant; Jinja2's names: eq ne lt lteq gt gteq in notin."""

    left: "Expression"
    operator: str
    right: "Expression"


@dataclass(frozen=True, slots=True)
class Choice:
    """`then if test else otherwise`."""

    test: "Expression"
    then: "Expression"
    otherwise: "Expression"


Expression: TypeAlias = Path | Counter | Constant | Default | Defined | Not | Either | Compare | Choice


@dataclass(frozen=True, slots=True)
class Print:
    """`{{ value }}`, escaped for HTML or not."""

    value: Expression
    escape: bool


@dataclass(frozen=True, slots=True)
class Branch:
    """`{% if %}` with its `elif`s in order."""

    cases: tuple[tuple[Expression, "Body"], ...]
    otherwise: "Body"


@dataclass(frozen=True, slots=True)
class Loop:
    """`{% for target in over %}`, with its `else`. `cost`: units of work of one pass."""

    target: str
    over: Expression
    body: "Body"
    otherwise: "Body"
    cost: int


Statement: TypeAlias = bytes | Print | Branch | Loop
Body: TypeAlias = tuple[Statement, ...]

COUNTERS = ("index", "index0", "first", "last", "length")


class _BeyondUs(Exception):
    """The tree holds something that only Jinja2 can render."""


def read(tree: nodes.Template, sandbox: Sandbox) -> Body | None:
    """The program of a parsed template, None where only Jinja2 can render it."""
    try:
        return _Reader(sandbox).body(tree.body)
    except _BeyondUs:
        return None


class _Reader:
    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._loops = 0  # how many surround what is being read

    def body(self, statements: Iterable[nodes.Node]) -> Body:
        found: list[Statement] = []
        for statement in statements:
            if isinstance(statement, nodes.Output):
                found += [self._output(node) for node in statement.nodes]
            elif isinstance(statement, nodes.If):
                found.append(self._branch(statement))
            elif isinstance(statement, nodes.For):
                found.append(self._loop(statement))
            else:
                raise _BeyondUs
        return tuple(found)

    def _output(self, node: nodes.Expr) -> bytes | Print:
        if isinstance(node, nodes.TemplateData):
            return node.data.encode()
        escape = self._sandbox.html
        if isinstance(node, nodes.Filter) and node.name in ("e", "escape") and node.node is not None and _bare(node):
            node, escape = node.node, True
        return Print(self._expression(node), escape)

    def _branch(self, node: nodes.If) -> Branch:
        cases = tuple((self._expression(each.test), self.body(each.body)) for each in (node, *node.elif_))
        return Branch(cases, self.body(node.else_))

    def _loop(self, node: nodes.For) -> Loop:
        if node.test is not None or node.recursive or not isinstance(node.target, nodes.Name):
            raise _BeyondUs
        if node.target.name == "loop":
            raise _BeyondUs  # an error, and Jinja2 words it
        over, otherwise = self._expression(node.iter), self.body(node.else_)
        self._loops += 1
        body = self.body(node.body)
        self._loops -= 1
        cost = 1 + sum(1 for each in node.body for _ in each.find_all(nodes.Node))
        return Loop(node.target.name, over, body, otherwise, cost)

    def _expression(self, node: nodes.Node) -> Expression:
        if isinstance(node, nodes.Const) and isinstance(node.value, (str, int, float, bool, type(None))):
            return Constant(node.value)
        if isinstance(node, nodes.Not):
            return Not(self._expression(node.node))
        if isinstance(node, (nodes.And, nodes.Or)):
            return Either(self._expression(node.left), self._expression(node.right), isinstance(node, nodes.And))
        if isinstance(node, nodes.Compare):
            return self._compare(node)
        if isinstance(node, nodes.CondExpr) and node.expr2 is not None:
            return Choice(self._expression(node.test), self._expression(node.expr1), self._expression(node.expr2))
        if isinstance(node, nodes.Filter) and node.name in ("default", "d") and node.node is not None:
            return self._default(node, node.node)
        if isinstance(node, nodes.Test) and node.name in ("defined", "undefined") and _bare(node):
            return Defined(self._path(node.node), node.name == "defined")
        if isinstance(node, nodes.Getattr) and isinstance(node.node, nodes.Name) and node.node.name == "loop":
            return self._counter(node)
        return self._path(node)

    def _counter(self, node: nodes.Getattr) -> Counter:
        if not self._loops or node.attr not in COUNTERS:
            raise _BeyondUs
        return Counter(node.attr)

    def _compare(self, node: nodes.Compare) -> Compare:
        left, right = self._expression(node.expr), self._expression(node.ops[0].expr)
        if len(node.ops) != 1 or not (isinstance(left, Constant) or isinstance(right, Constant)):
            raise _BeyondUs  # comparing data with data may take long: the sandbox weighs it
        return Compare(left, node.ops[0].op, right)

    def _default(self, node: nodes.Filter, of: nodes.Expr) -> Default:
        given = [self._expression(each) for each in node.args]
        if node.kwargs or node.dyn_args or node.dyn_kwargs or len(given) > 2:
            raise _BeyondUs
        value = given[0] if given else Constant("")
        falsy = given[1] if len(given) > 1 else Constant(False)
        if not isinstance(value, Constant) or not isinstance(falsy, Constant):
            raise _BeyondUs
        return Default(self._path(of), value, bool(falsy.value))

    def _path(self, node: nodes.Node) -> Path:
        keys: list[Any] = []
        while not isinstance(node, nodes.Name):
            if isinstance(node, nodes.Getattr):
                keys.append(node.attr)
            elif isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const) and type(node.arg.value) in (str, int):
                keys.append(node.arg.value)
            else:
                raise _BeyondUs
            node = node.node
        if node.name in self._sandbox.globals or node.name in ("loop", "self"):
            raise _BeyondUs
        return Path((node.name, *reversed(keys)))


def _bare(node: nodes.Filter | nodes.Test) -> bool:
    return not (node.args or node.kwargs or node.dyn_args or node.dyn_kwargs)
